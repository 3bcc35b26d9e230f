"""Input that is hard on the numbers, and training that goes wrong: finite, no worse than PCA."""

import signal

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_ae import AutoencoderTransformer

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(120, 6))
LATENT = RNG.normal(size=(120, 2))
MIXED = LATENT @ RNG.normal(size=(2, 6))
X = MIXED + 0.3 * NOISE**2
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def assert_finite(estimator, rows):
    """All that a fitted estimator gives is finite."""
    Z = estimator.transform(rows)
    assert Z.shape == (rows.shape[0], estimator.n_components)
    for values in (Z, estimator.inverse_transform(Z), estimator.score_samples(rows)):
        assert np.isfinite(values).all()
    assert np.isfinite(estimator.score(rows))
    assert all(np.isfinite(p).all() for p in map(_array, estimator.module_.parameters()))


def _array(tensor):
    return tensor.detach().cpu().numpy()


def squared_error(rows, rebuilt):
    """Sum of squares over all cells, in units of the data's spread."""
    unit = np.abs(rows - rows.mean(axis=0, dtype=np.float64)).max()
    return float(np.sum(((rows.astype(np.float64) - rebuilt) / unit) ** 2))


def pca_error(rows, n_components):
    """Return the held-in squared error of scikit-learn's PCA in float64."""
    rows = np.asarray(rows, dtype=np.float64)
    pca = PCA(n_components, svd_solver="full").fit(rows)
    return squared_error(rows, pca.inverse_transform(pca.transform(rows)))


# -- Degenerate data ----------------------------------------------------------------------------


def with_columns(rows, columns, value):
    rows = rows.copy()
    rows[:, columns] = value
    return rows


DEGENERATE = {
    "a constant column": with_columns(X, [1], 3.7),
    "constant columns": with_columns(X, [0, 1, 2, 4, 5], 1e6),
    "zeros": np.zeros((40, 5)),
    "all constant": np.full((40, 5), 0.1),
    "one row, often": np.repeat(X[:1], 40, axis=0),
    "columns constant in themselves": np.tile([1e-30, 0.1, 1e30, -7.0], (40, 1)),
    "duplicate rows": np.repeat(X[:10], 5, axis=0),
    "two rows, often": np.repeat(X[:2], 20, axis=0),
    "duplicate columns": np.repeat(X[:, :1], 5, axis=1),
    "one column": X[:, :1],
    "two columns": X[:, :2],
    "one binary column": (X[:, :1] > 0).astype(float),
    "two rows": X[:2],
    "three rows": X[:3],
    "wide": RNG.normal(size=(4, 30)),
    "one row stands out": np.vstack([np.zeros((39, 5)), np.ones((1, 5))]),
}


@pytest.mark.parametrize("params", [{"init": "random"}, {"early_stopping": False}], ids=str)
@pytest.mark.parametrize("n_components", [1, 40])
@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate(make_estimator, rows, n_components, params):
    estimator = make_estimator(n_components, **SMALL, **params)
    assert_finite(estimator.fit(rows), rows)
    assert estimator.pca_score_ is None or np.isfinite(estimator.pca_score_)
    assert estimator.score_ is None or np.isfinite(estimator.score_)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, np.float32], ids=["sparse", "float32"])
@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_of_other_kinds(make_estimator, rows, kind):
    rows = kind(rows)
    assert_finite(make_estimator(2, **SMALL).fit(rows), rows)


@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize(
    "name", [n for n, rows in DEGENERATE.items() if np.ptp(rows, axis=0).max() > 0]
)
def test_degenerate_is_no_worse_than_pca(make_estimator, name, max_iter):
    rows = DEGENERATE[name]
    estimator = make_estimator(1, **{**SMALL, "max_iter": max_iter}).fit(rows)
    ours = squared_error(rows, estimator.reconstruct(rows))
    # Where PCA leaves nothing, so do we, up to the rounding of the data.
    rounding = rows.size * (8 * np.finfo(float).eps * max(1, np.abs(rows).max())) ** 2
    assert ours <= (1 + 1e-6) * pca_error(rows, 1) + rounding


# -- Extreme scales -----------------------------------------------------------------------------

# A curved surface: what beats PCA on the held-out rows surely does so on all.
MANY = RNG.normal(size=(400, 2))
MIXED_MANY = MANY @ RNG.normal(size=(2, 6))
NOISE_MANY = RNG.normal(size=(400, 6)) ** 2
ROWS = MIXED_MANY + 0.5 * MANY**2 @ RNG.normal(size=(2, 6)) + 0.1 * NOISE_MANY
EXTREME = {
    "1e30": ROWS * 1e30,
    "1e-30": ROWS * 1e-30,
    "1e100": ROWS * 1e100,
    "1e-100": ROWS * 1e-100,
    "scales differ by 1e12": ROWS * np.logspace(-6, 6, 6),
    "one large column": ROWS * np.array([1e12, 1, 1, 1, 1, 1]),
    "one small column": ROWS * np.array([1e-12, 1, 1, 1, 1, 1]),
    "scales differ by 1e3": ROWS * np.logspace(0, 3, 6),
    "scales differ by 1e4": ROWS * np.logspace(0, 4, 6),
    "offset 1e9": ROWS + 1e9,
    "offsets": ROWS + np.logspace(0, 9, 6),
    "offset 1e9 of small noise": 1e-3 * ROWS + 1e9,
    "offset 1e30": 1e30 + 1e25 * ROWS,
    "far rows": np.vstack([ROWS, 1e6 * ROWS[:1]]),
    "nearly low rank": MIXED_MANY + 1e-4 * NOISE_MANY,
    "almost low rank": MIXED_MANY + 1e-6 * NOISE_MANY,
    "low rank but for rounding": MIXED_MANY + 1e-10 * (NOISE_MANY - 1),
}


@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize("rows", EXTREME.values(), ids=EXTREME)
def test_extreme_is_no_worse_than_pca(make_estimator, rows, max_iter, device):
    estimator = make_estimator(2, **{**SMALL, "max_iter": max_iter}, device=device).fit(rows)
    assert_finite_codes(estimator, rows)
    ours = squared_error(rows, estimator.reconstruct(rows))
    # The norm of the error may differ by that of half a unit in the last place of each cell.
    unit = np.abs(rows - rows.mean(axis=0)).max()
    rounding = np.sqrt(rows.size) * np.spacing(np.abs(rows).max()) / 2 / unit
    assert np.sqrt(ours) <= np.sqrt((1 + 1e-6) * pca_error(rows, 2)) + rounding


def assert_finite_codes(estimator, rows):
    """Like `assert_finite`, but for the squares of numbers that have none."""
    Z = estimator.transform(rows)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.inverse_transform(Z)).all()
    assert np.isfinite(estimator.score(rows))
    assert estimator.score(rows) <= 1


@pytest.mark.parametrize(
    "rows", [ROWS * 1e30, ROWS * 1e-30, ROWS + 1e4], ids=["1e30", "1e-30", "+1e4"]
)
def test_extreme_float32(make_estimator, rows, device):
    rows = rows.astype(np.float32)
    estimator = make_estimator(2, **SMALL, device=device).fit(rows)
    assert_finite_codes(estimator, rows)
    rebuilt = estimator.reconstruct(rows)
    assert rebuilt.dtype == np.float32
    # Rounding the output to float32 costs half a unit in the last place of each cell.
    rounding = (
        rows.size * (np.spacing(np.abs(rebuilt).max()) / np.abs(rows - rows.mean(0)).max()) ** 2
    )
    assert squared_error(rows, rebuilt) <= (1 + 1e-6) * pca_error(rows, 2) + rounding


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("factor", [1e30, 1e-30, 1e300, 1e-300, 1e-320])
def test_any_scale_is_finite(make_estimator, init, factor):
    rows = X * factor
    estimator = make_estimator(2, init=init, **SMALL).fit(rows)
    assert np.isfinite(estimator.transform(rows)).all()
    assert np.isfinite(estimator.reconstruct(rows)).all()
    assert 0 < estimator.score(rows) <= 1


def test_too_large_for_a_variance(make_estimator):
    rows = np.abs(NOISE) / np.abs(NOISE).max() * 1.7e308
    with pytest.raises(ValueError, match="too large"):
        make_estimator(2, **SMALL).fit(rows)


@pytest.mark.parametrize("max_iter", [0, 3])
@pytest.mark.parametrize("n_components", [2, 3, 9])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_exactly_low_rank(make_estimator, offset, n_components, max_iter, device):
    """PCA leaves nothing but rounding; so do we, in float64."""
    rows = MIXED + offset
    estimator = make_estimator(n_components, **{**SMALL, "max_iter": max_iter}, device=device)
    error = rows - estimator.fit(rows).reconstruct(rows)
    assert np.abs(error).max() <= 16 * np.finfo(float).eps * np.abs(rows).max()
    assert estimator.is_pca_
    assert estimator.score(rows) == pytest.approx(1, abs=1e-12)


# -- Divergence ---------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("batch_size", ["auto", 120], ids=["batches", "one batch"])
@pytest.mark.parametrize("rate", [1e6, 1e25])
def test_divergence(make_estimator, rate, batch_size, early_stopping, init):
    estimator = make_estimator(
        2,
        init=init,
        hidden_layer_sizes=(8,),
        optimizer="sgd",
        learning_rate_init=rate,
        batch_size=batch_size,
        early_stopping=early_stopping,
        activation="identity",
        max_iter=20,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="learning_rate_init"):
        estimator.fit(X)
    assert_finite(estimator, X)
    if init == "pca" and early_stopping:
        ours = squared_error(X, estimator.reconstruct(X))
        assert ours <= (1 + 1e-6) * pca_error(X, 2)
    # The start is among the weights that can be kept: what comes out is not far worse.
    if not early_stopping:
        assert squared_error(X, estimator.reconstruct(X)) < 100 * squared_error(X, X.mean(axis=0))


class TurnsToNan(nn.Module):
    """A module that gives NaN from its fifth step of training on."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return self.layer(x) * (torch.nan if self.training and self.steps >= 5 else 1.0)


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_not_a_number_in_training(make_estimator, early_stopping, init):
    estimator = make_estimator(
        2, encoder=TurnsToNan, init=init, early_stopping=early_stopping, **SMALL
    )
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X)
    assert_finite(estimator, X)


# -- Ctrl-C and early stopping ------------------------------------------------------------------


class Interrupting(nn.Module):
    """An activation that tells when it is used in training."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def forward(self, x):
        if self.training:
            self.note()
        return torch.relu(x)


def interrupting(call):
    """Make an activation during whose given call in training somebody presses Ctrl-C, once."""
    calls = []

    def note():
        calls.append(None)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)

    return lambda: Interrupting(note)


# Encoder and decoder call once a step, of which an epoch has 7 or 8: in the first step, in the
# first epoch, later.
@pytest.mark.parametrize("call", [1, 4, 80])
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("init", ["pca", "random"])
def test_ctrl_c(make_estimator, init, early_stopping, call):
    params = {"early_stopping": early_stopping, "init": init, "batch_size": 16, "random_state": 0}
    estimator = make_estimator(
        2,
        hidden_layer_sizes=(8,),
        activation=interrupting(call),
        max_iter=200,
        n_iter_no_change=200,
        **params,
    )
    with pytest.raises(KeyboardInterrupt, match=r"interrupted in epoch .* is fitted"):
        estimator.fit(X)
    assert estimator.n_iter_ < 20
    assert max(len(estimator.loss_curve_), 1) == estimator.n_iter_  # scikit-learn wants at least 1
    assert np.isfinite(estimator.loss_curve_).all()
    assert 0 <= estimator.best_iter_ <= estimator.n_iter_
    if early_stopping:
        assert len(estimator.validation_loss_curve_) == len(estimator.loss_curve_)
        assert estimator.score_ >= (estimator.pca_score_ if init == "pca" else -np.inf)
    assert_finite(estimator, X)
    if init == "pca" and early_stopping:
        assert squared_error(X, estimator.reconstruct(X)) <= (1 + 1e-6) * pca_error(X, 2)
    # It goes on from there, or from PCA anew.
    assert_finite(estimator.set_params(warm_start=True, max_iter=1).fit(X), X)


def test_ctrl_c_keeps_the_best_weights():
    """An interrupt after some epochs leaves what the same fit without it had by then."""
    estimators = []
    for call, max_iter in ((2 * 7 * 5 + 3, 200), (None, 5)):
        estimator = AutoencoderTransformer(
            2,
            init="random",
            hidden_layer_sizes=(8,),
            activation=interrupting(call),
            batch_size=16,
            max_iter=max_iter,
            n_iter_no_change=200,
            random_state=0,
        )
        estimators.append(estimator)
    with pytest.raises(KeyboardInterrupt, match=r"in epoch 6; .* of epoch 5"):
        estimators[0].fit(X)
    estimators[1].fit(X)
    assert estimators[0].n_iter_ == estimators[1].n_iter_ == 5
    assert estimators[0].loss_curve_ == estimators[1].loss_curve_
    assert estimators[0].best_iter_ == estimators[1].best_iter_
    np.testing.assert_array_equal(estimators[0].transform(X), estimators[1].transform(X))


def test_skorchs_early_stopping_is_quiet(make_estimator, capfd):
    callback = EarlyStopping(monitor="train_loss", patience=2, threshold=0.99)
    before = vars(callback).copy()
    estimator = make_estimator(
        2, callbacks=[("stop", callback)], max_iter=50, hidden_layer_sizes=(8,), random_state=0
    ).fit(X)
    assert estimator.n_iter_ < 50
    assert len(estimator.loss_curve_) == len(estimator.validation_loss_curve_) == estimator.n_iter_
    assert capfd.readouterr() == ("", "")
    assert vars(callback) == before
    assert_finite(estimator, X)
