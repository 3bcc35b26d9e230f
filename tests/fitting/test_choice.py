from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._fitting.choice import beats_pca
from sklearn_ae._fitting.errors import (
    N_GROUPS,
    Errors,
    explained,
    mean_square,
    measure_errors,
)
from sklearn_ae._rows import DenseRows
from sklearn_ae._rows import blocks as blocks_module
from sklearn_ae.losses import AbsoluteError
from sklearn_ae.modules import Autoencoder


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
        # Clearly better on most groups, and just as good in total: sums of binary fractions.
        (
            np.r_[np.full(24, 0.5), np.full(8, 1024.0)],
            np.r_[np.full(24, 0.25), np.full(8, 1024.75)],
            False,
        ),
        # Better in total, by one group.
        (np.r_[np.full(31, 0.1), 10.0], np.r_[np.full(31, 0.1), 1.0], False),
    ],
)
def test_beats_pca_in_total_and_in_most_groups(theirs, ours, beaten):
    theirs, ours = (np.broadcast_to(losses, 32) for losses in (theirs, ours))
    assert beats_pca(errors(ours), errors(theirs), theirs.mean(), 1, 80, 80) is beaten


def errors(groups):
    return Errors(torch.zeros(0), np.asarray(groups, dtype=float), 0.0, 0.0)


def test_a_single_row_proves_nothing():
    assert not beats_pca(errors([0.1]), errors([1.0]), 1.0, 1, 80, 1)


@pytest.mark.parametrize("gap", [0.0, 0.5, 5.0])
def test_pca_of_all_rows_is_what_has_to_be_beaten(gap):
    """It is better than that of the training rows by a part of the gap between its errors."""
    n_train, n_valid, k = 90, 10, 2
    theirs = errors(np.full(10, 1 + gap))
    handicap = max(gap, 2 * (k + 1) / n_train) / 2 * n_valid / (n_train + n_valid)
    for share, beaten in ((0.99, False), (1.01, True)):
        ours = errors(theirs.groups - share * handicap)
        assert beats_pca(ours, theirs, 1.0, k, n_train, n_valid) is beaten


@pytest.mark.parametrize("n_groups", [2, 9, 10, 32])
def test_a_gain_must_be_larger_than_its_error(n_groups):
    """By the quantiles of Student's t, written out: stricter with few groups."""
    quantile = {2: 318.3088, 9: 4.5008, 10: 1.8331, 32: 1.6955}[n_groups]
    noise = np.resize([1.0, -1.0], n_groups)
    noise -= noise.mean()
    deviation = noise.std(ddof=1) / np.sqrt(n_groups)
    for factor, beaten in ((0.98, False), (1.02, True)):
        # Such that the relative gain is exactly this often its deviation; so many rows that PCA of
        # all of them is no better.
        gain = 1e-3 * (noise + factor * quantile * deviation)
        ours = errors((1 - gain) / (1 + gain))
        assert beats_pca(ours, errors(np.ones(n_groups)), 1.0, 1, 10**9, 10**3) is beaten


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_unit_of_the_loss_does_not_matter(scale):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        theirs = rng.uniform(1, 2, 32)
        ours = theirs * rng.normal(0.95, 0.1, 32)
        one, other = (
            beats_pca(errors(ours * u), errors(theirs * u), 1.2 * u, 2, 900, 100)
            for u in (1, scale)
        )
        assert one == other
        found.append(one)
    assert 0 < sum(found) < 50


def test_one_group_does_not_win_in_total():
    """Its gain counts as that of the largest tenth of the others."""
    theirs, ours = np.ones(32), np.full(32, 1.001)
    ours[:20], ours[20:] = 0.99, 1.02
    rest = (1.0, 1, 10**9, 10**3)
    assert not beats_pca(errors(ours), errors(theirs), *rest)
    theirs[0] = 1000.0
    assert not beats_pca(errors(ours), errors(theirs), *rest)


def absolute(prediction, target):
    return (prediction - target).abs().mean()


@pytest.mark.parametrize("n_rows", [1, 5, 32, 33, 100])
@pytest.mark.parametrize("block", [3, 7, 1000])
@pytest.mark.parametrize("loss", [absolute, AbsoluteError(1.0)], ids=["a user's", "ours"])
def test_errors_in_groups_whatever_the_blocks(monkeypatch, n_rows, block, loss):
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", block)
    x = torch.randn(n_rows, 4, generator=torch.Generator().manual_seed(0))
    rows = DenseRows(x)
    network = Autoencoder(nn.Identity(), Halved())
    found = measure_errors(network, rows, loss)
    edges = np.linspace(0, n_rows, min(N_GROUPS, n_rows) + 1).astype(int)
    expected = [x[a:b].abs().mean() / 2 for a, b in pairwise(edges)]
    np.testing.assert_allclose(found.groups, expected, rtol=1e-5)
    assert found.loss == pytest.approx(x.abs().mean().item() / 2, rel=1e-5)
    assert found.square == pytest.approx(x.square().mean().item() / 4, rel=1e-5)
    assert torch.equal(found.codes, x)


class Halved(nn.Module):
    def forward(self, z):
        return z / 2


def test_rows_are_encoded_once():
    seen = []

    class Encoder(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x

    rows = DenseRows(torch.zeros(100, 4))
    measure_errors(Autoencoder(Encoder(), Halved()), rows, absolute)
    assert sum(seen) == 100


def test_variance_explained():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) + 5
    expected = np.square(x.numpy()).mean()
    assert mean_square(DenseRows(x)) == pytest.approx(expected, rel=1e-5)
    assert explained(1.0, 4.0) == 0.75
    assert explained(2.0**-12, 2.0**-10) == 0.75
    assert explained(0.0, 0.0) == 1
    assert explained(1.0, 0.0) == 0
