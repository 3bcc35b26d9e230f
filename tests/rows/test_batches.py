"""Batches of rows."""

import contextlib

import numpy as np
import pytest
import torch
from row_kinds import KINDS, make_rows

from sklearn_ae._rows import Batches, DenseRows
from sklearn_ae._rows import batches as batches_module
from sklearn_ae._rows import blocks as blocks_module


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


@pytest.mark.parametrize("batch_size", [1, 7, 64, 300])
def test_batches_that_are_gathered_at_once_are_those_gathered_alone(batch_size, monkeypatch):
    """Every row once, in the order drawn, however many batches a gathering holds."""
    rows = DenseRows(torch.arange(1000.0).reshape(250, 4))

    def batches(cells):
        monkeypatch.setattr(blocks_module, "BLOCK_CELLS", cells)
        generator = torch.Generator().manual_seed(0)
        return [batch for batch, _ in Batches(rows, batch_size, generator)]

    together, alone = batches(2**20), batches(4)
    assert [len(b) for b in together] == [len(b) for b in alone]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert torch.equal(torch.cat(together).sort(0).values, rows.tensor)


class FakeStream:
    """Writes down what a stream of CUDA would be told."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def record_event(self):
        self.seen.append(f"{self.name} marked")
        return self.name

    def wait_event(self, event):
        self.seen.append(f"{self.name} waits for {event}")

    def wait_stream(self, stream):
        self.seen.append(f"{self.name} waits for all of {stream.name}")


def test_the_next_block_is_gathered_before_the_one_before_is_computed_on(monkeypatch):
    seen = []

    class Block:
        def __init__(self, i):
            self.i = i

        def record_stream(self, stream):
            seen.append(f"{self.i} is of {stream.name}")

    def gather():
        for i in range(3):
            seen.append(f"gathered {i}")
            yield Block(i), [1]

    monkeypatch.setattr(
        batches_module, "sending_stream", lambda device: FakeStream("sending", seen)
    )
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream("computing", seen))
    for block, _ in batches_module._ahead(gather(), torch.device("cuda", 0)):
        seen.append(f"computed {block.i}")
    waits = "computing waits for sending"
    assert seen == [
        "sending waits for all of computing",
        "gathered 0", "sending marked", "gathered 1", "sending marked",
        waits, "0 is of computing", "computed 0", "gathered 2", "sending marked",
        waits, "1 is of computing", "computed 1", "sending marked",
        waits, "2 is of computing", "computed 2",
        "computing waits for all of sending",
    ]  # fmt: skip
    seen.clear()
    some = batches_module._ahead(gather(), torch.device("cuda", 0))
    next(some)
    some.close()
    assert seen[-1] == "computing waits for all of sending"
