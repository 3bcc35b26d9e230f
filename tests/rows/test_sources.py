"""Sources: rows that lie somewhere else, and are read run by run."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sklearn_ae._rows import Batches, Source, StreamedRows, as_source
from sklearn_ae._rows import rows as rows_module

MATRIX = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)


class Counted:
    """An array of which it is known what was read."""

    def __init__(self, array=MATRIX):
        self.array = array
        self.read = []

    def __call__(self, start, stop):
        self.read.append((start, stop))
        return self.array[start:stop]

    def source(self, run=7):
        source = Source(self, self.array.shape, self.array.dtype)
        source.edges = np.append(np.arange(0, self.array.shape[0], run), self.array.shape[0])
        return source


@pytest.mark.parametrize("run", [1, 7, 100, 1000])
def test_rows_are_those_of_the_array(run):
    source = Counted().source(run)
    index = np.random.default_rng(1).integers(0, 100, 250)
    np.testing.assert_array_equal(source[index], MATRIX[index])
    np.testing.assert_array_equal(source[13:57], MATRIX[13:57])
    np.testing.assert_array_equal(source[:], MATRIX)
    assert source[np.arange(0)].shape == source[5:5].shape == (0, 3)
    assert (len(source), source.shape, source.nbytes) == (100, (100, 3), MATRIX.nbytes)


def test_a_run_is_read_once_and_the_last_is_remembered():
    counted = Counted()
    source = counted.source(10)
    source[np.r_[55:50:-1, 3:15]]
    assert counted.read == [(0, 10), (10, 20), (50, 60)]
    for start in range(50, 60):
        source[start : start + 1]
    assert len(counted.read) == 3
    assert all(np.array_equal(source[i : i + 1], MATRIX[i : i + 1]) for i in (99, 0, 55))


@pytest.mark.parametrize(
    ("given", "read"),
    [("f2", "f8"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u1", "f8"), ("?", "f8")],
)
def test_what_is_not_float32_is_read_as_float64(given, read):
    source = Counted(MATRIX.astype(given)).source()
    assert source.dtype == source[:].dtype == np.dtype(read)
    np.testing.assert_array_equal(source[:], MATRIX.astype(given).astype(read))


def test_runs_are_of_whole_chunks_but_not_too_large():
    def run(n_columns, chunks, n_rows=10**7):
        return int(np.diff(Source(None, (n_rows, n_columns), np.dtype("f4"), chunks).edges)[0])

    assert run(100, None) == 2**21 // 400
    assert run(100, 1000) == 5000
    assert run(100, 10_000) == 10_000
    assert run(100, 10**9) == 2**28 // 400
    assert run(10**9, 5, 100) == 1
    # Not of one size, as of several files.
    sizes = [4000, 100, 5000, 10**6, 0, 3]
    edges = Source(None, (sum(sizes), 100), np.dtype("f4"), sizes).edges
    assert edges.tolist() == [0, 9100, 9100 + 2**28 // 400, sum(sizes) - 3, sum(sizes)]
    for chunks in (None, 7, [], [0, 0]):
        assert Source(None, (0, 3), np.dtype("f4"), chunks).edges[-1] == 0


def test_sparse_rows_are_made_dense():
    matrix = sparse.csr_matrix(MATRIX * (MATRIX > 0))
    np.testing.assert_array_equal(Counted(matrix).source()[:], matrix.toarray())


def test_what_cannot_be_read_is_named():
    spoiled = MATRIX.copy()
    spoiled[23, 1] = np.nan
    source = Counted(spoiled).source(10)
    source[:20]
    with pytest.raises(ValueError, match=r"Input X contains NaN.*The first is in row 2\d"):
        source[:]
    shrunk = Counted().source(10)
    shrunk.read = lambda start, stop: MATRIX[start : min(stop, 55)]
    with pytest.raises(ValueError, match=r"X changed while .* rows 50 to 60 .*\(5, 3\)"):
        shrunk[:]


def test_fingerprints_are_those_of_the_rows():
    other = MATRIX.copy()
    other[70, 2] += 1
    one, same, different = (Counted(m).source() for m in (MATRIX, MATRIX.copy(), other))
    assert one.fingerprint() == same.fingerprint() != different.fingerprint()


@pytest.mark.parametrize(
    "rows",
    [
        MATRIX,
        MATRIX.tolist(),
        pd.DataFrame(MATRIX),
        sparse.csr_matrix(MATRIX),
        sparse.csc_array(MATRIX),
        torch.from_numpy(MATRIX),
        "rows",
        None,
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_in_memory_are_no_source(rows):
    assert as_source(rows) is None


def test_mapped_rows_are_no_source(tmp_path):
    np.save(tmp_path / "rows.npy", MATRIX)
    assert as_source(np.load(tmp_path / "rows.npy", mmap_mode="r")) is None


def streamed(run=5, n_rows=97):
    counted = Counted()
    index = np.sort(np.random.default_rng(2).permutation(100)[:n_rows])
    rows = StreamedRows(counted.source(run), index, np.zeros(3), 1.0, torch.device("cpu"))
    return rows, counted, MATRIX[index]


def test_each_pass_reads_each_run_about_once(monkeypatch):
    monkeypatch.setattr(rows_module, "MIXED_BYTES", 0)
    monkeypatch.setattr(rows_module, "MIXED_RUNS", 6)
    rows, counted, _ = streamed()
    batches = Batches(rows, 10, torch.Generator().manual_seed(0))
    for _ in range(3):
        counted.read.clear()
        assert sum(len(batch) for batch, _ in batches) == len(rows)
        # Beside the 20 runs those that lie in two lots of rows.
        assert 20 <= len(counted.read) <= 20 + 4


def test_runs_come_in_a_new_order_and_are_mixed(monkeypatch):
    monkeypatch.setattr(rows_module, "MIXED_BYTES", 0)
    monkeypatch.setattr(rows_module, "MIXED_RUNS", 4)
    rows, _, _ = streamed(n_rows=100)
    generator = torch.Generator().manual_seed(0)
    assert rows.n_together == 20
    passes = [rows.shuffled(20, generator).numpy() for _ in range(2)]
    for order in passes:
        np.testing.assert_array_equal(np.sort(order), np.arange(100))
        lots = order.reshape(5, 20)
        # Each lot is made of four whole runs, not in their order.
        assert all(len(set(lot // 5)) == 4 for lot in lots)
        assert all((np.diff(lot) < 0).sum() > 3 for lot in lots)
    assert not np.array_equal(*(order.reshape(5, 20)[:, 0] // 5 for order in passes))


def test_a_large_chunk_is_mixed_by_itself(monkeypatch):
    monkeypatch.setattr(rows_module, "MIXED_BYTES", 0)
    monkeypatch.setattr(rows_module, "MOST_MIXED_BYTES", 12)
    rows, _, _ = streamed(run=90)
    assert rows.n_together == 90
