import numpy as np
import pytest

from sklearn_ae._rows.blocks import BLOCK_CELLS, BLOCK_ROWS, WIDE_BLOCK_ROWS, row_blocks


@pytest.mark.parametrize("n_rows", [0, 1, BLOCK_ROWS, 3 * BLOCK_ROWS + 1])
@pytest.mark.parametrize("n_columns", [1, 5_000, 2 * BLOCK_CELLS])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_each_row_is_in_one_block(n_rows, n_columns, itemsize):
    blocks = list(row_blocks(n_rows, n_columns, itemsize))
    rows = [row for start, stop in blocks for row in range(start, stop)]
    assert rows == list(range(n_rows))
    assert all(0 < stop - start <= BLOCK_ROWS for start, stop in blocks)
    assert all((stop - start) * n_columns <= max(BLOCK_CELLS, n_columns) for start, stop in blocks)


def test_blocks_of_wider_numbers_are_no_larger_in_memory():
    for dtype in (np.float32, np.float64):
        itemsize = np.dtype(dtype).itemsize
        (_, n_rows), *_ = row_blocks(10**4, 3, itemsize)
        assert n_rows == {4: BLOCK_ROWS, 8: WIDE_BLOCK_ROWS}[itemsize]
