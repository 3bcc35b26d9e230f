"""One fit in two processes: the fit that one makes of all rows, the same in both."""

import os
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import assert_same
from numpy.testing import assert_allclose
from processes import MINUTE, Pool, values
from scipy import sparse
from sklearn.decomposition import PCA
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae import distributed as together
from sklearn_ae._rows import Source, scaling
from sklearn_ae.callbacks import FitCheckpoint

RNG = np.random.default_rng(0)
X = np.tanh(RNG.normal(size=(400, 3)) @ RNG.normal(size=(3, 10)))
X += 0.05 * RNG.normal(size=X.shape)
PARAMS = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


@pytest.fixture(scope="module")
def two():
    pool = Pool(2)
    yield pool
    pool.close()


def make(kind=AutoencoderTransformer, **params):
    return kind(3, **{**PARAMS, **params})


def fit_part(rank, model, parts):
    """Return the fitted model, and what tells it from others."""
    together.fit(model, parts[rank], timeout=MINUTE)
    return model, joblib.hash(model.__getstate__())


def split(rows, n=170):
    return rows[:n], rows[n:]


def fit_in(pool, model, parts):
    """Fit, check that both end with the same, and return it."""
    (first, same), (_, as_well) = values(pool(fit_part, model, parts))
    assert same == as_well
    return first


def assert_near(found, expected):
    """Check that values are about the same; a few codes may have been refined to other places."""
    missed = np.sqrt(np.mean((found - expected) ** 2))
    assert missed < 0.02 * expected.std()


KINDS = {
    "dense": {},
    "one number": {"max_components": 1},
    "random": {"init": "random"},
    "logistic": {"loss": "binary_log_loss"},
    "all rows train": {"early_stopping": False},
    "whitened": {"whiten": True},
    "closed form": {"max_iter": 0},
    "SGD": {"optimizer": "sgd", "learning_rate_init": 1e-3},
    "user's loss": {"loss": nn.L1Loss()},
    "hidden layer": {"code_layer": 0},
}


@pytest.mark.parametrize(
    ("kind", "n"),
    [*((kind, 170) for kind in KINDS), *((k, n) for k in ("dense", "whitened") for n in (0, 399))],
)
def test_as_one_process(two, kind, n):
    params = KINDS[kind]
    if params.get("max_components"):
        params = params | {"n_components": 1}
    rows = (X - X.min()) / (X.max() - X.min()) if kind == "logistic" else X
    model = make().set_params(**params)
    expected = make().set_params(**params).fit(rows)
    found = fit_in(two, model, split(rows, n))
    assert found.n_samples_ == len(X)
    assert found.n_iter_ == expected.n_iter_
    # What is rounded off grows with every step.
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-3)
    if found.validation_loss_curve_ is not None:
        assert_allclose(found.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-3)
    assert_allclose(found.best_loss_, expected.best_loss_, rtol=1e-2)
    assert_near(found.reconstruct(rows), expected.reconstruct(rows))


def fit_source(rank, model, parts):
    """Fit to rows that are read run by run, and are not kept."""
    before, scaling.LARGE_BYTES = scaling.LARGE_BYTES, -1
    try:
        rows = parts[rank]
        source = Source(lambda start, stop: rows[start:stop], rows.shape, rows.dtype)
        source.edges = np.append(np.arange(0, len(rows), 16), len(rows))
        return fit_part(0, model, [source])
    finally:
        scaling.LARGE_BYTES = before


def test_rows_of_sources(two):
    (first, same), (_, as_well) = values(two(fit_source, make(), split(X)))
    assert same == as_well
    expected = make().fit(X)
    # In another order, and so as near as with another seed.
    assert first.loss_curve_ != expected.loss_curve_
    assert_allclose(first.score(X), expected.score(X), atol=0.02)


def test_kinds_of_rows(two):
    expected = make().fit(X).transform(X)
    for convert in (sparse.csr_matrix, np.float32, torch.tensor, np.ndarray.tolist):
        found = fit_in(two, make(), [convert(part) for part in split(X)])
        assert_near(found.transform(X), expected)
    names = [f"column {i}" for i in range(10)]
    parts = [pd.DataFrame(part, columns=names) for part in split(X)]
    for some in (parts, [np.empty((0, 10)), parts[0]], [parts[0], parts[1][:0]]):
        assert fit_in(two, make(), some).feature_names_in_.tolist() == names
    empty = fit_in(two, make(), [np.empty((0, 10)), sparse.csr_matrix(X)])
    assert_near(empty.transform(X), expected)


def test_wide_rows(two):
    """PCA of more columns than have their products summed up."""
    wide = (X @ RNG.normal(size=(10, 1200)) + 0.1 * RNG.normal(size=(400, 1200)))[:, :1100]
    rows = np.tile(wide, (3, 1)) + 0.01 * RNG.normal(size=(1200, 1100))
    for convert in (np.asarray, sparse.csr_matrix):
        model = make(max_iter=0, transform_max_iter=0)
        model = fit_in(two, model, [convert(part) for part in split(rows, 500)])
        pca = PCA(3).fit(rows)
        assert model.pca_score_ == pytest.approx(pca.explained_variance_ratio_.sum(), abs=0.01)
        assert model.score(rows) >= pca.explained_variance_ratio_.sum() - 1e-4


@pytest.mark.parametrize("kind", ["swap", "gaussian"])
def test_denoising(two, kind):
    model = make(DenoisingAutoencoderTransformer, corruption=kind, corruption_level=0.2)
    expected = DenoisingAutoencoderTransformer(**model.get_params()).fit(X)
    found = fit_in(two, model, split(X))
    # The noise is another one, in each process.
    assert_allclose(found.score(X), expected.score(X), atol=0.02)
    assert found.loss_curve_ != expected.loss_curve_


class Normalized(nn.Sequential):
    """A network that remembers means of its batches, and draws."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(
            nn.Linear(n_inputs, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(8, n_outputs),
        )


def test_modules_of_users(two):
    model = make(encoder=Normalized, decoder=Normalized, transform_max_iter=0)
    found = fit_in(two, model, split(X, 8))
    assert found.score(X) > 0.5


def test_going_on(two):
    model = make(warm_start=True)
    (once, _), (second, _) = values(two(fit_part, model, split(X)))
    (twice, same), (_, as_well) = values(two(fit_each, [once, second], split(X)))
    assert same == as_well
    assert twice.best_loss_ <= once.best_loss_
    other = make(warm_start=True).fit(X)
    found = two(fit_each, [once, other], split(X))
    for error in found:
        assert isinstance(error, ValueError)
        assert "the last fit is of other weights" in str(error)


def fit_each(rank, models, parts):
    return fit_part(rank, models[rank], parts)


def test_without_a_seed(two):
    model = make(random_state=None)
    first, second = (fit_in(two, model, split(X)).loss_curve_ for _ in range(2))
    assert first != second


class Stops(Callback):
    """Ends the training, in one process alone."""

    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, net, **kwargs):
        if torch.distributed.get_rank() == 1 and len(net.history) == 2:
            raise self.error


def test_one_stops_for_all(two):
    model = make(max_iter=20, callbacks=[Stops(KeyboardInterrupt())])
    assert fit_in(two, model, split(X)).n_iter_ == 2
    model = make(max_iter=20, callbacks=[EarlyStopping(patience=1, threshold=0.9)])
    assert fit_in(two, model, split(X)).n_iter_ == 2


def fit_and_keep(rank, models, parts):
    """Return what came of a fit, and what the model has after it."""
    model = models[rank % len(models)]
    try:
        together.fit(model, parts[rank], timeout=MINUTE)
    except Exception as error:
        return type(error).__name__, str(error), vars(model).keys() - model.get_params().keys()
    return None


def test_what_fails_in_one(two):
    found = two(fit_and_keep, [make(callbacks=[Stops(OverflowError("too much"))])], split(X))
    (_, told, left), (kind, said, left_there) = found
    assert (kind, said) == ("OverflowError", "too much")
    assert "Process 1 of 2 failed" in told
    assert "OverflowError: too much" in told
    # The estimator stays as it was, and so does the group.
    assert not left
    assert not left_there
    fit_in(two, make(), split(X))


def test_rows_that_cannot_be_used(two):
    bad = X.copy()
    bad[300, 4] = np.nan
    (kind, told, _), (kind_there, said, _) = two(fit_and_keep, [make()], split(bad))
    assert (kind, kind_there) == ("ProcessError", "ValueError")
    assert "contains NaN" in said
    assert said.splitlines()[0] in told
    for parts in ((X[:0], X[:1]), (X[:0], X[:0])):
        for kind, said, _ in two(fit_and_keep, [make()], parts):
            assert kind == "ValueError"
            assert "a fit needs two or more" in said


OTHERS = {
    "max_iter is 3 in process 0, and 4 in process 1": {"max_iter": 4},
    "random_state is 209652396 in process 0, and 1791095845 in": {"random_state": 1},
    "a FitCheckpoint among the callbacks is": {"callbacks": "checkpoint"},
}


@pytest.mark.parametrize("message", OTHERS)
def test_other_parameters(two, message, tmp_path):
    params = OTHERS[message]
    if "callbacks" in params:
        params = {"callbacks": [FitCheckpoint(tmp_path / "fit")]}
    for kind, said, left in two(fit_and_keep, [make(), make(**params)], split(X)):
        assert kind == "ValueError"
        assert message in said
        assert not left


def test_other_rows(two):
    names = list("abcdefghij")
    frame, other = (pd.DataFrame(X, columns=n) for n in (names, names[::-1]))
    for parts, message in [
        ((X, X[:, :9]), "the number of columns is 10 in process 0, and 9 in process 1"),
        ((X, X.astype(np.float32)), "the dtype of X is 'float64'"),
        ((X, sparse.csr_matrix(X)), "whether X is sparse is False"),
        ((frame, other), "the names of the columns is ['a', "),
    ]:
        for kind, said, _ in two(fit_and_keep, [make()], parts):
            assert kind == "ValueError"
            assert message in said


@pytest.mark.parametrize("params", [{"memory": "cache"}, {"pretraining": "denoising"}])
def test_only_for_one_process(two, params):
    (name, value), *_ = params.items()
    model = make(init="random").set_params(**params)
    for kind, said, _ in two(fit_and_keep, [model], split(X)):
        assert kind == "ValueError"
        assert f"{name}={value!r} is for a fit in one process" in said


class Dies(Callback):
    """Ends its process, as a machine that fails does."""

    def on_epoch_end(self, net, **kwargs):
        if torch.distributed.get_rank() == 1:
            os._exit(1)


def test_a_process_that_dies():
    pool = Pool(2)
    try:
        began = time.monotonic()
        found, nothing = pool(fit_and_keep, [make(callbacks=[Dies()])], split(X))
    finally:
        pool.close()
    assert nothing is None
    kind, said, left = found
    assert kind == "ProcessError"
    assert "is gone, or did not answer in time" in said
    assert not left
    assert time.monotonic() - began < MINUTE.seconds


class Power(Callback):
    """Cut in both processes."""

    on = True

    def on_epoch_begin(self, net, **kwargs):
        if self.on and len(net.history) == 3:
            raise OverflowError


def fit_again(rank, model, parts):
    """Go on where the power had been cut."""
    Power.on = False
    try:
        return fit_part(rank, model, parts)
    finally:
        Power.on = True


def test_checkpoint(two, tmp_path):
    params = {"max_iter": 5, "corruption_level": 0.2, "callbacks": [Power()]}
    model = make(DenoisingAutoencoderTransformer, **params)
    (expected, _), _ = values(two(fit_again, model, split(X)))
    model.callbacks.append(FitCheckpoint(tmp_path / "fit"))
    assert {kind for kind, *_ in two(fit_and_keep, [model], split(X))} == {"OverflowError"}
    assert (tmp_path / "fit").exists()
    found, other = two(fit_again, model, split(X, 180))
    assert "is of another fit, by rows" in str(found)
    assert "is of another fit, by rows" in str(other)
    (found, same), (_, as_well) = values(two(fit_again, model, split(X)))
    assert same == as_well
    assert_same(found, expected, X)
    assert not (tmp_path / "fit").exists()


def fit_twice_in_a_group(rank, model, rows):
    """Fit in groups of one process each, of which the other one knows nothing."""
    groups = [torch.distributed.new_group([other]) for other in range(2)]
    for _ in range(2 if rank else 1):
        together.fit(model, rows, groups[rank])
    return joblib.hash(model.transform(rows))


def test_groups_of_some_processes(two):
    same, as_well = values(two(fit_twice_in_a_group, make(), X))
    assert same == as_well


def test_guide(tmp_path):
    """The program of the guide, as torchrun starts it."""
    program = Path(__file__).parents[1] / "docs" / "guide" / "engines" / "torchrun_fit.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, program, tmp_path / "autoencoder"], check=True, capture_output=True)
    assert joblib.load(tmp_path / "autoencoder").n_samples_ == 2_000


def test_no_group():
    with pytest.raises(ValueError, match=r"Call torch\.distributed\.init_process_group before"):
        together.fit(make(), X)
    with pytest.raises(ValueError, match="must be an AutoencoderTransformer"):
        together.fit(PCA(), X)
