"""skorch's callbacks, given to the estimators."""

import json
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    ParamMapper,
    PrintLog,
)

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

ESTIMATORS = [AutoencoderTransformer, DenoisingAutoencoderTransformer]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(80, 1))
    return np.hstack([t, t**2, t**3]) + 0.01 * rng.normal(size=(80, 3))


def make(cls=AutoencoderTransformer, **params):
    defaults = {
        "n_components": 1, "hidden_layer_sizes": (8,), "max_iter": 4, "n_iter_no_change": 100,
        "random_state": 0, "device": "cpu",
    }  # fmt: skip
    return cls(**(defaults | params))


class Recorder(Callback):
    """Counts epochs, and keeps the norm of the gradient and the rates."""

    def initialize(self):
        self.epochs_ = 0
        self.norms_ = []
        self.rates_ = []
        return self

    def on_grad_computed(self, net, named_parameters=None, **kwargs):
        squares = [p.grad.square().sum() for _, p in named_parameters if p.grad is not None]
        self.norms_.append(float(torch.stack(squares).sum().sqrt()))

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ += 1
        self.rates_.append(net.optimizer_.param_groups[0]["lr"])


def recorder_of(estimator):
    (found,) = (c for _, c in estimator.net_.callbacks_ if isinstance(c, Recorder))
    return found


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_callback_objects_are_not_shared_between_fits_nor_clones(cls, X):
    given = Recorder()
    estimator = make(cls, callbacks=[given])
    copied = clone(estimator)
    first = recorder_of(estimator.fit(X))
    second = recorder_of(estimator.fit(X))
    third = recorder_of(copied.fit(X))
    assert len({id(recorder) for recorder in (given, first, second, third)}) == 4
    assert [recorder.epochs_ for recorder in (first, second, third)] == [4, 4, 4]
    assert not hasattr(given, "epochs_")
    assert estimator.callbacks == [given]


def test_named_callbacks(X):
    estimator = make(callbacks=[("mine", Recorder())]).fit(X)
    assert dict(estimator.net_.callbacks_)["mine"].epochs_ == 4


@pytest.mark.parametrize("callbacks", [None, []])
def test_no_callbacks(callbacks, X):
    assert make(callbacks=callbacks).fit(X).n_iter_ == 4


def test_an_epoch_counts_after_which_a_callback_stops(X):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 3:
                raise KeyboardInterrupt

    model = make(callbacks=[("stop", Stop())], max_iter=20, init="random").fit(X)
    assert model.n_iter_ == 3
    assert model.best_iter_ == 3


def test_early_stopping(X):
    estimator = make(
        max_iter=50, callbacks=[EarlyStopping(patience=2, threshold=0.99, sink=lambda text: None)]
    ).fit(X)
    assert 2 <= estimator.n_iter_ < 10


@pytest.mark.parametrize("monitor", ["valid_loss_best", "train_loss_best", None])
def test_checkpoint(monitor, X, tmp_path):
    checkpoint = Checkpoint(monitor=monitor, dirname=str(tmp_path))
    estimator = make(callbacks=[checkpoint], init="random").fit(X)
    weights = torch.load(tmp_path / "params.pt", weights_only=True)
    ours = estimator.net_.module_.state_dict()
    assert weights.keys() == ours.keys()
    if monitor == "valid_loss_best" and estimator.best_iter_ > 0:
        assert all(torch.equal(weights[name], ours[name]) for name in ours)
    history = json.loads((tmp_path / "history.json").read_text())
    assert history[0]["train_loss"] == estimator.loss_curve_[0]
    assert (tmp_path / "optimizer.pt").stat().st_size > 0


@pytest.mark.parametrize("step_every", ["epoch", "batch"])
def test_scheduler(step_every, X):
    scheduler = LRScheduler(
        torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5, step_every=step_every
    )
    estimator = make(
        callbacks=[scheduler, Recorder()], batch_size=24, n_iter_no_change=4, tol=1e9,
        learning_rate_init=0.01, max_iter=3,
    ).fit(X)  # fmt: skip
    # 72 training rows: three batches an epoch. The recorder comes after the scheduler.
    steps = 1 if step_every == "epoch" else 3
    expected = [0.01 * 0.5 ** (steps * epoch) for epoch in (1, 2, 3)]
    np.testing.assert_allclose(recorder_of(estimator).rates_, expected)
    key = "event_lr"
    if step_every == "epoch":
        assert estimator.net_.history[:, key] == pytest.approx([0.01, 0.005, 0.0025])
    else:
        rates = [b[key] for row in estimator.net_.history for b in row["batches"] if key in b]
        assert rates == pytest.approx([0.01 * 0.5**i for i in range(9)])


def test_rate_is_cut_without_a_scheduler_only(X):
    plain = {"max_iter": 6, "n_iter_no_change": 7, "tol": 1e9, "callbacks": [Recorder()]}
    cut = recorder_of(make(**plain).fit(X)).rates_
    scheduler = LRScheduler(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    for given in (scheduler, ("schedule", scheduler)):
        left = make(**plain | {"callbacks": [given, Recorder()]}).fit(X)
        assert len(set(recorder_of(left).rates_)) == 1
    assert len(cut) == 6
    assert cut[-1] < cut[0]


def test_gradient_norm_clipping(X):
    free = recorder_of(make(callbacks=[Recorder()]).fit(X)).norms_
    clip = GradientNormClipping(gradient_clip_value=1e-3)
    clipped = recorder_of(make(callbacks=[clip, Recorder()]).fit(X)).norms_
    assert max(free) > 1e-2
    assert max(clipped) <= 1e-3 * (1 + 1e-4)


def test_print_log(X, capsys):
    make(callbacks=[PrintLog()]).fit(X)
    assert capsys.readouterr().out == ""
    make(verbose=1).fit(X)
    out = capsys.readouterr().out
    assert "train_loss" in out
    assert "valid_loss" in out
    assert "AutoencoderTransformer: losses in units of what PCA leaves" in out
    assert "\x1b" not in out  # not a terminal


def test_colours_on_a_terminal(X, capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    make(verbose=1).fit(X)
    assert "\x1b[" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("params", "unit"),
    [
        ({"init": "random"}, "in units of the variance"),
        ({"loss": "binary_log_loss"}, "in nats a cell"),
        ({"loss": torch.nn.L1Loss()}, "as L1Loss gives them"),
    ],
)
def test_the_unit_of_the_loss_is_said(params, unit, X, capsys):
    make(verbose=1, max_iter=1, **params).fit((X - X.min()) / np.ptp(X))
    assert f"AutoencoderTransformer: losses {unit}" in capsys.readouterr().out


def test_loggers_see_the_epoch_that_training_stops_after(X, capsys):
    model = make(verbose=1, max_iter=50, n_iter_no_change=1, tol=0.5).fit(X)
    assert model.n_iter_ < 50
    first_words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert sum(word.isdigit() for word in first_words) == model.n_iter_


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_silent_by_default(cls, X, capsys):
    make(cls).fit(X)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_bar(X, capsys):
    from skorch.callbacks import ProgressBar

    estimator = make(callbacks=[ProgressBar(detect_notebook=False)], batch_size=24).fit(X)
    assert estimator.n_iter_ == 4
    assert "0/4" in capsys.readouterr().err
    assert all(len(row["batches"]) == 4 for row in estimator.net_.history)


def test_freezing_with_param_mapper(X):
    from skorch.callbacks import Freezer

    assert issubclass(Freezer, ParamMapper)
    estimator = make(init="random", callbacks=[Freezer("encoder.*")]).fit(X)
    frozen = [not p.requires_grad for p in estimator.net_.module_.encoder.parameters()]
    assert all(frozen)
    assert all(p.requires_grad for p in estimator.net_.module_.decoder.parameters())


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_history_is_what_the_curves_say(cls, X):
    estimator = make(cls).fit(X)
    assert estimator.loss_curve_ == estimator.net_.history[:, "train_loss"]
    assert estimator.validation_loss_curve_ == estimator.net_.history[:, "valid_loss"]
    assert estimator.n_iter_ == len(estimator.net_.history) == 4


class HoldsLock(Callback):
    """As a logger that writes to an open file: it cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def on_epoch_end(self, net, **kwargs):
        self.seen = len(net.history)


def test_clone_shares_what_cannot_be_copied_and_copies_what_can(X):
    logger, recorder = HoldsLock(), Recorder()
    for callbacks in ([logger, recorder], [("logger", logger), ("recorder", recorder)]):
        model = make(callbacks=callbacks)
        copied = clone(clone(model))
        found = [c[1] if isinstance(c, tuple) else c for c in copied.callbacks]
        assert found[0].lock is logger.lock
        assert model.callbacks is callbacks
        assert copied.get_params().keys() == model.get_params().keys()
        assert not hasattr(copied.fit(X).callbacks[0], "seen")
    search = GridSearchCV(make(callbacks=[HoldsLock()]), {"n_components": [1, 2]}, cv=2).fit(X)
    assert search.best_estimator_.n_iter_ == 4


def test_a_scheduler_may_be_a_class(X):
    """The rate is left to it, as to an instance."""
    params = {"max_iter": 6, "n_iter_no_change": 7, "tol": 1e9}
    for given in (LRScheduler, ("schedule", LRScheduler)):
        model = make(**params, callbacks=[given, Recorder()]).fit(X)
        keeper_cut = set(np.diff(recorder_of(model).rates_) / recorder_of(model).rates_[:-1])
        assert not any(np.isclose(step, -0.5) for step in keeper_cut)


def test_one_that_cannot_be_copied_leaves_the_others_copies(X):
    logger, recorder = HoldsLock(), Recorder()
    recorder.initialize()
    make(callbacks=[logger, recorder]).fit(X)
    assert recorder.norms_ == []


@pytest.mark.parametrize("wrong", [["x"], 5, [3]])
def test_clone_leaves_checks_to_the_fit(wrong, X):
    copied = clone(make(callbacks=wrong))
    with pytest.raises(ValueError, match="callbacks"):
        copied.fit(X)


def test_an_attribute_of_a_callback_ends_nothing(X):
    class Finished(Callback):
        finished = True

    assert make(callbacks=[Finished()]).fit(X).n_iter_ == 4


def test_an_error_in_training_is_what_is_raised(X):
    """And not what a callback makes of a training that has not ended."""
    ended = []

    class Fails(Callback):
        def on_batch_end(self, net, **kwargs):
            raise RuntimeError("boom")

        def on_train_end(self, net, **kwargs):
            ended.append(net.history[-1]["train_loss"])

    with pytest.raises(RuntimeError, match="boom"):
        make(callbacks=[Fails()]).fit(X)
    assert not ended


@pytest.mark.parametrize("named", [False, True])
def test_what_cannot_be_copied_is_shared(named):
    logger = HoldsLock()
    callbacks = [("logger", logger) if named else logger]
    model = AutoencoderTransformer(1, max_iter=2, callbacks=callbacks, random_state=0)
    model.fit(np.random.default_rng(0).normal(size=(40, 3)))
    assert not hasattr(logger, "seen")
    (found,) = [c for _, c in model.net_.callbacks_ if isinstance(c, HoldsLock)]
    assert found.lock is logger.lock
    assert found.seen == 2
