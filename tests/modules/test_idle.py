"""Layers that are left out where they change nothing."""

import pytest
import torch
from torch import nn

from sklearn_ae.modules import Autoencoder, Corrected, Fade, Gate, dense
from sklearn_ae.modules.idle import drop_idle_layers, without_idle_layers
from sklearn_ae.modules.nested import Between

N_ROWS, N_COLUMNS, N_CODES = 20, 5, 2


def corrected(correction, n_inputs, n_outputs):
    ones = torch.ones(n_inputs)
    fade = Fade(0 * ones, 2 * ones)
    linear = nn.Linear(n_inputs, n_outputs)
    return Corrected(linear, correction, ones, torch.ones(n_outputs), -ones, ones, fade)


def make(encoder=None):
    """Return a network with an encoder that gives zeros; the decoder's second layer passes on."""
    generator = torch.Generator().manual_seed(0)
    if encoder is None:
        encoder = dense(N_COLUMNS, (8,), N_CODES, nn.GELU, generator, zero_last=True)
    return Autoencoder(corrected(encoder, N_COLUMNS, N_CODES), make_decoder(N_CODES, generator))


def make_decoder(n_codes, generator):
    decoder = dense(n_codes, (8, 8), N_COLUMNS, nn.GELU, generator, zero_last=False)
    nn.init.eye_(decoder[2].weight)
    nn.init.zeros_(decoder[2].bias)
    return corrected(decoder, n_codes, N_COLUMNS)


def rebuilt(network):
    with torch.no_grad():
        return network(torch.randn(N_ROWS, N_COLUMNS, generator=torch.Generator().manual_seed(1)))


def n_called(network):
    """Count the calls of linear layers."""
    called = []
    hooks = [
        layer.register_forward_hook(lambda *args: called.append(1))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    rebuilt(network)
    for hook in hooks:
        hook.remove()
    return len(called)


def test_the_rows_stay_and_all_layers_come_back():
    network = make()
    before, parts, n_before = rebuilt(network), list(network.modules()), n_called(network)
    with without_idle_layers(network):
        torch.testing.assert_close(rebuilt(network), before)
        # Both of the encoder's, and the one that is the identity.
        assert n_called(network) == n_before - 3
    assert list(network.modules()) == parts
    with pytest.raises(ZeroDivisionError), without_idle_layers(network):
        raise ZeroDivisionError
    assert list(network.modules()) == parts


def test_layers_are_dropped_for_good():
    network = make()
    before, n_before = rebuilt(network), n_called(network)
    drop_idle_layers(network)
    torch.testing.assert_close(rebuilt(network), before)
    assert n_called(network) == n_before - 3
    drop_idle_layers(network)
    assert n_called(network) == n_before - 3


def test_decoders_between_two_do_without():
    network = make()
    smaller = make_decoder(N_CODES - 1, torch.Generator().manual_seed(1))
    network.decoder = Between(smaller, network.decoder, nn.Linear(1, N_COLUMNS), 0.5)
    before, n_before = rebuilt(network), n_called(network)
    with without_idle_layers(network):
        torch.testing.assert_close(rebuilt(network), before)
        # The encoder's two, and one of each decoder.
        assert n_called(network) == n_before - 4
    assert n_called(network) == n_before


def test_a_gate_that_is_shut_gives_zeros():
    network = make(Gate(nn.Linear(N_COLUMNS, N_CODES), N_CODES))
    with without_idle_layers(network):
        assert isinstance(network.encoder, nn.Linear)


def fill_last(network):
    nn.init.constant_(network.encoder.correction[-1].bias, 0.1)


def open_gate(network):
    network.encoder.correction = Gate(nn.Linear(N_COLUMNS, N_CODES), N_CODES)
    nn.init.constant_(network.encoder.correction.gain, 0.1)


def forbid_knowing(network):
    network.encoder.correction.append(nn.Tanh())


@pytest.mark.parametrize("change", [fill_last, open_gate, forbid_knowing])
def test_an_encoder_that_gives_more_is_computed(change):
    network = make()
    change(network)
    encoder = network.encoder
    with without_idle_layers(network):
        assert network.encoder is encoder


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_layer_that_does_more_than_pass_on_is_computed(name):
    network = make()
    with torch.no_grad():
        getattr(network.decoder.correction[2], name).view(-1)[0] += 0.5
    layers = list(network.decoder.correction)
    with without_idle_layers(network):
        assert list(network.decoder.correction) == layers


class Bent(nn.Linear):
    def forward(self, x):
        return torch.relu(super().forward(x)) + 1


def bend_decoder(network):
    bent = Bent(8, 8)
    bent.load_state_dict(network.decoder.correction[2].state_dict())
    network.decoder.correction[2] = bent


def bend_encoder(network):
    network.encoder.correction[-1] = Bent(8, N_CODES)
    nn.init.zeros_(network.encoder.correction[-1].weight)
    nn.init.zeros_(network.encoder.correction[-1].bias)


def hook(get_layer):
    def change(network):
        get_layer(network).register_forward_hook(lambda layer, inputs, output: output + 1)

    return change


@pytest.mark.parametrize(
    "change",
    [
        bend_decoder,
        bend_encoder,
        hook(lambda network: network.decoder.correction[2]),
        hook(lambda network: network.decoder.correction),
        hook(lambda network: network.encoder.correction[-1]),
        hook(lambda network: network.encoder),
    ],
)
def test_what_computes_something_else_is_computed(change):
    """Whatever class it is of, and whatever its weights are."""
    network = make()
    change(network)
    before = rebuilt(network)
    drop_idle_layers(network)
    torch.testing.assert_close(rebuilt(network), before)


def test_layers_as_files_may_have_them():
    """Without a bias, and with attributes that say something else than the weight."""
    network = make()
    network.decoder.correction[2].bias = None
    del network.decoder.correction[2].in_features
    network.encoder.correction[-1].bias = None
    before, n_before = rebuilt(network), n_called(network)
    drop_idle_layers(network)
    torch.testing.assert_close(rebuilt(network), before)
    assert n_called(network) == n_before - 3


def test_decoders_of_other_kinds_stay():
    network = Autoencoder(nn.Linear(N_COLUMNS, N_CODES), nn.Linear(N_CODES, N_COLUMNS))
    parts = list(network.modules())
    with without_idle_layers(network):
        assert list(network.modules()) == parts


def test_wide_layers_are_not_compared_with_an_identity_as_wide(monkeypatch):
    """It would take more memory than all else."""
    network, sizes = make(), []
    decoder = network.decoder.correction
    for layer in (decoder[0], decoder[-1]):
        nn.init.zeros_(layer.bias)
    eye = torch.eye
    monkeypatch.setattr(torch, "eye", lambda n, **kwargs: (sizes.append(n), eye(n, **kwargs))[1])
    drop_idle_layers(network)
    assert decoder[0].weight.shape == (8, N_CODES)
    assert sizes == [8]
