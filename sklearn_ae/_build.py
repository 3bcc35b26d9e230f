"""From constructor values to torch parts: networks, loss, optimizer, corruption."""

import copy
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import corruption as noise
from sklearn_ae._initialization import PrincipalComponents
from sklearn_ae._training.scaling import Scaling
from sklearn_ae.losses import LOSSES, OriginalUnits
from sklearn_ae.modules import ACTIVATIONS, Autoencoder, Corrected, Fade, Gate, dense

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
CORRUPTIONS = ("gaussian", "masking", "salt_and_pepper", "swap")


@dataclass
class Start:
    """Where a network starts that starts at PCA.

    Attributes
    ----------
    pca : PrincipalComponents
        The linear path.
    residual : float
        Root mean square of what PCA leaves: the unit of the corrections.
    row_bounds : tuple of two arrays
        Least and greatest value of each column, of all rows.
    row_radius : float
        Distance from the mean up to which rows are ordinary.
    code_middle, code_radius : ndarray of shape (n_components,)
        Middle of the ordinary codes, and how far from it they lie.
    """

    pca: PrincipalComponents
    residual: float
    row_bounds: tuple
    row_radius: float
    code_middle: np.ndarray
    code_radius: np.ndarray


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Check `hidden_layer_sizes` and return it as a tuple.

    Raises
    ------
    ValueError
        If a size is not a positive integer.
    """
    sizes = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes={value!r} must contain positive integers, one a hidden layer."
        )
    return tuple(int(size) for size in sizes)


def _part(name, value, n_inputs, n_outputs, hidden, activation, generator, zero):
    """Make the encoder or decoder network `name` from its parameter `value`."""
    if value is None or isinstance(value, str):
        make = ACTIVATIONS[activation] if isinstance(activation, str) else activation
        return dense(n_inputs, hidden, n_outputs, make, generator, zero_last=zero)
    if isinstance(value, nn.Module):
        module = copy.deepcopy(value)
    else:
        module = value(n_inputs, n_outputs)
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{name}={value!r} must return a torch.nn.Module, got {type(module).__name__}."
            )
    module = module.to(dtype=torch.float32, device="cpu").requires_grad_(True)
    _check_shape(name, module, n_inputs, n_outputs)
    return Gate(module, n_outputs) if zero else module


def _check_shape(name, module, n_inputs, n_outputs):
    """Run two rows through a user's module before any training."""
    module.eval()
    try:
        with torch.no_grad():
            found = tuple(module(torch.zeros(2, n_inputs, device="cpu", dtype=torch.float32)).shape)
    except Exception as error:
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it failed on rows of shape (2, {n_inputs}): {error}"
        ) from error
    if found != (2, n_outputs):
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it maps (2, {n_inputs}) to {found}."
        )


def linear(weight: np.ndarray, bias: np.ndarray, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """Make a linear layer of given weights."""
    layer = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], device="cpu", dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def linear_autoencoder(pca: PrincipalComponents, dtype: torch.dtype = torch.float32) -> Autoencoder:
    """Make the autoencoder that is PCA."""
    components, mean = pca.components, pca.mean
    return Autoencoder(
        linear(components, -components @ mean, dtype), linear(components.T, mean, dtype)
    )


def build_network(
    estimator: Any,
    n_features: int,
    start: Start | None,
    generator: torch.Generator,
) -> Autoencoder:
    """Make encoder and decoder as the parameters of the estimator say, on the CPU.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read.
    n_features : int
        Width of a row.
    start : Start or None
        PCA, to start there; None starts at random.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    network : Autoencoder
        For scaled rows.

    Raises
    ------
    ValueError
        If a parameter is wrong, or a module maps to other shapes than it should.
    """
    hidden = hidden_sizes(estimator.hidden_layer_sizes)
    k = estimator.n_components
    zero = start is not None
    part = functools.partial(_part, activation=estimator.activation, generator=generator, zero=zero)
    encoder = part("encoder", estimator.encoder, n_features, k, hidden)
    decoder = part("decoder", estimator.decoder, k, n_features, hidden[::-1])
    if start is None:
        return Autoencoder(encoder, decoder)
    pca = linear_autoencoder(start.pca)
    deviations = start.pca.deviations
    found = deviations > 1e-6 * deviations.max()
    smallest = deviations[found].min() if found.any() else start.residual
    unit = _float32(np.where(found, deviations, smallest))
    # In whitened units, each code moves as far as one residual moves the code of least variance.
    step = unit * min(start.residual / smallest, 1.0)
    ones = torch.ones(n_features, dtype=torch.float32)
    low, high = map(_float32, start.row_bounds)
    margin = (high - low) / 2
    rows = (low - margin, high + margin, Fade(_float32(start.pca.mean), _float32(start.row_radius)))
    middle, radius = _float32(start.code_middle), _float32(start.code_radius)
    codes = (middle - radius, middle + radius, Fade(middle, radius, torch.inf))
    return Autoencoder(
        Corrected(pca.encoder, encoder, ones, step, *rows),
        Corrected(pca.decoder, decoder, unit, start.residual * ones, *codes),
    )


def _float32(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device="cpu")


def build_loss(value: Any, residual: float, scaling: Scaling) -> nn.Module:
    """Make the criterion from the parameter `loss`.

    Raises
    ------
    ValueError
        If a user's loss fails on rows, or does not return a scalar.
    """
    if isinstance(value, str):
        return LOSSES[value](residual)
    shift = torch.from_numpy(scaling.shift.astype(np.float32))
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
    return criterion


def copy_callbacks(callbacks: list | None) -> list:
    """Copy the parameter `callbacks`, so that no fit shares one.

    Raises
    ------
    ValueError
        If one of them is not skorch's.
    """
    for callback in callbacks or []:
        named = isinstance(callback, tuple) and len(callback) == 2
        found = callback[1] if named else callback
        if not (
            isinstance(found, Callback) or (isinstance(found, type) and issubclass(found, Callback))
        ):
            raise ValueError(
                f"callbacks={callbacks!r} must contain instances or classes of "
                f"skorch.callbacks.Callback, or pairs (name, callback); got {callback!r}."
            )
    return copy.deepcopy(callbacks or [])


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
    paths = [part.linear for part in module.children() if isinstance(part, Corrected)]
    slow = [parameter for path in paths for parameter in path.parameters()]
    known = {id(parameter) for parameter in slow}
    fast = [p for p in module.parameters() if id(p) not in known]
    groups = [{"params": fast}, {"params": slow}] if slow else [{"params": fast}]
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
    for group in made.param_groups[1:]:
        group["lr"] *= min(unit, 1.0)
    return made


def build_corruption(
    corruption: str | Callable,
    level: Any,
    scaling: Scaling,
    device: torch.device,
    generator: torch.Generator,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make ``tensor -> corrupted tensor`` from the parameters of the denoising estimator.

    Raises
    ------
    ValueError
        If a level is out of range, or there is not one for every column.
    """
    if not isinstance(corruption, str):
        return functools.partial(
            noise.corrupt_some_rows,
            generator=generator,
            corrupt=functools.partial(_users_corruption, corruption),
        )
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

    corrupt: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    if corruption == "gaussian":
        corrupt = noise.Gaussian(tensor(levels), tensor(scaling.deviation))
    elif corruption == "masking":
        corrupt = noise.Masking(tensor(levels), tensor(np.zeros(n_columns)))
    elif corruption == "salt_and_pepper":
        corrupt = noise.SaltAndPepper(tensor(levels), tensor(scaling.low), tensor(scaling.high))
    else:
        corrupt = noise.Swap(tensor(levels))
    return functools.partial(noise.corrupt_some_rows, generator=generator, corrupt=corrupt)


def _users_corruption(corruption, x, generator):
    """Call a user's corruption on a copy, and check what comes back."""
    corrupted = corruption(x.clone(), generator)
    if not isinstance(corrupted, torch.Tensor) or corrupted.shape != x.shape:
        found = tuple(corrupted.shape) if hasattr(corrupted, "shape") else type(corrupted).__name__
        raise ValueError(
            f"corruption must return a tensor of the shape that it is given: expected "
            f"{tuple(x.shape)}, got {found}."
        )
    return corrupted
