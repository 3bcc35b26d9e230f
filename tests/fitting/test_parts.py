"""What networks are made of: modules, activations and all else that users give."""

import copy
import threading

import numpy as np
import pytest
import torch
from curves import check_learns as check
from curves import curve, every_estimator, every_init, mlp
from curves import make_learner as make
from sklearn.base import clone
from skorch.callbacks import EpochTimer, LoadInitState
from torch import nn

from sklearn_ae import _fitting
from sklearn_ae.modules import Gate


@pytest.fixture
def X():
    return curve()


@every_init
@every_estimator
@pytest.mark.parametrize("as_factory", [False, True])
@pytest.mark.parametrize("parts", [("encoder",), ("decoder",), ("encoder", "decoder")])
def test_users_modules(parts, as_factory, cls, init, X):
    shapes = {"encoder": (5, 1), "decoder": (1, 5)}
    given = {name: mlp if as_factory else mlp(*shapes[name]) for name in parts}
    before = {
        name: [p.clone() for p in module.parameters()]
        for name, module in given.items()
        if not as_factory
    }
    model = check(make(cls, init=init, **given), X)
    for name, weights in before.items():
        assert getattr(model, name) is given[name]
        assert all(
            torch.equal(a, b) for a, b in zip(weights, given[name].parameters(), strict=True)
        )


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_users_modules_are_gated_at_the_start_at_pca(name, X):
    """Without training the gate is shut: the module does nothing."""
    model = make(max_iter=0, early_stopping=False, encoder=mlp, decoder=mlp).fit(X)
    correction = getattr(model.net_.module_, name).correction
    assert isinstance(correction, Gate)
    assert (correction.gain == 0).all()
    trained = make(early_stopping=False, encoder=mlp, decoder=mlp).fit(X)
    assert (getattr(trained.net_.module_, name).correction.gain != 0).any()


def test_frozen_layers_stay_as_they_are(X):
    module = mlp(5, 1).double()
    module[0].requires_grad_(False)
    model = check(make(encoder=module, init="random"), X)
    assert next(module.parameters()).dtype == torch.float64
    trained = model.net_.module_.encoder.module
    assert torch.equal(trained[0].weight.double(), module[0].weight.float().double())
    assert not torch.equal(trained[-1].weight.double(), module[-1].weight)


@pytest.mark.parametrize("through", [lambda model: model, clone, copy.deepcopy])
def test_weights_that_encoder_and_decoder_share_are_one(through, X):
    layer = nn.Linear(5, 5)
    encoder, decoder = nn.Sequential(layer, nn.Linear(5, 1)), nn.Sequential(nn.Linear(1, 5), layer)
    before = layer.weight.clone()
    model = through(make(encoder=encoder, decoder=decoder, init="random"))
    network = model.fit(X).net_.module_
    assert network.encoder.module[0].weight is network.decoder.module[1].weight
    assert not torch.equal(network.encoder.module[0].weight, before)
    assert torch.equal(layer.weight, before)


def test_a_module_that_a_factory_keeps_is_copied(X):
    module = mlp(5, 1)
    before = copy.deepcopy(module.state_dict())
    make(encoder=lambda n_in, n_out: module, init="random").fit(X)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@every_estimator
@pytest.mark.parametrize("name", ["encoder", "decoder"])
@pytest.mark.parametrize("wrong", [(4, 1), (5, 2), (1, 1), (3, 5)])
def test_modules_whose_shapes_do_not_fit(wrong, name, cls, X):
    n_in, n_out = (5, 1) if name == "encoder" else (1, 5)
    model = make(cls, **{name: nn.Linear(*wrong)})
    with pytest.raises(ValueError) as caught:
        model.fit(X)
    message = str(caught.value)
    assert name in message
    assert f"(n, {n_in})" in message
    assert f"(n, {n_out})" in message
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_factories_that_make_no_module(name, X):
    with pytest.raises(ValueError, match=rf"{name}=.*must return a torch.nn.Module"):
        make(**{name: lambda n_in, n_out: 3}).fit(X)
    with pytest.raises(ValueError, match=rf"{name}=.*it failed: division by zero"):
        make(**{name: lambda n_in, n_out: 1 / 0}).fit(X)


class Detached(nn.Module):
    """A loss without a gradient."""

    def forward(self, prediction, target):
        return (prediction - target).square().mean().detach()


class Fails(nn.Module):
    """A loss for predictions below 1."""

    def forward(self, prediction, target):
        assert (prediction < 1).all()
        return (prediction - target).square().mean()


class Locked(nn.Linear):
    """Cannot be copied."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.lock = threading.Lock()


def for_matrices(groups):
    """Make an optimizer that knows no vectors."""
    if any(p.ndim != 2 for group in groups for p in group["params"]):
        raise ValueError("2D parameters alone")
    return torch.optim.SGD(groups, lr=0.1)


class Pair(nn.Linear):
    """Returns two things."""

    def __init__(self):
        super().__init__(5, 1)

    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize("kind", ["weight", "buffer"])
def test_complex_numbers(X, kind):
    """Real ones would be another network."""
    module = nn.Linear(5, 1, dtype=torch.complex64 if kind == "weight" else None)
    if kind == "buffer":
        module.register_buffer("turn", torch.ones(1, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"encoder=Linear.* complex .*real and imaginary"):
        make(encoder=module).fit(X)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_scripted_modules(X):
    """Their copies cannot be trained."""
    module = torch.jit.script(nn.Linear(5, 1))
    with pytest.raises(ValueError, match=r"encoder=.*scripted"):
        make(encoder=module).fit(X)


@pytest.mark.parametrize(
    "given",
    [
        {"activation": lambda: 3},
        {"activation": nn.GLU},
        {"activation": nn.ReLU()},
        {"activation": torch.relu},
        {"activation": lambda: 1 / 0},
        {"optimizer": lambda params: 1 / 0},
        {"optimizer": lambda params: None},
        {"optimizer": for_matrices},
        {"loss": nn.BCELoss()},
        {"loss": Detached()},
        {"loss": Fails()},
        {"encoder": Locked(5, 1)},
        {"encoder": Pair()},
        {"image_shape": np.array(5)},
        {"callbacks": [(3, EpochTimer())]},
        {"callbacks": [("a", EpochTimer()), ("a", EpochTimer())]},
        {"callbacks": [LoadInitState]},
        {"callbacks": [("keep_best", EpochTimer())]},
        {"callbacks": [("print_log", EpochTimer())]},
    ],
    ids=lambda given: "-".join(given),
)
def test_what_users_give_is_tried_before_the_rows(given, X, monkeypatch):
    def read(*args, **kwargs):
        raise AssertionError("The rows were read.")

    monkeypatch.setattr(_fitting, "sum_up_for", read)
    model = make(**given)
    with pytest.raises(ValueError, match=next(iter(given))):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_a_lone_last_row_is_no_batch(X):
    """Of one row, a module that normalizes by its batch can make nothing."""

    def normalized(n_inputs, n_outputs):
        return nn.Sequential(nn.Linear(n_inputs, 5), nn.BatchNorm1d(5), nn.Linear(5, n_outputs))

    model = make(encoder=normalized, batch_size=16, max_iter=2, early_stopping=False)
    assert np.isfinite(model.fit(X[:17]).transform(X)).all()


class Doubled(torch.autograd.Function):
    """Written before torch.func, which cannot take its gradient."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class DoubledLinear(nn.Linear):
    def forward(self, x):
        return Doubled.apply(super().forward(x))


def test_decoders_that_codes_cannot_descend_on(X):
    with pytest.raises(ValueError, match=r"(?s)decoder must map .*; it failed"):
        make(decoder=DoubledLinear(1, 5)).fit(X)
    make(decoder=DoubledLinear(1, 5), transform_max_iter=0, max_iter=1).fit(X)


class SinglePrecision(nn.Linear):
    def forward(self, x):
        return super().forward(x.float())


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_modules_that_know_one_precision(name, X):
    shape = (5, 1) if name == "encoder" else (1, 5)
    with pytest.raises(ValueError, match=rf"{name} must map .*float64"):
        make(**{name: SinglePrecision(*shape)}).fit(X)


def test_nothing_to_train(X):
    model = make(n_components=5, encoder=nn.Identity(), decoder=nn.Identity(), init="random")
    with pytest.raises(ValueError, match="have no parameters"):
        model.fit(X)


def test_users_module_with_dropout_draws_reproducibly(X):
    def factory(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, 12), nn.Dropout(0.3), nn.Linear(12, n_out))

    before = torch.get_rng_state()
    one, same = (make(init="random", encoder=factory, max_iter=3).fit(X) for _ in "ab")
    np.testing.assert_array_equal(one.transform(X), same.transform(X))
    np.testing.assert_array_equal(one.transform(X), one.transform(X))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "activation",
    [
        lambda: nn.PReLU(16),
        lambda: nn.Sequential(nn.BatchNorm1d(16), nn.ReLU()),
        lambda: nn.Sequential(nn.LayerNorm(16), nn.GELU()),
    ],
    ids=["PReLU", "BatchNorm1d", "LayerNorm"],
)
def test_activations_of_a_width(activation, X):
    check(make(activation=activation, hidden_layer_sizes=(16, 16)), X)


def test_activations_of_images(X):
    images = np.hstack([X, X[:, :1]])

    def activation():
        return nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())

    model = make(
        encoder="conv", image_shape=(1, 2, 3), hidden_layer_sizes=(8,), activation=activation
    )
    check(model, images)
