"""The guarantee: a network is kept only where it beats PCA by more than sampling error."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import stats
from torch import nn

from sklearn_ae._training.net import ReconstructionNet
from sklearn_ae._training.rows import Rows, row_blocks, sum_of_squares

# Groups of validation rows whose losses are compared, to know the sampling error of their mean.
N_GROUPS = 32
# How sure it must be that the network beats PCA on new rows: on fewer groups than FEW, the best
# of many epochs is more often the luckiest.
CONFIDENCE = 0.95
FEW = 10
CONFIDENCE_OF_FEW = 0.999
# Larger values of a group are counted as this quantile of the groups.
CAP_QUANTILE = 0.9


@dataclass
class Errors:
    """What a module misses of some rows.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Mean loss over each of some groups of rows, of about the same size.
    loss : float
        Mean loss over all rows.
    square : float
        Mean squared error over all cells.
    """

    groups: np.ndarray
    loss: float
    square: float


def measure_errors(net: ReconstructionNet, module: nn.Module, rows: Rows) -> Errors:
    """Measure what a module misses of rows, in one pass.

    Parameters
    ----------
    net : ReconstructionNet
        Its criterion is the loss.
    module : nn.Module
        Rebuilds rows.
    rows : Rows
        At least one.
    """
    edges = np.linspace(0, len(rows), min(N_GROUPS, len(rows)) + 1).astype(int)
    groups, square = np.zeros(len(edges) - 1), 0.0
    with torch.inference_mode():
        for start, stop in row_blocks(len(rows), rows.n_columns):
            targets = rows.slice(start, stop)
            rebuilt = module(targets)
            square += sum_of_squares(rebuilt - targets)
            inside = np.unique(np.r_[start, edges[(start < edges) & (edges < stop)], stop]) - start
            losses = [
                net.criterion_(rebuilt[a:b], targets[a:b]) for a, b in pairwise(inside.tolist())
            ]
            first = np.searchsorted(edges, start, side="right") - 1
            sums = torch.stack(losses).cpu().double().numpy() * np.diff(inside)
            groups[first : first + len(sums)] += sums
    return Errors(
        groups / np.diff(edges), groups.sum() / len(rows), square / (len(rows) * rows.n_columns)
    )


def beats_pca(
    ours: Errors,
    theirs: Errors,
    pca_train_loss: float,
    n_components: int,
    n_train: int,
    n_valid: int,
) -> bool:
    """Tell whether the network beats PCA on the validation rows by more than sampling error.

    It must have the lower loss in total, and by a t-test over groups of rows a gain relative to
    both losses: the total alone hangs on the few rows that PCA rebuilds worst.

    What it has to beat is PCA on all rows, not the PCA that the validation rows were kept from.
    With an excess error that falls as 1 / rows, that one is better by half the gap between its
    errors on validation and on training rows, times the share of the validation rows. Easy
    validation rows hide the gap: it is at least what k components and a mean, fitted to n normal
    rows, leave on average, which is 2 (k + 1) / n of the error.

    Parameters
    ----------
    ours, theirs : Errors
        Of the network and of PCA of the training rows, on the validation rows.
    pca_train_loss : float
        Mean loss of PCA on the training rows.
    n_components, n_train, n_valid : int
        Size of the codes, numbers of rows.
    """
    if n_valid < 2:
        return False
    loss, pca_loss = ours.groups, theirs.groups
    # One row far out would hide what happens to all others: large losses and gains count, but not
    # in full.
    least_gap = 2 * (n_components + 1) / n_train * abs(pca_train_loss)
    gap = max(_capped(pca_loss).mean() - pca_train_loss, least_gap)
    handicap = gap / 2 * n_valid / (n_train + n_valid)
    if not _capped(pca_loss - loss).mean() > handicap:
        return False
    to_beat = pca_loss * (1 - handicap / pca_loss.mean())
    gain = (to_beat - loss) / (np.abs(to_beat) + np.abs(loss) + np.finfo(float).tiny)
    deviation = gain.std(ddof=1) / math.sqrt(len(gain))
    confidence = CONFIDENCE if len(gain) >= FEW else CONFIDENCE_OF_FEW
    return bool(gain.mean() > stats.t.ppf(confidence, len(gain) - 1) * deviation)


def _capped(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, np.quantile(values, CAP_QUANTILE))
