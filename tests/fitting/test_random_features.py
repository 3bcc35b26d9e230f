"""The hidden layers of a decoder that was not trained: random features, the most useful of many."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from starts import curved, error, parts, solve, start_at_pca
from torch import nn

from sklearn_ae._fitting import closed_form
from sklearn_ae._fitting.closed_form import widen_features
from sklearn_ae._rows import DenseRows
from sklearn_ae.modules import dense


class Wave(nn.Module):
    """An activation that is another one when it is repeated."""

    def forward(self, x):
        return torch.sin(2 * x)


def widen(network, train, generator):
    widen_features(network.decoder, network.encoder, train, generator)


def layers_of(network):
    """Return copies of weight and bias of the first layer of the decoder's correction."""
    first = network.decoder.correction[0]
    return first.weight.detach().clone(), first.bias.detach().clone()


def test_few_rows_take_the_features_as_drawn():
    network, train, _ = start_at_pca(curved(), n_train=160, hidden=20)
    drawn = layers_of(network)
    widen(network, train, torch.Generator())
    for before, after in zip(drawn, layers_of(network), strict=True):
        torch.testing.assert_close(after, closed_form.FEATURE_GAIN * before)


def test_features_pass_through_further_layers():
    generator = torch.Generator().manual_seed(0)
    network, train, _ = start_at_pca(curved())
    network.decoder.correction = dense(1, (20, 20), 6, nn.ReLU, generator, zero_last=True)
    widen(network, train, generator)
    first, second = network.decoder.correction[:2], network.decoder.correction[2:4]
    codes = torch.linspace(-2, 2, 50)[:, None]
    torch.testing.assert_close(second(first(codes)), first(codes))


def test_without_hidden_layers_nothing_is_drawn():
    network, train, _ = start_at_pca(curved())
    network.decoder.correction = nn.Sequential(nn.Linear(1, 6))
    before = layers_of(network)
    widen(network, train, torch.Generator())
    torch.testing.assert_close(layers_of(network), before)


def test_chosen_features_rebuild_better_than_as_many_drawn():
    """In the mean: the choice is greedy, and looks at the training rows alone."""
    errors = []
    for seed in range(5):
        for choose in (False, True):
            network, train, valid = start_at_pca(
                curved(3_000, noise=0.01, seed=seed), n_train=2_500, hidden=10, seed=seed
            )
            rows = train if choose else train.part(0, 1)
            widen(network, rows, torch.Generator().manual_seed(seed))
            solve(network, train, valid)
            errors.append(error(network, valid))
    drawn, chosen = np.log(errors).reshape(-1, 2).mean(axis=0)
    assert chosen < drawn


@pytest.mark.parametrize("n_passing_on", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_out_costs_least(seed, n_passing_on):
    """Of each single feature, the ridge regression without it says what it was worth.

    As it comes through the layers that pass it on.
    """
    network, train, _ = start_at_pca(curved(seed=seed), hidden=8, seed=seed)
    weight, bias = layers_of(network)
    first, _, last = network.decoder.correction
    passing_on = [nn.Linear(8, 8) for _ in range(n_passing_on)]
    with torch.no_grad():
        for layer in passing_on:
            nn.init.eye_(layer.weight)
            layer.bias.zero_()
    more = [part for layer in passing_on for part in (layer, Wave())]
    network.decoder.correction = nn.Sequential(first, Wave(), *more, last)
    with torch.no_grad():
        drawn = (4 * weight, 4 * bias)
        kept = closed_form._most_useful(network.decoder, network.encoder, train, *drawn, 7)
        network.decoder.correction[0].weight.mul_(4)
        network.decoder.correction[0].bias.mul_(4)
    features, missed, _ = parts(network, train)
    penalty = closed_form.CHOICE_PENALTY * np.square(features - features.mean(0)).sum()

    def cost(left_out):
        others = np.delete(features, left_out, axis=1)
        ridge = Ridge(penalty).fit(others, missed)
        squares = np.square(missed - ridge.predict(others)).sum()
        return squares + penalty * np.square(ridge.coef_).sum()

    (left_out,) = set(range(8)) - set(kept.tolist())
    assert cost(left_out) <= min(map(cost, range(8))) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("n_rows", "hidden", "n_candidates"), [(168, 20, 21), (255, 20, 31), (1_000, 5, 15)]
)
def test_candidates_are_drawn_like_the_first(monkeypatch, n_rows, hidden, n_candidates):
    """Three for each that there is room for, and eight rows for each; scaled like the others."""
    seen = []

    def last_ones(decoder, encode, train, weight, bias, n):
        seen.append((weight, bias))
        return torch.arange(len(weight) - n, len(weight))

    monkeypatch.setattr(closed_form, "_most_useful", last_ones)
    generator = torch.Generator().manual_seed(0)
    correction = dense(9, (hidden,), 9, nn.Tanh, generator, zero_last=True)
    first = [p.detach().clone() for p in correction[0].parameters()]
    rows = DenseRows(torch.zeros(n_rows, 9))
    widen_features(SimpleNamespace(correction=correction), None, rows, generator)
    ((weight, bias),) = seen
    assert weight.shape == (n_candidates, 9)
    assert bias.shape == (n_candidates,)
    gain = closed_form.FEATURE_GAIN
    torch.testing.assert_close(weight[:hidden], gain * first[0])
    torch.testing.assert_close(bias[:hidden], gain * first[1])
    # Uniform up to 1 / sqrt(9), like the layer itself.
    more = torch.cat([weight[hidden:].flatten(), bias[hidden:]]) / gain
    assert 0.25 < float(more.abs().max()) <= 1 / 3
    assert len(more.unique()) > 0.9 * len(more)
    torch.testing.assert_close(correction[0].weight.detach(), weight[-hidden:])
    torch.testing.assert_close(correction[0].bias.detach(), bias[-hidden:])


def test_what_a_narrower_layer_passes_on_is_chosen(monkeypatch):
    """The others are never seen."""
    asked = []

    def last_ones(decoder, encode, train, weight, bias, n):
        asked.append((len(weight), n))
        return torch.arange(len(weight) - n, len(weight))

    monkeypatch.setattr(closed_form, "_most_useful", last_ones)
    for sizes, expected in [
        ((20, 5), (20, 5)), ((20, 12), (36, 12)), ((5, 20), (15, 5)), ((200, 5), (125, 5)),
    ]:  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        correction = dense(9, sizes, 9, nn.Tanh, generator, zero_last=True)
        n, _ = expected
        last = closed_form.FEATURE_GAIN * correction[0].weight.detach()[:n][-5:]
        decoder = SimpleNamespace(correction=correction)
        widen_features(decoder, None, DenseRows(torch.zeros(1_000, 9)), generator)
        assert asked.pop() == expected
        if n <= sizes[0]:
            torch.testing.assert_close(correction[0].weight.detach()[:5], last)


@pytest.mark.parametrize("reach", [np.inf, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_features_are_left_out_at_a_time(seed, reach, monkeypatch):
    """Against refits without each feature; under a penalty that leaves float32 no doubt."""
    monkeypatch.setattr(closed_form, "CHOICE_PENALTY", 1e-2)
    network, train, _ = start_at_pca(curved(450, seed=seed), 400, hidden=16, seed=seed, reach=reach)
    features, missed, weights = parts(network, train)
    layer = layers_of(network)
    with torch.no_grad():
        found = closed_form._most_useful(network.decoder, network.encoder, train, *layer, 3)

    centred = features - np.average(features, 0, weights)
    penalty = 1e-2 * (weights @ np.square(centred).sum(1))
    kept = np.arange(16)
    for n_left in (8, 4, 3):
        costs = []
        for j in kept:
            others = features[:, kept[kept != j]]
            ridge = Ridge(penalty).fit(others, missed, weights)
            squares = weights @ np.square(missed - ridge.predict(others)).sum(1)
            costs.append(squares + penalty * np.square(ridge.coef_).sum())
        kept = kept[np.sort(np.argsort(costs)[-n_left:])]
    assert set(found.tolist()) == set(kept.tolist())
