"""What goes wrong in one of several processes, and what all of them are told."""

import datetime
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from processes import MINUTE, Pool, X, fit_and_keep, fit_in, make, split, values
from scipy import sparse
from sklearn.decomposition import PCA
from skorch.callbacks import Callback, EarlyStopping

from sklearn_ae import distributed as together
from sklearn_ae.callbacks import FitCheckpoint


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


class StopsEarly(Stops):
    """The same, in the middle of an epoch."""

    def on_epoch_end(self, net, **kwargs):
        pass

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if torch.distributed.get_rank() == 1 and len(net.history) == 2:
            raise self.error


def test_one_stops_in_the_middle(two):
    model = make(callbacks=[StopsEarly(KeyboardInterrupt())])
    found = two(fit_and_keep, [model], split(X))
    assert [kind for kind, *_ in found] == ["ProcessError", "KeyboardInterrupt"]
    fit_in(two, make(), split(X))


class Sleeps(Callback):
    """Does not answer for some seconds."""

    def on_epoch_end(self, net, **kwargs):
        if torch.distributed.get_rank() == 1 and len(net.history) == 1:
            time.sleep(8)


def fit_and_time(rank, model, parts):
    """Return the error of a fit that must not wait for long, and how long it took."""
    began = time.monotonic()
    try:
        together.fit(model, parts[rank], timeout=datetime.timedelta(seconds=1))
    except together.ProcessError as error:
        return str(error), time.monotonic() - began
    return None


def test_one_that_is_silent(two):
    (said, seconds), (_, _) = two(fit_and_time, make(callbacks=[Sleeps()]), split(X))
    assert "did not answer in time" in said
    assert seconds < 8
    fit_in(two, make(), split(X))


def fit_others(rank, estimators):
    """Fit something else in one process."""
    try:
        together.fit(estimators[rank], X)
    except Exception as error:
        return type(error).__name__, str(error)
    return None


def test_something_else_in_one(two):
    (kind, told), (_, said) = two(fit_others, [make(), PCA()])
    assert kind == "ProcessError"
    assert said in told
    assert "must be an AutoencoderTransformer" in said


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
    "n_components is 3 in process 0, and 2 in process 1": {"n_components": 2},
    "a FitCheckpoint among the callbacks is": {"callbacks": "checkpoint"},
}


@pytest.mark.parametrize("message", OTHERS)
def test_other_parameters(two, message, tmp_path):
    params = OTHERS[message]
    if "callbacks" in params:
        params = {"callbacks": [FitCheckpoint(tmp_path / "fit")]}
    models = [make(max_components=4), make(max_components=4).set_params(**params)]
    for kind, said, left in two(fit_and_keep, models, split(X)):
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


def fit_with_file(rank, folder):
    """Fit where the folder is in the first process alone, as on another machine."""
    path = Path(folder) / ("fit" if rank == 0 else "not/there")
    together.fit(make(callbacks=[FitCheckpoint(path)]), split(X)[rank], timeout=MINUTE)


def test_the_file_is_that_of_the_first(two, tmp_path):
    assert values(two(fit_with_file, tmp_path)) == [None, None]


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


def fit_in_wrong_groups(rank):
    """Return what is said of groups that cannot be used."""
    other = torch.distributed.new_group([1 - rank])
    found = []
    for group, timeout in [(other, None), ("all", None), (None, 3)]:
        try:
            together.fit(make(), X, group, timeout=timeout)
        except ValueError as error:
            found.append(str(error))
    return found


def test_wrong_groups(two):
    for said in values(two(fit_in_wrong_groups)):
        assert ["must be a group that this process is in" in text for text in said[:2]] == [
            True
        ] * 2
        assert "timeout=3 must be a datetime.timedelta" in said[2]


def test_no_group():
    with pytest.raises(ValueError, match=r"Call torch\.distributed\.init_process_group before"):
        together.fit(make(), X)
