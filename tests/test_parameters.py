"""Every value that a parameter can have, seen through the estimators."""

import functools

import numpy as np
import pytest
import torch
from curves import check_learns as check
from curves import curve, every_estimator, every_init, mlp
from curves import make_learner as make
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae._fitting.training import OPTIMIZERS
from sklearn_ae.losses import LOSSES
from sklearn_ae.modules import ACTIVATIONS


@pytest.fixture
def X():
    return curve()


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
