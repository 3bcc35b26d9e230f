"""A fit that is killed goes on where it was, and ends with the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from configurations import Network
from scipy import sparse
from skorch.callbacks import LRScheduler
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae import callbacks as callbacks_module
from sklearn_ae._rows import scaling as scaling_module
from sklearn_ae._rows import sources as sources_module
from sklearn_ae.callbacks import FitCheckpoint

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 1)) ** np.arange(1, 17) / 20 + 0.3 * RNG.standard_normal((200, 16))


class Killed(BaseException):
    """Ends a fit as if the power had been cut."""


class Chunked:
    """Rows that are read run by run."""

    chunks, shape, dtype = (20, 16), X.shape, X.dtype

    def __getitem__(self, rows):
        return X[rows]


def dropout(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.3), nn.Linear(8, n_outputs))


def linear_decay(epoch):
    return 1 / (1 + epoch)


def scheduled():
    return [("decay", LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=linear_decay))]


RBM = {"pretraining": "rbm", "init": "random", "activation": "logistic"}
KINDS = {
    "dense": (AutoencoderTransformer, {}),
    "random start": (AutoencoderTransformer, {"init": "random"}),
    "sgd": (AutoencoderTransformer, {"optimizer": "sgd", "learning_rate_init": 1e-3}),
    "all rows": (AutoencoderTransformer, {"early_stopping": False}),
    "conv": (AutoencoderTransformer, {"encoder": "conv", "image_shape": (1, 4, 4)}),
    "attention": (AutoencoderTransformer, {"encoder": "attention"}),
    "pretraining": (AutoencoderTransformer, RBM),
    "denoising": (DenoisingAutoencoderTransformer, {}),
    "masking": (DenoisingAutoencoderTransformer, {"corruption": "masking", "emphasis": 0.8}),
    "modules of users": (AutoencoderTransformer, {"encoder": dropout, "decoder": Network}),
    "schedule": (AutoencoderTransformer, {"callbacks": scheduled}),
    "absolute error": (AutoencoderTransformer, {"loss": "absolute_error"}),
}


def make(kind, params, checkpoint=None):
    params = {"max_iter": 6, "hidden_layer_sizes": (8,), "random_state": 0} | params
    callbacks = params.pop("callbacks", list)()
    if checkpoint is not None:
        callbacks.append(checkpoint)
    return kind(3, callbacks=callbacks, **params)


@pytest.fixture
def kill(monkeypatch):
    """Return what makes the next fits end after so many epochs."""
    write = FitCheckpoint.write

    def kill_after(n_epochs):
        def counted(self, state, *, last):
            write(self, state, last=last)
            if len(state["history"]) == n_epochs:
                raise Killed

        monkeypatch.setattr(FitCheckpoint, "write", counted)

    return kill_after


def assert_same(found, expected, rows=X):
    assert found.n_iter_ == expected.n_iter_
    assert found.loss_curve_ == expected.loss_curve_
    assert found.validation_loss_curve_ == expected.validation_loss_curve_
    assert found.best_loss_ == expected.best_loss_
    for ours, theirs in zip(
        found.module_.state_dict().values(), expected.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    np.testing.assert_array_equal(found.transform(rows), expected.transform(rows))


@pytest.mark.parametrize(("kind", "params"), KINDS.values(), ids=KINDS)
def test_the_bits_are_those_of_a_fit_that_was_not_killed(kind, params, tmp_path, kill):
    expected = make(kind, params).fit(X)
    path = tmp_path / "fit"
    for n_epochs in (1, 4):
        kill(n_epochs)
        with pytest.raises(Killed):
            make(kind, params, FitCheckpoint(path)).fit(X)
        assert path.exists()
    kill(None)
    found = make(kind, params, FitCheckpoint(path)).fit(X)
    assert_same(found, expected)
    assert not path.exists()


@pytest.mark.parametrize("rows", [sparse.csr_matrix(X), X.astype("f4"), Chunked()], ids=type)
def test_rows_of_all_kinds(rows, tmp_path, kill, monkeypatch):
    monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    monkeypatch.setattr(sources_module, "RUN_BYTES", 2**10)
    expected = make(AutoencoderTransformer, {}).fit(rows)
    kill(3)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(rows)
    kill(None)
    found = make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(rows)
    assert_same(found, expected, rows)


def test_a_fit_that_goes_on_from_another(tmp_path, kill):
    def twice(checkpoint=None):
        model = make(AutoencoderTransformer, {"warm_start": True}).fit(X)
        return model.set_params(callbacks=[checkpoint] if checkpoint else [])

    expected = twice().fit(X)
    kill(2)
    with pytest.raises(Killed):
        twice(FitCheckpoint(tmp_path / "fit")).fit(X)
    kill(None)
    assert_same(twice(FitCheckpoint(tmp_path / "fit")).fit(X), expected)
    kill(2)
    with pytest.raises(Killed):
        twice(FitCheckpoint(tmp_path / "fit")).fit(X)
    kill(None)
    other = make(AutoencoderTransformer, {"warm_start": True, "random_state": 1}).fit(X)
    other.set_params(random_state=0, callbacks=[FitCheckpoint(tmp_path / "fit")])
    with pytest.raises(ValueError, match="another fit, by the last fit"):
        other.fit(X)


def test_a_fit_without_a_seed_goes_on_with_that_of_the_first(tmp_path, kill):
    kill(2)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {"random_state": None}, FitCheckpoint(tmp_path / "fit")).fit(X)
    kill(None)
    first = torch.load(tmp_path / "fit", weights_only=True)
    found = make(
        AutoencoderTransformer, {"random_state": None}, FitCheckpoint(tmp_path / "fit", keep=True)
    ).fit(X)
    assert found.loss_curve_[:2] == [row["train_loss"] for row in first["history"]]
    seed = torch.load(tmp_path / "fit", weights_only=True)["seed"]
    assert seed == first["seed"]


def test_a_fit_that_has_ended_is_not_trained_again(tmp_path, kill):
    checkpoint = FitCheckpoint(tmp_path / "fit", every_n_epochs=100, keep=True)
    expected = make(AutoencoderTransformer, {}, checkpoint).fit(X)
    kill(7)
    again = make(AutoencoderTransformer, {}, checkpoint).fit(X)
    assert_same(again, expected)


@pytest.mark.parametrize(
    ("params", "rows", "name"),
    [
        ({"learning_rate_init": 0.01}, X, "learning_rate_init"),
        ({"max_iter": 9}, X, "max_iter"),
        ({"random_state": 1}, X, "random_state"),
        ({}, X + 1e-9, "rows"),
        ({}, X[::-1], "rows"),
        ({"tol": 0.1, "hidden_layer_sizes": (9,)}, X[:150], "hidden_layer_sizes, tol, rows"),
    ],
)
def test_another_fit_is_told_by_what_is_different(params, rows, name, tmp_path, kill):
    path = tmp_path / "fit"
    kill(2)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(path)).fit(X)
    before = path.read_bytes()
    model = make(AutoencoderTransformer, params, FitCheckpoint(path))
    state = vars(model).copy()
    with pytest.raises(ValueError, match=f"is of another fit, by {name}. Remove it") as caught:
        model.fit(rows)
    assert str(path) in str(caught.value)
    assert vars(model) == state
    assert path.read_bytes() == before


def test_what_does_not_decide_a_fit_may_be_different(tmp_path, kill):
    kill(2)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    kill(None)
    checkpoint = FitCheckpoint(tmp_path / "fit", every_n_epochs=3, every_seconds=1)
    found = make(AutoencoderTransformer, {"max_components": 3}, checkpoint)
    with pytest.raises(ValueError, match="by n_components, max_components"):
        found.fit(X)
    make(AutoencoderTransformer, {"warm_start": True}, checkpoint).fit(X)


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1]])
def test_a_file_that_is_not_whole(spoil, tmp_path, kill):
    path = tmp_path / "fit"
    kill(1)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(path)).fit(X)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="cannot be read: it is no checkpoint, or not whole"):
        make(AutoencoderTransformer, {}, FitCheckpoint(path)).fit(X)


def test_files_of_others(tmp_path):
    path = tmp_path / "fit"
    torch.save({"format": 99, "decided_by": {}}, path)
    with pytest.raises(ValueError, match="has format 99, and 1 is read"):
        make(AutoencoderTransformer, {}, FitCheckpoint(path)).fit(X)

    class Bomb:
        def __reduce__(self):
            return os.abort, ()

    torch.save(Bomb(), path)
    with pytest.raises(ValueError, match="cannot be read"):
        make(AutoencoderTransformer, {}, FitCheckpoint(path)).fit(X)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no lock there")
def test_two_fits_do_not_share_a_file(tmp_path):
    checkpoint = FitCheckpoint(tmp_path / "fit")
    with checkpoint.opened({}, 0), pytest.raises(ValueError, match="is in use by another fit"):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("writer")])
def test_a_disk_that_is_full_is_said_and_the_fit_goes_on(error, tmp_path, monkeypatch):
    expected = make(AutoencoderTransformer, {}).fit(X)

    def fail(*args):
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.warns(UserWarning, match=r"could not write .* The fit goes on without"):
        found = make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    assert_same(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.lock"]


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    expected = make(AutoencoderTransformer, {}).fit(X)

    def refused(*args):
        raise PermissionError(13, "Permission denied")

    # Whoever runs the tests may be allowed to write anywhere.
    monkeypatch.setattr(callbacks_module, "open", refused, raising=False)
    with pytest.warns(UserWarning, match=r"could not write .* Permission denied"):
        found = make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    assert_same(found, expected)
    assert not list(tmp_path.iterdir())


def test_how_often_is_written(tmp_path, monkeypatch):
    written, save = [], torch.save

    def noted(state, file):
        written.append(len(state["history"]))
        save(state, file)

    monkeypatch.setattr(torch, "save", noted)
    for params, expected in [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"every_n_epochs": 2}, [2, 4, 6]),
        ({"every_n_epochs": 4}, [4]),
        ({"every_n_epochs": 4, "keep": True}, [4, 6]),
        ({"every_seconds": 1000}, []),
    ]:
        written.clear()
        path = tmp_path / str(params)
        make(AutoencoderTransformer, {}, FitCheckpoint(path, **params)).fit(X)
        assert written == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"every_n_epochs": 0}, r"every_n_epochs=0 must be a whole number of 1 or more"),
        ({"every_n_epochs": 1.5}, r"every_n_epochs=1.5 must"),
        ({"every_seconds": -1}, r"every_seconds=-1 must be a number of 0 or more"),
        ({"every_seconds": None}, r"every_seconds=None must"),
        ({"path": None}, r"path=None must be the name of a file"),
    ],
)
def test_bad_parameters(params, message, tmp_path):
    checkpoint = FitCheckpoint(**{"path": tmp_path / "fit"} | params)
    model = make(AutoencoderTransformer, {}, checkpoint)
    with pytest.raises(ValueError, match=message):
        model.fit(X)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="is in a folder that is not there"):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "no" / "fit")).fit(X)


def test_one_checkpoint_is_enough(tmp_path):
    both = [FitCheckpoint(tmp_path / "a"), ("other", FitCheckpoint(tmp_path / "b"))]
    with pytest.raises(ValueError, match="has two checkpoints"):
        AutoencoderTransformer(2, callbacks=both).fit(X)


def test_what_has_no_fixed_content_is_named(tmp_path):
    params = {"optimizer": lambda params: torch.optim.Adam(params)}
    with pytest.raises(
        ValueError, match=r"FitCheckpoint .* optimizer cannot be told .* no checkpoint"
    ):
        make(AutoencoderTransformer, params, FitCheckpoint(tmp_path / "fit")).fit(X)


SCRIPT = """
import sys
from sklearn.datasets import load_digits
from sklearn_ae import AutoencoderTransformer
from sklearn_ae.callbacks import FitCheckpoint
callbacks = [FitCheckpoint(sys.argv[1])] if len(sys.argv) > 1 else None
X = load_digits().data[:500]
model = AutoencoderTransformer(4, max_iter=15, callbacks=callbacks, random_state=0).fit(X)
print(model.transform(X).tobytes().hex())
"""


def test_a_process_that_is_killed(tmp_path):
    def start(*args):
        command = [sys.executable, "-c", SCRIPT, *args]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    expected, _ = start().communicate()
    path = tmp_path / "fit"
    for seconds in (0.0, 0.1):
        process = start(str(path))
        while process.poll() is None and not path.exists():
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        process.communicate()
    process = start(str(path))
    assert process.communicate()[0] == expected
    assert process.returncode == 0
    assert not Path(path).exists()
