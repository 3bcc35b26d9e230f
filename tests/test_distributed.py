"""One fit in two processes: the fit that one makes of all rows, the same in both."""

import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from checkpoints import assert_same
from numpy.testing import assert_allclose
from processes import X, fit_and_keep, fit_in, fit_part, make, split, values
from scipy import sparse
from sklearn.decomposition import PCA
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import DenoisingAutoencoderTransformer
from sklearn_ae import distributed as together
from sklearn_ae._processes import Processes
from sklearn_ae._rows import Source, scaling
from sklearn_ae.callbacks import FitCheckpoint

RNG = np.random.default_rng(0)


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
    nothing = np.empty((0, 10))
    source = Source(lambda start, stop: nothing[start:stop], nothing.shape, nothing.dtype)
    for parts in (
        [nothing, sparse.csr_matrix(X)],
        [X, sparse.csr_matrix((0, 10))],
        [source, X],
    ):
        if not isinstance(parts[0], Source):
            assert_near(fit_in(two, make(), parts).transform(X), expected)


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
    """Rows are as noisy as in one process, though parts are unlike each other."""
    params = {"corruption": kind, "corruption_level": 0.5, "max_iter": 1}
    model = make(DenoisingAutoencoderTransformer, **params)
    rows = X[X[:, 0].argsort()]
    expected = DenoisingAutoencoderTransformer(**model.get_params()).fit(rows)
    found = fit_in(two, model, split(rows, 200))
    assert found.loss_curve_ != expected.loss_curve_
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=0.1)


class Normalized(nn.Sequential):
    """A network that remembers means of its batches."""

    def __init__(self, n_inputs, n_outputs):
        layers = nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_outputs)
        super().__init__(*layers)


@pytest.mark.parametrize("n", [0, 8, 200, 400])
def test_modules_that_remember(two, n):
    params = {"encoder": Normalized, "decoder": Normalized, "max_iter": 20}
    expected = make(**params).fit(X)
    found = fit_in(two, make(**params), split(X, n))
    assert not found.is_pca_
    batches = [b for b in found.net_.module_.buffers() if b.dtype == torch.int64 and b.ndim == 0]
    assert min(batches) > 0
    assert 1 - found.score(X) < 1.2 * (1 - expected.score(X))


class Branches(nn.Module):
    """A network in which rows go one way or another, and which draws."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.ways = nn.ModuleList([nn.Linear(n_inputs, n_outputs) for _ in range(2)])
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        # Of two processes with rows that are apart, each goes a way of its own.
        return self.ways[int(x.mean() > 0)](self.drop(x))


def test_modules_that_branch(two):
    rows = X + np.where(np.arange(len(X)) < 170, -3, 3)[:, None]
    model = make(encoder=Branches, transform_max_iter=0)
    found = fit_in(two, model, split(rows))
    changed = [
        weight.abs().max() > 0 for weight in found.net_.module_.encoder.correction.parameters()
    ]
    assert len(changed) > 2
    assert fit_in(two, make(decoder=Branches), split(rows)).score(rows) > 0.5


def gathered(rank, model, parts):
    """Fit, and return the bytes that were gathered from all processes."""
    sizes, gather = [], Processes.gathered

    def counted(self, value):
        found = gather(self, value)
        sizes.append(sum(len(pickle.dumps(v)) for v in found))
        return found

    Processes.gathered = counted
    try:
        together.fit(model, parts[rank])
    finally:
        Processes.gathered = gather
    return max(sizes)


def test_what_is_gathered(two, tmp_path):
    """No process is sent the rows of another, but some of many."""
    rows = np.c_[np.tile(X, (1000, 1))[:, :3], np.ones(400_000)].astype(np.float32)
    checkpoint = FitCheckpoint(tmp_path / "fit")
    model = make(max_iter=1, batch_size=50_000, callbacks=[checkpoint], transform_max_iter=0)
    assert max(values(two(gathered, model, split(rows, 300_000)))) < rows.nbytes / 10


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
        assert "the last fit is one of other weights" in str(error)


def fit_each(rank, models, parts):
    return fit_part(rank, models[rank], parts)


def test_a_fit_to_go_on_from_in_one(two):
    models = [make(warm_start=True), make(warm_start=True).fit(X)]
    for order in (models, models[::-1]):
        for found in two(fit_each, order, split(X)):
            assert isinstance(found, ValueError)
            assert "the last fit is" in str(found)


def test_without_a_seed(two):
    model = make(random_state=None)
    first, second = (fit_in(two, model, split(X)).loss_curve_ for _ in range(2))
    assert first != second


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
