"""How many rows are handled at once where the work goes through all of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

# Bounds the memory, and what hidden layers make of so many rows stays in a processor's cache.
BLOCK_CELLS = 2**21
# Of wider numbers than float32 the cache holds fewer, and large arrays of theirs would go back to
# the system after each operation.
BLOCK_ROWS, WIDE_BLOCK_ROWS = 1024, 256
SINGLE = 4


def block_size(n_columns: int, itemsize: int = SINGLE) -> int:
    """Return the rows of a block that is small beside any machine's memory."""
    most = BLOCK_ROWS if itemsize <= SINGLE else WIDE_BLOCK_ROWS
    return max(min(BLOCK_CELLS // n_columns, most), 1)


def row_blocks(n_rows: int, n_columns: int, itemsize: int = SINGLE) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of rows that are small beside any machine's memory."""
    size = block_size(n_columns, itemsize)
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def dense(rows: Any) -> np.ndarray:
    """Return rows as an array, sparse or not."""
    return rows.toarray() if sparse.issparse(rows) else rows
