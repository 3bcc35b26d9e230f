"""Which sizes codes have, and which of them are trained, solved and watched."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.sizes import (
    coarse_sizes,
    explained_by_pca,
    left_by_pca,
    most_components,
    solved_sizes,
    trained_size,
    used_size,
    watched_sizes,
)
from sklearn_ae._fitting.start import principal_components
from sklearn_ae._parameters import read_parameters
from sklearn_ae._rows import sum_up

CPU = torch.device("cpu")


def spec(**params):
    return read_parameters(AutoencoderTransformer(**params).get_params(deep=False), "A")[0]


def fit_rows(X, *, hold_out=True):
    sums = sum_up(X, torch.float64, CPU)
    chosen = draw_rows(len(X), 0.1, 0)
    return split_rows(X, sums, sums.scaling(), chosen, CPU, hold_out=hold_out)


def spectrum(*deviations, n_rows=400):
    """Return rows of columns without correlation."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(n_rows, len(deviations))))[0]
    return (basis - basis.mean(0)) * np.array(deviations) * np.sqrt(n_rows)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"n_components": 3}, 3),
        ({"n_components": 30}, 30),
        ({}, 5),
        ({"n_components": 0.5}, 5),
        ({"max_components": 30}, 30),
        ({"n_components": 2, "max_components": 4}, 4),
        ({"n_components": 0.5, "max_components": 4}, 4),
    ],
)
def test_the_largest_code(params, expected):
    assert most_components(spec(**params), 100, 5) == expected


@pytest.mark.parametrize("hold_out", [True, False])
def test_what_pca_leaves(hold_out):
    X = np.random.default_rng(0).normal(size=(200, 6)) * np.arange(1, 7)
    rows = fit_rows(X, hold_out=hold_out)
    pca = principal_components(rows.train, 6, 0)
    index = rows.all.index
    train, watched = (index[:180], index[180:]) if hold_out else (index, index)
    theirs = PCA(svd_solver="full").fit(X[train])
    expected = []
    for n in range(7):
        codes = theirs.transform(X[watched])
        codes[:, n:] = 0
        expected.append(np.mean((theirs.inverse_transform(codes) - X[watched]) ** 2))
    found = left_by_pca(pca, rows.held_out if hold_out else rows.all.rows)
    np.testing.assert_allclose(found * rows.scaling.scale**2, expected, rtol=1e-4, atol=1e-5)
    total = np.mean((X[watched] - X.mean(0)) ** 2)
    explained = explained_by_pca(rows, pca)
    np.testing.assert_allclose(explained, 1 - np.array(expected[1:]) / total, atol=1e-4)


# PCA of two components leaves 1 %.
DEVIATIONS = (np.sqrt(95), 2.0, 0.8, 0.6)
RANK = (3.0, 2.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("deviations", "params", "expected"),
    [
        (DEVIATIONS, {"n_components": 3}, 3),
        # What leaves only rounding need not be trained.
        (DEVIATIONS, {"n_components": 4}, 3),
        (DEVIATIONS, {"max_components": 4}, 3),
        # Without a size, what leaves a hundredth is.
        (DEVIATIONS, {}, 2),
        (DEVIATIONS, {"max_components": 3}, 3),
        (DEVIATIONS, {"n_components": 1, "max_components": 3}, 3),
        # A share: the size that PCA needs.
        (DEVIATIONS, {"n_components": 0.9}, 1),
        (DEVIATIONS, {"n_components": 0.97}, 2),
        (DEVIATIONS, {"n_components": 0.97, "max_components": 3}, 3),
        (RANK, {"n_components": 3}, 2),
        (RANK, {"n_components": 7}, 2),
        (RANK, {}, 2),
        ((1.0,), {}, 1),
        ((0.0, 0.0), {}, 1),
    ],
)
def test_the_size_that_is_trained(deviations, params, expected):
    X = spectrum(*deviations)
    rows = fit_rows(X, hold_out=False)
    wanted = spec(**params)
    pca = principal_components(rows.train, most_components(wanted, *X.shape), 0)
    assert trained_size(wanted, rows, pca) == expected


def test_modules_are_trained_for_the_size_that_they_have():
    X = spectrum(*RANK)
    rows = fit_rows(X, hold_out=False)
    wanted = spec(n_components=3, encoder=torch.nn.Linear(4, 3))
    assert trained_size(wanted, rows, principal_components(rows.train, 3, 0)) == 3


def test_the_size_that_is_used():
    score = [0.5, 0.7, 0.9]
    for wanted, expected in [(2, 2), (np.int64(3), 3), (None, 3), (0.7, 2), (0.71, 3), (0.1, 1)]:
        assert used_size(wanted, score, (50, 10), held_out=True) == expected
    assert used_size(None, score, (50, 2), held_out=True) == 2
    with pytest.raises(
        ValueError, match=r"n_components=0\.95 .* 3 numbers explain 0\.9 .*larger max"
    ):
        used_size(0.95, score, (50, 10), held_out=True)
    with pytest.raises(ValueError, match=r"of the training rows. Set a smaller share\.$"):
        used_size(0.95, score, (50, 3), held_out=False)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 31, 32, 33, 500])
def test_sizes_that_are_watched_and_solved(n):
    watched, coarse, solved = watched_sizes(n), coarse_sizes(n), solved_sizes(n, 10)
    assert watched[-1] == n
    assert watched == sorted(set(watched))
    assert set(watched[:-1]) <= set(coarse) <= set(solved)
    assert solved == sorted(set(solved))
    assert all(1 <= size < n for size in solved)
    # No size is far from one that is solved, and there are not many.
    for sizes, most, n_each in [(coarse, 1.5, 2), (solved, 1.25, 4)]:
        pairs = itertools.pairwise([*sizes, n])
        assert n == 1 or all(b / a <= most or b - a == 1 for a, b in pairs)
        assert len(sizes) <= n_each * np.log2(n) + 1
    # A layer for each size is large, of wide rows.
    assert solved_sizes(n, 1024) == solved
    assert solved_sizes(n, 1025) == coarse
