"""Gradients that are written out, against autograd's of the same step."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae._fitting.training import net as net_module
from sklearn_ae._fitting.training.explicit import is_plain
from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae.losses import SquaredError


class Seen(Exception):
    """Ends a fit."""


def net_and_batch(model, X, monkeypatch):
    """Return the net of a fit, and a batch, as they are in its third step."""
    found = []

    def step(net, batch, **params):
        found.append((net, batch[1]))
        if len(found) == 3:
            raise Seen
        return train_step(net, batch, **params)

    train_step = ReconstructionNet.train_step
    monkeypatch.setattr(ReconstructionNet, "train_step", step)
    with pytest.raises(Seen):
        model.fit(X)
    return found[-1]


def step_of(net, rows):
    """Return loss, rows and gradients of a step, of the same draws each time."""
    net, rows = copy.deepcopy(net), rows.clone()
    net.module_.zero_grad()
    loss, rebuilt = net._backwards(rows, net._explicit_step())
    return [loss.detach(), rebuilt.detach(), *(w.grad for w in net.module_.parameters())]


class Cubed(nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).abs().pow(3).mean()


CASES = {
    "defaults": AutoencoderTransformer(3),
    "one number": AutoencoderTransformer(1),
    "whole codes": AutoencoderTransformer(3, init="random"),
    "relu": AutoencoderTransformer(3, activation="relu", hidden_layer_sizes=[20]),
    "elu": AutoencoderTransformer(3, activation="elu", hidden_layer_sizes=[20, 10]),
    "silu": AutoencoderTransformer(3, activation="silu"),
    "logistic": AutoencoderTransformer(3, activation="logistic", init="random"),
    "tied": AutoencoderTransformer(3, activation="tanh", tied_weights=True),
    "tied, random": AutoencoderTransformer(3, tied_weights=True, init="random"),
    "absolute": AutoencoderTransformer(3, loss="absolute_error"),
    "huber": AutoencoderTransformer(3, loss="huber"),
    "of a user": AutoencoderTransformer(3, loss=Cubed()),
    "denoising": DenoisingAutoencoderTransformer(3),
    "emphasis": DenoisingAutoencoderTransformer(3, emphasis=0.8),
    "far out": DenoisingAutoencoderTransformer(3, corruption="gaussian", corruption_level=20.0),
    "swap": DenoisingAutoencoderTransformer(3, corruption="swap", init="random"),
}


def curve(n):
    """Rows along a curve."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, (n, 1))
    return np.c_[t, t**2, np.sin(3 * t), t**3, t**5] + 0.1 * rng.normal(size=(n, 5))


@pytest.mark.parametrize("model", CASES.values(), ids=CASES)
def test_a_step_is_that_of_autograd(model, monkeypatch):
    model = copy.deepcopy(model).set_params(random_state=0, batch_size=50)
    net, batch = net_and_batch(model, curve(400), monkeypatch)
    assert net._explicit_step() is not None
    found = step_of(net, batch)
    monkeypatch.setattr(net_module, "can_be_explicit", lambda network: False)
    expected = step_of(net, batch)
    # One sums in another order; gradients may be small next to what they are sums of.
    for ours, theirs in zip(found, expected, strict=True):
        size = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * size)


def explicit_in_steps(model, monkeypatch):
    """Return for each step of a fit whether its gradients were written out."""
    found = []
    backwards = ReconstructionNet._backwards

    def noted(net, rows, explicit):
        found.append(explicit is not None)
        return backwards(net, rows, explicit)

    monkeypatch.setattr(ReconstructionNet, "_backwards", noted)
    model.set_params(max_iter=2, random_state=0).fit((curve(100) + 2) / 4)
    return set(found)


class Hooked(Callback):
    def on_train_begin(self, net, **kwargs):
        weight = net.module_.encoder.linear.bias_change
        weight.register_hook(lambda gradient: 0 * gradient)


class HookedAtABatch(Callback):
    def __init__(self):
        self.n_batches = 0

    def on_batch_begin(self, net, **kwargs):
        self.n_batches += 1
        if self.n_batches == 2:
            Hooked.on_train_begin(self, net)


class HookedWithAGradient(HookedAtABatch):
    on_batch_begin = Callback.on_batch_begin
    on_grad_computed = HookedAtABatch.on_batch_begin


def normalized(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.BatchNorm1d(4), nn.Linear(4, n_outputs))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {True}),
        ({"callbacks": [Hooked()]}, {False}),
        ({"callbacks": [HookedAtABatch()]}, {True, False}),
        ({"callbacks": [HookedWithAGradient()]}, {True, False}),
        ({"encoder": normalized}, {False}),
        ({"loss": "binary_log_loss"}, {False}),
    ],
)
def test_what_is_left_to_autograd(params, expected, monkeypatch):
    model = AutoencoderTransformer(3, **params)
    assert explicit_in_steps(model, monkeypatch) == expected


class Frozen(Callback):
    """Keeps a weight as it is from the second epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        self.weight = net.module_.encoder.correction[0].weight
        if len(net.history) == 2:
            self.weight.requires_grad_(False)
            self.before = self.weight.clone()

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            assert torch.equal(self.weight, self.before)


def test_a_frozen_weight_stays(monkeypatch):
    model = AutoencoderTransformer(3, callbacks=[Frozen()])
    assert explicit_in_steps(model, monkeypatch) == {True}


def test_a_head_is_left_to_autograd(monkeypatch):
    model = DenoisingAutoencoderTransformer(3, corruption_loss_weight=0.5)
    assert explicit_in_steps(model, monkeypatch) == {False}


class Tripled(Callback):
    def on_train_begin(self, net, **kwargs):
        net.criterion_.register_forward_hook(lambda module, inputs, output: 3 * output)


def test_a_loss_with_a_backward_hook():
    net = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(curve(100)).net_
    assert is_plain(net.criterion_)
    net.criterion_.register_full_backward_pre_hook(lambda module, gradient: None)
    assert not is_plain(net.criterion_)


class Replaced(Callback):
    def on_train_begin(self, net, **kwargs):
        compare = net.criterion_.compare
        net.criterion_.compare = lambda *args: 3 * compare(*args)


@pytest.mark.parametrize("callback", [Tripled(), Replaced()])
def test_what_becomes_of_the_loss(callback, monkeypatch):
    """It is called where something listens to it or has replaced it."""
    model = AutoencoderTransformer(3, max_iter=1, random_state=0, init="random")
    plain, tripled = (
        clone(model).set_params(callbacks=callbacks).fit(curve(100)).net_.history[0, "train_loss"]
        for callbacks in ([], [callback])
    )
    # The optimizer's steps hardly change with the size of gradients.
    assert tripled == pytest.approx(3 * plain, rel=0.1)


def test_gradients_add_up_in_place(monkeypatch):
    net, batch = net_and_batch(
        AutoencoderTransformer(3, random_state=0).set_params(batch_size=50), curve(400), monkeypatch
    )
    found = step_of(net, batch)[2:]
    net.module_.zero_grad()
    for weight in net.module_.parameters():
        weight.grad = torch.ones_like(weight)
    buffers = [weight.grad for weight in net.module_.parameters()]
    net.prefixes.generator = copy.deepcopy(net.prefixes.generator)
    net._backwards(batch, net._explicit_step())
    for weight, buffer, gradient in zip(net.module_.parameters(), buffers, found, strict=True):
        assert weight.grad is buffer
        torch.testing.assert_close(buffer, 1 + gradient)


def test_a_small_loss_in_float64():
    """A user's loss is of rows in their units, however small."""
    model = AutoencoderTransformer(1, loss=nn.MSELoss(), max_iter=2, random_state=0)
    losses = model.fit(1e-25 * curve(400)).net_.history[:, "train_loss"]
    assert all(0 < loss < 1e-48 for loss in losses)


def test_nothing_of_it_stays():
    net = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(curve(100)).net_
    assert "explicit" not in net.get_params() and "explicit" not in net.__dict__


def test_who_looks_at_all_layers_sees_them_in_steps(monkeypatch):
    seen = []

    def look(module, *args):
        # What is measured beside the steps is so without gradients.
        if torch.is_grad_enabled():
            seen.append(type(module))

    handle = nn.modules.module.register_module_forward_hook(look)
    try:
        steps = explicit_in_steps(AutoencoderTransformer(3), monkeypatch)
    finally:
        handle.remove()
    assert steps == {False}
    assert {nn.Linear, nn.GELU, SquaredError} <= set(seen)


def test_who_looks_for_what_is_not_finite(monkeypatch):
    before = torch.is_anomaly_enabled()
    torch.autograd.set_detect_anomaly(True)
    try:
        assert explicit_in_steps(AutoencoderTransformer(3), monkeypatch) == {False}
    finally:
        torch.autograd.set_detect_anomaly(before)


def test_a_callback_whose_instance_listens():
    net = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(curve(100)).net_
    assert not net_module.listens(net, "on_grad_computed")
    callback = Callback()
    callback.on_grad_computed = lambda net, **kwargs: None
    net.callbacks_ = [*net.callbacks_, ("one", callback)]
    assert net_module.listens(net, "on_grad_computed")
