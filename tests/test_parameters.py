"""Every value that a parameter can have, seen through the estimators."""

import copy
import functools
import threading

import numpy as np
import pytest
import torch
from curves import curve, every_estimator
from sklearn.base import clone
from sklearn.decomposition import PCA
from skorch.callbacks import EpochTimer, LoadInitState
from torch import nn

from sklearn_ae import AutoencoderTransformer, _fitting
from sklearn_ae._fitting.training import OPTIMIZERS
from sklearn_ae.losses import LOSSES
from sklearn_ae.modules import ACTIVATIONS, Gate

every_init = pytest.mark.parametrize("init", ["pca", "random"])


@pytest.fixture
def X():
    return curve()


def make(cls=AutoencoderTransformer, **params):
    defaults = {
        "n_components": 1, "hidden_layer_sizes": (16,), "max_iter": 15, "random_state": 0,
        "device": "cpu",
    }  # fmt: skip
    return cls(**(defaults | params))


def check(model, X):
    """Fit, and see that it learned."""
    model.fit(X)
    assert model.transform(X).shape == (len(X), 1)
    assert np.isfinite(model.reconstruct(X)).all()
    assert min(model.loss_curve_[1:]) < model.loss_curve_[0]
    return model


def mlp(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 12), nn.Tanh(), nn.Linear(12, n_out))


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


@every_init
@every_estimator
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, cls, init, X):
    check(make(cls, loss=loss, init=init), X)


@every_init
@pytest.mark.parametrize("make_loss", [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss])
def test_torch_losses(make_loss, init, X):
    check(make(loss=make_loss(), init=init, batch_size=32), X)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_losses_that_are_no_mean(reduction, X):
    with pytest.raises(ValueError, match=r"loss=MSELoss.* must"):
        make(loss=nn.MSELoss(reduction=reduction)).fit(X)


class NegativeCosine(nn.Module):
    def forward(self, prediction, target):
        return -nn.functional.cosine_similarity(prediction, target).mean()


@pytest.mark.parametrize("early_stopping", [True, False])
def test_training_counts_with_a_loss_below_zero(early_stopping, X):
    model = make(loss=NegativeCosine(), init="random", early_stopping=early_stopping).fit(X + 1)
    assert model.best_iter_ > 0
    assert model.best_loss_ < 0


@every_init
@pytest.mark.parametrize("move", [lambda X: X + 1.7e9, lambda X: X * 1e5])
def test_users_loss_where_float32_would_lose_the_rows(move, init, X):
    """Columns of times, say: what is learned is what is learned of the same rows at home."""
    home, away = (make(loss=nn.MSELoss(), init=init).fit(rows) for rows in (X, move(X)))
    assert away.score_ == pytest.approx(home.score_, abs=0.02)
    assert away.score_ > 0.5
    assert away.best_loss_ > 0


def test_users_loss_sees_the_rows_as_they_were_given(X):
    seen = []

    class Spy(nn.MSELoss):
        def forward(self, prediction, target):
            seen.append(target.detach().clone())
            return super().forward(prediction, target)

    X = X * 100 + 7
    make(loss=Spy(), max_iter=1, early_stopping=False, batch_size=len(X)).fit(X)
    rows = next(rows for rows in seen if len(rows) == len(X)).numpy()
    order = [np.lexsort(r.round(1).T) for r in (rows, X)]
    np.testing.assert_allclose(rows[order[0]], X[order[1]], rtol=1e-4, atol=1e-3)


def test_start_at_pca_has_a_loss_of_one(X):
    """The loss is in units of what PCA leaves."""
    model = make(early_stopping=False, max_iter=1, learning_rate_init=1e-9).fit(X)
    assert model.loss_curve_[0] == pytest.approx(1, rel=1e-3)


@every_init
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer, init, X):
    model = check(make(optimizer=optimizer, init=init), X)
    made = OPTIMIZERS[optimizer]
    assert isinstance(model.net_.optimizer_, getattr(made, "func", made))


@every_init
@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.RMSprop, lr=1e-3),
        functools.partial(torch.optim.Adagrad, lr=1e-2),
        functools.partial(torch.optim.NAdam, lr=1e-3, weight_decay=1e-4),
        lambda params: torch.optim.SGD(params, lr=1e-2, momentum=0.5),
    ],
    ids=["rmsprop", "adagrad", "nadam", "lambda"],
)
def test_optimizers_of_the_user(optimizer, init, X):
    check(make(optimizer=optimizer, init=init), X)


def test_all_weights_have_one_rate(X):
    """What an optimizer is given is one group, and the linear path learns in units of its own."""
    rates = []

    def noting(groups):
        (group,) = groups
        optimizer = torch.optim.SGD(group["params"], lr=0.01)
        rates.append([g["lr"] for g in optimizer.param_groups])
        return optimizer

    model = make(max_iter=1, optimizer=noting, early_stopping=False).fit(X)
    assert rates[-1] == [0.01]
    path = model.net_.module_.encoder.linear
    assert 0 < path.unit < 1
    assert path.change.abs().max() > 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_pulls_to_pca(optimizer, X):
    """And not to zero, where a network would explain nothing."""
    params = {"optimizer": optimizer, "learning_rate_init": 1e-2, "weight_decay": 90.0}
    model = make(early_stopping=False, max_iter=30, transform_max_iter=0, **params)
    model.set_params(decoder=mlp).fit(X)
    pca = PCA(1).fit(X)
    expected = pca.inverse_transform(pca.transform(X))
    np.testing.assert_allclose(model.reconstruct(X), expected, atol=0.02)


def test_a_scheduler_may_set_rates(X):
    """OneCycleLR sets them, whatever they were; a step moves both paths."""
    from skorch.callbacks import LRScheduler

    scheduler = LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR, max_lr=0.01, total_steps=200, step_every="batch"
    )
    model = make(callbacks=[scheduler], max_iter=20, batch_size=12).fit(X)
    assert not model.is_pca_
    assert model.best_iter_ > 5
    assert model.best_loss_ < 0.5


def test_rate_and_decay_are_the_optimizers(X):
    model = make(learning_rate_init=0.005, weight_decay=0.1, max_iter=1, init="random").fit(X)
    (group,) = model.net_.optimizer_.param_groups
    assert group["lr"] == 0.005
    assert group["weight_decay"] == 0.1


def test_all_parameters_are_trained(X):
    model = make(max_iter=1).fit(X)
    groups = model.net_.optimizer_.param_groups
    trained = sum(p.numel() for group in groups for p in group["params"])
    # 5 -> 1 -> 5 linear, and 16 hidden units on either side.
    assert trained == (5 + 1) + (5 + 5) + (5 * 16 + 16 + 16 + 1) + (16 + 16 + 16 * 5 + 5)


@every_init
@pytest.mark.parametrize("activation", [*ACTIVATIONS, nn.PReLU, nn.LeakyReLU])
def test_activations(activation, init, X):
    check(make(activation=activation, init=init), X)


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
    activation = lambda: nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())  # noqa: E731
    model = make(
        encoder="conv", image_shape=(1, 2, 3), hidden_layer_sizes=(8,), activation=activation
    )
    check(model, images)


@pytest.mark.parametrize("hidden", [(), 7, (7,), [8, 4], np.array([8, 4]), (3, 3, 3)])
def test_hidden_layer_sizes(hidden, X):
    model = make(hidden_layer_sizes=hidden, init="random", max_iter=1).fit(X)
    sizes = [int(size) for size in np.atleast_1d(hidden)]
    for part, expected in (("encoder", [*sizes, 1]), ("decoder", [*sizes[::-1], 5])):
        layers = [m for m in getattr(model.net_.module_, part) if isinstance(m, nn.Linear)]
        assert [layer.out_features for layer in layers] == expected


@pytest.mark.parametrize("hidden", [(0,), (4, -1), (2.5,), ("a",), 0, np.array(5), [[5]]])
def test_bad_hidden_layer_sizes(hidden, X):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        make(hidden_layer_sizes=hidden).fit(X)
