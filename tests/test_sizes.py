"""Codes of every size from one fit, and what PCA's users look for."""

import numpy as np
import pytest
import torch
from curves import (
    curve,
    every_estimator,
    fit_pca,
    gaussian,
    held_out_rows,
    make,
    mlp,
    squared_error,
)
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_ae import AutoencoderTransformer

DIGITS, DIGITS_TEST = train_test_split(load_digits().data[:400] / 4, random_state=0)
IMAGE = {"image_shape": (1, 8, 8), "hidden_layer_sizes": (4,)}
KINDS = {
    "dense": {},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "closed form": {"max_iter": 0},
    "conv": {"encoder": "conv", **IMAGE},
    "attention": {"encoder": "attention", "image_shape": (1, 8, 8), "hidden_layer_sizes": (8,)},
    "own modules": {"encoder": mlp, "decoder": mlp},
    "tied": {"tied_weights": True},
    "linear decoder": {"decoder": "linear"},
    "absolute error": {"loss": "absolute_error"},
    "as encoded": {"transform_max_iter": 0},
    "whitened": {"whiten": True},
    "nothing held out": {"early_stopping": False},
}
every_kind = pytest.mark.parametrize("params", KINDS.values(), ids=KINDS)


def fit(n_components=8, *, X=DIGITS, **params):
    return make(n_components=n_components, max_iter=params.pop("max_iter", 4), **params).fit(X)


@pytest.fixture(scope="module")
def learned():
    """Return a fit of digits that has learned something."""
    return fit(16, max_iter=20, hidden_layer_sizes=(64,))


# -- Prefixes --------------------------------------------------------------------------------------


@every_kind
def test_truncated_is_what_a_fit_gives_that_uses_fewer_numbers(params):
    whole = fit(8, **params)
    for n in (1, 3, 4, 8):
        found, expected = whole.truncated(n), fit(n, max_components=8, **params)
        assert found.n_components_ == expected.n_components_ == n
        assert found.is_pca_ == expected.is_pca_
        np.testing.assert_array_equal(found.transform(DIGITS), expected.transform(DIGITS))
        np.testing.assert_array_equal(found.reconstruct(DIGITS), expected.reconstruct(DIGITS))
        assert (found.score_, found.best_loss_) == (expected.score_, expected.best_loss_)
        assert clone(found).get_params() == expected.get_params()
    assert whole.n_components_ == 8
    assert whole.transform(DIGITS).shape == (len(DIGITS), 8)


@every_estimator
@every_kind
def test_no_size_is_worse_than_pca(cls, params):
    """On rows that no fit has seen, up to sampling error."""
    whole = fit(8, cls=cls, **params)
    for n in (1, 2, 3, 5, 8):
        pca = squared_error(fit_pca(DIGITS, n), DIGITS_TEST)
        assert squared_error(whole.truncated(n), DIGITS_TEST) <= 1.02 * pca


def test_every_size_is_better_than_pca_where_there_is_much_to_learn(learned):
    for n in (1, 2, 3, 4, 5, 8, 11, 16):
        pca = squared_error(fit_pca(DIGITS, n), DIGITS_TEST)
        prefix = learned.truncated(n)
        assert not prefix.is_pca_
        assert squared_error(prefix, DIGITS_TEST) < 0.97 * pca


def test_codes_as_encoded_are_the_first_numbers(learned):
    """But where a size is PCA; steps descend on what the decoder of their size makes of codes."""
    whole = clone(learned).set_params(transform_max_iter=0).fit(DIGITS)
    codes = whole.transform(DIGITS_TEST)
    for n in (1, 3, 8):
        prefix = whole.truncated(n)
        if not prefix.is_pca_:
            np.testing.assert_allclose(prefix.transform(DIGITS_TEST), codes[:, :n], atol=1e-5)


def test_sizes_that_are_pca_are_pca_of_all_rows():
    X = gaussian()
    model = fit(4, X=X, max_iter=1, decoder="linear")
    for n in (1, 2, 4):
        prefix, pca = model.truncated(n), fit_pca(X, n)
        assert prefix.is_pca_
        expected = pca.inverse_transform(pca.transform(X))
        np.testing.assert_allclose(prefix.reconstruct(X), expected, atol=1e-8)


def test_a_truncated_one_is_of_the_same_class_and_keeps_names(learned):
    prefix = learned.truncated(3)
    assert type(prefix) is type(learned)
    names = [f"autoencodertransformer{i}" for i in range(3)]
    assert prefix.get_feature_names_out().tolist() == names
    assert prefix.get_params()["n_components"] == 3
    assert prefix.components_.shape == (3, 64)
    np.testing.assert_array_equal(
        prefix.truncated(2).transform(DIGITS), learned.truncated(2).transform(DIGITS)
    )
    np.testing.assert_array_equal(prefix.truncated(16).transform(DIGITS), learned.transform(DIGITS))


def test_whitened_prefixes():
    model = fit(10, max_iter=8, whiten=True, hidden_layer_sizes=(64,))
    for n in (1, 2, 4, 5, 7, 9, 10):
        codes = model.truncated(n).transform(DIGITS)
        assert codes.shape == (len(DIGITS), n)
        np.testing.assert_allclose(codes.std(axis=0, ddof=1), 1, rtol=1e-3)


@pytest.mark.parametrize("params", [{"init": "random"}, {"code_layer": 0}], ids=str)
def test_codes_without_an_order(params):
    model = fit(4, **params)
    assert model.truncated(4).transform(DIGITS).shape == model.transform(DIGITS).shape
    with pytest.raises(ValueError, match=r'n_components=2.*init="pca"'):
        model.truncated(2)
    for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
        with pytest.raises(AttributeError, match='init="pca"'):
            getattr(model, name)


@pytest.mark.parametrize("n", [0, 9, -1, 2.0, True, None, "2"])
def test_sizes_that_there_are_not(n):
    model = fit(8, max_iter=0)
    with pytest.raises(ValueError, match=f"n_components={n!r} must be an integer from 1 to 8"):
        model.truncated(n)


def test_goes_on_from_the_size_that_is_trained():
    model = fit(2, max_components=8, warm_start=True)
    before = model.truncated(8).best_loss_
    model.fit(DIGITS)
    assert model.n_components_ == 2
    assert model.truncated(8).best_loss_ <= before


def test_goes_on_with_fewer_rows_than_numbers():
    model = fit(None, warm_start=True, max_iter=1)
    model.fit(DIGITS[:12])
    assert model.n_components_ == 12


def test_a_clone_of_a_truncated_one_is_fitted_as_it_was():
    model = fit(0.7, max_iter=2)
    prefix = model.truncated(2)
    found = clone(prefix).fit(DIGITS)
    # Up to what training makes of another order of PCA's sums.
    assert len(found.loss_curve_) == len(prefix.loss_curve_)
    assert found._nested.ratios == pytest.approx(prefix._nested.ratios, rel=1e-6)
    assert found.score_ == pytest.approx(prefix.score_, abs=0.02)


def test_output_is_set_of_one_alone():
    pytest.importorskip("pandas")
    model = fit(4, max_iter=1).set_output(transform="pandas")
    model.truncated(2).set_output(transform="default")
    assert hasattr(model.transform(DIGITS), "columns")


class LogSquare(nn.Module):
    """Crosses zero where PCA is beaten."""

    def forward(self, found, expected):
        return torch.log((found - expected).square().mean() + 1e-6) + 0.5


def test_losses_of_any_sign():
    model = fit(6, loss=LogSquare(), max_iter=6, hidden_layer_sizes=(64,))
    losses = [model.truncated(n).best_loss_ for n in range(1, 7)]
    assert max(losses) - min(losses) < 10
    assert min(losses[3], losses[5]) - 0.2 <= losses[4] <= max(losses[3], losses[5]) + 0.2


# -- Sizes that the data decides -------------------------------------------------------------------


@every_estimator
@pytest.mark.parametrize("shape", [(60, 5), (6, 20)])
def test_all_numbers_by_default(cls, shape):
    X = np.random.default_rng(0).normal(size=shape)
    model = make(cls, n_components=None, max_iter=2).fit(X)
    assert model.n_components_ == min(shape)
    assert model.is_pca_
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-8)


def test_codes_of_all_numbers_are_pcas_and_prefixes_are_better():
    model = fit(None, max_iter=15, hidden_layer_sizes=(64,))
    pca = PCA(svd_solver="full").fit(DIGITS)
    n = np.linalg.matrix_rank(DIGITS - DIGITS.mean(0))
    found, expected = model.transform(DIGITS)[:, :n], pca.transform(DIGITS)[:, :n]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)
    error = squared_error(model.truncated(4), DIGITS_TEST)
    assert error < 0.9 * squared_error(fit_pca(DIGITS, 4), DIGITS_TEST)


def test_a_share_takes_fewer_numbers_than_pca():
    model = fit(0.8, max_iter=20, hidden_layer_sizes=(64,))
    assert model.score_ >= 0.8
    assert model.truncated(model.n_components_ - 1).score_ < 0.8
    assert model.n_components_ < PCA(0.8).fit(DIGITS).n_components_
    assert (
        model.n_components_
        == fit(None, max_iter=20, hidden_layer_sizes=(64,))
        .truncated(model.n_components_)
        .n_components_
    )
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score_)


def test_a_share_is_that_of_pca_where_all_sizes_are():
    X = load_iris().data
    for share in (0.5, 0.93, 0.98, 0.999):
        model = make(n_components=share, hidden_layer_sizes=(), max_iter=0).fit(X)
        assert model.n_components_ == PCA(share, svd_solver="full").fit(X).n_components_


def test_a_share_that_no_size_reaches():
    model = fit(2, max_iter=2)
    before = model.transform(DIGITS)
    model.set_params(n_components=0.99, max_components=4)
    with pytest.raises(
        ValueError, match=r"n_components=0\.99 .* 4 numbers .*larger max_components"
    ):
        model.fit(DIGITS)
    model.set_params(n_components=2)
    np.testing.assert_array_equal(model.transform(DIGITS), before)


def test_as_many_as_are_trained():
    assert fit(None, max_components=6, max_iter=1).n_components_ == 6
    assert make(n_components=None, max_components=60, max_iter=1).fit(curve()).n_components_ == 5


def test_modules_have_a_size():
    with pytest.raises(ValueError, match=r"n_components=None .* encoder is a module"):
        make(n_components=None, encoder=mlp(64, 3)).fit(DIGITS)


# -- What PCA tells of its components --------------------------------------------------------------


def test_ratios_are_what_each_size_adds(learned):
    ratios = learned.explained_variance_ratio_
    assert ratios.shape == (16,)
    assert (ratios >= 0).all()
    assert ratios.sum() == pytest.approx(learned.score_)
    for n in (1, 2, 4, 8):
        truncated = learned.truncated(n)
        assert truncated.explained_variance_ratio_.sum() == pytest.approx(truncated.score_)
        # A size that is no better than a smaller one adds nothing.
        assert ratios[:n].sum() <= truncated.score_ + 1e-9


def test_scores_are_those_of_the_rows_that_were_held_out(learned):
    rows = DIGITS[held_out_rows(len(DIGITS))]
    for n in (1, 2, 3, 4, 6, 8, 12, 16):
        prefix = learned.truncated(n)
        assert prefix.score_ == pytest.approx(prefix.score(rows), abs=1e-4)


def test_variances_follow_from_the_ratios(learned):
    variance = DIGITS.var(axis=0, ddof=1).sum()
    ratios = learned.explained_variance_ratio_
    np.testing.assert_allclose(learned.explained_variance_, ratios * variance)
    np.testing.assert_allclose(
        learned.singular_values_, np.sqrt(ratios * variance * (len(DIGITS) - 1))
    )
    left = variance * (1 - ratios.sum()) / (64 - 16)
    assert learned.noise_variance_ == pytest.approx(left)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2, None])
def test_where_all_is_pca_they_are_pcas(n, dtype):
    X = (7 + 1e3 * load_iris().data).astype(dtype)
    model = make(n_components=n, hidden_layer_sizes=(), max_iter=0).fit(X)
    pca = PCA(n, svd_solver="full").fit(X.astype(np.float64))
    for name in (
        "explained_variance_", "explained_variance_ratio_", "singular_values_", "noise_variance_",
        "mean_", "n_samples_", "n_components_",
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(model, name), getattr(pca, name), rtol=1e-4, atol=1e-6)
    assert model.explained_variance_.dtype == model.explained_variance_ratio_.dtype == dtype


def test_rows_without_variance():
    model = make(n_components=2, max_iter=1).fit(np.ones((20, 3)))
    np.testing.assert_array_equal(model.explained_variance_, [0, 0])
    assert np.isfinite(model.explained_variance_ratio_).all()
    assert model.noise_variance_ == 0


def test_nothing_is_held_out():
    model = fit(4, early_stopping=False)
    assert model.score_ is None
    # Of training rows.
    total = np.sum((DIGITS - DIGITS.mean(0)) ** 2)
    found = 1 - squared_error(model, DIGITS) / total
    assert model.explained_variance_ratio_.sum() == pytest.approx(found, abs=1e-6)


def test_what_is_not_offered():
    model = AutoencoderTransformer(2)
    for name in ("get_covariance", "get_precision"):
        assert not hasattr(model, name)
