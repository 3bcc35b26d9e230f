"""What is kept: errors on held-out rows, and the network only where it beats PCA there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import stats

from sklearn_ae._rows import Rows, row_blocks, sum_of_squares
from sklearn_ae.modules import Autoencoder

# Groups of validation rows whose losses are compared, to know the sampling error of their mean.
N_GROUPS = 32
# How sure it must be that the network beats PCA on new rows: on fewer groups than FEW, the best
# of many epochs is more often the luckiest.
CONFIDENCE = 0.95
FEW = 10
CONFIDENCE_OF_FEW = 0.999
# A gain of less than this share of both errors together is rounding, or not worth a network.
LEAST_GAIN = 5e-4
# Larger values of a group are counted as this quantile of the groups.
CAP_QUANTILE = 0.9


@dataclass
class Errors:
    """What a network misses of some rows.

    Attributes
    ----------
    codes : Tensor of shape (n_rows, n_components)
        The codes that the rows were rebuilt from.
    groups : ndarray of shape (n_groups,)
        Mean loss over each of some groups of rows, of about the same size.
    loss : float
        Mean loss over all rows.
    square : float
        Mean squared error over all cells.
    """

    codes: torch.Tensor
    groups: np.ndarray
    loss: float
    square: float


@torch.inference_mode()
def measure_errors(
    network: Autoencoder, rows: Rows, criterion: Callable[..., torch.Tensor]
) -> Errors:
    """Encode and rebuild rows, and measure what is missed of them, in one pass.

    Parameters
    ----------
    network : Autoencoder
        Rebuilds rows; in evaluation mode.
    rows : Rows
        At least one.
    criterion : callable
        ``(prediction, target) -> scalar``: the loss.
    """
    edges = np.linspace(0, len(rows), min(N_GROUPS, len(rows)) + 1).astype(int)
    groups, square, codes = np.zeros(len(edges) - 1), 0.0, []
    for start, stop in row_blocks(len(rows), rows.n_columns):
        targets = rows.slice(start, stop)
        codes.append(network.encoder(targets))
        rebuilt = network.decoder(codes[-1])
        square += sum_of_squares(rebuilt - targets)
        inside = np.unique(np.r_[start, edges[(start < edges) & (edges < stop)], stop]) - start
        losses = [criterion(rebuilt[a:b], targets[a:b]) for a, b in pairwise(inside.tolist())]
        first = np.searchsorted(edges, start, side="right") - 1
        sums = torch.stack(losses).cpu().double().numpy() * np.diff(inside)
        groups[first : first + len(sums)] += sums
    return Errors(
        torch.cat(codes),
        groups / np.diff(edges),
        float(groups.sum()) / len(rows),
        square / (len(rows) * rows.n_columns),
    )


def beats_pca(ours: Errors, theirs: Errors) -> bool:
    """Tell whether the network beats PCA on the validation rows by more than sampling error.

    PCA has seen these rows, and the network starts from it: what it has to beat is the very model
    that it would fall back to. It must have the lower loss in total, and by a t-test over groups of
    rows a gain relative to both losses: the total alone hangs on the few rows that PCA rebuilds
    worst.

    Parameters
    ----------
    ours, theirs : Errors
        Of the network and of PCA, on the same rows.
    """
    loss, pca_loss = ours.groups, theirs.groups
    if len(loss) < 2:
        return False
    # One row far out would hide what happens to all others: large gains count, but not in full.
    if not _capped(pca_loss - loss).mean() > 0:
        return False
    gain = (pca_loss - loss) / (np.abs(pca_loss) + np.abs(loss) + np.finfo(float).tiny)
    deviation = gain.std(ddof=1) / math.sqrt(len(gain))
    confidence = CONFIDENCE if len(gain) >= FEW else CONFIDENCE_OF_FEW
    return bool(gain.mean() - LEAST_GAIN > stats.t.ppf(confidence, len(gain) - 1) * deviation)


def _capped(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, np.quantile(values, CAP_QUANTILE))


def mean_square(rows: Rows, mean: np.ndarray) -> float:
    """Return the mean square over all cells about the mean of the columns."""
    centre = torch.from_numpy(mean.astype(np.float32)).to(rows.device)
    total = sum(sum_of_squares(block - centre) for block in rows.blocks())
    return total / (len(rows) * rows.n_columns)


def explained(error: float, total: float) -> float:
    """Return the share of variance explained; data without variance is explained by its mean."""
    if total > 0:
        return 1 - error / total
    return float(error == 0)
