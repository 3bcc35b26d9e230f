"""The start at PCA."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA

from sklearn_ae import _initialization as initialization
from sklearn_ae._build_network import linear_autoencoder
from sklearn_ae._initialization import (
    EXACT_SIZE,
    full_pca,
    ordinary_codes,
    ordinary_rows,
    principal_components,
)
from sklearn_ae._training import scaling as scaling_module
from sklearn_ae._training.scaling import scale_rows

CPU = torch.device("cpu")
SHAPES = {
    "tall": (200, 10),
    "wide": (20, 60),
    "square": (30, 30),
    "one column": (30, 1),
    "large": (EXACT_SIZE + 60, EXACT_SIZE + 20),
    "many columns": (40, EXACT_SIZE + 20),
    "many rows": (EXACT_SIZE + 20, 40),
}


def make_data(shape, seed=0):
    """Rows whose variances fall by a third from one direction to the next."""
    rng = np.random.default_rng(seed)
    rank = min(shape) if max(shape) < 100 else min(12, *shape)
    spread = 1.5 ** -np.arange(rank)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], rank)))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], rank)))
    return left * spread @ right.T * np.sqrt(shape[0]) + rng.normal(size=shape[1])


def scaled(X):
    rows, scaling = scale_rows(X, np.arange(X.shape[0]), CPU)
    dense_rows = rows.slice(0, len(rows)).double().numpy()
    return rows, scaling, dense_rows


def check_equal(found, X, n_components, tol):
    """Compare with scikit-learn's PCA: the subspace direction by direction, and the deviations."""
    pca = PCA(n_components, svd_solver="full").fit(X)
    np.testing.assert_allclose(found.mean, pca.mean_, atol=1e-6)
    cosines = np.einsum("ij,ij->i", found.components, pca.components_)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=tol)
    deviations = pca.transform(X).std(axis=0)
    np.testing.assert_allclose(found.deviations, deviations, rtol=tol, atol=tol)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_principal_components_are_those_of_scikit_learn(shape):
    rows, _, X = scaled(make_data(shape))
    k = min(4, shape[1])
    check_equal(principal_components(rows, k, 0), X, k, 1e-4)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.1, 1.0])
def test_products_in_float32_cost_nothing_that_counts(noise, monkeypatch):
    """Where PCA leaves little, they are not what is used."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 30)) + noise * rng.normal(size=(400, 30))
    rows, _, X = scaled(data + 10)
    exact = principal_components(rows, 3, 0)
    monkeypatch.setattr(initialization, "MANY_PRODUCTS", 0)
    found = principal_components(rows, 3, 0)

    def missed(pca):
        centred = X - X.mean(axis=0)
        return np.square(centred - centred @ pca.components.T @ pca.components).sum()

    assert missed(found) <= missed(exact) * (1 + 1e-5) + 1e-20
    np.testing.assert_allclose(found.deviations, exact.deviations, rtol=1e-4)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("shape", [(80, 30), (30, 80), (200, EXACT_SIZE + 20)])
def test_principal_components_of_sparse_rows(container, shape):
    rng = np.random.default_rng(0)
    matrix = make_data(shape) * (rng.random(shape) < 0.3) * np.linspace(1, 5, shape[1])
    rows, _, X = scaled(container(matrix))
    found = principal_components(rows, 3, 0)
    pca = PCA(3, svd_solver="full").fit(X)
    np.testing.assert_allclose(found.mean, pca.mean_, atol=1e-6)
    np.testing.assert_allclose(found.deviations, pca.transform(X).std(axis=0), rtol=1e-3)
    error = np.square(X - X @ found.components.T @ found.components).mean()
    best = np.square(X - X @ pca.components_.T @ pca.components_).mean()
    assert error == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_sparse_rows_of_extreme_size(size, dtype):
    shape = (60, EXACT_SIZE + 20)
    matrix = sparse.random(*shape, density=0.05, random_state=0).tocsr().astype(dtype)
    ordinary, _, _ = scaled(sparse.csr_array(matrix))
    extreme, _, _ = scaled(sparse.csr_array((matrix * size).astype(dtype)))
    one, other = (principal_components(rows, 3, 0) for rows in (ordinary, extreme))
    np.testing.assert_allclose(other.deviations, one.deviations, rtol=1e-3)
    cosines = np.einsum("ij,ij->i", one.components, other.components)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-3)


@pytest.mark.parametrize("shape", [(30, 4), (5, 40), (2, 3), (2, 1), (40, 40)])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_more_components_than_directions(shape, container):
    rows, _, X = scaled(container(make_data(shape)))
    k = max(shape) + 3
    found = principal_components(rows, k, 0)
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
    rows, _, X = scaled(np.repeat(np.eye(n), repeats, axis=0))
    found = principal_components(rows, n_components, 0)
    np.testing.assert_allclose(
        found.components @ found.components.T, np.eye(n_components), atol=1e-6
    )
    np.testing.assert_allclose(found.deviations, X[0].std() * np.sqrt(n / (n - 1)), rtol=1e-4)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (9, 9)])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_data_of_low_rank(shape, rank):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])) + 1.0
    rows, _, X = scaled(X)
    found = principal_components(rows, 5, 0)
    assert np.isfinite(found.components).all()
    assert (found.deviations >= 0).all()
    np.testing.assert_allclose(found.deviations[rank:], 0, atol=1e-3)
    centred = X - found.mean
    rebuilt = centred @ found.components.T @ found.components
    np.testing.assert_allclose(rebuilt, centred, atol=1e-4)


@pytest.mark.parametrize("sparse_too", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(200, 10), (20, 60), (30, 30)])
def test_full_pca_is_scikit_learns_in_scaled_units(shape, offset, sparse_too):
    X = make_data(shape) * 100 + offset
    given = sparse.csr_matrix(X) if sparse_too else X
    before = X.copy()
    _, scaling = scale_rows(given, np.arange(shape[0]), CPU)
    found = full_pca(given, scaling, 4, 0)
    assert np.array_equal(X, before)
    pca = PCA(4, svd_solver="full").fit(X)
    centred = (X - scaling.shift) / scaling.scale
    np.testing.assert_allclose(found.mean, 0, atol=1e-9 * (1 + offset))
    if sparse_too and offset:
        return  # what scikit-learn's PCA does to sparse data far from zero is its own affair
    cosines = np.abs(np.einsum("ij,ij->i", found.components, pca.components_))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    deviations = (centred @ pca.components_.T).std(axis=0)
    np.testing.assert_allclose(found.deviations, deviations, rtol=1 / shape[0])


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_full_pca_of_large_rows(offset, monkeypatch):
    X = make_data((200, 10)) * 100 + offset
    _, scaling = scale_rows(X[:150], np.arange(150), CPU)  # other rows, as of a warm start
    expected = full_pca(X, scaling, 12, 0)
    monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    found = full_pca(X, scaling, 12, 0)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-9)
    np.testing.assert_allclose(found.deviations, expected.deviations, rtol=1e-9)
    np.testing.assert_allclose(found.components, expected.components, atol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_full_pca_with_more_components_than_directions(container):
    X = make_data((6, 4))
    _, scaling = scale_rows(X, np.arange(6), CPU)
    found = full_pca(container(X), scaling, 9, 0)
    assert found.components.shape == (9, 4)
    assert (found.components[4:] == 0).all()
    assert (found.deviations[4:] == 0).all()


@pytest.mark.parametrize("n_rows", [30, 400])
def test_ordinary_rows_and_codes(n_rows):
    """Ordinary is up to twice as far out as ten rows lie, or a tenth of few."""
    rows, _, X = scaled(make_data((n_rows, 10)))
    pca = principal_components(rows, 3, 0)
    nth = -min(10, n_rows // 10)
    expected = 2 * np.sort(np.linalg.norm(X - pca.mean, axis=1))[nth]
    assert ordinary_rows(rows, pca.mean) == pytest.approx(expected, rel=1e-5)
    middle, radius = ordinary_codes(rows, linear_autoencoder(pca).encoder)
    codes = (X - pca.mean) @ pca.components.T
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    np.testing.assert_allclose(middle, (low + high) / 2, atol=1e-5)
    distances = np.abs((codes - middle) / ((high - low) / 2)).max(axis=1)
    expected = 2 * max(np.sort(distances)[nth], 1) * (high - low) / 2
    np.testing.assert_allclose(radius, expected, rtol=1e-4)


def test_ordinary_codes_of_a_component_without_variance():
    rows, *_ = scaled(np.outer(np.arange(20.0), [1.0, 2.0]))
    encoder = linear_autoencoder(principal_components(rows, 4, 0)).encoder
    middle, radius = ordinary_codes(rows, encoder)
    assert np.isfinite(middle).all()
    assert radius[0] > 0
    assert (radius[2:] == 0).all()
