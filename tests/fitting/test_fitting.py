"""One fit: the start at PCA, the guarantee against PCA, and going on."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from curves import (
    ESTIMATORS,
    assert_same_codes,
    every_estimator,
    fit_pca,
    gaussian,
    held_out_rows,
    make,
    parabola,
    squared_error,
)
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import _fitting
from sklearn_ae._fitting.start import find_start
from sklearn_ae._rows import scaling


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("k", [1, 3])
def test_starts_at_pca(k, offset):
    """A user's decoder is not solved in closed form: without training, the model is PCA."""
    X = parabola() + offset
    model = make(n_components=k, max_iter=0, early_stopping=False, decoder=nn.Linear).fit(X)
    pca = fit_pca(X, k)
    assert not model.is_pca_
    assert_same_codes(model.transform(X), pca.transform(X), 1e-5)
    expected = pca.inverse_transform(pca.transform(X))
    np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_without_hidden_layers_and_training_it_is_as_good_as_pca(seed):
    """Linear in, linear out: the closed form finds nothing better than PCA, which is the best."""
    X = gaussian(seed=seed)
    model = make(n_components=3, hidden_layer_sizes=(), max_iter=0, early_stopping=False).fit(X)
    pca = fit_pca(X, 3)
    assert_same_codes(model.transform(X), pca.transform(X), 1e-5)
    assert squared_error(model, X) == pytest.approx(squared_error(pca, X), rel=0.01)


@pytest.mark.parametrize("far", [0, 1])
def test_rows_that_are_all_ordinary_train_sooner_and_the_same(far, monkeypatch):
    X = parabola()
    X[:far] *= 30
    ordinary_rows, trained = [], []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            trained.append(net.inside)

    def fit(ordinary):
        def find(*args):
            start = find_start(*args)
            ordinary_rows.append(start.all_ordinary)
            return start if ordinary else replace(start, all_ordinary=False)

        monkeypatch.setattr(_fitting, "find_start", find)
        return make(max_iter=8, callbacks=[Look()]).fit(X)

    sooner, same = fit(True), fit(False)
    assert ordinary_rows == [not far, not far]
    assert trained == [not far] * 8 + [False] * 8
    assert not sooner.net_.inside  # other rows may lie anywhere
    assert sooner.loss_curve_ == same.loss_curve_
    np.testing.assert_array_equal(sooner.transform(X), same.transform(X))


@every_estimator
def test_score_is_pcas_where_the_model_is_pca(cls):
    X = gaussian()
    model = make(cls, n_components=3).fit(X)
    assert model.is_pca_
    pca = fit_pca(X, 3)
    assert model.score(X) == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-9)
    assert model.net_.module is model.net_.module_
    (group,) = model.net_.optimizer_.param_groups
    assert {*map(id, group["params"])} == {*map(id, model.net_.module_.parameters())}


@every_estimator
@pytest.mark.parametrize("max_iter", [0, 5])
def test_falls_back_to_pca_on_noise_of_full_rank(cls, max_iter, capsys):
    """More than a sampling error is seldom found where there is nothing to find."""
    n_pca = 0
    for seed in range(6):
        X, held_out = gaussian(700, seed=seed)[:300], gaussian(700, seed=seed)[300:]
        model = make(cls, n_components=3, max_iter=max_iter, random_state=seed).fit(X)
        pca = fit_pca(X, 3)
        n_pca += model.is_pca_
        if not model.is_pca_:
            assert squared_error(model, held_out) <= 1.02 * squared_error(pca, held_out)
            continue
        assert model.score_ == model.pca_score_
        assert_same_codes(model.transform(X), pca.transform(X), 1e-6)
        expected = pca.inverse_transform(pca.transform(X))
        np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-6 * np.abs(X).max())
    assert n_pca >= 5
    assert capsys.readouterr().out == ""


@every_estimator
def test_verbose_says_that_it_fell_back(cls, capsys):
    make(cls, n_components=3, max_iter=1, verbose=1).fit(gaussian())
    out = capsys.readouterr().out
    assert cls.__name__ in out
    assert "PCA" in out
    make(cls, max_iter=30, verbose=1).fit(parabola())
    assert "fitted model is PCA" not in capsys.readouterr().out


@pytest.mark.parametrize("k", [3, 7])
def test_data_that_pca_rebuilds_is_left_to_pca(k):
    X = gaussian(n_columns=3) @ np.random.default_rng(1).normal(size=(3, 6))
    model = make(n_components=k).fit(X)
    assert model.is_pca_
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-5 * np.abs(X).max())


@every_estimator
@pytest.mark.parametrize(("max_iter", "ratio"), [(0, 0.8), (40, 0.4)])
def test_beats_pca_clearly_on_a_parabola(cls, max_iter, ratio):
    X, held_out = parabola(400), parabola(200, seed=1)
    model = make(cls, hidden_layer_sizes=(64,), max_iter=max_iter).fit(X)
    assert not model.is_pca_
    assert model.score_ > model.pca_score_
    assert squared_error(model, held_out) < ratio * squared_error(fit_pca(X, 1), held_out)


def test_beats_pca_clearly_on_digits():
    X, _ = datasets.load_digits(return_X_y=True)
    train, held_out = train_test_split(X[:1000] / 16, random_state=0)
    model = make(n_components=4, hidden_layer_sizes=(128,), max_iter=30).fit(train)
    assert squared_error(model, held_out) < 0.9 * squared_error(fit_pca(train, 4), held_out)


TABLES = ["iris", "wine", "diabetes", "breast_cancer"]
LIMITS = [(name, ESTIMATORS[0], 1.01) for name in TABLES]
LIMITS += [(name, ESTIMATORS[1], 1.02) for name in TABLES[:2]]


@pytest.mark.parametrize(("name", "cls", "limit"), LIMITS)
def test_never_worse_than_pca_on_held_out_rows(name, cls, limit):
    """With default parameters; mean of three splits."""
    X, _ = getattr(datasets, f"load_{name}")(return_X_y=True)
    ratios = []
    for seed in range(3):
        train, held_out = train_test_split(X, random_state=seed)
        scaler = StandardScaler().fit(train)
        train, held_out = scaler.transform(train), scaler.transform(held_out)
        model = cls(2, random_state=seed, device="cpu").fit(train)
        ratios.append(squared_error(model, held_out) / squared_error(fit_pca(train, 2), held_out))
    assert np.mean(ratios) <= limit, ratios


@pytest.mark.parametrize("k", [8, 32])
@every_estimator
def test_a_direction_of_one_row_is_not_lost(cls, k):
    """A pixel that is set in one training image alone, and in one of the others."""
    X = datasets.load_digits().data
    scaler = StandardScaler().fit(X[:898])
    train, held_out = scaler.transform(X[:898]), scaler.transform(X[898:])
    model = cls(k, max_iter=5, random_state=0, device="cpu").fit(train)
    assert squared_error(model, held_out) <= 1.01 * squared_error(fit_pca(train, k), held_out)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_huge_outliers_do_no_harm(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(800, 12)) @ rng.normal(size=(12, 30)) + 0.5 * rng.normal(size=(800, 30))
    far = rng.choice(800, 8, replace=False)
    X[far] += 1e3 * rng.standard_t(1.5, size=(8, 30)).clip(-20, 20)
    train, held_out = train_test_split(X, random_state=seed)
    model = make(n_components=8, max_iter=10, random_state=seed).fit(train)
    assert squared_error(model, held_out) <= 1.01 * squared_error(fit_pca(train, 8), held_out)


@every_estimator
@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("n_rows", [2, 3, 5, 12])
def test_few_rows(n_rows, init, cls):
    X = gaussian(n_rows, 4)
    model = make(cls, init=init, n_components=2).fit(X)
    assert np.isfinite(model.reconstruct(X)).all()
    if init == "pca" and n_rows <= 3:
        assert squared_error(model, X) <= squared_error(fit_pca(X, 2), X) + 1e-6 * np.sum(X**2)


@pytest.mark.parametrize("distance", [1e2, 1e6, 1e12])
def test_rows_far_outside_are_rebuilt_about_as_pca_does(distance):
    X = parabola(400)
    model, pca = make(max_iter=40).fit(X), fit_pca(X, 1)
    assert not model.is_pca_
    directions = np.random.default_rng(0).normal(size=(50, 4))
    far = X.mean(axis=0) + distance * directions
    assert np.isfinite(model.transform(far)).all()
    assert np.isfinite(model.reconstruct(far)).all()
    assert squared_error(model, far) < 1.5 * squared_error(pca, far)


@every_estimator
def test_one_outlier_does_no_harm(cls):
    X = parabola(200)
    X[17] = [1e4, -1e4, 1e4, 1e4]
    model, pca = make(cls).fit(X), fit_pca(X, 1)
    assert np.isfinite(model.reconstruct(X)).all()
    assert squared_error(model, X) <= 1.01 * squared_error(pca, X)


def test_scores_are_there_where_pca_leaves_nothing():
    X = datasets.load_iris().data
    model = make(n_components=4).fit(X)
    assert model.is_pca_
    assert model.score_ == model.pca_score_ == pytest.approx(1)


@every_estimator
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("max_iter", [0, 5, 30])
def test_best_loss_is_that_of_what_is_kept(max_iter, early_stopping, cls):
    """After the closed form and the steps, in units of what PCA leaves of the training rows."""
    X = parabola()
    model = make(cls, max_iter=max_iter, early_stopping=early_stopping).fit(X)
    assert not model.is_pca_
    chosen = held_out_rows(len(X))
    rows, train = (X[chosen], np.delete(X, chosen, axis=0)) if early_stopping else (X, X)
    pca = fit_pca(train, 1)
    unit = squared_error(pca, train) / train.size
    expected = squared_error(model, rows) / rows.size / unit
    assert model.best_loss_ == pytest.approx(expected, rel=1e-3)
    if early_stopping:
        assert model.pca_loss_ == pytest.approx(
            squared_error(pca, rows) / rows.size / unit, rel=1e-3
        )
        total = np.sum((rows - X.mean(axis=0)) ** 2)
        assert model.score_ == pytest.approx(model.score(rows), rel=1e-4)
        assert model.score_ == pytest.approx(1 - squared_error(model, rows) / total, rel=1e-4)


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("rows", [parabola(), gaussian()], ids=["network", "PCA"])
def test_the_net_rebuilds_scaled_rows(rows, n_components):
    model = make(n_components=n_components, transform_max_iter=0).fit(rows)
    for fitted in (model, pickle.loads(pickle.dumps(model))):
        scaled = (rows - model._scaling.shift) / model._scaling.scale
        found = fitted.net_.predict(scaled) * model._scaling.scale + model._scaling.shift
        np.testing.assert_allclose(found, model.reconstruct(rows), atol=1e-4)


def test_best_loss_of_pca_is_pcas():
    model = make(n_components=3).fit(gaussian())
    assert model.is_pca_
    assert model.best_loss_ == model.pca_loss_
    assert model.score_ == model.pca_score_


@every_estimator
def test_without_early_stopping_no_row_is_held_out(cls):
    model = make(cls, early_stopping=False).fit(parabola())
    assert model.score_ is None
    assert model.pca_score_ is None
    assert model.validation_loss_curve_ is None
    assert not model.is_pca_
    assert model.best_loss_ > 0


@every_estimator
@pytest.mark.parametrize("max_iter", [0, 2])
def test_random_start_has_no_fallback(cls, max_iter):
    model = make(cls, init="random", n_components=3, max_iter=max_iter).fit(gaussian())
    assert not model.is_pca_
    assert model.score_ < model.pca_score_


@every_estimator
@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("rate", [1e3, 1e10, 1e30])
def test_divergence_leaves_finite_weights(rate, optimizer, early_stopping, init, cls):
    X = parabola(60)
    model = make(
        cls, learning_rate_init=rate, optimizer=optimizer, early_stopping=early_stopping, init=init
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    for output in (model.transform(X), model.reconstruct(X), model.score_samples(X)):
        assert np.isfinite(output).all()
    if init == "pca":
        assert squared_error(model, X) <= 1.05 * squared_error(fit_pca(X, 1), X)


@pytest.mark.parametrize("init", ["pca", "random"])
def test_divergence_is_said(init):
    model = make(init=init, optimizer="sgd", learning_rate_init=1e30, max_iter=20)
    with pytest.warns(ConvergenceWarning, match="learning_rate_init"):
        model.fit(parabola())


@every_estimator
@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**10, 2.0**60])
def test_codes_and_reconstruction_scale_with_the_rows(factor, init, cls):
    """By powers of two exactly: the network sees the very same rows."""
    X = parabola(80)
    one, other = (make(cls, init=init).fit(rows) for rows in (X, X * factor))
    assert one.is_pca_ == other.is_pca_
    np.testing.assert_array_equal(other.transform(X * factor), one.transform(X) * factor)
    np.testing.assert_array_equal(other.reconstruct(X * factor), one.reconstruct(X) * factor)
    assert other.score_ == one.score_


def test_codes_do_not_depend_on_where_the_rows_lie():
    X = parabola(80)
    one, other = (make().fit(rows) for rows in (X, X + 1024.0))
    np.testing.assert_allclose(other.transform(X + 1024.0), one.transform(X), atol=1e-3)


def test_codes_are_on_pcas_scale():
    X = parabola(400)
    model, pca = make(max_iter=30).fit(X), fit_pca(X, 1)
    ratio = np.std(model.transform(X)) / np.std(pca.transform(X))
    assert 0.5 < ratio < 2


@every_estimator
def test_same_seed_same_bits_and_another_seed_others(cls):
    X = parabola(80)
    codes = [make(cls, init="random", random_state=s).fit(X).transform(X) for s in (0, 0, 1)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.array_equal(codes[0], codes[2])


@pytest.mark.parametrize("params", [{}, {"init": "random"}, {"max_iter": 0}])
@every_estimator
def test_large_rows_are_read_where_they_lie(cls, params, tmp_path, monkeypatch):
    """A copy of the rows, or none: the fit is the same to the last bit."""
    X = parabola().astype(np.float32)
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = make(cls, **params).fit(X)
    assert not expected.is_pca_
    monkeypatch.setattr(scaling, "LARGE_BYTES", 0)
    found = make(cls, **params).fit(mapped)
    assert np.array_equal(found.transform(X), expected.transform(X))


def test_large_rows_that_fall_back(monkeypatch):
    X = gaussian()
    monkeypatch.setattr(scaling, "LARGE_BYTES", 0)
    model = make(n_components=3).fit(X)
    assert model.is_pca_
    np.testing.assert_allclose(model.transform(X), fit_pca(X, 3).transform(X), atol=1e-7)
