"""A fit that is killed goes on where it was, and ends with the same bits."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import Killed, X, assert_same, make
from configurations import Network
from scipy import sparse
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae._rows import scaling as scaling_module
from sklearn_ae._rows import sources as sources_module
from sklearn_ae.callbacks import FitCheckpoint


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


class Records(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("number", np.float64(len(net.history)))
        net.history.record("list", [np.int64(1), {"a": np.bool_(True)}])
        net.history.record("thing", lambda: None)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(()))

    def forward(self, x, target):
        self.n += torch.is_grad_enabled()
        return (x - target).square().mean() * (1 + 0.01 * self.n)


def recording():
    restarts = LRScheduler("WarmRestartLR", min_lr=1e-4, max_lr=1e-2)
    return [Records(), ("restarts", restarts)]


def test_what_callbacks_record_and_what_losses_hold_goes_on(tmp_path, kill):
    params = {"loss": Counting(), "callbacks": recording}
    expected = make(AutoencoderTransformer, params).fit(X)
    kill(2)
    path = tmp_path / "fit"
    with pytest.raises(Killed):
        make(AutoencoderTransformer, params, FitCheckpoint(path)).fit(X)
    kill(None)
    found = make(AutoencoderTransformer, params, FitCheckpoint(path)).fit(X)
    assert_same(found, expected)
    assert found.net_.history[:, "number"] == [1, 2, 3, 4, 5, 6]


def test_a_fit_that_a_callback_has_ended_is_not_trained_again(tmp_path):
    def early():
        return [EarlyStopping(patience=2, threshold=0.9)]

    params = {"max_iter": 20, "callbacks": early}
    checkpoint = FitCheckpoint(tmp_path / "fit", keep=True)
    expected = make(AutoencoderTransformer, params, checkpoint).fit(X)
    assert expected.n_iter_ < 20
    assert_same(make(AutoencoderTransformer, params, checkpoint).fit(X), expected)


def test_the_global_generator_stays_as_it_is(tmp_path, kill):
    kill(2)
    with pytest.raises(Killed):
        make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    kill(None)
    before = torch.manual_seed(7).get_state()
    make(AutoencoderTransformer, {}, FitCheckpoint(tmp_path / "fit")).fit(X)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fit_that_has_ended_is_not_trained_again(tmp_path, kill):
    checkpoint = FitCheckpoint(tmp_path / "fit", every_n_epochs=100, keep=True)
    expected = make(AutoencoderTransformer, {}, checkpoint).fit(X)
    kill(7)
    again = make(AutoencoderTransformer, {}, checkpoint).fit(X)
    assert_same(again, expected)


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
