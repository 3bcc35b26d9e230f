"""New rows among rows of before, half of each batch: pieces may be sorted."""

import torch

from sklearn_ae._rows.rows import Rows


class Replay(Rows):
    """Rows to train on, new ones and as many others, by turns.

    Rows are numbered through: the new ones, then the others.

    Parameters
    ----------
    new : list of Rows
        In a new order in every pass.
    others : Rows
        As many, drawn at random; they stay in their order.
    """

    def __init__(self, new: list[Rows], others: Rows):
        self.parts = [*new, others]
        self.n_columns, self.device = others.n_columns, others.device
        self._ends = [0]
        for part in self.parts:
            self._ends.append(self._ends[-1] + len(part))

    def __len__(self) -> int:
        """Return the number of rows of a pass."""
        return 2 * self._ends[-2]

    @property
    def n_together(self) -> int:
        """How many rows are taken at once."""
        return 2 * max(part.n_together for part in self.parts[:-1])

    def shuffled(self, n_together: int, generator: torch.Generator) -> torch.Tensor:
        """Return an order of a pass, in which new rows and others take turns."""
        orders = [
            part.shuffled(max(n_together // 2, 1), generator).cpu() + first
            for part, first in zip(self.parts[:-1], self._ends, strict=False)
        ]
        new = torch.cat(orders)
        return torch.stack([new, torch.arange(*self._ends[-2:], device="cpu")], dim=1).ravel()

    def take(self, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of these numbers on the device."""
        found = torch.empty((len(index), self.n_columns), dtype=torch.float32, device=self.device)
        for part, first, end in zip(self.parts, self._ends, self._ends[1:], strict=False):
            places = torch.nonzero((index >= first) & (index < end)).ravel()
            if len(places):
                rows = part.take((index[places] - first).to(part.index_device))
                found[places.to(self.device)] = rows
        return found
