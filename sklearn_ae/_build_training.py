"""From constructor values to what trains a network: loss, optimizer, callbacks, corruption."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import corruption as noise
from sklearn_ae._build_network import image_size
from sklearn_ae._training.denoising import Denoising
from sklearn_ae._training.scaling import Scaling
from sklearn_ae.losses import LOSSES, BinaryLogLoss, OriginalUnits
from sklearn_ae.modules import Autoencoder, Corrected
from sklearn_ae.modules.attention import patch_of_pixels

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
CORRUPTIONS = ("gaussian", "masking", "salt_and_pepper", "swap")


def check_probabilities(X: Any) -> None:
    """Check that all cells, of an array or a sparse matrix, lie in [0, 1].

    Raises
    ------
    ValueError
        If they do not.
    """
    low, high = float(X.min()), float(X.max())
    # Up to what a scaler rounds off.
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            f"loss='binary_log_loss' needs values in [0, 1], but X has values from {low:.6g} to "
            f"{high:.6g}. Scale it with MinMaxScaler, or choose another loss."
        )


def build_loss(value: Any, residual: float, scaling: Scaling) -> nn.Module:
    """Make the criterion from the parameter `loss`.

    Raises
    ------
    ValueError
        If a user's loss fails on rows, or does not return a scalar.
    """
    if isinstance(value, str) and value in LOSSES:
        return LOSSES[value](residual)
    shift = torch.from_numpy(scaling.shift.astype(np.float32))
    if isinstance(value, str):
        return BinaryLogLoss(shift, scaling.scale)
    criterion = OriginalUnits(copy.deepcopy(value), shift, scaling.scale).cpu()
    mean_rows = torch.zeros(2, len(shift), device="cpu", dtype=torch.float32)
    wanted = f"loss={value!r} must return a scalar tensor for (prediction, target)"
    try:
        found = criterion(mean_rows, mean_rows)
    except Exception as error:
        raise ValueError(f"{wanted}; it failed on {tuple(mean_rows.shape)}: {error}") from error
    if not isinstance(found, torch.Tensor) or found.ndim:
        shape = f"shape {tuple(found.shape)}" if hasattr(found, "shape") else type(found).__name__
        raise ValueError(f"{wanted}; it returned {shape}.")
    # Losses of batches and of groups of rows of different sizes are compared. A sum doubles.
    once, twice = (float(criterion(rows + 1, rows)) for rows in (mean_rows, mean_rows.tile(2, 1)))
    if math.isfinite(once) and not math.isclose(once, twice, rel_tol=0.3, abs_tol=1e-6):
        raise ValueError(
            f"loss={value!r} must be a mean over the rows, but it gives {once:.6g} for two rows "
            f"and {twice:.6g} for the same rows twice. torch's losses take reduction='mean'."
        )
    return criterion


def copy_callbacks(callbacks: list | None) -> list:
    """Copy the parameter `callbacks`, so that no fit shares one.

    Raises
    ------
    ValueError
        If one of them is not skorch's.
    """
    callbacks = callbacks or []
    for callback in callbacks:
        named = isinstance(callback, tuple) and len(callback) == 2
        found = callback[1] if named else callback
        if not (
            isinstance(found, Callback) or (isinstance(found, type) and issubclass(found, Callback))
        ):
            raise ValueError(
                f"callbacks={callbacks!r} must contain instances or classes of "
                f"skorch.callbacks.Callback, or pairs (name, callback); got {callback!r}."
            )
    try:
        return copy.deepcopy(callbacks)
    except TypeError:
        # A logger's open file or connection cannot be copied, and is to be shared.
        return [
            (c[0], copy.copy(c[1])) if isinstance(c, tuple) else copy.copy(c) for c in callbacks
        ]


def make_optimizer(
    module: Autoencoder,
    *,
    optimizer: str | Callable[..., torch.optim.Optimizer],
    learning_rate_init: float,
    weight_decay: float,
    unit: float,
) -> torch.optim.Optimizer:
    """Make the optimizer; the linear path learns at a rate in units of PCA's residual.

    A step of the correction moves the output by about ``rate * unit``; the same rate on the
    linear path would move it by ``rate``, and throw away in one step what PCA knows.
    """
    parts = [module.encoder, module.decoder]
    slow = {}
    if any(isinstance(part, Corrected) for part in parts):
        # A part without a correction is a linear path itself. Tied paths share a weight, which must
        # be there once.
        paths = [part.linear if isinstance(part, Corrected) else part for part in parts]
        slow = {id(p): p for path in paths for p in path.parameters()}
    fast = [p for p in module.parameters() if id(p) not in slow]
    groups = [{"params": fast}, {"params": list(slow.values())}] if slow else [{"params": fast}]
    if isinstance(optimizer, str):
        fused = fast[0].device.type in ("cpu", "cuda")
        made = OPTIMIZERS[optimizer](
            groups, lr=learning_rate_init, weight_decay=weight_decay, fused=fused
        )
    else:
        made = optimizer(groups)
        if not isinstance(made, torch.optim.Optimizer):
            raise ValueError(
                f"optimizer={optimizer!r} must return a torch.optim.Optimizer, got "
                f"{type(made).__name__}."
            )
    for group in made.param_groups:
        if any(id(parameter) in slow for parameter in group["params"]):
            group["lr"] *= min(unit, 1.0)
    return made


def build_denoising(
    estimator: Any, scaling: Scaling, device: torch.device, generator: torch.Generator
) -> Denoising:
    """Make what corrupts batches from the parameters of the denoising estimator.

    Raises
    ------
    ValueError
        If a level is out of range, or there is not one for every column; if a loss that cannot
        tell cells apart is to emphasise some.
    """
    emphasis = estimator.emphasis
    if emphasis != 0.5 and not isinstance(estimator.loss, str):
        raise ValueError(
            f"emphasis={emphasis!r} weighs cells, which needs a loss by name; loss="
            f"{estimator.loss!r} gives one number for all cells. Set emphasis=0.5."
        )
    if emphasis != 0.5 and estimator.corruption == "gaussian":
        raise ValueError(
            f"emphasis={emphasis!r} weighs corrupted cells against clean ones, but corruption="
            "'gaussian' leaves no cell clean. Set emphasis=0.5."
        )
    corrupt = build_corruption(estimator, scaling, device)
    if emphasis == 0.5:
        corrupt = functools.partial(noise.corrupt_some_rows, corrupt=corrupt)
    return Denoising(
        functools.partial(corrupt, generator=generator),
        emphasis,
        estimator.corruption_loss_weight,
        _is_attention(estimator) and estimator.corruption == "masking",
    )


def build_corruption(estimator: Any, scaling: Scaling, device: torch.device) -> Callable:
    """Make ``(tensor, generator) -> tensor`` from `corruption` and `corruption_level`.

    Raises
    ------
    ValueError
        If a level is out of range, or there is not one for every column.
    """
    corruption, level = estimator.corruption, estimator.corruption_level
    if not isinstance(corruption, str):
        return functools.partial(_users_corruption, corruption)
    n_columns = len(scaling.shift)
    levels = np.asarray(level, dtype=np.float64)
    if levels.shape not in ((), (n_columns,)):
        raise ValueError(
            f"corruption_level must be one number or one a column: got shape {levels.shape} for "
            f"{n_columns} columns."
        )
    most = np.inf if corruption == "gaussian" else 1.0
    if not ((levels >= 0) & (levels <= most) & np.isfinite(levels)).all():
        raise ValueError(
            f"corruption_level={level!r} must lie in [0, {most}] for corruption={corruption!r}."
        )

    def tensor(values):
        return torch.tensor(values, dtype=torch.float32, device=device)

    if corruption == "gaussian":
        return noise.Gaussian(tensor(levels), tensor(scaling.deviation))
    if corruption == "masking":
        patches = None
        if _is_attention(estimator) and estimator.image_shape is not None:
            if levels.ndim:
                raise ValueError(
                    "corruption_level must be one number where encoder='attention' masks whole "
                    f"patches of an image: got shape {levels.shape}."
                )
            image_shape = image_size(estimator.image_shape, n_columns)
            patches = patch_of_pixels(image_shape).to(device)
        return noise.Masking(tensor(levels), tensor(np.zeros(n_columns)), patches)
    if corruption == "salt_and_pepper":
        return noise.SaltAndPepper(tensor(levels), tensor(scaling.low), tensor(scaling.high))
    return noise.Swap(tensor(levels))


def _is_attention(estimator):
    return isinstance(estimator.encoder, str) and estimator.encoder == "attention"


def _users_corruption(corruption, x, generator):
    """Call a user's corruption on a copy, and check what comes back."""
    corrupted = corruption(x.clone(), generator)
    if not isinstance(corrupted, torch.Tensor) or corrupted.shape != x.shape:
        found = tuple(corrupted.shape) if hasattr(corrupted, "shape") else type(corrupted).__name__
        raise ValueError(
            f"corruption must return a tensor of the shape that it is given: expected "
            f"{tuple(x.shape)}, got {found}."
        )
    return corrupted.to(x)
