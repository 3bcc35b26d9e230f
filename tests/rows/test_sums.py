"""What all rows sum up to, and the units that follow from it."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_ae._rows import (
    KeptRows,
    ScaledRows,
    Sums,
    row_blocks,
    scaled_rows,
    self_products,
    sum_up,
)
from sklearn_ae._rows import blocks as blocks_module
from sklearn_ae._rows import scaling as scaling_module
from sklearn_ae._rows.sums import MANY_COLUMNS, PANEL

CPU = torch.device("cpu")
CONTAINERS = [np.asarray, sparse.csr_matrix, sparse.csr_array]
every_container = pytest.mark.parametrize("container", CONTAINERS)


def make_data(n_rows=60, n_columns=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(1.0, 2.0, size=(n_rows, n_columns)) * np.arange(1, n_columns + 1)
    return X * (rng.random(X.shape) < 0.6)


def scaled(X, order=None, scaling=None):
    order = np.arange(X.shape[0]) if order is None else order
    scaling = scaling or sum_up(X, torch.float64, CPU).scaling()
    rows = scaled_rows(X, order, scaling, CPU)
    return rows.slice(0, len(rows)), scaling


@every_container
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean_zero_and_mean_square_one(container, dtype):
    X = make_data().astype(dtype)
    found, scaling = scaled(container(X))
    assert found.dtype == torch.float32
    found = found.double().numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    assert (found**2).mean() == pytest.approx(1, rel=1e-5)
    # One number for all columns: distances keep their ratios.
    np.testing.assert_allclose(found * scaling.scale + scaling.shift, X, rtol=1e-5, atol=1e-5)


@every_container
def test_statistics_are_those_of_the_scaled_columns(container):
    found, scaling = scaled(container(make_data()))
    found = found.double().numpy()
    np.testing.assert_allclose(scaling.deviation, found.std(0), rtol=1e-5)
    np.testing.assert_allclose(scaling.low, found.min(0), rtol=1e-5)
    np.testing.assert_allclose(scaling.high, found.max(0), rtol=1e-5)


@every_container
def test_rows_come_in_the_order_wanted(container):
    X, order = make_data(), np.random.default_rng(1).permutation(60)
    shuffled, _ = scaled(container(X), order)
    in_order, _ = scaled(container(X))
    torch.testing.assert_close(shuffled, in_order[order])


@every_container
def test_input_is_left_as_it_is(container):
    X = container(make_data())
    before = X.copy()
    scaled(X)
    assert np.array_equal(np.asarray(abs(X - before).sum()), 0)


@pytest.mark.parametrize("container", CONTAINERS[1:])
@pytest.mark.parametrize("offset", [0.0, 2000.0])
def test_sparse_is_as_dense(container, offset):
    """Also with one column such as a year: full, and far from zero beside its spread."""
    X = make_data()
    X[:, 0] += offset
    dense, expected = scaled(X)
    found, scaling = scaled(container(X))
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)
    for name in ("shift", "scale", "deviation", "low", "high"):
        np.testing.assert_allclose(
            getattr(scaling, name), getattr(expected, name), rtol=1e-9, atol=1e-9
        )


def test_sparse_with_explicit_zeros():
    """Cells that are stored in parts have been put together before."""
    X = make_data()
    stored = sparse.csr_matrix((X.ravel(), np.tile(np.arange(5), 60), np.arange(61) * 5), X.shape)
    assert stored.nnz > np.count_nonzero(X)
    dense, expected = scaled(X)
    found, scaling = scaled(stored)
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaling.deviation, expected.deviation, rtol=1e-9)


@every_container
@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e300])
def test_extreme_values(container, size):
    """Squares of these would leave float64, and the values float32."""
    ordinary, _ = scaled(container(make_data()))
    found, scaling = scaled(container(make_data() * size))
    torch.testing.assert_close(found, ordinary, rtol=1e-5, atol=1e-5)
    assert np.isfinite(scaling.scale)
    assert scaling.scale > 0


@every_container
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_values_in_float32(container, size):
    X = (make_data() * size).astype(np.float32)
    found, _ = scaled(container(X))
    ordinary, _ = scaled(container(make_data()))
    torch.testing.assert_close(found, ordinary, rtol=1e-5, atol=1e-5)


@every_container
def test_columns_whose_scales_differ_vastly(container):
    found, scaling = scaled(container(make_data() * [1e-30, 1e-12, 1, 1e12, 1e30]))
    assert torch.isfinite(found).all()
    assert float(found.double().square().mean()) == pytest.approx(1, rel=1e-5)
    assert np.isfinite(scaling.deviation).all()


@every_container
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1, 1e-300, -7.0])
def test_constant_columns_are_exactly_zero(container, value):
    X = make_data()
    X[:, 2] = value
    found, scaling = scaled(container(X))
    assert (found[:, 2] == 0).all()
    assert scaling.deviation[2] == scaling.low[2] == scaling.high[2] == 0


@every_container
@pytest.mark.parametrize("value", [0.0, 0.1, 1e30])
def test_constant_data_is_exactly_zero(container, value):
    found, scaling = scaled(container(np.full((9, 3), value)))
    assert (found == 0).all()
    assert scaling.scale > 0
    np.testing.assert_array_equal(scaling.shift, value)


def test_far_from_zero_in_float64():
    X = make_data()
    ordinary, _ = scaled(X)
    found, _ = scaled(X + 1e9)
    torch.testing.assert_close(found, ordinary, rtol=1e-5, atol=1e-5)


def test_units_of_earlier_rows_are_kept():
    X = make_data()
    _, earlier = scaled(X)
    found, scaling = scaled(X * 3 + 1, scaling=earlier)
    assert scaling is earlier
    expected = (X * 3 + 1 - earlier.shift) / earlier.scale
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_overflow_is_an_error():
    X = make_data()
    X[:2, 0] = 1.7e308
    with pytest.raises(ValueError, match="X has values too large"):
        scaled(X)


def test_a_block_at_a_time_gives_the_same(monkeypatch):
    whole, expected = scaled(make_data())
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", 7)
    found, scaling = scaled(make_data())
    torch.testing.assert_close(found, whole, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaling.deviation, expected.deviation, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_rows_are_scaled_as_they_are_read(dtype, monkeypatch):
    X = make_data().astype(dtype)
    order = np.random.default_rng(0).permutation(len(X))
    expected, _ = scaled(X, order)
    monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    _, scaling = scaled(X)
    rows = scaled_rows(X, order, scaling, CPU)
    assert isinstance(rows, ScaledRows)
    assert rows.source is X
    assert torch.equal(rows.slice(0, len(X)), expected)
    # Gathered row by row, another order of the cells in memory would be slow.
    rows = scaled_rows(np.asfortranarray(X), order, scaling, CPU)
    assert isinstance(rows, KeptRows)
    assert torch.equal(rows.tensor, expected)


def sums_of(X, centre=None, unit=1.0):
    """Sum up rows block by block."""
    sums = Sums(X.mean(axis=0) if centre is None else centre, unit, device=CPU)
    for start, stop in row_blocks(*X.shape):
        sums.add(X[start:stop])
    return sums


@pytest.mark.parametrize("offset", [0.0, 3.0])
@pytest.mark.parametrize("unit", [0.25, 1.0, 64.0])
def test_products_and_mean_are_numpys(unit, offset):
    X = make_data()
    sums = sums_of(X, X.mean(axis=0) + offset, unit)
    centred = X - X.mean(axis=0)
    np.testing.assert_allclose(sums.mean, X.mean(axis=0))
    np.testing.assert_allclose(sums.products(1.0), centred.T @ centred, atol=1e-9)
    np.testing.assert_allclose(sums.products(3.0) * 9, sums.products(1.0), rtol=1e-12)
    np.testing.assert_array_equal(sums.low, X.min(axis=0))
    np.testing.assert_array_equal(sums.high, X.max(axis=0))
    assert sums.count == 60


@pytest.mark.parametrize("parts", [[30], [1, 2, 59], [20, 40]])
def test_sums_of_parts_add_up(parts):
    """As over calls and over processes, which share centre and unit."""
    X = make_data()
    whole = sums_of(X)
    total = Sums(whole.centre, 1.0, device=CPU)
    for part in np.split(X, parts):
        if len(part):
            total += sums_of(part, whole.centre)
    assert total.count == whole.count
    for name in ("mean", "low", "high", "farthest"):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-12)
    np.testing.assert_allclose(total.products(1.0), whole.products(1.0), atol=1e-9)
    assert total.scaling().scale == pytest.approx(whole.scaling().scale)


@pytest.mark.parametrize("container", CONTAINERS)
def test_many_columns_have_squares_alone(container):
    X = make_data(40, MANY_COLUMNS + 10)
    sums = sum_up(container(X), torch.float64, CPU)
    assert not sums.has_products
    np.testing.assert_allclose(sums.products(1.0), 40 * X.var(axis=0), rtol=1e-9)


@every_container
@pytest.mark.parametrize("n_columns", [5, MANY_COLUMNS + 10])
def test_all_rows_are_summed_up_in_one_pass(container, n_columns, monkeypatch):
    """But for a look at some of them, and where that misled: a first block of zeros."""
    added = []
    for name in ("add", "add_sparse"):
        add = getattr(Sums, name)
        monkeypatch.setattr(
            Sums, name, lambda self, rows, add=add: added.append(rows.shape[0]) or add(self, rows)
        )
    X = make_data(700, n_columns)
    sum_up(container(X), torch.float64, CPU)
    assert sum(added) == 700
    X[:] = 0
    X[1, 0] = 1e30
    added.clear()
    found = sum_up(container(X), torch.float32, CPU)
    assert sum(added) == 1400
    deviation = X[:, 0].std() / found.scaling().scale
    np.testing.assert_allclose(found.scaling().deviation[0], deviation, rtol=1e-4)


@pytest.mark.parametrize("n_columns", [1, PANEL - 1, PANEL, PANEL + 1, 2 * PANEL, 3 * PANEL - 7])
def test_self_products(n_columns):
    a = torch.randn(30, n_columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = self_products(a)
    torch.testing.assert_close(found, a.T @ a)
    assert torch.equal(found, found.T)


@pytest.mark.parametrize("unit", [1.0, 1e-320, 1e300])
@pytest.mark.parametrize("n_columns", [4, 1200])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_sums_on_a_device_that_is_not_there(kind, n_columns, unit, stand_in):
    X = kind(np.random.default_rng(0).integers(-3, 4, (50, n_columns)) * unit)
    here, there = (sum_up(X, torch.float64, device) for device in (CPU, stand_in))
    for name, value in here.arrays().items():
        # What cancels out, about the centre and in units of its own.
        atol = 1e-12 if name in ("total", "products") else 0
        np.testing.assert_allclose(there.arrays()[name], value, rtol=1e-12, atol=atol)
