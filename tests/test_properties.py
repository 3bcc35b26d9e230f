"""What a fit may not depend on, and what it may not change, over tables that hypothesis draws."""

import copy
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting.rows import SummedRows
from sklearn_ae._fitting.start import principal_components, sum_up_for
from sklearn_ae._rows import scaled_rows
from sklearn_ae._rows.sums import N_FIRST

CPU = torch.device("cpu")
# More rows than the first look sees that says about where they lie.
MANY = 2 * N_FIRST + 1
SEEDS = st.integers(0, 2**16)


def few(n_examples):
    """Draw so many examples, the same in every run."""
    return settings(
        max_examples=n_examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # to shrink an example takes many fits
        # The fixture is a class, which no example changes.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def make_table(seed, n_columns, noise, n_rows):
    """Make rows on a noisy parabola, its coordinates mixed in the columns."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=n_rows)
    curve = np.column_stack([t, t**2 - 1 / 3, np.sin(3 * t)])
    # Each of them in a column of its own, and mixed in the others. The first is the largest, so
    # that a point of the curve can be told from the first principal component.
    weights = np.diag([3.0, 1, 1]) @ np.hstack([np.eye(3), rng.normal(size=(3, n_columns - 3)) / 2])
    return curve @ weights + noise * rng.normal(size=(n_rows, n_columns))


def tables(n_rows=120):
    columns, noise = st.integers(4, 6), st.sampled_from([0.02, 0.05])
    return st.builds(make_table, SEEDS, columns, noise, st.just(n_rows))


def make(cls=AutoencoderTransformer, **params):
    defaults = {
        "n_components": 1, "hidden_layer_sizes": (16,), "max_iter": 4, "random_state": 0,
        "device": "cpu",
    }  # fmt: skip
    return cls(**(defaults | params))


def find_start(X, k=2):
    """Return the scaling, and PCA in its units."""
    sums = sum_up_for(X, k, CPU)
    scaling = sums.scaling()
    rows = scaled_rows(X, np.arange(len(X)), scaling, CPU)
    summed = SummedRows(X, np.arange(len(X)), sums, scaling, rows)
    return scaling, principal_components(summed, k, 0)


def assert_same_start(one, other, tol=1e-9):
    """Compare scalings and PCA up to rounding, direction by direction."""
    (scaling, pca), (other_scaling, other_pca) = one, other
    # The scale is a float32.
    assert other_scaling.scale == pytest.approx(scaling.scale, rel=1e-6)
    for name in ("shift", "deviation", "low", "high"):
        np.testing.assert_allclose(
            getattr(other_scaling, name), getattr(scaling, name), rtol=1e-6, atol=1e-6
        )
    signs = np.sign(np.sum(other_pca.components * pca.components, axis=1, keepdims=True))
    np.testing.assert_allclose(signs * other_pca.components, pca.components, atol=tol)
    np.testing.assert_allclose(other_pca.mean, pca.mean, atol=tol)
    np.testing.assert_allclose(other_pca.deviations, pca.deviations, rtol=1e-6)
    assert other_pca.residual == pytest.approx(pca.residual, rel=1e-6)


def squared_error(model, X):
    return float(np.sum((X - model.inverse_transform(model.transform(X))) ** 2))


def pca_ratio(model, train, held_out, k=1):
    """Return the error on held-out rows in units of PCA's.

    What is left of it on the tables, a tenth or less, is noise: a tenth more is another fit.
    """
    return squared_error(model, held_out) / squared_error(PCA(k).fit(train), held_out)


def linear(k):
    """Rows without structure but a linear one of so many directions: a fit keeps PCA."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, k)) @ rng.normal(size=(k, 6)) + 0.3 * rng.normal(size=(90, 6))


def rotation(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


# -- The order of the rows ----------------------------------------------------------------------


@few(10)
@given(tables(MANY), SEEDS)
def test_start_does_not_depend_on_the_order_of_the_rows(X, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    assert_same_start(find_start(X), find_start(X[order]))


@few(10)
@given(tables(MANY))
def test_start_is_that_of_the_rows_twice(X):
    assert_same_start(find_start(X), find_start(np.repeat(X, 2, axis=0)))
    assert_same_start(find_start(X), find_start(np.tile(X, (2, 1))))


def test_fallback_does_not_depend_on_the_order_of_the_rows(make_estimator):
    """A linear decoder is no better than PCA, whatever the encoder."""
    X = linear(2)
    expected = None
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(X))
        model = make(make_estimator, n_components=2, max_iter=1, decoder="linear").fit(X[order])
        assert model.is_pca_
        found = model.reconstruct(X)
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected, atol=1e-9)


@few(3)
@given(tables(240), SEEDS)
def test_fits_of_permuted_rows_are_as_good(make_estimator, X, seed):
    train, held_out = X[:160], X[160:]
    order = np.random.default_rng(seed).permutation(len(train))
    ratios = [
        pca_ratio(make(make_estimator).fit(rows), train, held_out)
        for rows in (train, train[order], train[np.argsort(train[:, 0])])
    ]
    # Other rows are held out, and batches differ.
    assert max(ratios) < 0.3
    assert max(ratios) - min(ratios) < 0.1


def test_closed_form_of_rows_sorted_by_class_is_as_good(make_estimator):
    """The rows that choose are a random share of all, and not the last class."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    shuffled = np.random.default_rng(0).permutation(len(X))
    for order in (shuffled, np.argsort(y, kind="stable")):
        model = make(
            make_estimator, n_components=8, hidden_layer_sizes="auto", max_iter=0,
            early_stopping=False,
        )  # fmt: skip
        assert pca_ratio(model.fit(X[order]), X, X, 8) < 0.8


@few(3)
@given(tables())
def test_closed_form_of_sorted_rows_is_as_good(X):
    ratios = [
        pca_ratio(make(max_iter=0, early_stopping=False).fit(rows), X, X)
        for rows in (X, X[np.argsort(X[:, 0])])
    ]
    assert max(ratios) < 0.3
    assert max(ratios) - min(ratios) < 0.1


# -- Where the rows lie, their unit, their axes -------------------------------------------------


def moves(n_columns, seed):
    """Return what may be done to rows, with what it does to distances."""
    rng = np.random.default_rng(seed)
    offset, turn = rng.normal(size=n_columns) * 10, rotation(n_columns, seed)
    return {
        "shifted": (lambda X: X + offset, 1.0),
        "in another unit": (lambda X: X * 0.3, 0.3),
        "by a power of two": (lambda X: X * 2.0**-7, 2.0**-7),
        "turned": (lambda X: X @ turn, 1.0),
    }


MOVES = list(moves(1, 0))


@pytest.mark.parametrize("name", MOVES)
@few(5)
@given(X=tables(), seed=SEEDS)
def test_pca_moves_with_the_rows(X, seed, name):
    move, factor = moves(X.shape[1], seed)[name]
    (scaling, pca), (other_scaling, other_pca) = find_start(X), find_start(move(X))
    assert other_scaling.scale == pytest.approx(factor * scaling.scale, rel=1e-6)
    np.testing.assert_allclose(other_scaling.shift, move(scaling.shift[None])[0], atol=1e-9)
    np.testing.assert_allclose(other_pca.deviations, pca.deviations, rtol=1e-6)
    assert other_pca.residual == pytest.approx(pca.residual, rel=1e-6)

    def keeps(found, scaling, rows):
        centred = (rows - scaling.shift) / scaling.scale - found.mean
        return (centred @ found.components.T @ found.components + found.mean) * scaling.scale + (
            scaling.shift
        )

    np.testing.assert_allclose(
        keeps(other_pca, other_scaling, move(X)), move(keeps(pca, scaling, X)), atol=1e-7
    )


@pytest.mark.parametrize("name", MOVES)
def test_fallback_and_its_score_move_with_the_rows(make_estimator, name):
    X = linear(2)
    move, _ = moves(X.shape[1], 1)[name]
    one, other = (
        make(make_estimator, n_components=2, max_iter=1).fit(rows) for rows in (X, move(X))
    )
    assert one.is_pca_
    assert other.is_pca_
    np.testing.assert_allclose(other.reconstruct(move(X)), move(one.reconstruct(X)), atol=1e-9)
    assert other.score(move(X)) == pytest.approx(one.score(X), abs=1e-9)
    # Measured in float32, on the held-out rows.
    assert other.pca_score_ == pytest.approx(one.pca_score_, abs=1e-5)
    assert other.pca_loss_ == pytest.approx(one.pca_loss_, rel=1e-4)


@pytest.mark.parametrize("name", MOVES)
@few(2)
@given(X=tables(240), seed=SEEDS)
def test_fits_of_moved_rows_are_as_good(make_estimator, X, seed, name):
    move, _ = moves(X.shape[1], seed)[name]
    models, ratios = [], []
    for rows in (X, move(X)):
        models.append(make(make_estimator).fit(rows[:160]))
        ratios.append(pca_ratio(models[-1], rows[:160], rows[160:]))
    one, other = models
    assert other.pca_score_ == pytest.approx(one.pca_score_, abs=1e-4)
    if name == "by a power of two":
        assert other.score_ == one.score_
        np.testing.assert_array_equal(other.transform(move(X)), one.transform(X) * 2.0**-7)
        np.testing.assert_array_equal(other.reconstruct(move(X)), move(one.reconstruct(X)))
    assert max(ratios) < 0.3
    assert max(ratios) - min(ratios) < 0.1


# -- Nothing but what was asked for is changed --------------------------------------------------


class InPlace(nn.Sequential):
    """A user's network whose first layer overwrites its input."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(
            nn.ReLU(inplace=True), nn.Linear(n_inputs, 6), nn.Tanh(), nn.Linear(6, n_outputs)
        )


def own_attributes(module):
    """Return what a module holds beside its weights and parts."""
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return own | {"hooks": len(module._forward_hooks)}


def frozen(value):
    """Return a value as nested tuples of bytes and text that can be compared."""
    if isinstance(value, torch.Tensor):
        return frozen(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, nn.Module):
        return (
            type(value).__name__,
            frozen(dict(value.state_dict())),
            [frozen(own_attributes(module)) for module in value.modules()],
            [p.grad is None for p in value.parameters()],
        )
    if isinstance(value, dict):
        return {key: frozen(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(part) for part in value]
    if hasattr(value, "__dict__") and type(value).__module__.startswith("sklearn_ae._rows"):
        return frozen(vars(value))
    return repr(value)


def state(model):
    """Return all that a fitted estimator holds, and what of its net is its own."""
    net = model.net_
    return frozen(vars(model) | {"net_": [net.module_, net.criterion_, list(net.history)]})


THREADED = {
    "defaults": {},
    "PCA": {"n_components": 4},
    "in place": {"encoder": InPlace, "decoder": InPlace},
    "in place, random": {"encoder": InPlace, "decoder": InPlace, "init": "random"},
    "attention": {"encoder": "attention", "hidden_layer_sizes": (4,)},
    "hidden layer": {"code_layer": 0},
}


@pytest.mark.parametrize("params", THREADED.values(), ids=THREADED)
def test_eight_threads_at_once_get_what_one_gets(make_estimator, params):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(160, 1))
    X = np.hstack([t, t**2, np.sin(3 * t), t**3]) + 0.02 * rng.normal(size=(160, 4))
    model = make(make_estimator, max_iter=2, **params).fit(X)
    before, rows = state(model), X.copy()
    codes = rng.normal(size=(50, model.n_components_))
    calls = [
        functools.partial(getattr(model, name), rows)
        for name in ("transform", "reconstruct", "score_samples", "score")
    ]
    if "code_layer" not in params:
        calls.append(functools.partial(model.inverse_transform, codes))
    expected = [call() for call in calls]
    barrier = threading.Barrier(8, timeout=60)

    def work(number):
        barrier.wait()
        found = {}
        for i in range(3 * len(calls)):  # each thread begins with another
            which = (number + i) % len(calls)
            found[which] = calls[which]()
        return [found[which] for which in range(len(calls))]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            for ours, theirs in zip(expected, found, strict=True):
                np.testing.assert_array_equal(theirs, ours)
    np.testing.assert_array_equal(rows, X)
    assert state(model) == before


def read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_map(X, path):
    np.save(path / "rows.npy", X)
    return np.load(path / "rows.npy", mmap_mode="r+")


LAYOUTS = {
    "as it is": lambda X, path: X.copy(),
    "float32": lambda X, path: X.astype(np.float32),
    "Fortran": lambda X, path: np.asfortranarray(X),
    "read-only": read_only,
    "memory map": memory_map,
    "every other row": lambda X, path: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X, path: X[::-1],
}
SETTINGS = {
    "defaults": {},
    "not centred, large": {"init": "random"},
    "closed form": {"max_iter": 0, "early_stopping": False},
    "user's": {"encoder": nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 1)), "init": "random"},
}


@pytest.mark.parametrize("params", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_fit_changes_neither_rows_nor_parameters(make_estimator, layout, params, tmp_path):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(60, 1))
    # Their mean is zero and their mean square one: nothing to centre or scale is no reason to
    # take the rows themselves.
    X = np.hstack([t, t**2, np.sin(3 * t), t**3])
    X -= X.mean(axis=0)
    X = layout(X / np.sqrt(np.square(X).mean()), tmp_path)
    model = make(make_estimator, max_iter=params.get("max_iter", 1), **without(params, "max_iter"))
    given_params = {name: frozen(value) for name, value in model.get_params(deep=False).items()}
    kept, flags = copy.deepcopy(np.asarray(X)), str(X.flags)
    model.fit(X)
    model.score(X)
    np.testing.assert_array_equal(X, kept)
    assert str(X.flags) == flags
    now = model.get_params(deep=False)
    assert {name: frozen(value) for name, value in now.items()} == given_params


def without(params, name):
    return {key: value for key, value in params.items() if key != name}
