"""Small tables that a curve explains, or nothing does, and estimators that are quick on them."""

import functools
import math

import numpy as np
import pytest
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

ESTIMATORS = [AutoencoderTransformer, DenoisingAutoencoderTransformer]
every_estimator = pytest.mark.parametrize("cls", ESTIMATORS)
every_init = pytest.mark.parametrize("init", ["pca", "random"])


def parabola(n_rows=200, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=(n_rows, 1))
    X = np.hstack([t, t**2, np.sin(3 * t), 1 - t])
    return X + noise * rng.normal(size=X.shape)


def curve():
    """Return 120 rows of five columns."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(120, 1))
    X = np.hstack([t, t**2, np.sin(3 * t), 1 - t, t**3])
    return X + 0.02 * rng.normal(size=X.shape)


def gaussian(n_rows=300, n_columns=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns))


def make(cls=AutoencoderTransformer, **params):
    defaults = {
        "n_components": 1, "hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0,
        "device": "cpu",
    }  # fmt: skip
    return cls(**(defaults | params))


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 12), nn.Tanh(), nn.Linear(12, n_out))


def check_learns(model, X):
    """Fit, and see that it learned."""
    model.fit(X)
    assert model.transform(X).shape == (len(X), 1)
    assert np.isfinite(model.reconstruct(X)).all()
    assert min(model.loss_curve_[1:]) < model.loss_curve_[0]
    return model


# For long enough to learn something of a curve.
make_learner = functools.partial(make, max_iter=15)


def fit_pca(X, n_components):
    return PCA(n_components, svd_solver="full").fit(X)


def squared_error(model, X):
    return float(np.sum((X - model.inverse_transform(model.transform(X))) ** 2))


def assert_same_codes(found, expected, rtol):
    """Equal up to the sign of each code."""
    signs = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=rtol * np.abs(expected).max())


def held_out_rows(n_rows, seed=0):
    """Return the tenth of the rows that a fit with this random state holds out."""
    drawn = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    return np.random.default_rng(drawn).permutation(n_rows)[n_rows - math.ceil(n_rows / 10) :]
