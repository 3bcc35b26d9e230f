"""The criterion: what training minimizes."""

import copy
import math
from typing import Any

import numpy as np
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
    criterion = copy.deepcopy(value).cpu()
    rows = torch.zeros(2, n_columns, device="cpu", dtype=torch.float32)
    wanted = f"loss={value!r} must return a scalar tensor for (prediction, target)"
    try:
        with torch.no_grad():
            found = criterion(rows, rows.clone())
    except Exception as error:
        raise ValueError(f"{wanted}; it failed on {tuple(rows.shape)}: {error}") from error
    if not isinstance(found, torch.Tensor) or found.ndim:
        shape = f"shape {tuple(found.shape)}" if hasattr(found, "shape") else type(found).__name__
        raise ValueError(f"{wanted}; it returned {shape}.")
    # Losses of batches and of groups of rows of different sizes are compared. A sum doubles.
    with torch.no_grad():
        once, twice = (float(criterion(r + 1, r)) for r in (rows, rows.tile(2, 1)))
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
    shift = torch.from_numpy(scaling.shift.astype(np.float32))
    if isinstance(value, str):
        return BinaryLogLoss(shift, scaling.scale)
    return OriginalUnits(copy.deepcopy(value), shift, scaling.scale)
