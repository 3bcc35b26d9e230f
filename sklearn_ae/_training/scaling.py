"""Centre and scale the training data once, into float32 rows for the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_ae._training.rows import Rows, ScaledRows, SparseRows, place, row_blocks

# Rows of more bytes are not copied: to scale them again in every pass costs little beside the rest
# of the pass. In another order than C's, they would be slow to gather.
LARGE_BYTES = 2**28


@dataclass
class Scaling:
    """Where the rows lie and how wide they spread, column by column.

    Attributes
    ----------
    shift : ndarray of shape (n_columns,), float64
        Mean of each column.
    scale : float
        Root mean square over all cells of what is left: one number, so that the network sees
        distances as PCA does.
    deviation, low, high : ndarray of shape (n_columns,)
        Standard deviation, least and greatest value of each column, in scaled units.
    """

    shift: np.ndarray
    scale: float
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray


def scale_rows(
    X: Any, order: np.ndarray, device: torch.device, scaling: Scaling | None = None
) -> tuple[Rows, Scaling]:
    """Return the rows of `X` in `order`, centred and scaled, and how it was done.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        float32 or float64; left as it is.
    order : ndarray of shape (n_rows,)
        The order in which the rows are wanted.
    device : torch.device
        Where batches are wanted.
    scaling : Scaling or None
        How to do it, where that is known from earlier rows.

    Raises
    ------
    ValueError
        If the variance overflows.
    """
    if sparse.issparse(X):
        X = X.tocsr()[order]  # a copy
        X.sum_duplicates()
        scaling = scaling or _measure_sparse(X)
        return SparseRows(X, scaling.shift, scaling.scale, device), scaling
    scaling = scaling or _measure_dense(X)
    rows = ScaledRows(X, order, scaling.shift, scaling.scale, torch.device("cpu"))
    if is_large(X) and X.flags.c_contiguous and device.type == "cpu":
        return rows, scaling
    tensor = torch.empty(X.shape, dtype=torch.float32, device="cpu")
    for start, stop in row_blocks(*X.shape):
        tensor[start:stop] = rows.slice(start, stop)
    return place(tensor, device), scaling


def is_large(X: np.ndarray) -> bool:
    """Tell whether a copy of the rows would be felt."""
    return X.nbytes > LARGE_BYTES


def _measure_dense(X):
    n_rows, n_columns = X.shape
    low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        shift = X.mean(axis=0, dtype=np.float64)
        # Exactly, so that nothing of a constant column is left but zeros.
        shift = np.where(low == high, low, shift)
        low, high = low - shift, high - shift
        peak = _power_of_two(max(-low.min(), high.max()))
    if not (np.isfinite(peak) and np.isfinite(shift).all()):
        raise ValueError(
            "X has values too large to compute a variance in float64. Scale it, for example with "
            "RobustScaler."
        )
    squares = np.zeros(n_columns)
    for start, stop in row_blocks(n_rows, n_columns):
        # By the peak first: squares of very large or small values would leave float64.
        block = X[start:stop] - shift
        block /= peak
        squares += np.einsum("ij,ij->j", block, block)
    return _scaling(shift, squares / n_rows, low / peak, high / peak, peak)


def _measure_sparse(X):
    n_rows, n_columns = X.shape
    peak = _power_of_two(np.abs(X.data).max(initial=0.0))
    low = X.min(axis=0).toarray().ravel() / peak
    high = X.max(axis=0).toarray().ravel() / peak
    values = X.data.astype(np.float64) / peak
    mean = np.bincount(X.indices, values, n_columns) / n_rows
    mean = np.where(low == high, low, mean)
    # About the mean, the stored cells and the zeros apart: no difference of large squares.
    squares = np.bincount(X.indices, (values - mean[X.indices]) ** 2, n_columns)
    squares = squares + (n_rows - np.bincount(X.indices, minlength=n_columns)) * mean**2
    return _scaling(mean * peak, squares / n_rows, low - mean, high - mean, peak)


def _power_of_two(peak):
    """Return a number of about this size by which divisions are exact."""
    if not 0 < peak < np.inf:
        return peak or 1.0
    return np.ldexp(1.0, np.frexp(np.float64(peak))[1] - 1)


def _scaling(shift, variance, low, high, peak):
    """Put together what was measured in units of the peak."""
    # In float32, so that sparse and dense rows have the same, whatever the order of the sums.
    unit = float(np.float32(np.sqrt(variance.mean()))) or 1.0
    return Scaling(shift, float(peak * unit), np.sqrt(variance) / unit, low / unit, high / unit)
