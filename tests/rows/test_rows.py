"""Rows of every kind, through one door."""

import numpy as np
import pytest
import torch
from row_kinds import KINDS, SCALE, SHIFT, make_matrix, make_rows

from sklearn_ae._rows import (
    DenseRows,
    KeptRows,
    ScaledRows,
    Scaling,
    scaled_rows,
)
from sklearn_ae._rows import blocks as blocks_module


@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind, device):
    check_rows(kind, device)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_for_a_device_that_is_not_there(kind, stand_in):
    check_rows(kind, stand_in)


def check_rows(kind, device):
    """Rows are what they should be, however they are asked for."""
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
        assert found.device == expected.device
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
        assert part.source is rows.source
    if kind == "kept":
        assert part.slice(0, 10).data_ptr() == rows.slice(5, 15).data_ptr()
    assert len(part.part(0, 3)) == 3


def test_kept_rows_are_read_once(monkeypatch):
    """However they are asked for, in whatever parts."""
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", 6)
    rows, expected = make_rows("kept", 20)
    read, scaled = [], ScaledRows._scaled
    monkeypatch.setattr(
        ScaledRows, "_scaled", lambda self, source: read.append(len(source)) or scaled(self, source)
    )
    parts = [rows.part(0, 4), rows.part(4, 13), rows.part(13, 20)]
    torch.testing.assert_close(parts[1].slice(2, 5), expected[6:9])
    assert sum(read) == 9
    torch.testing.assert_close(parts[0].take(torch.tensor([3, 1])), expected[[3, 1]])
    assert sum(read) == 9
    for _ in range(2):
        torch.testing.assert_close(torch.cat(list(rows.blocks())), expected)
    torch.testing.assert_close(parts[2].tensor, expected[13:])
    assert sum(read) == 20
    assert max(read) <= 6


def test_files_are_read_forwards(monkeypatch):
    seen = []

    class Source:
        shape = (50, 2)

        def __getitem__(self, index):
            seen.append(index)
            return np.column_stack([index, index]).astype(float)

    order = np.random.default_rng(0).permutation(50)
    rows = ScaledRows(Source(), order, np.zeros(2), 1.0, torch.device("cpu"))
    found = torch.cat([rows.slice(0, 30), rows.take(torch.arange(30, 50))])
    np.testing.assert_array_equal(found[:, 0], order)
    ascending = ScaledRows(Source(), np.arange(0, 50, 2), np.zeros(2), 1.0, torch.device("cpu"))
    np.testing.assert_array_equal(ascending.slice(3, 9)[:, 0], np.arange(6, 18, 2))
    assert all((np.diff(index) > 0).all() for index in seen)


def test_sample_has_rows_of_all_in_their_order():
    rows = DenseRows(torch.arange(200.0)[:, None])
    assert rows.sample(200) is rows
    found = rows.sample(50).slice(0, 50)[:, 0]
    assert (found.diff() > 0).all()
    assert found[0] < 40
    assert found[-1] > 160
    assert torch.equal(rows.sample(50).slice(0, 50)[:, 0], found)


@pytest.mark.parametrize("kind", KINDS)
def test_sample_of_every_kind(kind):
    rows, expected = make_rows(kind, 200)
    found = rows.sample(50).slice(0, 50)
    assert len(found) == 50
    assert all((expected == row).all(1).any() for row in found)


def make_scaling():
    return Scaling(SHIFT, SCALE, *(np.ones(4) for _ in range(3)))


@pytest.mark.parametrize(("free", "kept"), [(10**6, True), (641, True), (639, False), (0, False)])
def test_rows_are_kept_on_a_device_that_has_room(monkeypatch, free, kept):
    """Where it has none they are read where they lie: no second copy on the host."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    places = []
    empty = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *a, device, **k: places.append(device) or empty(*a, **k)
    )
    X, device = make_matrix(20), torch.device("cuda")
    rows = scaled_rows(X, np.arange(20), make_scaling(), device)
    assert isinstance(rows, KeptRows) == kept
    assert places == [device] * kept
    assert rows.device == device
    if not kept:
        assert rows.source is X


def test_memory_is_not_asked_for_on_the_cpu(monkeypatch):
    monkeypatch.delattr(torch.cuda, "mem_get_info")
    rows = scaled_rows(make_matrix(20), np.arange(20), make_scaling(), torch.device("cpu"))
    assert isinstance(rows, KeptRows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_rows_that_are_not_kept_come_as_those_that_are(monkeypatch):
    X, device = make_matrix(100), torch.device("cuda", 0)
    kept = scaled_rows(X, np.arange(100), make_scaling(), device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 10**9))
    sent = scaled_rows(X, np.arange(100), make_scaling(), device)
    index = torch.randperm(100)
    assert kept.take(index.to(device)).device == sent.take(index).device == device
    assert torch.equal(kept.take(index.to(device)), sent.take(index))
    assert torch.equal(kept.slice(3, 8), sent.slice(3, 8))
