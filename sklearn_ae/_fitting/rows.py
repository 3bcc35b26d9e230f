"""The rows of a fit: summed up, in units of their own, and split."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklearn_ae._rows import MergedPCA, Rows, Scaling, Spread, Sums, dense, scaled_rows

# Where no rows are held out, this share of the rows still chooses the closed form.
CHOOSING_SHARE = 0.1
# More of them would say the same, and are of more use where they train.
MOST_CHOSEN = 20_000


@dataclass
class SummedRows:
    """Rows, and what they sum up to.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows_in_all, n_columns)
        Among others these rows, in the units of the user.
    index : ndarray of int
        Where they are there.
    sums : Sums
        What they sum up to.
    scaling : Scaling
        The units of `rows`.
    rows : Rows
        The rows, scaled; of rows that came in pieces, some of them. None where only the sums are
        looked at.
    merged : MergedPCA or None
        PCA of all of them, where they came in pieces and have many columns.
    n_different : float or None
        How many of them are not the same as another, about; None stands for all.
    """

    X: Any
    index: np.ndarray
    sums: Sums
    scaling: Scaling
    rows: Any
    merged: MergedPCA | None = None
    n_different: float | None = None

    @property
    def n(self) -> float:
        """How many rows there are to learn from."""
        return self.sums.count if self.n_different is None else self.n_different

    @property
    def at_hand(self) -> bool:
        """Whether all rows that were summed up can be read."""
        return self.rows is not None and len(self.rows) == self.sums.count

    def centred(self) -> np.ndarray:
        """Return all of them as one array in float64, about their mean, in the units of `rows`.

        Of rows that are spread over processes, others with the same products of columns.
        """
        if isinstance(self.X, Spread):
            return self.X.centred(self.index, self.sums.mean) / self.scaling.scale
        return (dense(self.X[self.index]) - self.sums.mean) / self.scaling.scale


@dataclass
class FitRows:
    """What a fit knows of its rows.

    Attributes
    ----------
    scaling : Scaling
        The units of those below.
    all, train : SummedRows
        All rows, and those that train.
    choosing : Rows
        A tenth of the rows or so, by which the closed form is chosen; they come last.
    others : Rows
        All others.
    held_out : Rows or None
        `choosing`, where these rows do not train; None where they do (without `early_stopping`).
    """

    scaling: Scaling
    all: SummedRows
    train: SummedRows
    choosing: Rows
    others: Rows
    held_out: Rows | None


def enough_rows(rows: Rows, most_cells: int, least: int, most: int) -> Rows:
    """Return some of many rows: as many as have so many cells, within these numbers."""
    return rows.sample(min(max(most_cells // rows.n_columns, least), most))


def draw_rows(n_rows: int, validation_fraction: float | None, seed: int) -> np.ndarray:
    """Draw the rows that choose, in a random order: any share of them is like all.

    Parameters
    ----------
    n_rows : int
        How many there are.
    validation_fraction : float or None
        Share of the rows that are held out, of many rows a smaller one; None holds none out, and
        yet some choose.
    seed : int
        Says which.
    """
    n_wanted = math.ceil((validation_fraction or CHOOSING_SHARE) * n_rows)
    n_chosen = min(n_wanted, n_rows - 1, MOST_CHOSEN)
    return np.random.default_rng(seed).permutation(n_rows)[n_rows - n_chosen :]


def split_rows(
    X: Any,
    sums: Sums,
    scaling: Scaling,
    chosen: np.ndarray,
    device: torch.device,
    *,
    hold_out: bool,
) -> FitRows:
    """Scale rows, and part those that choose from the others.

    The others stay in the order in which they lie, to be read forwards: batches are drawn from
    them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        In the units of the user.
    sums : Sums
        What all rows sum up to.
    scaling : Scaling
        The units that are wanted.
    chosen : ndarray of int
        Which rows choose.
    device : torch.device
        Where rows are wanted.
    hold_out : bool
        Whether those that choose do not train.
    """
    n_rows = X.shape[0]
    others = np.setdiff1d(np.arange(n_rows), chosen, assume_unique=True)
    order = np.concatenate([others, chosen])
    rows = scaled_rows(X, order, scaling, device)
    parts = rows.part(0, len(others)), rows.part(len(others), n_rows).at_hand()
    everything = SummedRows(X, order, sums, scaling, rows)
    if not hold_out:
        return FitRows(scaling, everything, everything, parts[1], parts[0], None)
    train = SummedRows(X, others, sums.without(X[chosen]), scaling, parts[0])
    return FitRows(scaling, everything, train, parts[1], parts[0], parts[1])
