"""The decoder's correction in closed form."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from sklearn_ae._fitting import closed_form
from sklearn_ae._fitting.closed_form import solve_decoder, widen_features
from sklearn_ae._fitting.rows import FitRows, SummedRows
from sklearn_ae._fitting.start import find_start, principal_components
from sklearn_ae._rows import DenseRows, scaled_rows, sum_up
from sklearn_ae.modules import Autoencoder, Corrected, Fade, dense

CPU = torch.device("cpu")


def curved(n_rows=300, noise=0.05, seed=0):
    """Rows near a curve in six columns."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=(n_rows, 1))
    return np.hstack([t, t**2, t**3, np.sin(4 * t), t, -t]) + noise * rng.normal(size=(n_rows, 6))


def start_at_pca(X, n_train=250, hidden=20, seed=0):
    """Return a network at PCA whose decoder has random features, and its rows."""
    sums = sum_up(X[:n_train], torch.float64, CPU)
    scaling = sums.scaling()
    rows = scaled_rows(X, np.arange(len(X)), scaling, CPU)
    train, valid = rows.part(0, n_train), rows.part(n_train, len(X))
    summed = SummedRows(X[:n_train], np.arange(n_train), sums, scaling, train)
    pca = principal_components(summed, 1, 0)
    start = find_start(FitRows(scaling, summed, summed, valid, train, valid), pca)
    weight = torch.from_numpy(pca.components).float()
    encoder, linear = (nn.utils.skip_init(nn.Linear, *w.shape[::-1]) for w in (weight, weight.T))
    with torch.no_grad():
        for layer, w in ((encoder, weight), (linear, weight.T)):
            layer.weight.copy_(w)
            layer.bias.zero_()
    generator = torch.Generator().manual_seed(seed)
    correction = dense(1, (hidden,), X.shape[1], nn.Tanh, generator, zero_last=True)
    middle, radius = (torch.from_numpy(v).float() for v in (start.code_middle, start.code_radius))
    ones = torch.ones(X.shape[1])
    unit = torch.from_numpy(pca.deviations).float()
    nowhere = Fade(middle, torch.full_like(radius, torch.inf))
    decoder = Corrected(
        linear, correction, unit, 0.3 * ones, middle - radius, middle + radius, nowhere
    )
    return Autoencoder(encoder, decoder), train, valid


def solve(network, train, valid):
    with torch.no_grad():
        codes = network.encoder(valid.tensor)
    solve_decoder(network.decoder, network.encoder, train, valid, codes)


def widen(network, train, generator):
    widen_features(network.decoder, network.encoder, train, generator)


def parts(network, rows):
    """Return features, and what the network misses in units of the correction, in float64."""
    decoder, x = network.decoder, rows.tensor
    with torch.no_grad():
        features = decoder.correction[:-1](decoder.bounded(network.encoder(x)))
        missed = (x - network(x)) / decoder.output_scale
    return features.double().numpy(), missed.double().numpy()


def error(network, rows):
    with torch.no_grad():
        return (network(rows.tensor) - rows.tensor).square().mean().item()


def ridges(train_parts, penalties):
    """Solve by scikit-learn for each penalty, relative to the largest eigenvalue."""
    features, missed = train_parts
    covariance = np.atleast_2d(np.cov(features.T, bias=True))
    values = np.linalg.eigvalsh(covariance)
    for penalty in penalties:
        alpha = penalty * values[-1]
        freedom = (values / (values + alpha)).sum()
        yield Ridge(alpha * len(features)).fit(features, missed), freedom


def criterion(ridge, freedom, train_parts, valid_parts):
    """Generalized cross-validation on the training rows and the validation error, together."""
    train_error, valid_error = (
        np.square(missed - ridge.predict(features)).sum()
        for features, missed in (train_parts, valid_parts)
    )
    return train_error / (1 - freedom / len(train_parts[0])) ** 2 + valid_error


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("hidden", [1, 20, 100])
def test_solution_is_the_best_ridge_regression(hidden, noise):
    network, train, valid = start_at_pca(curved(noise=noise), hidden=hidden)
    train_parts, valid_parts = parts(network, train), parts(network, valid)
    solve(network, train, valid)
    last = network.decoder.correction[-1]
    weight = last.weight.detach().double().numpy()
    features = np.vstack([train_parts[0], valid_parts[0]])
    ours = features @ weight.T + last.bias.detach().double().numpy()

    candidates = list(ridges(train_parts, closed_form.PENALTIES))
    values = [criterion(*c, train_parts, valid_parts) for c in candidates]
    if not weight.any():
        zero = sum(np.square(missed).sum() for _, missed in (train_parts, valid_parts))
        assert min(values) >= zero * (1 - 1e-6)
        return
    # The fitted values, not the weights: these are ill determined where penalties are small.
    best = candidates[int(np.argmin(values))][0].predict(features)
    near = [v for v in values if v <= min(values) * (1 + 1e-3)]
    if len(near) == 1:
        np.testing.assert_allclose(ours, best, atol=2e-3 * np.abs(best).max())
    distances = [np.abs(ours - ridge.predict(features)).max() for ridge, _ in candidates]
    chosen = int(np.argmin(distances))
    assert distances[chosen] < 2e-3 * np.abs(ours).max()
    assert values[chosen] <= min(values) * (1 + 1e-3)


def test_curve_is_found():
    network, train, valid = start_at_pca(curved(noise=0.01), hidden=50)
    before = error(network, valid)
    solve(network, train, valid)
    assert error(network, valid) < 0.2 * before


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_training_error_never_grows(seed, random_start, noise):
    """Also where the network has been trained before: what it misses need not have mean zero."""
    network, train, valid = start_at_pca(curved(noise=noise, seed=seed), seed=seed)
    if random_start:
        last = network.decoder.correction[-1]
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            last.weight.normal_(generator=generator)
            last.bias.normal_(generator=generator)
    before = error(network, train)
    solve(network, train, valid)
    assert error(network, train) <= before * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_solution_after_training_is_a_ridge_regression_with_its_intercept(seed):
    """With a constant missing everywhere, the layer learns that constant."""
    network, train, valid = start_at_pca(curved(noise=0.01, seed=seed), seed=seed)
    solve(network, train, valid)
    solved = error(network, train)
    with torch.no_grad():
        network.decoder.correction[-1].bias.add_(2.0)
    solve(network, train, valid)
    assert error(network, train) <= solved * 1.05


def test_layer_stays_where_nothing_helps():
    """Validation rows with the same codes miss the opposite: every solution makes them worse."""
    network, train, _ = start_at_pca(curved(noise=0.5))
    with torch.no_grad():
        mirrored = 2 * network(train.tensor) - train.tensor
    valid = DenseRows(torch.cat([mirrored] * 3))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    solve(network, train, valid)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)


def test_nothing_missing():
    """On rows that PCA rebuilds there is nothing to solve for."""
    line = np.outer(np.linspace(-1, 1, 60), [1.0, -2.0, 0.5])
    network, train, valid = start_at_pca(line, n_train=50)
    solve(network, train, valid)
    assert torch.isfinite(network.decoder.correction[-1].weight).all()
    assert error(network, train) < 1e-8


def test_only_the_last_layer_of_the_decoder_is_changed():
    network, train, valid = start_at_pca(curved())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    solve(network, train, valid)
    changed = {n for n, t in network.state_dict().items() if not torch.equal(before[n], t)}
    assert changed == {"decoder.correction.2.weight", "decoder.correction.2.bias"}


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


@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_out_costs_least(seed):
    """Of each single feature, the ridge regression without it says what it was worth."""
    network, train, _ = start_at_pca(curved(seed=seed), hidden=8, seed=seed)
    weight, bias = layers_of(network)
    with torch.no_grad():
        drawn = (4 * weight, 4 * bias)
        kept = closed_form._most_useful(network.decoder, network.encoder, train, *drawn, 7)
        network.decoder.correction[0].weight.mul_(4)
        network.decoder.correction[0].bias.mul_(4)
    features, missed = parts(network, train)
    penalty = closed_form.CHOICE_PENALTY * np.square(features - features.mean(0)).sum()

    def cost(left_out):
        others = np.delete(features, left_out, axis=1)
        ridge = Ridge(penalty).fit(others, missed)
        squares = np.square(missed - ridge.predict(others)).sum()
        return squares + penalty * np.square(ridge.coef_).sum()

    (left_out,) = set(range(8)) - set(kept.tolist())
    assert cost(left_out) <= min(map(cost, range(8))) * (1 + 1e-6)
