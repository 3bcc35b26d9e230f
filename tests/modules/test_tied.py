import copy

import torch
from torch import nn

from sklearn_ae._persistence import freeze, thaw
from sklearn_ae.modules import Autoencoder, Transposed, dense, transposed


def make(hidden=(5,), activation=nn.Tanh):
    encoder = dense(6, hidden, 2, activation, torch.Generator().manual_seed(0))
    return Autoencoder(encoder, transposed(encoder))


def pairs(network):
    up = [m for m in network.encoder if isinstance(m, nn.Linear)]
    down = [m for m in network.decoder if isinstance(m, Transposed)]
    return list(zip(up, reversed(down), strict=True))


def test_is_the_transpose():
    layer = nn.Linear(4, 3)
    bias = torch.arange(4.0)
    z = torch.randn(5, 3)
    expected = z @ layer.weight + bias
    torch.testing.assert_close(Transposed(layer, bias)(z), expected)


def test_against_a_network_with_copied_weights():
    network = make((7, 5))
    x = torch.randn(9, 6)
    h = x
    for layer in list(network.encoder)[::2][:-1]:
        h = torch.tanh(h @ layer.weight.T + layer.bias)
    z = h @ network.encoder[-1].weight.T + network.encoder[-1].bias
    h = torch.tanh(z @ network.encoder[4].weight)
    h = torch.tanh(h @ network.encoder[2].weight)
    torch.testing.assert_close(network(x), h @ network.encoder[0].weight)


def test_one_parameter_with_two_gradients():
    network = make()
    n_weights = 6 * 5 + 5 * 2
    assert sum(p.numel() for p in network.parameters()) == n_weights + (5 + 2) + (5 + 6)
    x = torch.randn(8, 6)
    network(x).square().mean().backward()
    both = network.encoder[0].weight.grad.clone()
    network.zero_grad()
    network.decoder(network.encoder(x).detach()).square().mean().backward()
    one = network.encoder[0].weight.grad
    assert not torch.allclose(both, one)


def test_stays_one_parameter_through_copies_steps_and_pickles():
    network = make()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(8, 6)).square().mean().backward()
    optimizer.step()
    for other in (network, copy.deepcopy(network), thaw(freeze(network), torch.device("cpu"))):
        assert all(below.weight is above.weight for above, below in pairs(other))
        torch.testing.assert_close(other(torch.ones(1, 6)), network(torch.ones(1, 6)))


def test_each_half_has_its_own_biases_and_activations():
    network = make((5, 4), nn.PReLU)
    activations = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    assert len({id(m) for m in activations}) == 4
    biases = [m.bias for m in network.modules() if hasattr(m, "bias")]
    assert len({id(b) for b in biases}) == 6
