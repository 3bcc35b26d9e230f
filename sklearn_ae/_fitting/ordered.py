"""Codes of every size: the prefixes of a trained code, solved, measured, and held against PCA."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from torch import nn

from sklearn_ae._fitting.choice import beats_pca
from sklearn_ae._fitting.closed_form import solve
from sklearn_ae._fitting.errors import Errors, explained, mean_square, measure_errors
from sklearn_ae._fitting.rows import FitRows, enough_rows
from sklearn_ae._fitting.sizes import coarse_sizes, left_by_pca
from sklearn_ae._fitting.start import PrincipalComponents
from sklearn_ae._rows import Rows
from sklearn_ae.modules import Autoencoder, ClippedProbabilities, Nested
from sklearn_ae.modules.refined import refined

# So many rows, drawn at random, say what a prefix is worth.
SOME_ROWS = 2048
# Of wide rows, so many or as many as have so many cells.
FEWEST_ROWS, CELLS_TO_MEASURE = 512, 2**19
# So many of these say what a prefix is worth that lies between two.
FEW_ROWS, LEAST_FEW, CELLS_OF_FEW = 512, 128, 2**17
# So many are enough to solve the last layer of a prefix: fewer of wide rows.
MOST_ROWS, LEAST_ROWS, CELLS_TO_SOLVE = 4096, 1024, 2**20
# So many steps of refinement are enough for the codes that a layer is first solved for.
FIRST_STEPS = 2
# Codes of so few numbers change much with the layer: they are refined anew for the one that was
# solved, by all steps, and the layer is solved anew for these. Larger ones gain little by that.
FEW_NUMBERS = 3

# Where PCA leaves more than this share of what it leaves at the measured size before, its loss is
# taken for a power of what is left, as squared and absolute errors are. Much less is rounding in
# part, and a loss with logarithms is that of clipping then.
POWER_LAW = 0.1

# Makes PCA of a size.
Linear = Callable[[int], Autoencoder]


@dataclass
class Sizes:
    """What the codes of each size are worth, from one number to as many as there are.

    Attributes
    ----------
    is_pca : ndarray of bool of shape (n_components,)
        Whether the code of this size is PCA.
    loss, pca_loss : ndarray of shape (n_components,)
        Losses of the model and of PCA on the held-out rows, without any on training rows; NaN where
        it is not known.
    score, pca_score : ndarray of shape (n_components,)
        Shares of the variance of these rows that they explain.
    """

    is_pca: np.ndarray
    loss: np.ndarray
    pca_loss: np.ndarray
    score: np.ndarray
    pca_score: np.ndarray

    @classmethod
    def unknown(cls, n: int) -> "Sizes":
        """Return sizes of which nothing is known, and none of which is PCA."""
        return cls(np.full(n, False), *(np.full(n, np.nan) for _ in range(4)))

    def fall_back(self, n: int) -> None:
        """Keep PCA of this size."""
        self.is_pca[n - 1] = True
        self.loss[n - 1], self.score[n - 1] = self.pca_loss[n - 1], self.pca_score[n - 1]


def some_rows(rows: Rows) -> Rows:
    """Return enough rows to say what a prefix is worth."""
    return enough_rows(rows, CELLS_TO_MEASURE, FEWEST_ROWS, SOME_ROWS)


def watched_rows(rows: FitRows) -> Rows:
    """Return the rows that say what a code is worth: some that train, where none are held out."""
    return some_rows(rows.train.rows) if rows.held_out is None else rows.held_out


class MeasuredPCA:
    """What PCA of a size misses of rows; its loss of each size is measured once.

    Parameters
    ----------
    linear : callable
        Makes PCA of a size.
    rows : Rows
        Of which.
    criterion : nn.Module
        The loss.
    """

    def __init__(self, linear: Linear, rows: Rows, criterion: nn.Module):
        self.linear, self.rows, self.criterion = linear, rows, criterion
        self._known: dict[int, Errors] = {}

    def __call__(self, n: int) -> Errors:
        """Return the errors of PCA of size `n`."""
        if n not in self._known:
            self._known[n] = measure_errors(self.linear(n), self.rows, self.criterion)
        return self._known[n]

    def left(self, n: int) -> float:
        """Return the mean square over all cells that PCA leaves, its rows not clipped."""
        network = self.linear(n)
        if not isinstance(network.decoder, ClippedProbabilities):
            return self(n).square
        network = Autoencoder(network.encoder, network.decoder.decoder)
        return measure_errors(network, self.rows, self.criterion).square

    def of_few(self) -> "MeasuredPCA":
        """Return what measures PCA on a share of the rows; itself, where that is all of them."""
        few = enough_rows(self.rows, CELLS_OF_FEW, LEAST_FEW, FEW_ROWS)
        return self if few is self.rows else MeasuredPCA(self.linear, few, self.criterion)


def sizes_of_pca(pca: PrincipalComponents, measured: MeasuredPCA, rows: FitRows) -> Sizes:
    """Return what PCA of every size is worth.

    Parameters
    ----------
    pca : PrincipalComponents
        Of the training rows.
    measured : MeasuredPCA
        Of `some_rows` of the watched ones.
    rows : FitRows
        The rows.
    """
    watched = watched_rows(rows)
    left, total = left_by_pca(pca, watched)[1:], mean_square(watched)
    score = np.array([explained(square, total) for square in left])
    some = some_rows(watched)
    loss = losses_of_pca(left if some is watched else left_by_pca(pca, some)[1:], measured)
    return Sizes(np.full(len(loss), True), loss, loss.copy(), score, score.copy())


def losses_of_pca(left: np.ndarray, measured: MeasuredPCA) -> np.ndarray:
    """Return the loss of PCA of each size; where it is not measured, by what PCA leaves."""
    known = [*coarse_sizes(len(left)), len(left)][::-1]
    losses, at = np.array([measured(size).loss for size in known]), left[np.array(known) - 1]
    if len(at) == 1:
        return losses
    above = np.searchsorted(at, left).clip(1, len(at) - 1)
    is_power = at[above - 1] > POWER_LAW * at[above]
    # A user's loss may have any sign.
    is_power &= np.minimum(losses[above - 1], losses[above]) > 0
    logs = (np.log(np.maximum(x, np.finfo(float).tiny)) for x in (left, at, losses))
    return np.where(is_power, np.exp(np.interp(*logs)), np.interp(left, at, losses))


def solve_prefixes(
    nested: Nested, rows: FitRows, criterion: nn.Module, n_steps: int, sizes: list[int]
) -> None:
    """Solve the last layer of some prefixes in closed form, in place, where it can be.

    Parameters
    ----------
    nested : Nested
        The model; its network stays as it is.
    rows : FitRows
        To solve on, and to choose on.
    criterion : nn.Module
        The loss.
    n_steps : int
        Steps that improve each code.
    sizes : list of int
        Of the prefixes; all coarse ones are among them.
    """
    if not getattr(nested.network.decoder, "is_solvable", False):
        return
    nested.forget()
    first_steps = min(n_steps, FIRST_STEPS)
    others = enough_rows(rows.others, CELLS_TO_SOLVE, LEAST_ROWS, MOST_ROWS)
    rows = replace(rows, others=others, choosing=some_rows(rows.choosing))
    solved = {}
    # All from the layer of the whole: it knows what the others need.
    for n in sizes:
        prefix = nested.prefix(n)
        errors = solve(prefix, rows, criterion, first_steps)
        if n_steps and n <= FEW_NUMBERS:
            solve(prefix, rows, criterion, n_steps)
        solved[n] = prefix, errors.loss
    for n in coarse_sizes(len(nested.ratios)):
        nested.learn(n, solved.pop(n)[0])
    # What is solved is not always better than what lies between two that are.
    for n, (prefix, loss) in solved.items():
        between = refined(nested.prefix(n), first_steps)
        if loss < measure_errors(between, rows.choosing, criterion).loss:
            nested.learn(n, prefix)


def choose_prefixes(
    sizes: Sizes,
    nested: Nested,
    measured: MeasuredPCA,
    rows: FitRows,
    criterion: nn.Module,
    trained: np.ndarray,
    n_steps: int,
) -> None:
    """Measure prefixes, and say in `sizes` what they are worth: PCA stays where it is not beaten.

    Parameters
    ----------
    sizes : Sizes
        Those of PCA, but what is known of the whole code.
    nested : Nested
        The model.
    measured : MeasuredPCA
        Of `some_rows` of the watched ones.
    rows : FitRows
        Where none are held out, every prefix is kept.
    criterion : nn.Module
        The loss.
    trained : ndarray of shape (n_components,)
        Loss of PCA of each size on training rows.
    n_steps : int
        Steps that improve each code.
    """
    n_components = len(nested.ratios)
    last = n_components - 1

    def compare(n: int, pca: MeasuredPCA) -> tuple[float, float, float, bool]:
        """Return the losses of a prefix and of PCA, the ratio of squares, and whether it wins.

        What PCA loses of all rows that are looked at is kept.
        """
        ours = measure_errors(refined(nested.prefix(n), n_steps), pca.rows, criterion)
        theirs = pca(n)
        if pca is measured:
            sizes.pca_loss[n - 1] = theirs.loss
        wins = rows.held_out is None or beats_pca(
            ours, theirs, trained[n - 1], n, rows.train.n, len(rows.held_out)
        )
        return ours.loss, theirs.loss, ours.square / (pca.left(n) or 1.0), wins

    left = (1 - sizes.score[last]) / ((1 - sizes.pca_score[last]) or 1.0)
    found = {n_components: (sizes.loss[last], sizes.pca_loss[last], left, not sizes.is_pca[last])}
    known = sorted({*coarse_sizes(n_components), *nested.sizes})
    for n in known:
        found[n] = compare(n, measured)
    # A decoder between two others is worth less than what lies between theirs, and takes longer.
    middles = [
        (below + above) // 2
        for below, above in pairwise([*known, n_components])
        if above - below > 1 and found[below][-1] and found[above][-1]
    ]
    if middles:
        few = measured.of_few()
        found |= {n: compare(n, few) for n in middles}
    at = np.array(sorted(found))
    loss, pca_loss, left, wins = np.array([found[n] for n in at], dtype=float).T
    # A user's loss may have any sign.
    as_ratios = (loss > 0).all() and (pca_loss > 0).all()
    lost = loss / pca_loss if as_ratios else loss - pca_loss
    size = np.arange(1, n_components)
    curved, lost = (np.interp(np.log(size), np.log(at), x) for x in (wins, lost))
    left = _ratios_between(at, left, size)
    # Between two sizes, both must be better.
    is_pca = curved < 1 - 1e-9
    sizes.is_pca[size - 1] = is_pca
    pca_loss, pca_score = sizes.pca_loss[size - 1], sizes.pca_score[size - 1]
    loss = lost * pca_loss if as_ratios else pca_loss + lost
    sizes.loss[size - 1] = np.where(is_pca, pca_loss, loss)
    sizes.score[size - 1] = np.where(is_pca, pca_score, 1 - left * (1 - pca_score))


def _ratios_between(at, ratios, size):
    """Return the ratio of what a network leaves to what PCA does at each size, by those measured.

    Of the little that PCA leaves close to all columns a network may leave several times as much:
    that says nothing of the sizes below.
    """
    above = np.searchsorted(at, size, side="right")
    below = above - 1
    share = np.log(size / at[below]) / np.log(at[above] / at[below])
    end = np.minimum(ratios[above], np.maximum(1, ratios[below]))
    return (1 - share) * ratios[below] + share * end
