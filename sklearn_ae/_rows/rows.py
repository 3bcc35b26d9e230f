"""The one door to rows: their number, their columns, a block of them, some of them by number.

Behind it lie a tensor, an array, an array in a file, or a sparse matrix. What comes out is centred,
scaled, dense, in float32 and on the device.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_ae._processes import Processes
from sklearn_ae._rows.blocks import DTYPES, block_size, filled, row_blocks
from sklearn_ae._rows.sources import Source

# Bytes of the rows that are mixed where they are read run by run: runs enough, in memory enough.
MIXED_BYTES, MOST_MIXED_BYTES, MIXED_RUNS = 2**25, 2**28, 16


class Rows(Dataset):
    """Rows for a network; a `Dataset`, so that skorch does not convert them.

    Attributes
    ----------
    n_columns : int
        Cells of a row.
    device : torch.device
        Where rows are wanted.
    index_device : torch.device
        Where `take` wants its index.
    processes : Processes or None
        Those that the rows are spread over; None where all are in this one.
    """

    n_columns: int
    device: torch.device
    index_device = torch.device("cpu")
    processes: Processes | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    @property
    def here(self) -> "Rows":
        """Those of the rows that are in this process."""
        return self

    def summed(self, value: Any) -> Any:
        """Return the sum over all processes of a number or tensor that is summed over `here`."""
        return value

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index` on the device."""
        raise NotImplementedError

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop` on the device."""
        raise NotImplementedError

    def part(self, start: int, stop: int) -> "Rows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        raise NotImplementedError

    def sample(self, n: int) -> "Rows":
        """Return all rows, or where there are more than `n` so many, drawn by a fixed seed."""
        if len(self) <= n:
            return self
        draw = torch.Generator("cpu").manual_seed(0)
        index = torch.randperm(len(self), generator=draw, device="cpu")[:n].sort().values
        return self._chosen(index)

    def _chosen(self, index: torch.Tensor) -> "Rows":
        """Return the rows of `index` as rows of their own."""
        return DenseRows(self.take(index.to(self.index_device)))

    @property
    def n_together(self) -> int:
        """How many rows are taken at once."""
        return block_size(self.n_columns, device=self.device, light=True)

    def shuffled(self, n_together: int, generator: torch.Generator) -> torch.Tensor:
        """Return a new order of the rows, of which so many will be taken at once."""
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        return order.to(self.index_device)

    def agreed(self, value: Any) -> Any:
        """Return what the first process has found: others may have rounded to another side."""
        return value

    def take_batches(self, order: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, list[int]]:
        """Return the rows of some batches that are here, and how many of each these are.

        Parameters
        ----------
        order : Tensor of shape (n_rows,)
            A piece of what `shuffled` gave.
        sizes : list of int
            Rows of each batch.
        """
        return self.take(order), sizes

    def at_hand(self) -> "Rows":
        """Return rows that are looked at again and again where that is fast."""
        return self

    def blocks(self, *, light: bool = False) -> Iterator[torch.Tensor]:
        """Yield the rows in their order, a block at a time, on the device.

        Parameters
        ----------
        light : bool, default=False
            Whether little more is made of a row than it has.
        """
        for start, stop in row_blocks(len(self), self.n_columns, device=self.device, light=light):
            yield self.slice(start, stop)


class DenseRows(Rows):
    """Rows of a tensor.

    Parameters
    ----------
    tensor : Tensor of shape (n_rows, n_columns)
        Centred and scaled, on the device.
    """

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor
        self.n_columns = tensor.shape[1]
        self.device = self.index_device = tensor.device

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.tensor)

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index`: a copy."""
        return self.tensor.index_select(0, index)

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop`: a view."""
        return self.tensor[start:stop]

    def part(self, start: int, stop: int) -> "DenseRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        return DenseRows(self.tensor[start:stop])


class _HostRows(Rows):
    """Rows that stay as the user gave them: centred, scaled and sent as they are read.

    Parameters
    ----------
    source : ndarray or CSR matrix of shape (n_rows_in_source, n_columns)
        Neither centred nor scaled; may be read-only, or mapped from a file.
    order : ndarray of shape (n_rows,)
        Which of its rows, in which order.
    shift : ndarray of shape (n_columns,)
        Subtracted from every row.
    scale : float
        Divides every row.
    device : torch.device
        Where rows are wanted.
    """

    def __init__(
        self, source: Any, order: np.ndarray, shift: np.ndarray, scale: float, device: torch.device
    ):
        self.source = source
        self.order = order
        self.shift = shift
        self.scale = scale
        self.device = device
        self.n_columns = source.shape[1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.order)

    def _scaled(self, source: Any) -> np.ndarray:
        """Return rows of the source centred and scaled, in float32."""
        raise NotImplementedError

    def _read(self, order: np.ndarray) -> torch.Tensor:
        if (order[:-1] < order[1:]).all():
            return torch.from_numpy(self._scaled(self.source[order])).to(self.device)
        # A file is read forwards, and what was read put in order after.
        forwards = np.argsort(order)
        backwards = np.empty_like(forwards)
        backwards[forwards] = np.arange(len(order))
        rows = self._scaled(self.source[order[forwards]])
        return torch.from_numpy(rows[backwards]).to(self.device)

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index` on the device."""
        return self._read(self.order[index.numpy()])

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop` on the device."""
        return self._read(self.order[start:stop])

    def part(self, start: int, stop: int) -> "_HostRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        order = self.order[start:stop]
        return type(self)(self.source, order, self.shift, self.scale, self.device)


def gathered(source: np.ndarray, index: np.ndarray) -> torch.Tensor:
    """Return rows of an array in memory that a device reads by itself."""
    shape, dtype = (len(index), source.shape[1]), DTYPES[source.dtype.itemsize]
    pinned = torch.empty(shape, dtype=dtype, pin_memory=True, device="cpu")
    if source.flags.c_contiguous:
        # Without an array between.
        np.take(source, index, axis=0, out=pinned.numpy(), mode="clip")
    else:
        pinned.numpy()[:] = source[index]
    return pinned


class ScaledRows(_HostRows):
    """Rows of an array; parameters as of all that stay as the user gave them.

    For CUDA they are gathered where it reads by itself, and scaled there.
    """

    def _read(self, order: np.ndarray) -> torch.Tensor:
        if self.device.type != "cuda":
            return super()._read(order)
        forwards, (shift, scale) = np.argsort(order), self._units
        # Before what it waits for.
        places = torch.from_numpy(forwards).to(self.device)
        shape = (len(order), self.n_columns)
        found = torch.empty(shape, dtype=torch.float32, device=self.device)
        for start, stop in row_blocks(*shape, device=self.device, light=True):
            rows = gathered(self.source, order[forwards[start:stop]])
            rows = rows.to(self.device, non_blocking=True)
            found.index_copy_(0, places[start:stop], ((rows - shift) / scale).float())
        return found

    @cached_property
    def _units(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Shift and scale on the device; what is divided by a number is multiplied there."""
        shift, scale = (
            torch.tensor(unit, dtype=torch.float64, device=self.device)
            for unit in (self.shift, self.scale)
        )
        return shift, scale

    def _scaled(self, source: np.ndarray) -> np.ndarray:
        rows = source - self.shift
        rows /= self.scale
        return rows.astype(np.float32)


class StreamedRows(ScaledRows):
    """Rows of a source, in its order; parameters likewise.

    They are read run by run. Runs come in a new order in every pass, and the rows of some of them
    are mixed.
    """

    source: Source

    def _read(self, order: np.ndarray) -> torch.Tensor:
        rows = np.empty((len(order), self.n_columns), np.float32)
        for places, found in self.source.pieces(order):
            # A few at a time: a run is large, and twice as large in float64.
            for start, stop in row_blocks(len(places), self.n_columns):
                rows[places[start:stop]] = self._scaled(found[start:stop])
        return torch.from_numpy(rows).to(self.device)

    @property
    def n_together(self) -> int:
        """How many rows are taken at once, and mixed."""
        edges, row_bytes = self.source.edges, 4 * self.n_columns
        run = int(np.diff(edges).max(initial=1))
        n_rows = min(MIXED_RUNS * run, MOST_MIXED_BYTES // row_bytes)
        return max(run, n_rows, MIXED_BYTES // row_bytes)

    def shuffled(self, n_together: int, generator: torch.Generator) -> torch.Tensor:
        """Return an order of the runs, in which so many rows each are mixed."""
        edges = np.searchsorted(self.order, self.source.edges)
        runs = torch.randperm(len(edges) - 1, generator=generator, device="cpu").numpy()
        order = torch.from_numpy(np.concatenate([np.arange(edges[i], edges[i + 1]) for i in runs]))
        mixed = [
            part[torch.randperm(len(part), generator=generator, device="cpu")]
            for part in order.split(n_together)
        ]
        return torch.cat(mixed)

    def blocks(self, *, light: bool = False) -> Iterator[torch.Tensor]:
        """Yield the rows in their order, a block at a time, of which many are read at once."""
        size = block_size(self.n_columns, device=self.device, light=light)
        for start in range(0, len(self), self.n_together):
            yield from self.slice(start, start + self.n_together).split(size)

    def at_hand(self) -> DenseRows:
        """Return the rows in memory."""
        return DenseRows(self.slice(0, len(self)))


class SparseRows(_HostRows):
    """Rows of a CSR matrix without duplicates, made dense as they are read; parameters likewise."""

    def _chosen(self, index: torch.Tensor) -> "SparseRows":
        """Return the rows of `index` as rows of their own, which stay sparse."""
        order = self.order[index.numpy()]
        return SparseRows(self.source, order, self.shift, self.scale, self.device)

    def _read(self, order: np.ndarray) -> torch.Tensor:
        if self.device.type != "cuda":
            return super()._read(order)
        rows = self.source[order]
        rows.data, empty = self._parts(rows)
        return filled(rows, torch.from_numpy(empty), self.device)

    def _scaled(self, source: Any) -> np.ndarray:
        values, empty = self._parts(source)
        rows = np.tile(empty, (source.shape[0], 1))
        index = np.repeat(np.arange(source.shape[0]), np.diff(source.indptr))
        rows[index, source.indices] = values
        return rows

    def _parts(self, source: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what the stored values become, and a row of empty cells.

        Rounded as dense rows are: training would make much of a difference in the last bit.
        """
        values = (source.data - self.shift[source.indices]) / self.scale
        return values.astype(np.float32), ((0 - self.shift) / self.scale).astype(np.float32)


class KeptRows(Rows):
    """Rows that are scaled when they are first read, and kept on the device from then on.

    Parameters
    ----------
    source : ScaledRows
        Where they come from.
    """

    def __init__(self, source: ScaledRows):
        self.source = source
        self.n_columns = source.n_columns
        self.device = self.index_device = source.device
        self._start, self._stop = 0, len(source)
        shape = (len(source), source.n_columns)
        self._tensor = torch.empty(shape, dtype=torch.float32, device=source.device)
        self._n_read = [0]  # which all parts share

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._stop - self._start

    def _up_to(self, stop: int) -> torch.Tensor:
        """Read what was not read yet of the rows before `stop`, counted in all of them."""
        for start in range(self._n_read[0], stop, self.source.n_together):
            end = min(start + self.source.n_together, stop)
            self._tensor[start:end] = self.source.slice(start, end)
        self._n_read[0] = max(stop, self._n_read[0])
        return self._tensor

    @property
    def tensor(self) -> torch.Tensor:
        """All rows, of shape (n_rows, n_columns)."""
        return self._up_to(self._stop)[self._start : self._stop]

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index`: a copy."""
        return self.tensor.index_select(0, index)

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop`: a view."""
        return self._up_to(self._start + stop)[self._start + start : self._start + stop]

    def part(self, start: int, stop: int) -> "KeptRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        part = object.__new__(KeptRows)
        part.__dict__.update(self.__dict__)
        part._start, part._stop = self._start + start, self._start + stop
        return part
