"""Sparse rows give what dense ones give, and are never made dense as a whole."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._rows import blocks as blocks_module

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}
KINDS = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}


def counts(n_rows, n_columns, n_topics=3, seed=0):
    """Make counts that a few topics explain, most of them zero."""
    rng = np.random.default_rng(seed)
    topics = rng.gamma(0.1, size=(n_topics, n_columns))
    topics *= np.array([1.0, 2.0, 4.0])[:n_topics, None] / topics.sum(axis=1, keepdims=True)
    rates = rng.dirichlet(np.full(n_topics, 0.3), size=n_rows) @ topics
    return rng.poisson(rates * n_columns / 4).astype(float)


X = counts(200, 20)
X[5] = 0  # a row without anything
X[:, 7] = 0  # and a column


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def as_sparse(request):
    """Each kind of sparse container."""
    return request.param


@pytest.fixture
def small_blocks(monkeypatch):
    """Make blocks of a hundred rows of twenty columns, instead of thousands."""
    monkeypatch.setattr(blocks_module, "BLOCK_CELLS", 2000)


def assert_close(found, expected):
    """Equal to 1e-5 of the largest value."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def assert_equivalent(first, second, first_rows, second_rows):
    """Two fitted estimators say the same of the same rows, each in its own form."""
    for method in ("transform", "reconstruct", "score_samples", "score"):
        assert_close(getattr(first, method)(first_rows), getattr(second, method)(second_rows))


def test_the_data_is_sparse():
    assert 0.2 < (X == 0).mean() < 0.9


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_equals_dense(make_estimator, as_sparse, init, early_stopping, device, small_blocks):
    params = {"init": init, "early_stopping": early_stopping, "device": device, **SMALL}
    dense = make_estimator(2, **params).fit(X)
    found = make_estimator(2, **params).fit(as_sparse(X))
    assert found.is_pca_ == dense.is_pca_
    assert_equivalent(found, dense, as_sparse(X), X)
    assert_equivalent(found, dense, X, as_sparse(X))
    np.testing.assert_allclose(found.loss_curve_, dense.loss_curve_, rtol=1e-4)
    if early_stopping and init == "pca":
        assert found.pca_score_ == pytest.approx(dense.pca_score_, abs=1e-5)
        assert found.score_ == pytest.approx(dense.score_, abs=1e-5)


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper", "swap"])
def test_each_corruption_equals_dense(corruption):
    """The corruptions know the columns' spread and range, zeros included."""
    from sklearn_ae import DenoisingAutoencoderTransformer

    make = DenoisingAutoencoderTransformer
    params = {"corruption": corruption, "corruption_level": 0.4, "early_stopping": False, **SMALL}
    dense, found = (make(2, **params).fit(rows) for rows in (X, sparse.csr_matrix(X)))
    assert_equivalent(found, dense, sparse.csr_matrix(X), X)


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize(
    ("shape", "max_iter"),
    [((60, 40), 0), ((60, 40), 2), ((40, 60), 2), ((300, 1200), 0), ((1300, 1100), 0)],
    ids=str,
)
def test_wide_equals_dense(shape, max_iter, early_stopping):
    """PCA has other solvers for many columns: the same components come out, signs included."""
    rows = counts(*shape)
    params = {**SMALL, "early_stopping": early_stopping, "max_iter": max_iter}
    dense, found = (
        AutoencoderTransformer(2, **params).fit(kind(rows))
        for kind in (np.array, sparse.csr_matrix)
    )
    assert found.is_pca_ == dense.is_pca_
    assert_equivalent(found, dense, sparse.csr_matrix(rows), rows)


def test_dtypes(make_estimator, as_sparse):
    for dtype in (np.float32, np.float64):
        rows = as_sparse(X.astype(dtype))
        estimator = make_estimator(2, **SMALL).fit(rows)
        Z = estimator.transform(rows)
        assert Z.dtype == estimator.reconstruct(rows).dtype == dtype
        assert type(Z) is np.ndarray
        dense = make_estimator(2, **SMALL).fit(X.astype(dtype))
        assert_equivalent(estimator, dense, rows, X.astype(dtype))
    for dtype in (np.int64, np.uint8, bool):
        rows = as_sparse(X.astype(dtype))
        dense = make_estimator(2, **SMALL).fit(X.astype(dtype))
        assert_equivalent(make_estimator(2, **SMALL).fit(rows), dense, rows, X.astype(dtype))


def explicit_zeros(rows):
    """Store zeros as if they were values."""
    coo = sparse.coo_matrix(rows)
    row, column = np.nonzero(rows == 0)
    data = np.concatenate([coo.data, np.zeros(len(row))])
    index = np.concatenate([coo.row, row]), np.concatenate([coo.col, column])
    return sparse.csr_matrix((data, index), shape=rows.shape)


def duplicate_entries(rows):
    """Store each value as a sum of two, as a CSR matrix may."""
    csr = sparse.csr_matrix(rows)
    halves = csr.data / 2
    return sparse.csr_matrix(
        (np.repeat(halves, 2), np.repeat(csr.indices, 2), 2 * csr.indptr), shape=rows.shape
    )


def unsorted_indices(rows):
    """Store each row from right to left."""
    csr = sparse.csr_matrix(rows)
    order = np.concatenate(
        [np.arange(a, b)[::-1] for a, b in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)]
    )
    return sparse.csr_matrix((csr.data[order], csr.indices[order], csr.indptr), shape=rows.shape)


def long_indices(rows):
    """Index with 64 bits."""
    csr = sparse.csr_matrix(rows)
    csr.indices, csr.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    return csr


def read_only(rows):
    """Forbid to write."""
    csr = sparse.csr_matrix(rows)
    for part in (csr.data, csr.indices, csr.indptr):
        part.setflags(write=False)
    return csr


STORAGES = (explicit_zeros, duplicate_entries, unsorted_indices, long_indices, read_only)


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("store", STORAGES)
def test_however_it_is_stored(make_estimator, store, early_stopping):
    rows = store(X)
    np.testing.assert_array_equal(rows.toarray(), X)
    rows = store(X)
    before = [part.copy() for part in (rows.data, rows.indices, rows.indptr)]
    params = {"early_stopping": early_stopping, **SMALL}
    dense = make_estimator(2, **params).fit(X)
    found = make_estimator(2, **params).fit(rows)
    assert_equivalent(found, dense, rows, X)
    # And the user's matrix is as it was.
    for part, was in zip((rows.data, rows.indices, rows.indptr), before, strict=True):
        np.testing.assert_array_equal(part, was)


@pytest.mark.parametrize("shape", [(50, 20), (50, 1200), (1200, 1100)], ids=str)
def test_nothing_stored(make_estimator, shape):
    rows = sparse.csr_matrix(shape)
    estimator = make_estimator(2, **SMALL).fit(rows)
    assert np.isfinite(estimator.transform(rows)).all()
    np.testing.assert_array_equal(estimator.reconstruct(rows), 0)


@pytest.mark.parametrize("n_components", [60, 1250])
def test_more_components_than_wide_rows_have(n_components):
    rows = sparse.csr_matrix(counts(60, 1100))
    estimator = AutoencoderTransformer(n_components, **SMALL).fit(rows)
    assert np.isfinite(estimator.reconstruct(rows)).all()
    assert estimator.score(rows) > 0.99


def test_wide_rows_without_variance():
    rows = sparse.csr_matrix(np.ones((50, 1200)))
    estimator = AutoencoderTransformer(2, **SMALL).fit(rows)
    np.testing.assert_array_equal(estimator.reconstruct(rows), 1)


def test_more_components_than_columns_of_tall_rows():
    rows = sparse.csr_matrix(counts(1200, 1010))
    estimator = AutoencoderTransformer(1010, hidden_layer_sizes=(), max_iter=0, random_state=0)
    assert estimator.fit(rows).score(rows) > 0.99


def test_scales_are_as_with_dense_rows(make_estimator):
    for factor in (1e30, 1e-30):
        dense = make_estimator(2, **SMALL).fit(X * factor)
        found = make_estimator(2, **SMALL).fit(sparse.csr_matrix(X * factor))
        for method in ("transform", "reconstruct"):
            assert_close(
                getattr(found, method)(sparse.csr_matrix(X * factor)),
                getattr(dense, method)(X * factor),
            )


# -- Never dense as a whole ---------------------------------------------------------------------


@pytest.fixture
def largest_block(monkeypatch):
    """Record the cells of the largest dense array that was made of a sparse one."""
    found = {"cells": 0}
    bases = {
        base
        for kind in (*KINDS.values(), sparse.coo_matrix, sparse.coo_array)
        for base in kind.__mro__
        if "toarray" in vars(base)
    }
    for base in bases:

        def toarray(self, *args, original=base.toarray, **kwargs):
            found["cells"] = max(found["cells"], int(np.prod(self.shape)))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(base, "toarray", toarray)
    return found


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (sparse.csr_matrix, {}),
        (sparse.csc_array, {"init": "random"}),
        (sparse.csr_array, {"max_iter": 0}),
    ],
)
def test_never_dense(make_estimator, kind, params, largest_block, monkeypatch, request):
    limit = 2000 * 100
    monkeypatch.setattr(blocks_module, "BLOCK_CELLS", limit)
    rows = kind(
        sparse.random(
            3000, 2000, density=0.005, format="csr", random_state=np.random.RandomState(0)
        )
    )
    tensors = []
    cat = torch.cat

    def recorded_cat(parts, *args, **kwargs):
        result = cat(parts, *args, **kwargs)
        tensors.append(result.numel())
        return result

    monkeypatch.setattr(torch, "cat", recorded_cat)
    request.addfinalizer(tracemalloc.stop)
    tracemalloc.start()
    estimator = make_estimator(2, **{**SMALL, "max_iter": 1, "batch_size": 100, **params}).fit(rows)
    estimator.transform(rows)
    estimator.score(rows)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 3000 * 2000 * 4 / 2  # half of what float32 rows would take, in numpy alone
    assert largest_block["cells"] <= limit
    assert max(tensors, default=0) <= limit


def test_reconstruction_goes_block_by_block(largest_block, small_blocks):
    rows = sparse.csr_matrix(X)
    estimator = AutoencoderTransformer(2, **SMALL).fit(X)
    for method in ("transform", "reconstruct", "score_samples", "score"):
        largest_block["cells"] = 0
        getattr(estimator, method)(rows)
        assert largest_block["cells"] <= 2000


def test_codes_must_be_dense():
    estimator = AutoencoderTransformer(2, **SMALL).fit(X)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        estimator.inverse_transform(sparse.csr_matrix(estimator.transform(X)))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_wide_cells_that_are_stored_in_parts(offset):
    """As cells stored whole, in units too, and they stay as they are."""
    rows = counts(60, 1200)
    indices = np.tile(np.repeat(np.arange(1200), 2), 60)
    data = np.stack([rows - offset, np.full_like(rows, offset)], axis=-1).ravel()
    parts = sparse.csr_matrix((data, indices, np.arange(61) * 2400), shape=rows.shape)
    params = {**SMALL, "early_stopping": False, "max_iter": 0}
    found = AutoencoderTransformer(2, **params).fit(parts)
    expected = AutoencoderTransformer(2, **params).fit(sparse.csr_matrix(rows))
    assert parts.nnz == 2 * rows.size
    assert found._scaling.scale == pytest.approx(expected._scaling.scale, rel=1e-6)
    assert_close(found.score_samples(rows), expected.score_samples(rows))
