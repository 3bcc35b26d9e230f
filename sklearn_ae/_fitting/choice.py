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
# A gain of less than this share of both errors together is rounding, or not worth a network.
LEAST_GAIN = 5e-4
# Larger values of a group are counted as this quantile of the groups.
CAP_QUANTILE = 0.9


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
