"""What PCA users look for in a fitted estimator: mean, components, whitened codes, precision."""

import pickle

import numpy as np
import pytest
import torch
from curves import curve, fit_pca, gaussian, make, mlp
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer, _inference
from sklearn_ae._fitting import whitening
from sklearn_ae._rows import blocks as blocks_module
from sklearn_ae._rows import row_blocks
from sklearn_ae.modules import Rescaled
from sklearn_ae.modules import refined as refined_module
from sklearn_ae.modules.parted import parted

X = curve()


@pytest.mark.parametrize("params", [{}, {"init": "random"}, {"early_stopping": False}])
def test_mean_and_number_of_rows(make_estimator, params):
    model = make(make_estimator, **params).fit(X)
    np.testing.assert_allclose(model.mean_, X.mean(axis=0), atol=1e-12)
    assert model.n_samples_ == len(X)


def test_an_unfitted_estimator_has_no_components(make_estimator):
    assert not hasattr(make_estimator(), "components_")
    with pytest.raises(NotFittedError):
        _ = make_estimator().components_


@pytest.mark.parametrize("whiten", [False, True])
def test_components_of_pca(make_estimator, whiten):
    """Where the fitted model is PCA, all of it is PCA's, signs included."""
    rows = gaussian()
    model, pca = make(make_estimator, n_components=3, whiten=whiten).fit(rows), fit_pca(rows, 3)
    pca.set_params(whiten=whiten)
    assert model.is_pca_
    np.testing.assert_allclose(model.components_, pca.components_, atol=1e-7)
    codes = pca.transform(rows)
    np.testing.assert_allclose(model.transform(rows), codes, atol=1e-7 * np.abs(codes).max())
    np.testing.assert_allclose(
        model.inverse_transform(codes), pca.inverse_transform(codes), atol=1e-7 * np.abs(rows).max()
    )


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("far, unit", [(1e9, 1e5), (1e12, 1e3), (0, 1e20), (0, 1e-20)])
def test_components_of_columns_far_from_zero_and_of_any_unit(far, unit, whiten):
    rows = far + unit * gaussian()
    model, pca = make(n_components=3, whiten=whiten).fit(rows), fit_pca(rows, 3)
    assert model.is_pca_
    np.testing.assert_allclose(model.components_, pca.components_, atol=1e-5)


def test_components_of_a_decoder_in_float32():
    """As a user's may be, whatever it is told."""
    decoder = nn.Linear(3, 5)
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    codes = np.random.default_rng(0).normal(size=(100, 3))
    found = _inference.mean_jacobian(Rescaled(decoder, zero, one, zero, one), codes, "cpu")
    # A difference of reconstructions that are rounded to 1e-7, over a step of 1e-4.
    np.testing.assert_allclose(found, decoder.weight.detach().T, atol=5e-3)


@pytest.mark.parametrize("unit", [1.0, 1e160])
def test_score_is_of_sums_of_squares(make_estimator, unit):
    """Of rows whose squares leave float64, too."""
    rows = unit * X
    model = make(make_estimator).fit(rows)
    missed = (rows - model.reconstruct(rows)) / unit
    away = (rows - model.mean_) / unit
    expected = 1 - np.square(missed).sum() / np.square(away).sum()
    assert model.score(rows) == pytest.approx(expected, rel=1e-9)
    for far in (1e150, 1e153, 1e200):
        assert np.isfinite(model.score(far / unit * rows))


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_wide_rows_part_the_decoder_once(method, monkeypatch):
    """However many blocks there are: their products are the same."""
    wide = X @ np.random.default_rng(0).normal(size=(5, 300))
    model = make(n_components=2, early_stopping=False).fit(wide)
    expected = model.reconstruct(wide)
    made = []

    def parting(decoder):
        made.append(decoder)
        return parted(decoder)

    monkeypatch.setattr(refined_module, "parted", parting)
    monkeypatch.setattr(blocks_module, "BLOCK_CELLS", 10 * 300)
    assert len(list(row_blocks(*wide.shape))) > 9
    getattr(model, method)(wide)
    assert len(made) == 1
    np.testing.assert_allclose(model.reconstruct(wide), expected, atol=1e-3 * expected.std())


def test_a_fit_parts_the_decoder_as_often_however_many_blocks_there_are(monkeypatch):
    rows = np.tile(X, (6, 1)) + 0.1 * np.random.default_rng(0).normal(size=(6 * len(X), 5))
    wide = rows @ np.random.default_rng(0).normal(size=(5, 300))
    counts = []
    for block in (80, len(wide)):
        made = []
        monkeypatch.setattr(
            refined_module, "parted", lambda d, made=made: made.append(d) or parted(d)
        )
        monkeypatch.setattr(blocks_module, "BLOCK_CELLS", block * 300)
        make(n_components=2, early_stopping=False).fit(wide)
        counts.append(len(made))
    assert counts[0] == counts[1] > 1


def test_score_reads_rows_once(monkeypatch):
    model, seen = make().fit(X), []

    def blocks(*args, **kwargs):
        seen.append(args)
        return row_blocks(*args, **kwargs)

    monkeypatch.setattr(_inference, "row_blocks", blocks)
    model.score(X)
    assert len(seen) == 1


def test_whitened_codes_of_pca_are_of_all_rows(monkeypatch):
    monkeypatch.setattr(whitening, "MANY_ROWS", 50)
    rows = gaussian()
    model = make(n_components=3, whiten=True).fit(rows)
    assert model.is_pca_
    codes = model.transform(rows)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(codes.std(axis=0, ddof=1), 1, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_the_rows(make_estimator, dtype):
    model = make(make_estimator).fit(X.astype(dtype))
    assert model.mean_.dtype == model.components_.dtype == dtype


@pytest.mark.parametrize(
    "params",
    [{}, {"init": "random"}, {"decoder": mlp, "init": "random"}],
    ids=lambda params: "-".join(params) or "defaults",
)
@pytest.mark.parametrize("whiten", [False, True])
def test_components_are_the_mean_jacobian(params, whiten):
    """Against automatic differentiation over the held-out rows, in the units of plain codes."""
    model = make(max_iter=40, n_components=2, whiten=whiten, **params).fit(X)
    plain = make(max_iter=40, n_components=2, **params).fit(X)
    assert not model.is_pca_
    codes = torch.from_numpy(plain._some_codes)

    def mean(shift):
        return plain.module_.decoder(codes + shift).mean(0)

    shift = torch.zeros(2, dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(mean, shift).T.numpy()
    assert model.components_.shape == (2, 5)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model.components_, expected, atol=1e-3 * scale)


@pytest.mark.parametrize("params", [{}, {"init": "random"}, {"max_iter": 0}, {"n_components": 3}])
def test_whitened_codes(make_estimator, params):
    plain, white = (make(make_estimator, whiten=w, **params).fit(X) for w in (False, True))
    codes = white.transform(X)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(codes.std(axis=0, ddof=1), 1, rtol=1e-5)
    # Nothing else is another, and it is undone.
    np.testing.assert_allclose(white.reconstruct(X), plain.reconstruct(X), atol=1e-9)
    np.testing.assert_allclose(white.inverse_transform(codes), plain.reconstruct(X), atol=1e-9)
    moved = plain.transform(X)
    moved = (moved - moved.mean(axis=0)) / moved.std(axis=0, ddof=1)
    np.testing.assert_allclose(codes, moved, atol=1e-5)
    assert white.score(X) == pytest.approx(plain.score(X), rel=1e-9)


def test_whitened_numbers_that_are_always_the_same():
    """More components than the data has directions: zero stays zero."""
    model = make(n_components=8, whiten=True).fit(X)
    codes = model.transform(X)
    assert np.isfinite(codes).all()
    assert (codes[:, 5:] == 0).all()
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=1e-6)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, DenoisingAutoencoderTransformer])
def test_hidden_layers_are_not_whitened(cls):
    with pytest.raises(ValueError, match=r"whiten=True .* code_layer=0"):
        make(cls, whiten=True, code_layer=0).fit(X)


PRECISIONS = {
    "network": {"early_stopping": False, "max_iter": 30},
    "whitened": {"early_stopping": False, "whiten": True},
    "PCA": {"hidden_layer_sizes": (), "learning_rate_init": 1e-12},
    "hidden layer": {"early_stopping": False, "code_layer": 0},
}


@pytest.mark.parametrize("params", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize("far", [0, 1e4])
def test_the_precision_is_that_of_the_rows(make_estimator, params, far):
    """Codes of float32 rows are those of the same rows in float64, up to float32's rounding."""
    rows = (X + far).astype(np.float32)
    model = make(make_estimator, **params).fit(X + far)
    double = model.transform(rows.astype(np.float64))
    single = model.transform(rows)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-3 * double.std())
    # And yet they are something else: otherwise float32 would not be faster.
    assert np.abs(single - double).max() > 0
    alone = np.vstack([model.transform(row[None]) for row in rows[:20]])
    np.testing.assert_allclose(single[:20], alone, rtol=0, atol=1e-3 * double.std())
    alone = np.vstack([model.transform(row[None].astype(np.float64)) for row in rows[:20]])
    np.testing.assert_allclose(double[:20], alone, rtol=0, atol=1e-9 * double.std())
    errors, errors_64 = -model.score_samples(rows), -model.score_samples(rows.astype(np.float64))
    assert errors.sum() < 1.001 * errors_64.sum() + len(rows) * (far * 1e-6) ** 2


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_float32_rows_that_lie_far_out(make_estimator, unit):
    """Their squares would leave float32."""
    model = make(make_estimator, early_stopping=False).fit(unit * X)
    for far in (1e12, 1e20, 1e27):
        rows = (unit * X[:4]).astype(np.float32)
        rows[0, 2] = far * unit
        double = rows.astype(np.float64)
        codes, expected = model.transform(rows), model.transform(double)
        np.testing.assert_allclose(codes[0], expected[0], rtol=1e-5)
        errors, expected = model.score_samples(rows), model.score_samples(double)
        np.testing.assert_allclose(errors[0], expected[0], rtol=1e-5)
        assert np.isfinite(model.score(rows))


def test_float32_rows_whose_codes_would_leave_float32():
    """Their reconstructions do not: of many columns a code is larger than each of them."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0.5, 5, size=(200, 1)) + 0.02 * rng.normal(size=(200, 64))
    rows = (6e37 * rows).astype(np.float32)
    model = make(n_components=2).fit(rows)
    double = rows.astype(np.float64)
    assert np.abs(model.transform(double)).max() > np.finfo(np.float32).max
    found, expected = model.reconstruct(rows), model.reconstruct(double)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(rows).max())
    assert model.score(rows) == pytest.approx(model.score(double), abs=1e-5)


def test_float32_rows_are_centred_in_float64():
    rows = X * 1e-3
    model = make(n_components=2, early_stopping=False, transform_max_iter=0).fit(rows + 1)
    near = (rows + 1).astype(np.float32)
    expected = model.transform(near.astype(np.float64))
    np.testing.assert_allclose(model.transform(near), expected, rtol=0, atol=1e-6 * expected.std())


def test_transforming_float32_rows_leaves_the_estimator_as_it_was():
    model = make().fit(X)
    before = model.__dict__.copy()
    model.transform(X.astype(np.float32))
    assert model.__dict__ == before


def test_float32_rows_after_another_size():
    """What computes in float32 is made anew."""
    rows = X.astype(np.float32)
    model = make(n_components=2, max_components=2).fit(X)
    model.transform(rows)
    smaller = model.truncated(1)
    np.testing.assert_allclose(smaller.transform(rows), smaller.transform(X), atol=1e-3)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    refitted = model.fit(X[:60])
    np.testing.assert_allclose(refitted.transform(rows), refitted.transform(X), atol=1e-3)


def test_a_start_is_computed_without_layers_that_change_nothing(monkeypatch):
    params = {"n_components": 2, "hidden_layer_sizes": (8, 8), "max_iter": 0}
    model = make(**params).fit(X)
    monkeypatch.setattr(_inference, "drop_idle_layers", lambda network: None)
    with_all = make(**params).fit(X)
    assert not model.is_pca_
    np.testing.assert_allclose(model.transform(X), with_all.transform(X), rtol=1e-9, atol=1e-12)
    assert count_linear(model.module_.encoder.module.encoder) == 1
    assert count_linear(model.module_.decoder) == count_linear(with_all.module_.decoder) - 1
    hidden = make(**params, code_layer=0).fit(X).transform(X)
    assert hidden.shape == (len(X), 8)


def count_linear(module):
    """Count the linear layers that a module has."""
    return sum(isinstance(part, nn.Linear) for part in module.modules())
