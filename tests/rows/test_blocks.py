import numpy as np
import pytest
import torch
from scipy import sparse
from stand_in import StandIn

from sklearn_ae._rows.blocks import (
    BLOCK_CELLS,
    BLOCK_ROWS,
    DEVICE_CELLS,
    DEVICE_ROWS,
    WIDE_BLOCK_ROWS,
    as_tensor,
    row_blocks,
)


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


@pytest.mark.parametrize(
    ("n_columns", "n_rows"), [(3, DEVICE_ROWS), (2**12, DEVICE_CELLS // 2**12)]
)
def test_a_device_has_larger_blocks(n_columns, n_rows):
    device = torch.device("cuda", 0)
    for itemsize in (4, 8):
        sizes = {b - a for a, b in row_blocks(10**5, n_columns, itemsize, device, light=True)}
        assert max(sizes) == n_rows


def test_elsewhere_blocks_are_as_on_the_cpu():
    """What a network makes of a row may be many times as large."""
    for itemsize in (4, 8):
        there, *_ = row_blocks(10**5, 3, itemsize, torch.device("cuda", 0))
        assert there == next(row_blocks(10**5, 3, itemsize))
        assert there == next(row_blocks(10**5, 3, itemsize, light=True))


@pytest.mark.parametrize("device", [torch.device("cpu"), StandIn("cpu")], ids=["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_become_a_dense_tensor(dtype, device):
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(dtype)
    X[X < 0] = 0
    X[3] = 0
    X.flags.writeable = False
    stored = sparse.csr_matrix(X)
    stored.data.flags.writeable = stored.indices.flags.writeable = False
    # torch warns of what is read-only.
    for rows in (X, np.asfortranarray(X), stored, stored[2:7], torch.tensor(X), X[::2]):
        found = as_tensor(rows, device)
        expected = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
        assert found.numpy().dtype == dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def test_cells_that_are_stored_in_parts_are_summed_up():
    rows = sparse.csr_matrix(([1.0, 2.0, 4.0], [0, 0, 1], [0, 2, 3]), shape=(2, 3))
    found = as_tensor(rows, StandIn("cpu"))
    np.testing.assert_array_equal(found.numpy(), [[3, 0, 0], [0, 4, 0]])
    assert rows.nnz == 3
