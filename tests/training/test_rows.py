"""Rows on a device, and batches of them."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_ae._training import rows as rows_module
from sklearn_ae._training.rows import (
    PANEL,
    Batches,
    DenseRows,
    ScaledRows,
    SparseRows,
    blocks,
    place,
    row_blocks,
    self_products,
)

KINDS = ["dense", "scaled", "sparse"]
SHIFT, SCALE = np.array([0.5, 0.0, -1.0, 2.0]), 4.0


def make_matrix(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, 4)) * (rng.random((n_rows, 4)) < 0.5)


def make_rows(kind, n_rows, device="cpu"):
    """Return rows and what they should be, as a tensor."""
    matrix, device = make_matrix(n_rows), torch.device(device)
    expected = torch.from_numpy(((matrix - SHIFT) / SCALE).astype(np.float32)).to(device)
    if kind == "dense":
        return DenseRows(expected.clone(), device), expected
    if kind == "scaled":
        backwards = np.arange(n_rows)[::-1]
        return ScaledRows(matrix[::-1], backwards, SHIFT, SCALE, device), expected
    return SparseRows(sparse.csr_matrix(matrix), SHIFT, SCALE, device), expected


@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind, device):
    rows, expected = make_rows(kind, 20, device)
    assert len(rows) == 20
    assert rows.n_columns == 4
    index = torch.tensor([3, 0, 19, 3], device=rows.index_device)
    for found, wanted in [
        (rows.take(index), expected[[3, 0, 19, 3]]),
        (rows.slice(5, 9), expected[5:9]),
        (rows.slice(0, 20), expected),
        (rows.part(5, 15).slice(2, 4), expected[7:9]),
        (rows.part(5, 15).take(index[:2]), expected[[8, 5]]),
    ]:
        assert found.device.type == device
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    assert len(rows.part(5, 15)) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_dense_rows_is_no_copy(kind):
    rows, _ = make_rows(kind, 20)
    part = rows.part(5, 15)
    if kind == "dense":
        assert part.tensor.data_ptr() == rows.tensor[5:].data_ptr()
    if kind == "scaled":
        assert part.array is rows.array
    assert len(part.part(0, 3)) == 3


def test_reading_leaves_the_sparse_matrix_as_it_is():
    rows, _ = make_rows("sparse", 20)
    before = rows.matrix.copy()
    rows.slice(0, 20)
    rows.take(torch.arange(20))
    assert (rows.matrix != before).nnz == 0


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_containers(container):
    rows, expected = make_rows("sparse", 20)
    other = SparseRows(container(rows.matrix), SHIFT, SCALE, torch.device("cpu"))
    torch.testing.assert_close(other.slice(0, 20), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
@pytest.mark.parametrize("n_rows", [1, 10, 11])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_cover_each_row_once_in_a_new_order_each_pass(kind, n_rows, batch_size):
    rows, expected = make_rows(kind, n_rows)
    batches = Batches(rows, batch_size, torch.Generator().manual_seed(0))
    passes = []
    for _ in range(3):
        pairs = list(batches)
        # A last row on its own joins the batch before it.
        lone = n_rows > batch_size > 1 and n_rows % batch_size == 1
        assert len(pairs) == len(batches) == -(-n_rows // batch_size) - lone
        assert len(pairs[-1][0]) > 1 or batch_size == 1 or n_rows == 1
        assert all(inputs is targets for inputs, targets in pairs)
        assert {len(inputs) for inputs, _ in pairs[:-1]} <= {batch_size}
        passes.append(torch.cat([inputs for inputs, _ in pairs]))
    for found in passes:
        order = np.lexsort(found.numpy().T)
        wanted = np.lexsort(expected.numpy().T)
        np.testing.assert_allclose(found[order], expected[wanted], rtol=1e-6, atol=1e-6)
    if n_rows > 5:
        assert not torch.equal(passes[0], passes[1])
        assert not torch.equal(passes[1], passes[2])


@pytest.mark.parametrize("kind", KINDS)
def test_batches_without_a_generator_keep_the_order(kind):
    rows, expected = make_rows(kind, 11)
    batches = Batches(rows, 4)
    for _ in range(2):
        found = torch.cat([inputs for inputs, _ in batches])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_same_seed_same_batches_and_the_global_generator_left_alone():
    rows, _ = make_rows("dense", 30)
    before = torch.get_rng_state()
    one, two = (
        [batch for batch, _ in Batches(rows, 7, torch.Generator().manual_seed(5))] for _ in "ab"
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n_columns", [1, 7, 1_000])
@pytest.mark.parametrize("n_rows", [1, 10, 123])
def test_blocks_cover_all_rows_within_bounds(monkeypatch, n_rows, n_columns):
    monkeypatch.setattr(rows_module, "BLOCK_CELLS", 50)
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 20)
    edges = list(row_blocks(n_rows, n_columns))
    assert [i for start, stop in edges for i in range(start, stop)] == list(range(n_rows))
    for start, stop in edges:
        assert stop - start <= 20
        assert stop - start == 1 or (stop - start) * n_columns <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_rows(monkeypatch, kind):
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 6)
    rows, expected = make_rows(kind, 20)
    found = list(blocks(rows))
    assert [len(block) for block in found] == [6, 6, 6, 2]
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-6, atol=1e-6)


class FakeTensor:
    """Stands for a tensor on a machine with CUDA: remembers where it was put."""

    nbytes = 1000
    shape = (10, 25)
    place = "host"

    def pin_memory(self):
        self.place = "pinned"
        return self

    def to(self, device):
        self.place = device.type
        return self


@pytest.mark.parametrize(("free", "expected"), [(10**6, "cuda"), (1001, "pinned"), (0, "pinned")])
def test_rows_are_pinned_where_device_memory_is_short(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    device = torch.device("cuda")
    rows = place(FakeTensor(), device)
    assert rows.tensor.place == expected
    assert rows.device == device


def test_memory_is_not_asked_for_on_the_cpu(monkeypatch):
    monkeypatch.delattr(torch.cuda, "mem_get_info")
    rows = place(torch.ones(3, 2), torch.device("cpu"))
    assert torch.equal(rows.slice(0, 3), torch.ones(3, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_rows_come_as_resident_ones_do(monkeypatch):
    tensor, device = torch.randn(100, 7), torch.device("cuda", 0)
    resident = place(tensor, device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 10**9))
    pinned = place(tensor, device)
    assert pinned.tensor.is_pinned()
    index = torch.randperm(100, device=device)
    for rows in (resident, pinned):
        assert rows.take(index).device == rows.slice(3, 8).device == device
    assert torch.equal(resident.take(index), pinned.take(index))
    assert torch.equal(resident.slice(3, 8), pinned.slice(3, 8))


@pytest.mark.parametrize("n_columns", [1, PANEL - 1, PANEL, PANEL + 1, 2 * PANEL, 3 * PANEL - 7])
def test_self_products(n_columns):
    a = torch.randn(30, n_columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = self_products(a)
    torch.testing.assert_close(found, a.T @ a)
    torch.testing.assert_close(found, found.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 300])
def test_batches_that_are_gathered_at_once_are_those_gathered_alone(batch_size, monkeypatch):
    """Every row once, in the order drawn, however many batches a gathering holds."""
    rows = DenseRows(torch.arange(1000.0).reshape(250, 4), torch.device("cpu"))

    def batches(cells):
        monkeypatch.setattr(rows_module, "BLOCK_CELLS", cells)
        generator = torch.Generator().manual_seed(0)
        return [batch for batch, _ in Batches(rows, batch_size, generator)]

    together, alone = batches(2**20), batches(4)
    assert [len(b) for b in together] == [len(b) for b in alone]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert torch.equal(torch.cat(together).sort(0).values, rows.tensor)
