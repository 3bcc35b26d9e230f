from itertools import pairwise

import numpy as np
import pytest
import torch

from sklearn_ae._guarantee import N_GROUPS, Errors, beats_pca, measure_errors
from sklearn_ae._training import rows as rows_module
from sklearn_ae._training.rows import DenseRows


@pytest.mark.parametrize(
    ("theirs", "ours", "beaten"),
    [
        (1.0, 0.9, True),
        (1.0, 1.0, False),
        # PCA of the training rows but for rounding; PCA of all rows is better.
        (1.0, 1 - 1e-5, False),
        (0.0, 0.0, False),
        # Clearly better on most groups, but worse in total.
        (
            np.r_[np.full(24, 0.1), np.full(8, 10.0)],
            np.r_[np.full(24, 0.05), np.full(8, 11)],
            False,
        ),
        # Better in total, by one group.
        (np.r_[np.full(31, 0.1), 10.0], np.r_[np.full(31, 0.1), 1.0], False),
    ],
)
def test_beats_pca_in_total_and_in_most_groups(theirs, ours, beaten):
    theirs, ours = (Errors(np.broadcast_to(losses, 32), 0.0, 0.0) for losses in (theirs, ours))
    assert beats_pca(ours, theirs, theirs.groups.mean(), 1, 80, 80) is beaten


def test_a_single_row_proves_nothing():
    one = [Errors(np.array([loss]), 0.0, 0.0) for loss in (0.1, 1.0)]
    assert not beats_pca(*one, 1.0, 1, 80, 1)


@pytest.mark.parametrize("gap", [0.0, 0.5, 5.0])
def test_pca_of_all_rows_is_what_has_to_be_beaten(gap):
    """It is better than that of the training rows by a part of the gap between its errors."""
    n_train, n_valid, k = 90, 10, 2
    theirs = Errors(np.full(10, 1 + gap), 0.0, 0.0)
    handicap = max(gap, 2 * (k + 1) / n_train) / 2 * n_valid / (n_train + n_valid)
    for share, beaten in ((0.99, False), (1.01, True)):
        ours = Errors(theirs.groups - share * handicap, 0.0, 0.0)
        assert beats_pca(ours, theirs, 1.0, k, n_train, n_valid) is beaten


class Net:
    def criterion_(self, prediction, target):
        return (prediction - target).abs().mean()


@pytest.mark.parametrize("n_rows", [1, 5, 32, 33, 100])
@pytest.mark.parametrize("block", [3, 7, 1000])
def test_errors_in_groups_whatever_the_blocks(monkeypatch, n_rows, block):
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", block)
    x = torch.randn(n_rows, 4, generator=torch.Generator().manual_seed(0))
    rows = DenseRows(x, torch.device("cpu"))
    errors = measure_errors(Net(), lambda block: block / 2, rows)
    edges = np.linspace(0, n_rows, min(N_GROUPS, n_rows) + 1).astype(int)
    expected = [x[a:b].abs().mean() / 2 for a, b in pairwise(edges)]
    np.testing.assert_allclose(errors.groups, expected, rtol=1e-5)
    assert errors.square == pytest.approx(x.square().mean().item() / 4, rel=1e-5)
