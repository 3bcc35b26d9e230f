"""The file of a checkpoint: whose it is, when it is written, what is wrong with it."""

import os
import sys

import pytest
import torch
from checkpoints import Killed, X, assert_same, make

from sklearn_ae import AutoencoderTransformer
from sklearn_ae import _base as base_module
from sklearn_ae import callbacks as callbacks_module
from sklearn_ae.callbacks import FitCheckpoint


def test_an_interrupt_while_it_is_written_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.lock"]


def test_a_fit_of_another_device_is_another(tmp_path, kill, monkeypatch):
    kill(1)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    monkeypatch.setattr(base_module, "resolve_device", lambda name: torch.device("cuda", 7))
    with pytest.raises(ValueError, match="another fit, by device"):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)


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
    with pytest.raises(ValueError, match="has format 99, and 2 is read"):
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
