"""A piece of the rows: what is known of all rows with it, and whether the network is judged."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sklearn_ae._fitting.choice import FEW, is_surely_lower
from sklearn_ae._fitting.errors import N_GROUPS, measure_errors
from sklearn_ae._fitting.network import build_pca
from sklearn_ae._fitting.rows import CHOOSING_SHARE, FitRows, SummedRows
from sklearn_ae._fitting.sizes import most_components
from sklearn_ae._fitting.start import principal_components
from sklearn_ae._fitting.steps import is_ordered
from sklearn_ae._fitting.training.loss import make_loss
from sklearn_ae._rows import Scaling, Seen, scaled_rows, stacked
from sklearn_ae._rows.seen import most_held, most_kept
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Nested
from sklearn_ae.modules.refined import refined

# The network is judged again when so many rows have come, as a share of the different ones: each of
# ten pieces, in each pass.
JUDGED_SHARE = 1 / 12
# Rows that tell after each piece whether the published network is still better than PCA.
SOME_ROWS = 512
# Of many columns, PCA keeps so many components where it is not said how many.
MOST_MERGED = 128


@dataclass
class Published:
    """What the estimator is now.

    Attributes
    ----------
    nested : Nested or None
        Its network.
    best_iter : int
        The epoch of the weights.
    history : list of dict
        What is recorded of each pass.
    scaling : Scaling or None
        Its units; None before the first piece.
    is_pca : list of bool
        Which sizes of the code are PCA.
    """

    nested: Nested | None = None
    best_iter: int = 0
    history: list = field(default_factory=list)
    scaling: Scaling | None = None
    is_pca: list = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """What all steps know."""

    spec: NetworkSpec
    training: TrainingSpec
    seed: int
    draw: int
    seen: Seen
    most: int
    device: torch.device
    history: list
    dtype: Any


def slots(spec, n_rows, n_columns):
    """Return how many components PCA of many columns keeps, of so many rows in the first piece."""
    most = most_components(spec, n_rows, n_columns)
    if isinstance(spec.n_components, int) or spec.max_components is not None:
        return most
    return max(most, min(n_columns, MOST_MERGED))


def is_due(piece, n_judged, published):
    """Tell whether enough rows have come to judge the network, or any that put it in doubt."""
    seen = piece.seen
    if seen.n_before:
        # Of many rows there are sums alone: few new ones say less than was known.
        rows = seen.held if seen.bound else seen.kept
        if len(rows) < N_GROUPS:
            return _is_behind(piece, published, lambda ours, theirs: ours.loss <= theirs.loss)
    grown = len(published.is_pca) != piece.most
    if grown or seen.sums.count - n_judged >= JUDGED_SHARE * seen.n_different:
        return True
    return _is_behind(piece, published, is_surely_lower)


def _is_behind(piece, published, is_better):
    """Tell whether the network that is published is not better than PCA of all, on some rows."""
    seen, nested = piece.seen, published.nested
    if nested is None or not is_ordered(piece.spec) or len(seen.held) < FEW:
        return False
    n = len(nested.ratios)
    if published.is_pca[n - 1]:
        return False
    held = seen.held.part(0, SOME_ROWS)
    rows = scaled_rows(held.rows, np.arange(len(held)), published.scaling, piece.device)
    summed = SummedRows(None, np.empty(0, int), seen.sums, published.scaling, None, seen.merged)
    pca = principal_components(summed, n, piece.seed)
    criterion = make_loss(piece.training.loss, 1.0, published.scaling).to(piece.device)
    network = refined(copy.deepcopy(nested.network).to(piece.device), piece.spec.n_steps)
    linear = build_pca(piece.spec, pca, published.scaling).to(piece.device)
    ours, theirs = (measure_errors(model.eval(), rows, criterion) for model in (network, linear))
    return not is_better(ours, theirs)


def rows_of(piece, scaling):
    """Return what is known of the rows, and whether a network can learn from it."""
    seen, spec = piece.seen, piece.spec
    held, kept = seen.held, seen.kept
    X = stacked(kept.rows, held.rows)
    order, n_kept = _with_copies(seen)
    n = len(order)
    rows = scaled_rows(X, order, scaling, piece.device)
    n_different = seen.n_different
    everything = SummedRows(X, order, seen.sums, scaling, rows, seen.merged, n_different)
    if not n_kept:
        # The only row is held out.
        return FitRows(scaling, everything, everything, rows, rows, None), False
    first = rows.part(0, n_kept)
    training_rows = SummedRows(
        X, order[:n_kept], seen.train_sums(), scaling, first, seen.train_merged,
        n_different - len(held),
    )  # fmt: skip
    if len(held) >= FEW:
        valid = rows.part(n_kept, n).at_hand()
        return FitRows(scaling, everything, training_rows, valid, first, valid), True
    n_choosing = min(max(math.ceil(CHOOSING_SHARE * n_kept), 1), max(n_kept - 1, 1))
    chosen = rows.part(n_kept - n_choosing, n_kept)
    others = rows.part(0, max(n_kept - n_choosing, 1))
    may_learn = n_kept > 1 if not is_ordered(spec) else seen.bound == 0 and n_kept >= FEW
    return FitRows(scaling, everything, training_rows, chosen, others, None), may_learn


def _with_copies(seen):
    """Return the rows that train, copies too, then those that are held out; how many train."""
    parts, n_columns = [], seen.held.rows.shape[1]
    for copies, most in zip(seen.copies(), (most_kept, most_held), strict=True):
        draw = np.random.default_rng(0)
        if copies.sum() > most(n_columns):
            copies = draw.multinomial(most(n_columns), copies / copies.sum())
        order = np.repeat(np.arange(len(copies)), copies)
        if len(order) and copies.max() > 1:
            # Groups of rows are compared: not each of copies of one.
            order = draw.permutation(order)
        parts.append(order)
    return np.concatenate(parts), len(parts[0])
