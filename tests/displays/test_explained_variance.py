"""The scores are those of one fit on each fold, PCA's those of scikit-learn's PCA."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ExplainedVarianceDisplay

X = load_iris().data
FOLDS = KFold(3, shuffle=True, random_state=0)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_scores(container):
    model = AutoencoderTransformer(max_iter=0, random_state=0)
    display = ExplainedVarianceDisplay.from_estimator(
        model, container(X), n_components=[1, 3], cv=FOLDS
    )
    for i, size in enumerate([1, 3]):
        for j, (train, test) in enumerate(FOLDS.split(X)):
            pca = PCA(size).fit(X[train])
            missed = X[test] - pca.inverse_transform(pca.transform(X[test]))
            total = X[test] - X[train].mean(axis=0)
            expected = 1 - (missed**2).sum() / (total**2).sum()
            assert display.pca_scores[i, j] == pytest.approx(expected)
            ours = AutoencoderTransformer(size, max_components=3, max_iter=0, random_state=0)
            expected = ours.fit(X[train]).score(X[test])
            assert display.scores[i, j] == pytest.approx(expected, abs=1e-6)
    pca_line, our_line = display.ax_.lines
    np.testing.assert_allclose(pca_line.get_ydata(), display.pca_scores.mean(axis=1))
    np.testing.assert_allclose(our_line.get_ydata(), display.scores.mean(axis=1))


@pytest.fixture
def fitted_sizes(monkeypatch):
    """Return a list of the sizes that are fitted."""
    sizes, fit = [], AutoencoderTransformer.fit

    def recorded(self, X, y=None):
        sizes.append(self.n_components)
        return fit(self, X, y)

    monkeypatch.setattr(AutoencoderTransformer, "fit", recorded)
    return sizes


def test_a_fold_takes_one_fit(fitted_sizes):
    model = AutoencoderTransformer(max_iter=0, random_state=0)
    ExplainedVarianceDisplay.from_estimator(model, X, n_components=[1, 4, 2], cv=3)
    assert fitted_sizes == [4] * 3


@pytest.mark.parametrize("without_order", [{"init": "random"}, {"code_layer": 0}], ids=str)
def test_without_an_order_each_size_is_fitted(fitted_sizes, without_order):
    model = AutoencoderTransformer(max_iter=1, random_state=0, **without_order)
    display = ExplainedVarianceDisplay.from_estimator(model, X, n_components=[1, 3], cv=FOLDS)
    assert sorted(fitted_sizes) == [1, 1, 1, 3, 3, 3]
    for i, size in enumerate([1, 3]):
        for j, (train, test) in enumerate(FOLDS.split(X)):
            expected = model.set_params(n_components=size).fit(X[train]).score(X[test])
            assert display.scores[i, j] == pytest.approx(expected)


def test_the_estimator_stays_as_it_was():
    model = AutoencoderTransformer(2, max_iter=0)
    ExplainedVarianceDisplay.from_estimator(model, X, n_components=[1], cv=2)
    assert model.n_components == 2
    assert not hasattr(model, "module_")


def test_sizes():
    model = AutoencoderTransformer(max_iter=0)
    assert ExplainedVarianceDisplay.from_estimator(model, X, cv=2).n_components.tolist() == [
        1,
        2,
        4,
    ]
    with pytest.raises(ValueError, match=r"n_components=\[5\] must lie between 1 and 4"):
        ExplainedVarianceDisplay.from_estimator(model, X, n_components=[5])


def test_small_integers_do_not_overflow():
    counts = sparse.csr_array(np.random.default_rng(0).integers(0, 250, (40, 6)).astype(np.uint8))
    model = AutoencoderTransformer(max_iter=0)
    one, other = (
        ExplainedVarianceDisplay.from_estimator(model, rows, n_components=[2], cv=2).pca_scores
        for rows in (counts, counts.toarray().astype(float))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)
