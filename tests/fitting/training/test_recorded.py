"""Steps that are recorded once and replayed: those that would be taken one by one."""

import contextlib
import copy
import functools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae._fitting.training import net as net_module
from sklearn_ae._fitting.training import recorded as recorded_module
from sklearn_ae._fitting.training.explicit import ExplicitStep
from sklearn_ae._fitting.training.recorded import RecordedStep, can_be_recorded, record
from sklearn_ae._optimizers import SGD, Adam
from sklearn_ae.losses import LOSSES, SquaredError
from sklearn_ae.modules import Autoencoder

CUDA, CPU = "cuda:0", "cpu"


def curve(n):
    """Rows along a curve."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, (n, 1))
    return np.c_[t, t**2, np.sin(3 * t), t**3, t**5] + 0.1 * rng.normal(size=(n, 5))


X = curve(330)
MODELS = {
    "defaults": AutoencoderTransformer(3),
    "one number": AutoencoderTransformer(1),
    "random": AutoencoderTransformer(3, init="random", optimizer="adamw"),
    "sgd": AutoencoderTransformer(3, optimizer="sgd", learning_rate_init=0.01),
    "linear decoder": AutoencoderTransformer(3, decoder="linear", loss="huber"),
    "tied": AutoencoderTransformer(3, tied_weights=True, loss="absolute_error"),
    "denoising": DenoisingAutoencoderTransformer(3, corruption="masking"),
    "emphasis": DenoisingAutoencoderTransformer(3, emphasis=0.8),
}


@pytest.fixture
def replayed(monkeypatch):
    """Let steps be recorded on the CPU, where to replay one is to take it again."""
    counts = {"recorded": 0, "replayed": 0}

    def record(function, device):
        counts["recorded"] += 1

        def replay():
            counts["replayed"] += 1
            function()

        return replay

    monkeypatch.setattr(recorded_module, "record", record)
    monkeypatch.setattr(
        net_module, "can_be_recorded", lambda device, *args: can_be_recorded(CUDA, *args)
    )
    return counts


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_they_are_those_that_are_taken_one_by_one(model, monkeypatch, replayed):
    model = copy.deepcopy(model).set_params(max_iter=4, random_state=0, batch_size=32, device="cpu")
    recorded = model.fit(X)
    assert replayed["recorded"] == 1
    # Of each epoch but the last batch, and in all but the first step.
    assert replayed["replayed"] == 4 * (297 // 32) - 1
    with monkeypatch.context() as patch:
        patch.setattr(net_module, "can_be_recorded", lambda *args: False)
        alone = copy.deepcopy(model).fit(X)
    assert replayed["recorded"] == 1
    assert recorded.loss_curve_ == alone.loss_curve_
    np.testing.assert_array_equal(recorded.transform(X), alone.transform(X))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_they_are_those_that_are_taken_one_by_one_on_cuda(model, monkeypatch):
    params = {"max_iter": 4, "random_state": 0, "batch_size": 32, "device": "cuda"}
    model = copy.deepcopy(model).set_params(**params)
    curve = model.fit(X).loss_curve_
    monkeypatch.setattr(net_module, "can_be_recorded", lambda *args: False)
    np.testing.assert_allclose(model.fit(X).loss_curve_, curve, rtol=1e-3)


def test_another_rate_is_another_step(replayed, monkeypatch):
    rates = []
    take = RecordedStep.take

    def watched(self, explicit, optimizer, *args):
        rates.append(optimizer.param_groups[0]["lr"])
        return take(self, explicit, optimizer, *args)

    monkeypatch.setattr(RecordedStep, "take", watched)
    params = {"max_iter": 30, "tol": 0.5, "n_iter_no_change": 9, "batch_size": 32}
    AutoencoderTransformer(3, device="cpu", random_state=0, **params).fit(X)
    assert len(set(rates)) > 1
    assert replayed["recorded"] == len(set(rates))
    # The first of each rate, and the steps that are replayed.
    assert replayed["replayed"] == len(rates) - len(set(rates))


class Freeze(Callback):
    """Freezes a layer after the first epoch."""

    def on_epoch_end(self, net, **kwargs):
        for weight in net.module_.encoder.linear.parameters():
            weight.requires_grad_(False)


def test_what_a_callback_changes_between_epochs_is_recorded_anew(replayed, monkeypatch):
    params = {"max_iter": 3, "batch_size": 32, "random_state": 0, "callbacks": [Freeze()]}
    model = AutoencoderTransformer(3, device="cpu", **params)
    curve = model.fit(X).loss_curve_
    assert replayed["recorded"] == 3
    monkeypatch.setattr(net_module, "can_be_recorded", lambda *args: False)
    assert model.fit(X).loss_curve_ == curve


class Listens(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class Mine(nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).square().mean()


@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [Listens()]},
        {"loss": Mine()},
        {"optimizer": torch.optim.Adam},
        {"encoder": "attention"},
    ],
    ids=["a callback listens to batches", "a user's loss", "a user's optimizer", "attention"],
)
def test_what_may_wait_for_the_device_is_not_recorded(params, replayed):
    AutoencoderTransformer(3, max_iter=1, batch_size=32, device="cpu", **params).fit(X)
    assert not replayed["recorded"]


def test_can_be_recorded():
    weights, loss = [nn.Parameter(torch.zeros(1))], SquaredError(1.0)
    assert can_be_recorded(CUDA, Adam(weights), loss)
    assert can_be_recorded(CUDA, SGD(weights), LOSSES["huber"](1.0))
    assert not can_be_recorded(CPU, Adam(weights), loss)
    assert not can_be_recorded(CUDA, torch.optim.Adam(weights), loss)
    hooked = SquaredError(1.0)
    hooked.register_forward_hook(lambda *args: None)
    assert not can_be_recorded(CUDA, Adam(weights), hooked)


def test_a_step_knows_that_it_is_recorded_for_as_long_as_it_is(replayed, monkeypatch):
    """Optimizers refuse to be recorded unless they are told."""
    seen = []

    def record(function, device):
        seen.extend(group["capturable"] for group in optimizers[0].param_groups)
        return function

    optimizers = []
    monkeypatch.setattr(recorded_module, "record", record)
    take = RecordedStep.take
    monkeypatch.setattr(
        RecordedStep, "take",
        lambda self, explicit, optimizer, *args: (
            optimizers.append(optimizer) or take(self, explicit, optimizer, *args)
        ),
    )  # fmt: skip
    AutoencoderTransformer(3, max_iter=1, batch_size=32, device="cpu").fit(X)
    assert seen and all(seen)
    assert not any(group["capturable"] for group in optimizers[0].param_groups)


class FakeCuda:
    """Writes down what CUDA would be told."""

    def __init__(self, monkeypatch, error=None):
        self.told, self.error = [], error
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay="replay"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: "current")
        monkeypatch.setattr(torch.cuda, "device", functools.partial(self.within, "device"))
        monkeypatch.setattr(torch.cuda, "stream", functools.partial(self.within, "stream"))
        monkeypatch.setattr(torch.cuda, "graph", self.graph)
        monkeypatch.setattr(recorded_module, "recording_stream", lambda device: f"of {device}")

    @contextlib.contextmanager
    def within(self, kind, which):
        self.told.append(f"{kind} {which}")
        try:
            yield
        finally:
            self.told.append(f"{kind} as before")

    @contextlib.contextmanager
    def graph(self, graph, *, stream, capture_error_mode):
        assert recorded_module._recording.locked()
        self.told.append(f"graph {stream} {capture_error_mode}")
        yield
        if self.error:
            raise self.error


def test_record(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    assert record(lambda: cuda.told.append("function"), CUDA) == "replay"
    assert cuda.told == [
        "device cuda:0", "stream current", "graph of cuda:0 thread_local", "function",
        "stream as before", "device as before",
    ]  # fmt: skip
    assert not recorded_module._recording.locked()


def test_a_step_that_cannot_be_recorded_is_an_error(monkeypatch):
    error = torch.AcceleratorError("operation not permitted when stream is capturing", 900)
    cuda = FakeCuda(monkeypatch, error)
    with pytest.raises(RuntimeError, match=r"not be recorded.*Start the process anew.*permitted"):
        record(lambda: None, CUDA)
    assert cuda.told[-2:] == ["stream as before", "device as before"]
    assert not recorded_module._recording.locked()


def test_memory_that_is_short_says_so(monkeypatch):
    FakeCuda(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory$"):
        record(lambda: None, CUDA)


@pytest.mark.parametrize("change", ["requires_grad", "data", "optimizer"])
def test_other_weights_are_another_step(change, replayed):
    layer, loss = nn.Linear(5, 5), SquaredError(1.0)
    network = Autoencoder(layer, nn.Linear(5, 5))
    optimizers = [Adam(network.parameters()) for _ in range(2)]
    explicit, step, rows = (
        ExplicitStep(network, loss, False, None),
        RecordedStep(),
        torch.ones(9, 5),
    )
    for _ in range(3):
        step.take(explicit, optimizers[0], rows, rows)
    assert replayed == {"recorded": 1, "replayed": 2}
    if change == "requires_grad":
        layer.bias.requires_grad_(False)
    elif change == "data":
        layer.bias.data = torch.zeros(5)
    for _ in range(2):
        step.take(explicit, optimizers[change == "optimizer"], rows, rows)
    assert replayed == {"recorded": 2, "replayed": 3}


def test_what_is_replayed_reads_and_writes_what_is_trained(monkeypatch, replayed):
    """A graph knows addresses alone."""
    seen = []
    take = RecordedStep.take

    def watched(self, explicit, optimizer, *args):
        found = take(self, explicit, optimizer, *args)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        moments = [t for weight in weights for t in optimizer.state[weight].values()]
        seen.append([tensor.data_ptr() for tensor in (*weights, *moments, *self._places)])
        return found

    monkeypatch.setattr(RecordedStep, "take", watched)
    AutoencoderTransformer(3, max_iter=3, batch_size=32, device="cpu", random_state=0).fit(X)
    assert replayed["recorded"] == 1
    assert all(pointers == seen[1] for pointers in seen[2:])


def test_nothing_of_a_recording_outlives_the_training(replayed):
    model = AutoencoderTransformer(3, max_iter=2, batch_size=33, device="cpu").fit(X)
    assert replayed["recorded"]
    assert model.net_.recorded is None
    assert all(weight.grad is None for weight in model.net_.module_.parameters())


def test_a_copy_begins_anew():
    step = RecordedStep()
    step._replay = lambda: None
    for copied in (copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        assert copied._replay is None
