"""How many rows are handled at once where the work goes through all of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse

# Bounds the memory, and what hidden layers make of so many rows stays in a processor's cache.
BLOCK_CELLS = 2**21
# Of wider numbers than float32 the cache holds fewer, and large arrays of theirs would go back to
# the system after each operation.
BLOCK_ROWS, WIDE_BLOCK_ROWS = 1024, 256
SINGLE = 4
# Where little is made of a row, a device has done the work of so few before it is told of the next.
DEVICE_CELLS, DEVICE_ROWS = 2**23, 2**13
CPU = torch.device("cpu")
# Rows are of float32 or float64.
DTYPES = {4: torch.float32, 8: torch.float64}


def block_size(
    n_columns: int, itemsize: int = SINGLE, device: torch.device = CPU, *, light: bool = False
) -> int:
    """Return the rows of a block that is small beside any machine's memory.

    Parameters
    ----------
    n_columns : int
        Cells of a row.
    itemsize : int, default=4
        Bytes of a cell.
    device : torch.device, default=torch.device("cpu")
        Where it is worked on.
    light : bool, default=False
        Whether little more is made of a row than it has.
    """
    most, most_cells = BLOCK_ROWS if itemsize <= SINGLE else WIDE_BLOCK_ROWS, BLOCK_CELLS
    if light and device.type == "cuda":
        most, most_cells = DEVICE_ROWS, DEVICE_CELLS
    return max(min(most_cells // n_columns, most), 1)


def row_blocks(
    n_rows: int,
    n_columns: int,
    itemsize: int = SINGLE,
    device: torch.device = CPU,
    *,
    light: bool = False,
) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of rows, of a size as of `block_size`."""
    size = block_size(n_columns, itemsize, device, light=light)
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def dense(rows: Any) -> np.ndarray:
    """Return rows as an array, sparse or not."""
    return rows.toarray() if sparse.issparse(rows) else rows


def as_tensor(rows: Any, device: torch.device) -> torch.Tensor:
    """Return rows as a dense tensor on a device, without a copy where that can be.

    Parameters
    ----------
    rows : Tensor, ndarray or CSR matrix of shape (n_rows, n_columns)
        Sparse rows are made dense where they go.
    device : torch.device
        Where that is.
    """
    if torch.is_tensor(rows):
        return rows.contiguous().to(device)
    if sparse.issparse(rows) and device.type == "cuda":
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        zeros = torch.zeros(rows.shape[1], dtype=DTYPES[rows.dtype.itemsize], device=device)
        return filled(rows, zeros, device)
    return _writable(dense(rows)).to(device)


def filled(rows: Any, empty: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the rows of a CSR matrix without duplicates as a dense tensor on a device.

    Parameters
    ----------
    rows : CSR matrix of shape (n_rows, n_columns)
        The rows.
    empty : Tensor of shape (n_columns,)
        What is in cells that are not stored; its dtype is that of the result.
    device : torch.device
        Where that is.
    """
    counts = np.diff(rows.indptr)
    index = np.repeat(np.arange(len(counts)), counts), rows.indices
    places, columns = (_writable(part).to(device).long() for part in index)
    found = empty.to(device).repeat(len(counts), 1)
    return found.index_put_((places, columns), _writable(rows.data).to(found))


def _writable(rows: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor: torch takes none that are read-only."""
    return torch.from_numpy(np.require(rows, requirements=["C", "W"]))
