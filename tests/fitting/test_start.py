"""The start at PCA."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA

from sklearn_ae._fitting import start as start_module
from sklearn_ae._fitting.rows import FitRows, SummedRows, draw_rows, split_rows
from sklearn_ae._fitting.start import (
    FEW_ROWS,
    find_start,
    ordinary_codes,
    principal_components,
    sum_up_for,
    train_on_lone_rows,
)
from sklearn_ae._rows import ScaledRows, scaled_rows, sum_up
from sklearn_ae._rows import scaling as scaling_module

CPU = torch.device("cpu")
SHAPES = {
    "tall": (200, 10),
    "wide": (20, 60),
    "square": (30, 30),
    "one column": (30, 1),
    "large": (FEW_ROWS + 60, FEW_ROWS + 20),
    "many columns": (40, FEW_ROWS + 20),
    "many rows": (FEW_ROWS + 20, 40),
}


def make_data(shape, seed=0):
    """Rows whose variances fall by a third from one direction to the next."""
    rng = np.random.default_rng(seed)
    rank = min(shape) if max(shape) < 100 else min(12, *shape)
    spread = 1.5 ** -np.arange(rank)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], rank)))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], rank)))
    return left * spread @ right.T * np.sqrt(shape[0]) + rng.normal(size=shape[1])


def scaled(X, scaling=None, k=4):
    """Return rows, scaled and summed up, and the scaled rows as an array."""
    sums = sum_up_for(X, k, CPU)
    scaling = scaling or sums.scaling()
    rows = scaled_rows(X, np.arange(X.shape[0]), scaling, CPU)
    given = SummedRows(X, np.arange(X.shape[0]), sums, scaling, rows)
    return given, rows.slice(0, len(rows)).double().numpy()


def find_pca(given, k, seed=0):
    return principal_components(given, k, seed)


def missed(found, X):
    """Return what is left of the rows, as a root mean square."""
    centred = X - X.mean(axis=0)
    return np.sqrt(np.square(centred - centred @ found.components.T @ found.components).mean())


def check_equal(found, X, n_components, tol):
    """Compare with scikit-learn's PCA: the subspace direction by direction, and the deviations."""
    pca = PCA(n_components, svd_solver="full").fit(X)
    np.testing.assert_allclose(found.mean, pca.mean_, atol=1e-6)
    cosines = np.einsum("ij,ij->i", found.components, pca.components_)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=tol)
    deviations = pca.transform(X).std(axis=0)
    np.testing.assert_allclose(found.deviations, deviations, rtol=tol, atol=tol)
    assert found.residual == pytest.approx(missed(found, X), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_principal_components_are_those_of_scikit_learn(shape):
    given, X = scaled(make_data(shape))
    k = min(4, shape[1])
    check_equal(find_pca(given, k), X, k, 1e-4)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.1, 1.0])
def test_products_in_float32_cost_nothing_that_counts(noise, monkeypatch):
    """Where PCA leaves little, they are not what is used."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 30)) + noise * rng.normal(size=(400, 30))
    given, X = scaled(data + 10)
    exact = find_pca(given, 3)
    monkeypatch.setattr(start_module, "MANY_PRODUCTS", 0)
    given, _ = scaled(data + 10, k=3)
    assert given.sums.dtype == (torch.float32 if noise >= 0.1 else torch.float64)
    found = find_pca(given, 3)
    assert missed(found, X) <= missed(exact, X) * (1 + 1e-5) + 1e-7
    np.testing.assert_allclose(found.deviations, exact.deviations, rtol=1e-4)
    assert found.residual == pytest.approx(exact.residual, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("kept", [True, False])
def test_wide_rows_are_read_in_blocks(kept, monkeypatch):
    """Where they are no copy is made, and the subspace is nearly the best."""
    if not kept:
        monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(FEW_ROWS + 30, FEW_ROWS + 20)) * 0.97 ** np.arange(FEW_ROWS + 20)
    given, X = scaled(data)
    assert isinstance(given.rows, ScaledRows) != kept
    found = find_pca(given, 5)
    assert missed(found, X) <= 1.001 * missed(PCAOf(X, 5), X)
    assert found.residual == pytest.approx(missed(found, X), rel=1e-4)


class PCAOf:
    """The components of scikit-learn's PCA under our name."""

    def __init__(self, X, k):
        self.components = PCA(k, svd_solver="full").fit(X).components_


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("shape", [(80, 30), (30, 80), (200, FEW_ROWS + 20)])
def test_principal_components_of_sparse_rows(container, shape):
    rng = np.random.default_rng(0)
    matrix = make_data(shape) * (rng.random(shape) < 0.3) * np.linspace(1, 5, shape[1])
    given, X = scaled(container(matrix))
    found = find_pca(given, 3)
    pca = PCA(3, svd_solver="full").fit(X)
    np.testing.assert_allclose(found.mean, pca.mean_, atol=1e-6)
    np.testing.assert_allclose(found.deviations, pca.transform(X).std(axis=0), rtol=1e-3)
    error = np.square(X - X @ found.components.T @ found.components).mean()
    best = np.square(X - X @ pca.components_.T @ pca.components_).mean()
    assert error == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_sparse_rows_of_extreme_size(size, dtype):
    shape = (60, FEW_ROWS + 20)
    matrix = sparse.random(*shape, density=0.05, random_state=0).tocsr().astype(dtype)
    ordinary, _ = scaled(sparse.csr_array(matrix))
    extreme, _ = scaled(sparse.csr_array((matrix * size).astype(dtype)))
    one, other = (find_pca(given, 3) for given in (ordinary, extreme))
    np.testing.assert_allclose(other.deviations, one.deviations, rtol=1e-3)
    cosines = np.einsum("ij,ij->i", one.components, other.components)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 4), (5, 40), (2, 3), (2, 1), (40, 40)])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_more_components_than_directions(shape, container):
    given, X = scaled(container(make_data(shape)))
    k = max(shape) + 3
    found = find_pca(given, k)
    assert found.components.shape == (k, shape[1])
    gram = found.components @ found.components.T
    size = np.diag(gram)
    assert (np.isclose(size, 1, atol=1e-6) | np.isclose(size, 0, atol=1e-12)).all()
    np.testing.assert_allclose(gram, np.diag(size), atol=1e-6)
    np.testing.assert_allclose(X @ found.components.T @ found.components, X, atol=1e-5)
    rank = min(shape[0] - 1, shape[1])
    np.testing.assert_allclose(found.deviations[rank:], 0, atol=1e-6)


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("n", range(20, 60, 3))
def test_directions_of_equal_variance(n, repeats, n_components):
    """One row a column: LAPACK's solvers for a few eigenvalues may find none."""
    given, X = scaled(np.repeat(np.eye(n), repeats, axis=0))
    found = find_pca(given, n_components)
    np.testing.assert_allclose(
        found.components @ found.components.T, np.eye(n_components), atol=1e-6
    )
    np.testing.assert_allclose(found.deviations, X[0].std() * np.sqrt(n / (n - 1)), rtol=1e-4)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (9, 9)])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_data_of_low_rank(shape, rank):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])) + 1.0
    given, X = scaled(X)
    found = find_pca(given, 5)
    assert np.isfinite(found.components).all()
    assert (found.deviations >= 0).all()
    np.testing.assert_allclose(found.deviations[rank:], 0, atol=1e-3)
    centred = X - found.mean
    rebuilt = centred @ found.components.T @ found.components
    np.testing.assert_allclose(rebuilt, centred, atol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_in_the_units_of_other_rows(container, offset):
    """As of a warm start: the mean of these rows is not that of the others."""
    X = make_data((200, 10)) * 100 + offset
    other = sum_up(X[:120], torch.float64, CPU).scaling()
    given, _ = scaled(container(X), scaling=other)
    check_equal(find_pca(given, 4), (X - other.shift) / other.scale, 4, 1e-6)


def test_pca_is_exact():
    """To the last digits that float64 gives."""
    given, _ = scaled(make_data((200, 10)) * 100)
    X = (make_data((200, 10)) * 100 - given.scaling.shift) / given.scaling.scale
    found, pca = find_pca(given, 4), PCA(4, svd_solver="full").fit(X)
    np.testing.assert_allclose(found.components, pca.components_, atol=1e-10)


@pytest.mark.parametrize("n_rows", [30, 400])
def test_ordinary_rows_and_codes(n_rows):
    """Ordinary is up to twice as far out as ten training rows lie, or a tenth of few."""
    data = make_data((n_rows + 20, 10))
    given, X = scaled(data)
    pca = find_pca(given, 3)
    rows = FitRows(given.scaling, given, given, given.rows, given.rows, None)
    rows.train = replace(given, rows=given.rows.part(0, n_rows))
    found = find_start(rows, pca)
    train = X[:n_rows]
    nth = -min(10, n_rows // 10)
    expected = 2 * np.sort(np.linalg.norm(train - pca.mean, axis=1))[nth]
    assert found.row_radius == pytest.approx(expected, rel=1e-5)
    codes = (train - pca.mean) @ pca.components.T
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    np.testing.assert_allclose(found.code_middle, (low + high) / 2, atol=1e-5)
    distances = np.abs((codes - found.code_middle) / ((high - low) / 2)).max(axis=1)
    expected = 2 * max(np.sort(distances)[nth], 1) * (high - low) / 2
    np.testing.assert_allclose(found.code_radius, expected, rtol=1e-4)
    assert found.residual == pca.residual
    for bound, edge in zip(found.row_bounds, (X.min(axis=0), X.max(axis=0)), strict=True):
        np.testing.assert_allclose(bound, edge, atol=1e-5)


def test_of_many_rows_some_say_where_they_lie(monkeypatch):
    given, _ = scaled(make_data((3_000, 10)))
    pca = find_pca(given, 3)
    rows = FitRows(given.scaling, given, given, given.rows, given.rows, None)
    whole = find_start(rows, pca)
    monkeypatch.setattr(start_module, "MANY_ROWS", 1_000)
    monkeypatch.setattr(type(given.rows), "blocks", None)  # the sample is taken, in one piece
    some = find_start(rows, pca)
    np.testing.assert_allclose(some.code_radius, whole.code_radius, rtol=0.3)
    assert some.row_radius == pytest.approx(whole.row_radius, rel=0.3)


def test_ordinary_codes_of_a_component_without_variance():
    codes = np.outer(np.arange(20.0), [1.0, 0.0])
    middle, radius = ordinary_codes(codes)
    assert np.isfinite(middle).all()
    assert radius[0] > 0
    assert radius[1] == 0


def fit_rows(X, seed=0):
    sums = sum_up(X, torch.float64, CPU)
    chosen = draw_rows(len(X), 0.1, seed)
    return split_rows(X, sums, sums.scaling(), chosen, CPU, hold_out=True), chosen


def test_pca_starts_from_training_rows_alone():
    X = make_data((200, 10))
    rows, chosen = fit_rows(X)
    pca = find_pca(rows.train, 3)
    assert train_on_lone_rows(rows, pca, 0) is rows
    train = np.delete(X, chosen, axis=0)
    expected = PCA(3, svd_solver="full").fit((train - rows.scaling.shift) / rows.scaling.scale)
    np.testing.assert_allclose(np.abs(pca.components), np.abs(expected.components_), atol=1e-8)
    np.testing.assert_allclose(pca.mean, expected.mean_, atol=1e-10)


@pytest.mark.parametrize("lone", [[3], [0, 19]])
def test_a_held_out_row_without_its_like_trains(lone):
    """A column that is set in this row alone; the others stay held out."""
    X = make_data((200, 10))
    rows, chosen = fit_rows(X)
    X = np.hstack([X, np.zeros((200, len(lone)))])
    X[chosen[lone], 10 + np.arange(len(lone))] = 30
    rows, again = fit_rows(X)
    assert np.array_equal(again, chosen)
    found = train_on_lone_rows(rows, find_pca(rows.train, 3 + len(lone)), 0)
    pca = find_pca(found.train, 3 + len(lone))
    held_out = found.all.index[len(found.others) :]
    assert set(chosen) - set(held_out) == set(chosen[lone])
    assert len(found.train.rows) == 180 + len(lone)
    assert len(found.held_out) == 20 - len(lone)
    assert np.linalg.norm(pca.components[:, 10:], axis=0).min() > 0.9
    # What train is summed up to is what it is.
    train = found.train.rows.slice(0, len(found.train.rows)).double().numpy()
    np.testing.assert_allclose(
        found.train.sums.products(found.scaling.scale),
        (train - train.mean(0)).T @ (train - train.mean(0)),
        atol=1e-3,
    )


def test_where_few_rows_leave_pca_nothing_new_rows_say_what_it_leaves():
    X = make_data((8, 40))
    rows, _ = fit_rows(np.vstack([X, X + 0.1]))
    found = find_start(rows, find_pca(rows.train, 16))
    assert found.residual >= start_module.SMALLEST_RESIDUAL
