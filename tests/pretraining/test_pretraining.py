"""Layer by layer pretraining, unrolled into the network of an estimator."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._rows import scaled_rows, sum_up
from sklearn_ae.modules import Autoencoder, Probabilities, dense, transposed
from sklearn_ae.pretraining import RBMPretraining, StackedDenoisingPretraining
from sklearn_ae.pretraining.layers import pretrain

CPU = torch.device("cpu")
X = load_digits().data[:600] / 16
METHODS = {
    "rbm": RBMPretraining(max_iter=3),
    "denoising": StackedDenoisingPretraining(max_iter=3),
}


def make(pretraining, **params):
    defaults = {
        "n_components": 4, "hidden_layer_sizes": (32, 16), "init": "random", "max_iter": 2,
        "activation": "logistic", "random_state": 0, "early_stopping": False,
        "pretraining": pretraining,
    }  # fmt: skip
    return AutoencoderTransformer(**(defaults | params))


def build(hidden=(32, 16), *, binary=False, tied=False):
    scaling = sum_up(X, torch.float64, CPU).scaling()
    rows = scaled_rows(X, np.arange(len(X)), scaling, CPU)
    draw = torch.Generator().manual_seed(0)
    encoder = dense(64, hidden, 4, nn.Sigmoid, draw)
    decoder = transposed(encoder) if tied else dense(4, hidden[::-1], 64, nn.Sigmoid, draw)
    if binary:
        shift = torch.from_numpy(scaling.shift).float()
        decoder = Probabilities(decoder, shift, scaling.scale)
    return Autoencoder(encoder, decoder), rows, scaling


def linear_layers(part):
    part = getattr(part, "decoder", part)
    return [m for m in part if hasattr(m, "weight")]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_decoder_has_the_transposes(method, binary):
    network, rows, scaling = build(binary=binary)
    pretrain(method, network, rows, seed=0)
    up, down = linear_layers(network.encoder), linear_layers(network.decoder)[::-1]
    # The first weights are in the units of the rows: those of probabilities, for a machine.
    scale = scaling.scale if binary and isinstance(method, RBMPretraining) else 1.0
    torch.testing.assert_close(down[0].weight.T, up[0].weight / scale)
    for above, below in zip(up[1:], down[1:], strict=True):
        assert torch.equal(below.weight.T, above.weight)
        assert below.weight is not above.weight


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_tied_weights_stay_tied(method):
    network, rows, _ = build(tied=True)
    before = network.encoder[0].weight.clone()
    pretrain(method, network, rows, seed=0)
    assert not torch.equal(before, network.encoder[0].weight)
    assert network.decoder[-1].weight is network.encoder[0].weight


def test_a_machine_in_scaled_units_is_the_machine_of_the_probabilities():
    """The first hidden layer is what the machine makes of the rows in [0, 1]."""
    method = RBMPretraining(max_iter=2)
    network, rows, _ = build(binary=True)
    pretrain(method, network, rows, seed=0)
    machines = method.pretrain_layers(network.encoder, rows, network.decoder, 0)
    weight, hidden_bias, visible_bias = machines[0]
    rows_01 = torch.from_numpy(X[:5]).float()
    expected = torch.sigmoid(rows_01 @ weight.T + hidden_bias)
    with torch.no_grad():
        found = torch.sigmoid(network.encoder[0](rows.slice(0, 5)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(linear_layers(network.decoder)[-1].bias, visible_bias)


@pytest.mark.parametrize("loss", ["squared_error", "binary_log_loss"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_it_helps(method, loss):
    """Deep logistic networks hardly learn from small random weights; pretrained ones do."""
    reached = {}
    for name, pretraining in (("random", None), ("pretrained", clone(method))):
        if pretraining is not None:
            pretraining.set_params(max_iter=60, batch_size=20)
        model = make(pretraining, loss=loss, max_iter=15, transform_max_iter=0).fit(X)
        reached[name] = model.score(X)
    assert reached["pretrained"] > reached["random"] + 0.03


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh, nn.GELU])
def test_a_layer_rebuilds_the_one_below_as_the_unrolled_network_will(activation):
    rows = scaled_rows(X, np.arange(len(X)), sum_up(X, torch.float64, CPU).scaling(), CPU)
    encoder = dense(64, (48, 40), 4, activation, torch.Generator().manual_seed(0))
    method = StackedDenoisingPretraining(corruption_level=0, max_iter=60, learning_rate=5e-3)
    first, second, _ = method.pretrain_layers(encoder, rows, None, 0)
    f = activation()
    with torch.no_grad():
        below = f(rows.slice(0, len(X)) @ first[0].T + first[1])
        rebuilt = f(f(below @ second[0].T + second[1]) @ second[0] + second[2])
        assert (rebuilt - below).square().mean() < 0.2 * below.var(dim=0).mean()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_same_seed_same_bits(method, device):
    one, other = (make(method, device=device).fit(X).transform(X) for _ in range(2))
    np.testing.assert_allclose(one, other, atol=0 if device == "cpu" else 1e-4)
    assert not np.array_equal(one, make(method, device=device, random_state=1).fit(X).transform(X))


@pytest.mark.parametrize("name", ["rbm", "denoising"])
def test_searches(name):
    parameter = "pretraining__max_iter"
    search = GridSearchCV(make(METHODS[name]), {parameter: [1, 2]}, cv=2).fit(X[:100])
    assert search.best_params_[parameter] in (1, 2)
    by_name = make(name).fit(X[:100])
    assert by_name.transform(X).shape == (600, 4)


WRONG = {
    "init": ("rbm", {"init": "pca"}, "pretraining='rbm' needs init='random'.*got init='pca'"),
    "activation": ("rbm", {"activation": "relu"}, "needs activation='logistic'.*got .*'relu'"),
    "decoder": ("denoising", {"decoder": "linear"}, "needs decoder=None.*got decoder='linear'"),
    "encoder": (
        "denoising",
        {"encoder": "conv", "image_shape": (1, 8, 8)},
        "pretraining='denoising' needs encoder='dense'.*got encoder='conv'",
    ),
    "module": (METHODS["rbm"], {"encoder": nn.Linear(64, 4)}, "RBMPretraining.*encoder='dense'"),
    "all": ("rbm", {"init": "pca", "activation": "gelu"}, "init='random', activation='logistic'"),
}


@pytest.mark.parametrize(("pretraining", "params", "message"), WRONG.values(), ids=WRONG)
def test_a_network_that_cannot_be_unrolled(pretraining, params, message):
    with pytest.raises(ValueError, match=message):
        make(pretraining, **params).fit(X)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (RBMPretraining, {"learning_rate": 0}),
        (RBMPretraining, {"max_iter": 0}),
        (RBMPretraining, {"batch_size": 2.5}),
        (RBMPretraining, {"weight_decay": -1}),
        (StackedDenoisingPretraining, {"corruption_level": 1.5}),
        (StackedDenoisingPretraining, {"learning_rate": "fast"}),
    ],
)
def test_wrong_parameters(method, params):
    (name,) = params
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of {method.__name__}"):
        make(method(**params)).fit(X)


def test_divergence_leaves_the_network_as_it_was():
    with pytest.warns(ConvergenceWarning, match=r"pretraining=RBMPretraining.* diverged"):
        model = make(RBMPretraining(learning_rate=1e6), max_iter=0).fit(X)
    untrained = make(None, max_iter=0).fit(X)
    np.testing.assert_array_equal(model.transform(X), untrained.transform(X))


@pytest.mark.parametrize("tied", [False, True])
def test_without_hidden_layers(tied):
    for name in METHODS:
        model = make(name, hidden_layer_sizes=(), tied_weights=tied).fit(X)
        assert np.isfinite(model.reconstruct(X)).all()
