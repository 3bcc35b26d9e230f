"""The criterion: what training minimizes."""

import copy
import math
from typing import Any

import torch
from torch import nn

from sklearn_ae._rows import Scaling, Sums
from sklearn_ae.losses import LOSSES, BinaryLogLoss, OriginalUnits


def check_loss(value: Any, n_columns: int) -> None:
    """Try a user's loss before any work.

    Raises
    ------
    ValueError
        If it fails on rows, does not return a scalar, or is not a mean over the rows.
    """
    if isinstance(value, str):
        return
    wanted = f"loss={value!r} must return a scalar tensor for (prediction, target)"
    rows = torch.zeros(2, n_columns, device="cpu", dtype=torch.float64)
    try:
        criterion = copy.deepcopy(value).cpu().double()
        found = [
            criterion((r + difference).requires_grad_(), r)
            for r in (rows, rows.tile(2, 1))
            for difference in (0, 1, -1)
        ]
    except Exception as error:
        raise ValueError(
            f"{wanted}, both any real numbers; it failed on {tuple(rows.shape)}: {error} (For "
            "probabilities there is loss='binary_log_loss'.)"
        ) from error
    for loss in found:
        if not isinstance(loss, torch.Tensor) or loss.ndim:
            shape = f"shape {tuple(loss.shape)}" if hasattr(loss, "shape") else type(loss).__name__
            raise ValueError(f"{wanted}; it returned {shape}.")
    if not found[1].requires_grad:
        raise ValueError(f"{wanted} that has a gradient; what it returned has none.")
    # Losses of batches and of groups of rows of different sizes are compared. A sum doubles.
    _, once, _, _, twice, _ = (float(loss.detach()) for loss in found)
    if math.isfinite(once) and not math.isclose(once, twice, rel_tol=0.3, abs_tol=1e-6):
        raise ValueError(
            f"loss={value!r} must be a mean over the rows, but it gives {once:.6g} for two rows "
            f"and {twice:.6g} for the same rows twice. torch's losses take reduction='mean'."
        )


def check_range(value: Any, sums: Sums) -> None:
    """Check that rows are probabilities, where the loss is one of probabilities.

    Raises
    ------
    ValueError
        If they are not.
    """
    low, high = sums.low.min(), sums.high.max()
    # Up to what a scaler rounds off.
    if isinstance(value, str) and value == "binary_log_loss" and (low < -1e-6 or high > 1 + 1e-6):
        raise ValueError(
            f"loss='binary_log_loss' needs values in [0, 1], but X has values from {low:.6g} to "
            f"{high:.6g}. Scale it with MinMaxScaler, or choose another loss."
        )


def make_loss(value: Any, unit: float, scaling: Scaling) -> nn.Module:
    """Make the criterion.

    Parameters
    ----------
    value : str or nn.Module
        A kind of loss, or a user's, which is copied.
    unit : float
        Of the losses that have one: what PCA leaves.
    scaling : Scaling
        The units of the rows.
    """
    if isinstance(value, str) and value in LOSSES:
        return LOSSES[value](unit)
    shift = torch.tensor(scaling.shift)
    if isinstance(value, str):
        return BinaryLogLoss(shift.float(), scaling.scale)
    return OriginalUnits(copy.deepcopy(value).double(), shift, scaling.scale)
