"""The guarantee: a network is kept only where it beats PCA by more than sampling error."""

import math
from itertools import pairwise

import numpy as np
import torch
from scipy import stats

from sklearn_ae._training.net import ReconstructionNet
from sklearn_ae._training.rows import Rows, block_size
from sklearn_ae.modules import Autoencoder

# Groups of validation rows whose losses are compared, to know the sampling error of their mean.
N_GROUPS = 32
# How sure it must be that the network beats PCA on new rows: on fewer groups than FEW, the best
# of many epochs is more often the luckiest.
CONFIDENCE = 0.95
FEW = 10
CONFIDENCE_OF_FEW = 0.999
# Larger values of a group are counted as this quantile of the groups.
CAP_QUANTILE = 0.9


def beats_pca(
    net: ReconstructionNet,
    network: Autoencoder,
    pca: Autoencoder,
    n_components: int,
    train: Rows,
    valid: Rows,
) -> bool:
    """Tell whether the network beats PCA on the validation rows by more than sampling error.

    It must have the lower loss in total, and by a t-test over groups of rows a gain relative to
    both losses: the total alone hangs on the few rows that PCA rebuilds worst.

    What it has to beat is PCA on all rows, not the PCA that the validation rows were kept from.
    With an excess error that falls as 1 / rows, that one is better by half the gap between its
    errors on validation and on training rows, times the share of the validation rows. Easy
    validation rows hide the gap: it is at least what k components and a mean, fitted to n normal
    rows, leave on average, which is 2 (k + 1) / n of the error.
    """
    if len(valid) < 2:
        return False
    ours, theirs = (_group_losses(net, module, valid) for module in (network, pca))
    # One row far out would hide what happens to all others: large losses and gains count, but not
    # in full.
    train_loss = net.mean_loss(train, pca)
    least_gap = 2 * (n_components + 1) / len(train) * abs(train_loss)
    gap = max(_capped(theirs).mean() - train_loss, least_gap)
    handicap = gap / 2 * len(valid) / (len(train) + len(valid))
    if not _capped(theirs - ours).mean() > handicap:
        return False
    theirs *= 1 - handicap / theirs.mean()
    gain = (theirs - ours) / (np.abs(theirs) + np.abs(ours) + np.finfo(float).tiny)
    deviation = gain.std(ddof=1) / math.sqrt(len(gain))
    confidence = CONFIDENCE if len(gain) >= FEW else CONFIDENCE_OF_FEW
    return bool(gain.mean() > stats.t.ppf(confidence, len(gain) - 1) * deviation)


def _capped(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, np.quantile(values, CAP_QUANTILE))


def _group_losses(net, module, rows):
    """Return the mean loss of a module over each of some groups of rows, of about the same size."""
    edges = np.linspace(0, len(rows), min(N_GROUPS, len(rows)) + 1).astype(int).tolist()
    if len(rows) > block_size(rows.n_columns):
        return np.array([net.mean_loss(rows.part(a, b), module) for a, b in pairwise(edges)])
    # Together: groups of a few rows would take as long as all.
    targets = rows.slice(0, len(rows))
    with torch.inference_mode():
        rebuilt = module(targets)
        losses = [net.criterion_(rebuilt[a:b], targets[a:b]) for a, b in pairwise(edges)]
    return torch.stack(losses).cpu().double().numpy()
