"""Codes of every size come back, to the bit, from files of each kind."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from configurations import Network

from sklearn_ae import SKOPS_TYPES, AutoencoderTransformer, DenoisingAutoencoderTransformer

T = np.random.default_rng(0).uniform(0, 2 * np.pi, 150)
# A closed curve in six columns.
X = np.column_stack([np.cos(T), np.sin(T), np.cos(2 * T), np.sin(2 * T), T, np.ones(150)])
X = X + 0.01 * np.random.default_rng(1).normal(size=X.shape)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "device": "cpu"}
USERS = ["configurations.Network", "torch.nn.modules.linear.Linear"]
USERS.append("torch.nn.modules.activation.Tanh")
CONFIGURATIONS = {
    "dense": AutoencoderTransformer(5, **SMALL),
    "used in part": AutoencoderTransformer(2, max_components=5, early_stopping=False, **SMALL),
    "a share": AutoencoderTransformer(0.9, **SMALL),
    "conv": AutoencoderTransformer(
        4, encoder="conv", image_shape=(1, 2, 3), early_stopping=False, **SMALL
    ),
    "own module": AutoencoderTransformer(
        4, encoder=Network, decoder=Network, early_stopping=False, **SMALL
    ),
    "whitened": AutoencoderTransformer(5, whiten=True, **SMALL),
    "all PCA": AutoencoderTransformer(
        5, whiten=True, **SMALL | {"hidden_layer_sizes": (), "learning_rate_init": 1e-12}
    ),
    "probabilities": AutoencoderTransformer(4, loss="binary_log_loss", **SMALL),
    "denoising": DenoisingAutoencoderTransformer(5, early_stopping=False, **SMALL),
}


def through_pickle(estimator, folder):
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator, folder):
    joblib.dump(estimator, folder / "estimator")
    return joblib.load(folder / "estimator")


def through_skops(estimator, folder):
    skops_io = pytest.importorskip("skops.io")
    return skops_io.loads(skops_io.dumps(estimator), trusted=[*SKOPS_TYPES, *USERS])


WAYS = pytest.mark.parametrize("come_back", [through_pickle, through_joblib, through_skops])


@pytest.fixture(scope="module", params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def fitted(request):
    """Return a fitted estimator of each configuration, and the rows."""
    estimator = request.param
    rows = (X - X.min(0)) / np.ptp(X, 0) if estimator.loss == "binary_log_loss" else X
    return estimator.fit(rows), rows


def assert_same(first, second, rows):
    """Two estimators are of one size, and give the same bits."""
    assert first.get_params() == second.get_params()
    for name in ("is_pca_", "n_components_", "best_loss_", "pca_loss_", "score_", "pca_score_"):
        assert getattr(first, name) == getattr(second, name)
    for name in ("components_", "explained_variance_ratio_", "explained_variance_", "mean_",
                 "singular_values_", "noise_variance_"):  # fmt: skip
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    codes = first.transform(rows)
    np.testing.assert_array_equal(codes, second.transform(rows))
    np.testing.assert_array_equal(first.inverse_transform(codes), second.inverse_transform(codes))
    np.testing.assert_array_equal(first.reconstruct(rows), second.reconstruct(rows))


@WAYS
def test_codes_of_every_size_come_back(fitted, come_back, tmp_path):
    estimator, rows = fitted
    loaded = come_back(estimator, tmp_path)
    assert_same(loaded, estimator, rows)
    n = len(estimator._sizes["is_pca"])
    assert n > estimator.n_components_ or estimator.n_components_ > 1
    for size in range(1, n + 1):
        assert_same(loaded.truncated(size), estimator.truncated(size), rows)


@WAYS
def test_the_others_come_back_with_one_of_them(fitted, come_back, tmp_path):
    """A file holds all sizes, whichever is used."""
    estimator, rows = fitted
    n = len(estimator._sizes["is_pca"])
    loaded = come_back(estimator.truncated(1), tmp_path)
    assert_same(loaded, estimator.truncated(1), rows)
    for size in (1, 2, n):
        assert_same(loaded.truncated(size), estimator.truncated(size), rows)


def test_the_configurations_are_what_they_say():
    kinds = {name: set(e.fit(X)._sizes["is_pca"]) for name, e in CONFIGURATIONS.items()
             if name in ("dense", "conv", "all PCA")}  # fmt: skip
    assert kinds == {"dense": {False, True}, "conv": {False}, "all PCA": {True}}


@WAYS
@pytest.mark.parametrize("n_components", [1, 3])
def test_trainings_from_memory_come_back(come_back, n_components, tmp_path):
    folder = str(tmp_path / "memory")
    params = SMALL | {"max_components": 4, "memory": folder, "early_stopping": False}
    first = AutoencoderTransformer(2, **params).fit(X)
    found = AutoencoderTransformer(n_components, **params).fit(X)
    loaded = come_back(found, tmp_path)
    assert loaded.memory == folder
    assert loaded.max_components == 4
    assert_same(loaded, found, X)
    for size in range(1, 5):
        loaded_part, part = loaded.truncated(size), first.truncated(size)
        np.testing.assert_array_equal(loaded_part.transform(X), part.transform(X))
    # It still finds the training.
    assert_same(loaded.fit(X), found, X)


@pytest.mark.parametrize("n_steps", [0, 10**9])
def test_steps_are_those_of_the_fit(n_steps):
    """What is set after a fit is for the next one."""
    estimator = AutoencoderTransformer(3, early_stopping=False, **SMALL).fit(X)
    expected = estimator.truncated(2).transform(X)
    estimator.set_params(transform_max_iter=n_steps)
    for changed in (estimator, copy.deepcopy(estimator)):
        np.testing.assert_array_equal(changed.truncated(2).transform(X), expected)


def test_smaller_codes_that_were_read_in_inference_mode_can_be_trained():
    data = pickle.dumps(
        AutoencoderTransformer(4, early_stopping=False, **SMALL).fit(X).truncated(3)
    )
    with torch.inference_mode():
        loaded = pickle.loads(data)
        smaller = loaded.truncated(2)
    for estimator in (loaded, smaller):
        assert not any(w.is_inference() for w in estimator.net_.module_.parameters())
