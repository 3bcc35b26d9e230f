"""Rows that are spread over processes, of which each has a part."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import joblib
import numpy as np
import torch
from scipy import sparse

from sklearn_ae._processes import Processes
from sklearn_ae._rows.blocks import dense
from sklearn_ae._rows.rows import Rows, StreamedRows
from sklearn_ae._rows.sources import fingerprint


class Spread:
    """A matrix whose rows are spread over processes; it is indexed by numbers of all rows.

    All processes ask for the same rows at the same time, and all get them: so they ask for no more
    than one holds with ease.

    Parameters
    ----------
    part : ndarray, CSR matrix or Source of shape (n_rows_here, n_columns)
        The rows of this process; they come after those of the processes before it.
    processes : Processes
        All of them.
    """

    def __init__(self, part: Any, processes: Processes):
        self.part, self.processes = part, processes
        counts = processes.gathered(part.shape[0])
        self.counts = counts
        self.start = sum(counts[: processes.rank])
        self.shape = (sum(counts), part.shape[1])
        self.dtype = part.dtype

    def __getitem__(self, index: np.ndarray) -> Any:
        """Return the rows of these numbers, sparse where the parts are."""
        here = self.is_here(index)
        own = self.part[index[here] - self.start]
        if sparse.issparse(self.part):
            found = sparse.csr_matrix(sparse.vstack(self.processes.gathered(own)))
            owner = np.searchsorted(np.cumsum(self.counts), index, "right")
            # From the order of the processes to that of the index.
            return found[np.argsort(np.argsort(owner, kind="stable"), kind="stable")]
        rows = np.zeros((len(index), self.shape[1]), self.dtype)
        rows[here] = own
        # Each row is zero in all processes but one: the sum is exact, and takes no other memory.
        tensor = torch.from_numpy(rows).to(self.processes.device)
        self.processes.add_up(tensor)
        return tensor.cpu().numpy()

    def centred(self, index: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return rows with the products of the columns that these have about a mean, few of them.

        Of many rows, each process gives the triangle of their QR decomposition.
        """
        own = dense(self.part[index[self.is_here(index)] - self.start]) - mean
        if len(own) > self.shape[1]:
            own = np.linalg.qr(own, mode="r")
        return np.concatenate(self.processes.gathered(own))

    def is_here(self, index: np.ndarray) -> np.ndarray:
        """Tell which of these rows are in this process."""
        return (self.start <= index) & (index < self.start + self.part.shape[0])

    def fingerprint(self) -> list:
        """Return what other rows would not give."""
        return self.processes.gathered(joblib.hash(fingerprint(self.part)))


class SpreadRows(Rows):
    """Rows of such a matrix, scaled: what is taken all processes get, batches are parted.

    Parameters
    ----------
    matrix : Spread
        Where they come from.
    order : ndarray of shape (n_rows,)
        Which of its rows, in which order; the same in all processes.
    device : torch.device
        Where rows are wanted.
    scaled : callable
        ``(X, order) -> rows``: makes rows of a matrix that is in this process, there.
    """

    processes: Processes

    def __init__(
        self,
        matrix: Spread,
        order: np.ndarray,
        device: torch.device,
        scaled: Callable[[Any, np.ndarray], Rows],
    ):
        self.matrix, self.order, self.device, self.scaled = matrix, order, device, scaled
        self.n_columns, self.processes = matrix.shape[1], matrix.processes

    def __len__(self) -> int:
        """Return the number of rows, in all processes."""
        return len(self.order)

    @cached_property
    def _is_here(self) -> np.ndarray:
        return self.matrix.is_here(self.order)

    @cached_property
    def here(self) -> Rows:
        """Those of the rows that are in this process, in their order."""
        return self.scaled(self.matrix.part, self.order[self._is_here] - self.matrix.start)

    def summed(self, value: Any) -> Any:
        """Return the sum over all processes of a number or tensor that is summed over `here`."""
        if not torch.is_tensor(value):
            return self.processes.total(value)
        self.processes.add_up(value)
        return value

    def agreed(self, value: Any) -> Any:
        """Return what the first process has found: others may have rounded to another side."""
        return self.processes.of_first(value)

    def _chosen(self, index: torch.Tensor) -> Rows:
        """Return the rows of `index` as rows that each process has."""
        return self.scaled(self.matrix[self.order[index.numpy()]], np.arange(len(index)))

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of `index` on the device."""
        return self._chosen(index).slice(0, len(index))

    def slice(self, start: int, stop: int) -> torch.Tensor:
        """Return the rows from `start` to `stop` on the device."""
        return self.take(torch.arange(start, stop))

    def part(self, start: int, stop: int) -> "SpreadRows":
        """Return the rows from `start` to `stop` as rows of their own, without a copy."""
        return SpreadRows(self.matrix, self.order[start:stop], self.device, self.scaled)

    def sample(self, n: int) -> Rows:
        """Return so many of the rows, or all, as rows that each process has."""
        return self.at_hand() if len(self) <= n else super().sample(n)

    def at_hand(self) -> Rows:
        """Return the rows as rows that each process has."""
        return self._chosen(torch.arange(len(self)))

    @property
    def n_together(self) -> int:
        """How many rows are taken at once."""
        return self.here.n_together

    @cached_property
    def _owner(self) -> np.ndarray | None:
        """The process of each place of an order, where rows are read run by run in any of them."""
        if not self.processes.any(isinstance(self.here, StreamedRows)):
            return None
        counts = self.processes.gathered(len(self.here))
        # Spread evenly: all come to their ends together.
        places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in counts])
        return np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]

    def shuffled(self, n_together: int, generator: torch.Generator) -> torch.Tensor:
        """Return a new order: numbers of `here` in the places of its rows, and -1 in all others.

        Rows in memory are drawn as one process would draw them all. Where rows are read run by run,
        each process draws an order of its own.
        """
        if self._owner is None:
            numbers = np.full(len(self), -1)
            numbers[self._is_here] = np.arange(len(self.here))
            return torch.from_numpy(numbers)[super().shuffled(n_together, generator)]
        seed = int(torch.randint(2**62, (), generator=generator)) + self.processes.rank
        own = torch.Generator("cpu").manual_seed(seed)
        order = torch.full((len(self),), -1)
        is_here = torch.from_numpy(self._owner == self.processes.rank)
        order[is_here] = self.here.shuffled(n_together, own)
        return order

    def take_batches(self, order: torch.Tensor, sizes: list[int]) -> tuple[torch.Tensor, list[int]]:
        """Return those of some batches that are here, and how many of each these are."""
        is_here = order >= 0
        found = self.here.take(order[is_here].to(self.here.index_device))
        return found, [int(part.sum()) for part in is_here.split(sizes)]
