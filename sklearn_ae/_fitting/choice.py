"""What is kept: the network only where it beats PCA on held-out rows."""

import math

import numpy as np
from scipy import stats

from sklearn_ae._fitting.errors import Errors

# How sure it must be that the network beats PCA on new rows: on fewer groups than FEW, the best
# of many epochs is more often the luckiest.
CONFIDENCE = 0.95
FEW = 10
CONFIDENCE_OF_FEW = 0.999
# Larger values of a group are counted as this quantile of the groups.
CAP_QUANTILE = 0.9


def beats_pca(
    ours: Errors,
    theirs: Errors,
    pca_train_loss: float,
    n_components: int,
    n_train: float,
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
    n_components, n_valid : int
        Size of the codes, number of validation rows.
    n_train : float
        Number of training rows, which may be an estimate.
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


def is_surely_lower(ours: Errors, theirs: Errors) -> bool:
    """Tell whether losses of the same rows are lower by more than sampling error, by a t-test."""
    if len(ours.groups) < 2:
        return False
    gain = theirs.groups - ours.groups
    deviation = gain.std(ddof=1) / math.sqrt(len(gain))
    return bool(gain.mean() > stats.t.ppf(CONFIDENCE, len(gain) - 1) * deviation)


def _capped(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, np.quantile(values, CAP_QUANTILE))
