"""Rows of the training data, centred and scaled, on the device: whole, or a batch at a time."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse

# Cells and rows handled at once where the work goes through all rows: bounds the memory, and what
# hidden layers make of so many rows stays in a processor's cache.
BLOCK_CELLS = 2**20
BLOCK_ROWS = 2048
# Columns that `self_products` multiplies at once with all that come after them.
PANEL = 200
# Share of the free device memory that the resident rows may take.
RESIDENT_SHARE = 0.5


class DenseRows:
    """Rows of one resident tensor.

    Parameters
    ----------
    tensor : Tensor of shape (n_rows, n_columns)
        The rows, on `device`; or in pinned memory, from where batches are sent to `device`.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, tensor: torch.Tensor, device: torch.device):
        self.tensor = tensor
        self.device = device
        self.n_columns = tensor.shape[1]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.tensor.shape[0]

    @property
    def index_device(self) -> torch.device:
        """Where `take` wants its index."""
        return self.tensor.device

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index` on the device."""
        if self.tensor.device == self.device:
            return self.tensor.index_select(0, index)
        rows = torch.empty(
            (len(index), self.tensor.shape[1]), dtype=self.tensor.dtype, pin_memory=True
        )
        torch.index_select(self.tensor, 0, index, out=rows)
        return rows.to(self.device, non_blocking=True)

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop` on the device."""
        return self.tensor[start:stop].to(self.device, non_blocking=True)

    def part(self, start: int, stop: int) -> "DenseRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        return DenseRows(self.tensor[start:stop], self.device)


class _HostRows:
    """Rows that stay as the user gave them: centred, scaled and sent a batch at a time.

    Attributes
    ----------
    n_columns : int
        Cells of a row.
    shift : ndarray of shape (n_columns,)
        Subtracted from every row of a batch.
    scale : float
        Divides every row of a batch.
    device : torch.device
        Where batches are wanted.
    index_device : torch.device
        Where `take` wants its index.
    """

    index_device = torch.device("cpu")

    def __init__(self, n_columns: int, shift: np.ndarray, scale: float, device: torch.device):
        self.n_columns = n_columns
        self.shift = shift
        self.scale = scale
        self.device = device


class ScaledRows(_HostRows):
    """Rows of an array.

    Parameters
    ----------
    array : ndarray of shape (n_rows_in_array, n_columns)
        Neither centred nor scaled; may be read-only, or mapped from a file.
    order : ndarray of shape (n_rows,)
        Which of its rows, in which order.
    shift, scale, device
        As for all rows that stay as they are.
    """

    def __init__(
        self,
        array: np.ndarray,
        order: np.ndarray,
        shift: np.ndarray,
        scale: float,
        device: torch.device,
    ):
        super().__init__(array.shape[1], shift, scale, device)
        self.array = array
        self.order = order

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.order)

    def _scaled(self, order: np.ndarray) -> torch.Tensor:
        rows = self.array[order] - self.shift
        rows /= self.scale
        return torch.from_numpy(rows.astype(np.float32)).to(self.device)

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index` on the device."""
        return self._scaled(self.order[index.numpy()])

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop` on the device."""
        return self._scaled(self.order[start:stop])

    def part(self, start: int, stop: int) -> "ScaledRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        return ScaledRows(self.array, self.order[start:stop], self.shift, self.scale, self.device)


class SparseRows(_HostRows):
    """Rows of a sparse matrix, made dense a batch at a time.

    Parameters
    ----------
    matrix : csr_matrix or csr_array of shape (n_rows, n_columns)
        The rows, neither centred nor scaled.
    shift, scale, device
        As for all rows that stay as they are.
    """

    def __init__(self, matrix: Any, shift: np.ndarray, scale: float, device: torch.device):
        super().__init__(matrix.shape[1], shift, scale, device)
        self.matrix = matrix
        self._empty = ((0 - shift) / scale).astype(np.float32)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.matrix.shape[0]

    def _densify(self, matrix: Any) -> torch.Tensor:
        # The stored values and the empty cells apart, and rounded as dense rows are: training would
        # make much of a difference in the last bit.
        rows = np.tile(self._empty, (matrix.shape[0], 1))
        index = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        rows[index, matrix.indices] = (matrix.data - self.shift[matrix.indices]) / self.scale
        return torch.from_numpy(rows).to(self.device)

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index`, dense, on the device."""
        return self._densify(self.matrix[index.numpy()])

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop`, dense, on the device."""
        return self._densify(self.matrix[start:stop])

    def part(self, start: int, stop: int) -> "SparseRows":
        """Return the rows from `start` to `stop` as rows of their own."""
        return SparseRows(self.matrix[start:stop], self.shift, self.scale, self.device)


Rows = DenseRows | ScaledRows | SparseRows


def block_size(n_columns: int) -> int:
    """Return the rows of a block that is small beside any machine's memory."""
    return min(max(BLOCK_CELLS // n_columns, 1), BLOCK_ROWS)


def dense(rows: Any) -> np.ndarray:
    """Return rows as an array, sparse or not."""
    return rows.toarray() if sparse.issparse(rows) else rows


def row_blocks(n_rows: int, n_columns: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of rows that are small beside any machine's memory."""
    size = block_size(n_columns)
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def blocks(rows: Rows) -> Iterator[torch.Tensor]:
    """Yield the rows in their order, a block at a time, on the device."""
    for start, stop in row_blocks(len(rows), rows.n_columns):
        yield rows.slice(start, stop)


def sum_of_squares(a: torch.Tensor) -> float:
    """Return the sum of the squares of all cells; of a row in its dtype, of the rows in float64."""
    return float(a.square().sum(1).sum(dtype=torch.float64))


def self_products(a: torch.Tensor) -> torch.Tensor:
    """Return ``a.T @ a``; of many columns one triangle is computed, and the other copied."""
    n = a.shape[1]
    if n <= PANEL:
        return a.T @ a
    products = torch.empty((n, n), dtype=a.dtype, device=a.device)
    for start in range(0, n, PANEL):
        stop = min(start + PANEL, n)
        products[start:stop, start:] = a[:, start:stop].T @ a[:, start:]
        products[stop:, start:stop] = products[start:stop, stop:].T
    return products


class Batches:
    """Batches of rows for skorch, as pairs (input, target) of the same tensor.

    Parameters
    ----------
    rows : Rows
        Where the batches come from.
    batch_size : int
        Rows a batch. A last batch of a single row is joined to the one before it: batches are what
        some modules normalize by.
    generator : torch.Generator or None
        Draws a new order for every pass; None keeps the order of the rows.
    """

    def __init__(self, rows: Rows, batch_size: int, generator: torch.Generator | None = None):
        self.rows = rows
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._starts())

    def _starts(self) -> range:
        n_rows = len(self.rows)
        lone = n_rows > self.batch_size > 1 and n_rows % self.batch_size == 1
        return range(0, n_rows - lone, self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of one pass."""
        n_rows = len(self.rows)
        order = None
        if self.generator is not None:
            order = torch.randperm(n_rows, generator=self.generator, device=self.generator.device)
            order = order.to(self.rows.index_device)
        edges = [*self._starts(), n_rows]
        # Small batches are gathered many at once: for each alone, that takes longer than the copy.
        n_batches = max(block_size(self.rows.n_columns) // self.batch_size, 1)
        for first in range(0, len(self), n_batches):
            ends = edges[first : first + n_batches + 1]
            start, stop = ends[0], ends[-1]
            block = (
                self.rows.slice(start, stop) if order is None else self.rows.take(order[start:stop])
            )
            for batch in block.split([b - a for a, b in pairwise(ends)]):
                yield batch, batch


def place(tensor: torch.Tensor, device: torch.device) -> DenseRows:
    """Put the rows on the device, or in pinned memory where they do not fit there."""
    if device.type != "cuda":
        return DenseRows(tensor.to(device), device)
    free, _ = torch.cuda.mem_get_info(device)
    if tensor.nbytes > RESIDENT_SHARE * free:
        return DenseRows(tensor.pin_memory(), device)
    return DenseRows(tensor.to(device), device)
