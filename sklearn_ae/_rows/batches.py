"""Batches of rows, in a new order in every pass."""

import contextlib
import functools
from collections.abc import Iterator
from itertools import pairwise

import torch

from sklearn_ae._rows.rows import Rows

# Rows, and how many of them are in each of some batches.
Block = tuple[torch.Tensor, list[int]]


class Batches:
    """Batches of rows for skorch, as pairs (input, target) of the same tensor.

    Where rows are spread over processes, each has its rows of a batch, which may be none.

    Parameters
    ----------
    rows : Rows
        Where the batches come from.
    batch_size : int
        Rows a batch. A last batch of a single row is joined to the one before it: batches are what
        some modules normalize by.
    generator : torch.Generator or None, default=None
        Draws a new order for every pass; None keeps the order of the rows.
    """

    def __init__(self, rows: Rows, batch_size: int, generator: torch.Generator | None = None):
        self.rows = rows
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._starts())

    @property
    def sizes(self) -> list[int]:
        """Rows of each batch, in all processes."""
        return [b - a for a, b in pairwise([*self._starts(), len(self.rows)])]

    def _starts(self) -> range:
        n_rows = len(self.rows)
        lone = n_rows > self.batch_size > 1 and n_rows % self.batch_size == 1
        return range(0, n_rows - lone, self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of one pass."""
        n_rows = len(self.rows)
        edges = [*self._starts(), n_rows]
        # Small batches are gathered many at once: for each alone, that takes longer than the copy.
        n_batches = max(self.rows.n_together // self.batch_size, 1)
        order = None
        if self.generator is not None:
            order = self.rows.shuffled(n_batches * self.batch_size, self.generator)
        ends = [edges[i : i + n_batches + 1] for i in range(0, len(self), n_batches)]
        gathered: Iterator[Block] = (self._gather(order, e) for e in ends)
        # Where rows are on the host, and wanted elsewhere.
        if self.rows.device.type == "cuda" and self.rows.index_device.type == "cpu":
            gathered = _ahead(gathered, self.rows.device)
        for block, sizes in gathered:
            for batch in block.split(sizes):
                yield batch, batch

    def _gather(self, order: torch.Tensor | None, edges: list[int]) -> Block:
        """Return the rows of some batches, and how many each has; of an order those here."""
        start, stop, sizes = edges[0], edges[-1], [b - a for a, b in pairwise(edges)]
        if order is None:
            return self.rows.slice(start, stop), sizes
        return self.rows.take_batches(order[start:stop], sizes)


def _ahead(gathered: Iterator[Block], device: torch.device) -> Iterator[Block]:
    """Gather and send each block before the one before it is computed on."""
    # What is sent waits for what is already under way, and then no more for what is computed.
    sending, computing = sending_stream(device), torch.cuda.current_stream(device)
    sending.wait_stream(computing)

    def send():
        with torch.cuda.stream(sending):
            return next(gathered, None), sending.record_event()

    try:
        block, sent = send()
        while block is not None:
            following = send()
            computing.wait_event(sent)
            # The memory is in use by more than the stream that it was made for.
            block[0].record_stream(computing)
            yield block
            block, sent = following
    except BaseException:
        # What has failed on the device is told by whoever was at it.
        with contextlib.suppress(RuntimeError):
            computing.wait_stream(sending)
        raise
    computing.wait_stream(sending)


@functools.cache
def sending_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of a device on which blocks are sent: each keeps memory of its own."""
    return torch.cuda.Stream(device)
