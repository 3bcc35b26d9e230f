"""Fully connected networks."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sklearn_ae.modules import ACTIVATIONS, dense


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("hidden", [(), (7,), (8, 5), (1, 1, 1)])
@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)])
def test_shapes(hidden, leading):
    network = dense(6, hidden, 3, nn.ReLU, generator())
    assert network(torch.zeros(*leading, 6)).shape == (*leading, 3)
    widths = [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
    assert widths == [*hidden, 3]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_follows_every_layer_but_the_last(name):
    make = ACTIVATIONS[name]
    network = dense(4, (5, 6), 2, make, generator())
    x = torch.randn(9, 4, generator=generator(1))
    expected = x
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    for layer in linears[:-1]:
        expected = make()(expected @ layer.weight.T + layer.bias)
    expected = expected @ linears[-1].weight.T + linears[-1].bias
    torch.testing.assert_close(network(x), expected)


def test_each_activation_is_a_module_of_its_own():
    network = dense(4, (5, 6), 2, nn.PReLU, generator())
    made = [layer for layer in network if isinstance(layer, nn.PReLU)]
    assert len(made) == 2
    assert made[0] is not made[1]


@pytest.mark.parametrize("fan_in", [3, 50])
def test_weights_are_distributed_as_those_of_torch(fan_in):
    ours = dense(fan_in, (), 20_000 // fan_in, nn.ReLU, generator())[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = nn.Linear(fan_in, 20_000 // fan_in)
    for name in ("weight", "bias"):
        mine, reference = (getattr(m, name).detach().numpy().ravel() for m in (ours, theirs))
        assert np.abs(mine).max() <= 1 / np.sqrt(fan_in)
        assert stats.ks_2samp(mine, reference).pvalue > 1e-3


def test_the_generator_alone_decides():
    before = torch.get_rng_state()
    one, same, other = (dense(4, (5,), 2, nn.ReLU, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("hidden", [(), (5, 4)])
def test_zero_last_starts_at_zero_and_can_learn(hidden):
    network = dense(4, hidden, 2, nn.ReLU, generator(), zero_last=True)
    x = torch.randn(9, 4, generator=generator(1))
    assert torch.equal(network(x), torch.zeros(9, 2))
    (network(x) - 1).square().sum().backward()
    last = [layer for layer in network if isinstance(layer, nn.Linear)][-1]
    assert last.weight.grad.abs().sum() > 0
    assert last.bias.grad.abs().sum() > 0


def test_zero_last_leaves_the_hidden_layers_as_they_are():
    zero, random = (
        dense(4, (5, 6), 2, nn.ReLU, generator(), zero_last=zero) for zero in (True, False)
    )
    hidden = list(zip(zero.parameters(), random.parameters(), strict=True))[:-2]
    assert all(torch.equal(a, b) for a, b in hidden)


def test_is_float32_whatever_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        network = dense(4, (5,), 2, nn.ReLU, generator())
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
