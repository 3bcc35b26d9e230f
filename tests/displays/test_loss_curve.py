"""The curve is the estimator's, and PCA's line is PCA's loss on the held-out rows."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import LossCurveDisplay

X = load_digits().data[:400]


def test_curves(make_estimator):
    model = make_estimator(4, max_iter=6, random_state=0).fit(X)
    ax = LossCurveDisplay.from_estimator(model).ax_
    training, held_out, pca, best = ax.lines
    np.testing.assert_array_equal(training.get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(held_out.get_ydata(), model.validation_loss_curve_)
    np.testing.assert_array_equal(pca.get_ydata(), model._watched_pca_loss)
    assert best.get_xdata() == [model.best_iter_]
    assert best.get_ydata() == [min(model.validation_loss_curve_)]


@pytest.mark.parametrize("init", ["pca", "random"])
def test_loss_of_pca(init):
    model = AutoencoderTransformer(4, init=init, max_iter=1, random_state=0).fit(X)
    order = np.random.default_rng(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    rows = X[order.permutation(len(X))]
    train, valid = rows[:360], rows[360:]
    pca = PCA(4).fit(train)

    def mean_square(X):
        return np.mean((X - pca.inverse_transform(pca.transform(X))) ** 2)

    # In units of what PCA leaves of the training rows, or of the variance.
    unit = mean_square(train) if init == "pca" else np.mean((X - X.mean(axis=0)) ** 2)
    assert model.pca_loss_ == pytest.approx(mean_square(valid) / unit, rel=1e-3)


def test_without_validation():
    model = AutoencoderTransformer(4, early_stopping=False, max_iter=3).fit(X)
    assert model.pca_loss_ is None
    ax = LossCurveDisplay.from_estimator(model).ax_
    assert ax.lines[0].get_label() == "training"
    assert len(ax.lines) == 2


def test_nothing_to_draw():
    model = AutoencoderTransformer(4, max_iter=0).fit(X)
    with pytest.raises(ValueError, match=r"trained no epoch.*max_iter=0"):
        LossCurveDisplay.from_estimator(model)


def test_says_where_the_model_is_pca():
    noise = np.random.default_rng(0).normal(size=(60, 6))
    model = AutoencoderTransformer(2, max_iter=4, random_state=0).fit(noise)
    assert model.is_pca_
    ax = LossCurveDisplay.from_estimator(model).ax_
    assert "the fitted model is PCA" in ax.get_title()
    assert len(ax.lines) == 3
