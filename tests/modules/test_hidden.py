import pytest
import torch
from torch import nn

from sklearn_ae.modules import (
    AttentionEncoder,
    Autoencoder,
    Corrected,
    Fade,
    Gate,
    Probabilities,
    RefinedEncoder,
    conv_decoder,
    conv_encoder,
    dense,
    transposed,
)
from sklearn_ae.modules.hidden import hidden_layers

X = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))


def draw():
    return torch.Generator().manual_seed(0)


def corrected(linear, correction):
    n = linear.in_features
    scales = torch.full((n,), 2.0), torch.ones(linear.out_features)
    nowhere = Fade(torch.zeros(n), torch.tensor(torch.inf))
    return Corrected(linear, correction, *scales, torch.full((n,), -1.0), torch.ones(n), nowhere)


def sizes(network):
    return [layer(X).shape[1] for layer in hidden_layers(network)]


def test_dense_layers_are_the_activations():
    encoder, decoder = (dense(a, (5, 4), b, nn.Tanh, draw()) for a, b in ((64, 2), (2, 64)))
    network = Autoencoder(encoder, decoder)
    layers = hidden_layers(network)
    assert sizes(network) == [5, 4, 5, 4]
    first = torch.tanh(encoder[0](X))
    torch.testing.assert_close(layers[0](X), first)
    torch.testing.assert_close(layers[1](X), torch.tanh(encoder[2](first)))
    torch.testing.assert_close(layers[2](X), torch.tanh(decoder[0](encoder(X))))


def test_corrections_see_bounded_inputs():
    torch.manual_seed(0)
    encoder = corrected(nn.Linear(64, 2), dense(64, (5,), 2, nn.Tanh, draw()))
    decoder = corrected(nn.Linear(2, 64), dense(2, (3,), 64, nn.Tanh, draw()))
    network = Autoencoder(encoder, decoder)
    assert sizes(network) == [5, 3]
    expected = torch.tanh(encoder.correction[0](X.clamp(-1, 1) / 2))
    torch.testing.assert_close(hidden_layers(network)[0](X), expected)
    # With refined codes the encoder's layers are the same, and the decoder's see those codes.
    refined = RefinedEncoder(encoder, decoder, 2)
    first, second = hidden_layers(Autoencoder(refined, decoder))
    torch.testing.assert_close(first(X), expected)
    rows = X.double()
    for module in (refined, first, second):
        module.double()
    codes = refined(rows).clamp(-1, 1) / 2
    torch.testing.assert_close(second(rows), torch.tanh(decoder.correction[0](codes)))


def test_tied_convolutional_attention_and_probabilities():
    encoder = dense(64, (5,), 2, nn.Tanh, draw())
    assert sizes(Autoencoder(Gate(encoder, 2), Gate(transposed(encoder), 64))) == [5, 5]
    image = (1, 8, 8)
    network = Autoencoder(
        conv_encoder(image, (3, 4), 2, nn.ReLU, draw()),
        conv_decoder(2, (4, 3), image, nn.ReLU, draw()),
    )
    assert sizes(network) == [3 * 16, 4 * 4, 4 * 4, 3 * 16]
    attention = AttentionEncoder(64, (8, 8), 2, nn.ReLU, draw())
    decoder = Probabilities(nn.Sequential(nn.Linear(2, 64)), torch.zeros(64), 1.0)
    network = Autoencoder(attention, decoder).eval()
    assert sizes(network) == [64 * 8, 64 * 8]
    torch.testing.assert_close(attention.last(hidden_layers(network)[1](X)), attention(X))


@pytest.mark.parametrize("part", [nn.Linear(64, 2), nn.Sequential(nn.Linear(64, 2))])
def test_none(part):
    assert hidden_layers(Autoencoder(part, nn.Linear(2, 64))) == []
