"""PCA of rows of many columns that come in pieces, against scikit-learn's `IncrementalPCA`."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA, IncrementalPCA

from sklearn_ae._rows import MergedPCA, merged

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)) @ RNG.normal(size=(4, 30)) + 0.3 * RNG.normal(size=(120, 30)) + 5


def added(pieces, n_components=3):
    found = MergedPCA.of_none(n_components, 30)
    for piece in pieces:
        found = found.joined(piece)
    return found


@pytest.mark.parametrize("sizes", [[50, 70], [40, 40, 40], [4] * 30, [3] + [1] * 117])
def test_the_same_as_incremental_pca(sizes):
    pieces = np.split(X, np.cumsum(sizes)[:-1])
    theirs = IncrementalPCA(3)
    for piece in pieces:
        theirs.partial_fit(piece)
    ours = added(pieces)
    assert ours.count == 120
    np.testing.assert_allclose(ours.mean, X.mean(axis=0))
    np.testing.assert_allclose(ours.singular, theirs.singular_values_)
    dots = np.abs(np.sum(ours.components * theirs.components_, axis=1))
    np.testing.assert_allclose(dots, 1)


@pytest.mark.parametrize("sizes", [[1] * 120, [120]])
def test_exact_where_nothing_is_left(sizes):
    low = RNG.normal(size=(120, 3)) @ RNG.normal(size=(3, 30)) - 2
    ours = added(np.split(low, np.cumsum(sizes)[:-1]), n_components=5)
    expected = PCA(3).fit(low)
    np.testing.assert_allclose(ours.singular[:3], expected.singular_values_)
    np.testing.assert_allclose(ours.singular[3:], 0, atol=1e-5 * ours.singular[0])
    dots = np.abs(np.sum(ours.components[:3] * expected.components_, axis=1))
    np.testing.assert_allclose(dots, 1)


def test_many_rows_are_merged_some_at_a_time_and_sparse_ones_too(monkeypatch):
    low = RNG.normal(size=(120, 3)) @ RNG.normal(size=(3, 30))
    low[:, :10] = 0
    whole = added([low])
    monkeypatch.setattr(merged, "LEAST_MERGED", 20)
    for rows in (low, sparse.csr_matrix(low)):
        np.testing.assert_allclose(added([rows]).singular, whole.singular)


def test_of_one_row_there_are_no_directions():
    ours = added([X[:1]])
    assert not ours.singular.any()
    assert not ours.components.any()
    np.testing.assert_array_equal(ours.mean, X[0])
