"""What is checked of the networks of an estimator, where the checksum is right."""

import numpy as np
import pytest
import torch
from states import change_text, load
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._persistence import freeze
from sklearn_ae.losses import SquaredError
from sklearn_ae.modules import Autoencoder, Nested, RefinedEncoder

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return AutoencoderTransformer(2, **QUICK).fit(X)


without_order = change_text(
    "fitted", lambda found: found.update(_is_ordered=False, _some_codes=None)
)


def with_network(encoder, decoder):
    """Put another network in place of the one that was fitted."""

    def changed(saved):
        nested = Nested(Autoencoder(encoder, decoder), [1.0, 1.0])
        modules = nn.ModuleDict({"nested": nested, "loss": SquaredError(1.0)})
        saved["network"], saved["arrays"], saved["objects"] = freeze(modules)
        # Of linear layers, the first numbers are no codes of their own.
        without_order(saved)

    return changed


def padded(n):
    """Make a network that pads a row by so many zeros, and cuts them off."""
    pad = nn.ZeroPad1d((0, n)), nn.ZeroPad1d((0, -n))
    return nn.Sequential(nn.Unflatten(1, (1, 12)), *pad, nn.Flatten(), nn.Linear(12, 2))


def attention(n_heads):
    """Make attention whose heads were changed after, and for which torch has a fast way."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, nn.GELU(), batch_first=True)
    layer.self_attn.num_heads = n_heads
    return nn.Sequential(nn.Unflatten(1, (3, 4)), layer, nn.Flatten(), nn.Linear(12, 2))


def test_other_networks_that_fit(fitted):
    for encoder in (nn.Linear(12, 2), padded(1000), attention(2)):
        loaded = load(fitted, with_network(encoder, nn.Linear(2, 12)), _n_steps=0)
        assert loaded.transform(X).shape == (40, 2)


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (nn.Linear(11, 2), nn.Linear(2, 12), "is damaged: RuntimeError"),
        (nn.Linear(12, 3), nn.Linear(3, 12), r"maps rows of shape \(0, 12\)"),
        (nn.Linear(12, 2), nn.Linear(2, 11), r"maps rows of shape \(0, 12\)"),
        (nn.Linear(12, 2), nn.Unflatten(1, (2, 1)), r"maps rows of shape \(0, 12\)"),
        (nn.Identity(), nn.Identity(), "has no weights"),
        (nn.Linear(12, 2), nn.Linear(2, 12).double(), "not all of one type"),
        (nn.Linear(12, 2, dtype=torch.cfloat), nn.Linear(2, 12, dtype=torch.cfloat), "not all of"),
        (padded(10**9), nn.Linear(2, 12), "layers are too large"),
        (padded(10**30), nn.Linear(2, 12), "is damaged"),
        (nn.Sequential(nn.Linear(12, 2), nn.Conv1d(1, 2, 1)), nn.Linear(2, 12), "is damaged"),
        # On rows, some of these end the process: torch's fast way divides by them.
        (attention(0), nn.Linear(2, 12), "is damaged: ZeroDivisionError"),
        (attention(-2), nn.Linear(2, 12), "is damaged"),
        (attention(3), nn.Linear(2, 12), "is damaged"),
    ],
)  # fmt: skip
def test_networks_of_other_shapes(fitted, encoder, decoder, message):
    with pytest.raises(ValueError, match=message):
        load(fitted, with_network(encoder, decoder))


def test_networks_that_go_on_and_on(fitted):
    encoder = RefinedEncoder(nn.Linear(12, 2), nn.Linear(2, 12), 10**12)
    with pytest.raises(ValueError, match="layers are too large"):
        load(fitted, with_network(encoder, nn.Linear(2, 12)))


class Counting(nn.Linear):
    """A user's, which knows how often it is run."""

    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return super().forward(x)


def test_modules_of_the_user_are_not_run(fitted):
    loaded = load(fitted, with_network(Counting(12, 2), nn.Linear(2, 12)))
    assert Counting.calls == 0
    loaded.transform(X)
    assert Counting.calls > 0


@pytest.mark.parametrize("layer", [1, 2, 10**6, -1, 0.0, "0"])
def test_hidden_layers_that_are_not_there(layer):
    estimator = AutoencoderTransformer(2, code_layer=0, **QUICK | {"init": "random"}).fit(X)
    assert load(estimator).transform(X).shape == (40, 4)
    change = change_text("fitted", lambda found: found.update(_code_layer=layer))
    if layer == 1:  # the decoder's
        assert load(estimator, change).transform(X).shape == (40, 4)
        return
    with pytest.raises(ValueError, match=r"(no hidden layer|its _code_layer is)"):
        load(estimator, change)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (lambda nested, loss: nn.ModuleList([nested, loss]), "it is no dict of modules"),
        (lambda nested, loss: nn.ModuleDict({"nested": nested}), "not a network, PCA and a loss"),
        (
            lambda nested, loss: nn.ModuleDict({"nested": nested, "loss": loss, "more": loss}),
            "not a network, PCA and a loss",
        ),
        (lambda nested, loss: nn.ModuleDict({"loss": loss}), "its network has 0 of 2 numbers"),
        (
            lambda nested, loss: nn.ModuleDict({"pca": nested, "loss": loss}),
            "its network has 0 of 2 numbers",
        ),
        (
            lambda nested, loss: nn.ModuleDict({"nested": nested.network, "loss": loss}),
            "Autoencoder in place of an autoencoder of nested codes",
        ),
    ],
)
def test_networks_and_a_loss(fitted, parts, message):
    def changed(saved):
        modules = parts(fitted._nested, fitted.net_.criterion_)
        saved["network"], saved["arrays"], saved["objects"] = freeze(modules)

    with pytest.raises(ValueError, match=message):
        load(fitted, changed)
