"""The rows of a fit: summed up, in units of their own, and split."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklearn_ae._rows import Rows, Scaling, Sums, scaled_rows

# Where no rows are held out, this share of the rows still chooses the closed form.
CHOOSING_SHARE = 0.1


@dataclass
class FitRows:
    """What a fit knows of its rows.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        In the units of the user.
    sums : Sums
        What they sum up to.
    scaling : Scaling
        The units of those below.
    all, train : Rows
        All rows, and those that train.
    chosen : Rows
        Those that choose the closed form; they come last.
    unchosen : Rows
        All others.
    held_out : Rows or None
        Those that choose, where they do not train as well.
    """

    X: Any
    sums: Sums
    scaling: Scaling
    all: Rows
    train: Rows
    chosen: Rows
    unchosen: Rows
    held_out: Rows | None


def split_rows(
    X: Any,
    sums: Sums,
    scaling: Scaling,
    validation_fraction: float | None,
    seed: int,
    device: torch.device,
) -> FitRows:
    """Scale rows, and draw those that choose.

    They come last, in a random order, so that any share of them is like all. The others stay in the
    order in which they lie, to be read forwards: batches are drawn from them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        In the units of the user.
    sums : Sums
        What they sum up to.
    scaling : Scaling
        The units that are wanted.
    validation_fraction : float or None
        Share of the rows that are held out; None holds none out.
    seed : int
        Says which rows choose.
    device : torch.device
        Where rows are wanted.
    """
    n_rows = X.shape[0]
    n_chosen = min(math.ceil((validation_fraction or CHOOSING_SHARE) * n_rows), n_rows - 1)
    order = np.random.default_rng(seed).permutation(n_rows)
    order[:-n_chosen].sort()
    rows = scaled_rows(X, order, scaling, device)
    unchosen, chosen = rows.part(0, n_rows - n_chosen), rows.part(n_rows - n_chosen, n_rows)
    if validation_fraction is None:
        return FitRows(X, sums, scaling, rows, rows, chosen, unchosen, None)
    return FitRows(X, sums, scaling, rows, unchosen, chosen, unchosen, chosen)
