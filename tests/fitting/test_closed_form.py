"""The decoder's correction in closed form."""

import copy

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from starts import curved, error, parts, solve, start_at_pca
from torch import nn

from sklearn_ae._fitting import closed_form
from sklearn_ae._fitting.closed_form import solve_decoder
from sklearn_ae._fitting.errors import measure_errors
from sklearn_ae._fitting.rows import FitRows
from sklearn_ae._rows import DenseRows, blocks
from sklearn_ae.modules import Autoencoder, Corrected
from sklearn_ae.modules.refined import refined


def ridges(train_parts, penalties):
    """Solve by scikit-learn for each penalty, relative to the largest eigenvalue."""
    features, missed, weights = train_parts
    covariance = np.atleast_2d(np.cov(features.T, bias=True, aweights=weights))
    values = np.linalg.eigvalsh(covariance)
    for penalty in penalties:
        alpha = penalty * values[-1]
        freedom = (values / (values + alpha)).sum()
        yield Ridge(alpha * weights.sum()).fit(features, missed, weights), freedom


def criterion(ridge, freedom, train_parts, valid_parts):
    """Generalized cross-validation on the training rows and the validation error, together."""
    train_error, valid_error = (
        len(features) * np.average(np.square(missed - ridge.predict(features)).sum(1), 0, weights)
        for features, missed, weights in (train_parts, valid_parts)
    )
    return train_error / (1 - freedom / len(train_parts[0])) ** 2 + valid_error


@pytest.mark.parametrize("trained", ["nothing", "weight", "bias"])
@pytest.mark.parametrize(
    ("n_train", "n_valid", "reach"),
    [(80, 20, np.inf), (80, 200, np.inf), (600, 50, 0.5)],
    ids=["few", "few train", "faded"],
)
@pytest.mark.parametrize("noise", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("hidden", [1, 20, 100])
def test_solution_is_the_best_ridge_regression(hidden, noise, n_train, n_valid, reach, trained):
    """Added to what the layer is; rows where the correction fades count as much as it does."""
    X = curved(n_train + n_valid, noise=noise)
    network, train, valid = start_at_pca(X, n_train, hidden=hidden, reach=reach)
    last = network.decoder.correction[-1]
    if trained != "nothing":
        with torch.no_grad():
            getattr(last, trained).normal_(generator=torch.Generator().manual_seed(0))
    train_parts, valid_parts = parts(network, train), parts(network, valid)
    assert (train_parts[2] < 1).any() == np.isfinite(reach)
    before = [p.detach().clone() for p in (last.weight, last.bias)]
    solve(network, train, valid)
    weight, bias = (
        (p.detach() - q).double().numpy()
        for p, q in zip((last.weight, last.bias), before, strict=True)
    )
    features = np.vstack([train_parts[0], valid_parts[0]])
    ours = features @ weight.T + bias

    candidates = list(ridges(train_parts, closed_form.PENALTIES))
    values = [criterion(*c, train_parts, valid_parts) for c in candidates]
    if not weight.any():
        intercept = DummyRegressor().fit(*train_parts)
        zero = criterion(intercept, 0, train_parts, valid_parts)
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


def fit_rows(train, valid):
    """Return rows that differ wherever `solve` might take the wrong ones."""
    return FitRows(None, None, None, valid, train, None)


def same_weights(network, other):
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def assert_same_errors(found, expected):
    torch.testing.assert_close(found.codes, expected.codes)
    np.testing.assert_allclose(found.groups, expected.groups, rtol=1e-5)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.square == pytest.approx(expected.square, rel=1e-5)


@pytest.mark.parametrize("n_steps", [0, 3])
def test_whole_is_solved_for_refined_codes(n_steps):
    network, train, valid = start_at_pca(curved(noise=0.01), hidden=50)
    expected = copy.deepcopy(network)
    encode = refined(expected, n_steps).encoder
    with torch.no_grad():
        codes = encode(valid.tensor)
    solve_decoder(expected.decoder, encode, train, valid, codes)
    found = closed_form.solve(network, fit_rows(train, valid), nn.MSELoss(), n_steps)
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert_same_errors(found, measure_errors(refined(network, n_steps), valid, nn.MSELoss()))


def test_untrained_whole_draws_features_and_sees_the_linear_codes():
    """The encoder's correction, which is zero then, is not computed."""
    network, train, valid = start_at_pca(curved(600, noise=0.01), 400, hidden=10)
    correction = nn.Sequential(nn.Linear(6, 1))
    nn.init.zeros_(correction[0].weight)
    nn.init.zeros_(correction[0].bias)
    linear, ones, seen = network.encoder, torch.ones(6), []

    # By what is computed beside the correction: a layer with a hook is never left out.
    def fade(x):
        seen.append(len(x))
        return x[:, :1]

    encoder = Corrected(linear, correction, ones, torch.ones(1), -ones, ones, fade)
    expected = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(3)
    closed_form.widen_features(expected.decoder, expected.encoder, train, generator)
    solve(expected, train, valid)

    network = Autoencoder(encoder, network.decoder)
    generator = torch.Generator().manual_seed(3)
    found = closed_form.solve(network, fit_rows(train, valid), nn.MSELoss(), 0, generator)
    # It is when the rows that choose are measured before.
    assert len(seen) == 1
    for ours, theirs in zip(
        network.decoder.parameters(), expected.decoder.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    assert_same_errors(found, measure_errors(network, valid, nn.MSELoss()))


@pytest.mark.parametrize("sign", [-1, 0])
def test_whole_stays_where_the_loss_does_not_fall(sign):
    """A loss of the user's need not fall with the squared error."""

    def loss(prediction, target):
        return sign * nn.functional.mse_loss(prediction, target)

    network, train, valid = start_at_pca(curved(noise=0.01), hidden=50)
    before = measure_errors(network, valid, loss)
    start = copy.deepcopy(network.state_dict())
    found = closed_form.solve(network, fit_rows(train, valid), loss, 0)
    assert_same_errors(found, before)
    assert all(torch.equal(start[name], tensor) for name, tensor in network.state_dict().items())


def plain(network):
    return Autoencoder(network.encoder, network.decoder.linear)


def bent(network):
    network.decoder.correction.append(nn.Tanh())
    return network


@pytest.mark.parametrize("unsolvable", [plain, bent])
def test_what_is_not_solvable_is_measured(unsolvable):
    network, train, valid = start_at_pca(curved(noise=0.01))
    network = unsolvable(network)
    before = copy.deepcopy(network)
    found = closed_form.solve(network, fit_rows(train, valid), nn.MSELoss(), 2)
    assert same_weights(network, before)
    assert_same_errors(found, measure_errors(refined(network, 2), valid, nn.MSELoss()))


def test_features_without_variance():
    """What is left to solve for is the mean."""
    network, train, valid = start_at_pca(curved())
    with torch.no_grad():
        network.decoder.correction[0].weight.zero_()
        network.decoder.correction[-1].bias.fill_(2.0)
    solve(network, train, valid)
    torch.testing.assert_close(network.decoder.correction[-1].weight, torch.zeros(6, 20))
    mean = parts(network, train)[1].mean(0)
    np.testing.assert_allclose(mean, 0, atol=1e-5)


def test_blocks_do_not_matter(monkeypatch):
    """But for rounding, by float32 and over penalties of 1e-5."""
    network, train, valid = start_at_pca(curved(600, noise=0.1), 400, hidden=5, reach=0.5)
    whole = copy.deepcopy(network)
    solve(whole, train, valid)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 7)
    solve(network, train, valid)
    with torch.no_grad():
        torch.testing.assert_close(network(train.tensor), whole(train.tensor), atol=5e-3, rtol=0)


def test_rows_that_the_correction_does_not_reach():
    network, train, valid = start_at_pca(curved(), reach=1e-9)
    before = copy.deepcopy(network)
    solve(network, train, valid)
    assert same_weights(network, before)
