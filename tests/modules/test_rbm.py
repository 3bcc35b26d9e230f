import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

from sklearn_ae.modules.rbm import RestrictedBoltzmannMachine


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def binary_states(n):
    return torch.tensor([[(i >> j) & 1 for j in range(n)] for i in range(2**n)]).float()


def machine(**kinds):
    made = RestrictedBoltzmannMachine(3, 2, generator(), **kinds)
    with torch.no_grad():
        made.weight.mul_(10)
        made.hidden_bias.copy_(torch.tensor([0.3, -0.2]))
        made.visible_bias.copy_(torch.tensor([0.1, -0.4, 0.2]))
    return made


@torch.no_grad()
def joint_energy(made, v, h):
    """Energy of each pair of states of the visible and of the hidden units."""
    return -(v @ made.weight.T) @ h.T - (v @ made.visible_bias)[:, None] - made.hidden_bias @ h.T


def test_free_energy_sums_out_the_hidden_units():
    made = machine()
    v, h = binary_states(3), binary_states(2)
    expected = -torch.logsumexp(-joint_energy(made, v, h), 1)
    torch.testing.assert_close(made.free_energy(v), expected)


def test_conditional_means_are_those_of_the_joint_distribution():
    made = machine()
    v, h = binary_states(3), binary_states(2)
    joint = torch.softmax(-joint_energy(made, v, h).flatten(), 0).reshape(8, 4)
    with torch.no_grad():
        torch.testing.assert_close(made.hidden(v), joint @ h / joint.sum(1, keepdim=True))
        torch.testing.assert_close(made.visible(h), joint.T @ v / joint.sum(0)[:, None])


def test_normal_units_have_linear_means():
    made = machine(gaussian_visible=True, gaussian_hidden=True)
    x = torch.randn(5, 3)
    with torch.no_grad():
        torch.testing.assert_close(made.hidden(x), x @ made.weight.T + made.hidden_bias)
        z = torch.randn(5, 2)
        torch.testing.assert_close(made.visible(z), z @ made.weight + made.visible_bias)
        # By the mean and the unit variance of h: the integral of a normal density.
        field = made.hidden(x)
        expected = (x - made.visible_bias).square().sum(1) / 2 - field.square().sum(1) / 2
        torch.testing.assert_close(made.free_energy(x), expected)


def test_the_gradient_is_that_of_contrastive_divergence():
    """Against averages over the states of the hidden units, written out."""
    made = machine()
    v = torch.tensor([[1.0, 0.0, 1.0]]).repeat(200_000, 1)
    made.contrastive_divergence(v, generator(1))
    with torch.no_grad():
        means = made.hidden(v[:1])[0]
        states = binary_states(2)
        weight = torch.prod(torch.where(states > 0, means, 1 - means), 1)
        rebuilt = made.visible(states)
        again = made.hidden(rebuilt)
        positive = torch.outer(means, v[0])
        negative = torch.einsum("s,sh,sv->hv", weight, again, rebuilt)
    torch.testing.assert_close(made.weight.grad, negative - positive, atol=3e-3, rtol=0)
    torch.testing.assert_close(made.hidden_bias.grad, weight @ again - means, atol=3e-3, rtol=0)
    torch.testing.assert_close(made.visible_bias.grad, weight @ rebuilt - v[0], atol=3e-3, rtol=0)


def pseudo_likelihood(rows, free_energy):
    """Mean log of the probability of each cell given the others, of binary rows."""
    total = 0.0
    for j in range(rows.shape[1]):
        flipped = rows.copy()
        flipped[:, j] = 1 - flipped[:, j]
        gain = free_energy(flipped) - free_energy(rows)
        total += -np.logaddexp(0, -gain).mean()
    return total


@pytest.mark.parametrize("seed", [0, 1])
def test_is_no_worse_than_scikit_learns(seed):
    X = (load_digits().data > 7).astype(np.float32)
    train, test = X[:1500], X[1500:]
    theirs = BernoulliRBM(32, learning_rate=0.1, batch_size=50, n_iter=20, random_state=seed)
    theirs.fit(train)
    ours = RestrictedBoltzmannMachine(64, 32, generator(seed))
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    draw = generator(seed)
    for _ in range(20):
        for batch in torch.from_numpy(train)[torch.randperm(1500, generator=draw)].split(50):
            ours.contrastive_divergence(batch, draw)
            optimizer.step()
    reached = pseudo_likelihood(test, lambda v: ours.free_energy(torch.from_numpy(v)).numpy())
    # One step of contrastive divergence against scikit-learn's persistent chains.
    assert reached >= pseudo_likelihood(test, theirs._free_energy) - 0.5
