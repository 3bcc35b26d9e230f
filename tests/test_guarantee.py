import numpy as np
import pytest
import torch

from sklearn_ae._guarantee import beats_pca
from sklearn_ae._training.rows import DenseRows


class Losses:
    """A net whose loss of a module is the mean of what it gives."""

    def criterion_(self, prediction, target):
        return prediction.mean()

    def mean_loss(self, rows, module):
        return float(self.criterion_(module(rows.tensor), rows.tensor))


@pytest.mark.parametrize(
    ("theirs", "ours", "beaten"),
    [
        (1.0, 0.9, True),
        (1.0, 1.0, False),
        # PCA of the training rows but for rounding; PCA of all rows is better.
        (1.0, 1 - 1e-5, False),
        (0.0, 0.0, False),
        # Clearly better on most rows, but worse in total.
        (
            np.r_[np.full(60, 0.1), np.full(20, 10.0)],
            np.r_[np.full(60, 0.05), np.full(20, 11)],
            False,
        ),
        # Better in total, by one row.
        (np.r_[np.full(79, 0.1), 10.0], np.r_[np.full(79, 0.1), 1.0], False),
    ],
)
def test_beats_pca_in_total_and_on_most_rows(theirs, ours, beaten):
    losses = np.zeros((80, 2), np.float32)
    losses[:, 0], losses[:, 1] = theirs, ours
    losses = losses[np.random.default_rng(0).permutation(80)]
    rows = DenseRows(torch.from_numpy(losses), torch.device("cpu"))
    pca, network = (lambda x, column=column: x[:, column] for column in (0, 1))
    assert beats_pca(Losses(), network, pca, 1, rows, rows) is beaten
    # A single row proves nothing.
    assert not beats_pca(Losses(), network, pca, 1, rows, rows.part(0, 1))
