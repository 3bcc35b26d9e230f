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
# A device has done the work of so few rows before it is told of the next.
DEVICE_CELLS, DEVICE_ROWS = 2**23, 2**13
CPU = torch.device("cpu")


def block_size(n_columns: int, itemsize: int = SINGLE, device: torch.device = CPU) -> int:
    """Return the rows of a block that is small beside any machine's memory.

    Parameters
    ----------
    n_columns : int
        Cells of a row.
    itemsize : int, default=4
        Bytes of a cell.
    device : torch.device, default=torch.device("cpu")
        Where it is worked on.
    """
    most, most_cells = BLOCK_ROWS if itemsize <= SINGLE else WIDE_BLOCK_ROWS, BLOCK_CELLS
    if device.type == "cuda":
        most, most_cells = DEVICE_ROWS, DEVICE_CELLS
    return max(min(most_cells // n_columns, most), 1)


def row_blocks(
    n_rows: int, n_columns: int, itemsize: int = SINGLE, device: torch.device = CPU
) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of rows, of a size as of `block_size`."""
    size = block_size(n_columns, itemsize, device)
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def dense(rows: Any) -> np.ndarray:
    """Return rows as an array, sparse or not."""
    return rows.toarray() if sparse.issparse(rows) else rows


def as_tensor(rows: Any) -> torch.Tensor:
    """Return rows as a tensor, without a copy where that can be."""
    if torch.is_tensor(rows):
        return rows.contiguous()
    # torch takes no read-only arrays.
    return torch.from_numpy(np.require(dense(rows), requirements=["C", "W"]))
