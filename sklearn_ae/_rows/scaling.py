"""The units that networks work in, and rows in these units."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_ae._rows.rows import KeptRows, Rows, ScaledRows, SparseRows, StreamedRows
from sklearn_ae._rows.sources import Source
from sklearn_ae._rows.spread import Spread, SpreadRows
from sklearn_ae._rows.tensors import TensorMatrix, TensorRows

# Rows of more bytes are not copied: to scale them again in every pass costs little beside the rest
# of the pass. In another order than C's, they would be slow to gather.
LARGE_BYTES = 2**28
# Share of the free device memory that rows may take.
KEPT_SHARE = 0.5


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


def scaled_rows(X: Any, order: np.ndarray, scaling: Scaling, device: torch.device) -> Rows:
    """Return the rows of `X` in `order`, in the units of `scaling`.

    Nothing is read yet. Arrays that are not large are kept, once they are read, where batches are
    wanted; others are read where they lie.

    Parameters
    ----------
    X : ndarray, CSR matrix, Source, TensorMatrix or Spread of shape (n_rows, n_columns)
        float32 or float64; left as it is.
    order : ndarray of int
        Which of the rows are wanted, in which order.
    scaling : Scaling
        The units.
    device : torch.device
        Where batches are wanted.
    """
    if isinstance(X, Spread):
        scaled = functools.partial(scaled_rows, scaling=scaling, device=device)
        return SpreadRows(X, order, device, scaled)
    if sparse.issparse(X):
        return SparseRows(X, order, scaling.shift, scaling.scale, device)
    kind: type[ScaledRows] = ScaledRows
    if isinstance(X, Source):
        kind = StreamedRows
    elif isinstance(X, TensorMatrix):
        kind = TensorRows
    rows = kind(X, order, scaling.shift, scaling.scale, device)
    n_bytes = 4 * len(order) * X.shape[1]
    if device.type == "cuda":
        fits = n_bytes <= KEPT_SHARE * _free_bytes(device)
    else:
        fits = X.nbytes <= LARGE_BYTES or (kind is ScaledRows and not X.flags.c_contiguous)
    return KeptRows(rows) if fits else rows


def _free_bytes(device: torch.device) -> int:
    """Return the memory of a device that torch may have, with what it holds and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    try:
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    except RuntimeError:  # an allocator that is not torch's, which keeps no such books
        return free
