"""Users' code that computes in place spoils no rows: those of a fit, of the user, of another part.

Where it did, the losses and the score would be measured on other rows than were given.
"""

import functools
import math

import numpy as np
import pytest
import torch
from curves import every_init
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer


def curved(n_rows=200, seed=0):
    """Rows on a curve, many of whose cells are negative: a ReLU in place would change them."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=(n_rows, 1))
    X = np.hstack([t, 2 * t**2, np.sin(3 * t), 1 - t, t**3])
    return X + 0.02 * rng.normal(size=X.shape)


X = curved()


class InPlace(nn.Sequential):
    """A user's network whose first layer overwrites its input."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(
            nn.ReLU(inplace=True), nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs)
        )


class InPlaceLoss(nn.Module):
    """A user's loss that overwrites its target."""

    def forward(self, prediction, target):
        return target.sub_(prediction).square().mean()


def darken(x, generator):
    """Corrupt in place."""
    return x.mul_(0.5)


class CompareRows(Callback):
    """Compare the rows that are trained on with what they were before the first epoch."""

    seen: list = []  # noqa: RUF012 - shared by the copies that fits make

    def on_train_begin(self, net, X=None, **kwargs):
        self.before = X.slice(0, len(X)).clone()

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        rows = dataset_train.slice(0, len(dataset_train))
        self.seen.append(torch.equal(rows, self.before))


def make(cls=AutoencoderTransformer, **params):
    defaults = {
        "n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0,
        "device": "cpu", "callbacks": [CompareRows()],
    }  # fmt: skip
    return cls(**(defaults | params))


def held_out_rows(n_rows, seed=0):
    """Return the tenth of the rows that a fit with this random state holds out."""
    drawn = np.random.RandomState(seed).randint(np.iinfo(np.int32).max)
    return np.random.default_rng(drawn).permutation(n_rows)[n_rows - math.ceil(n_rows / 10) :]


IN_PLACE = {
    "encoder": {"encoder": InPlace},
    "decoder": {"decoder": InPlace},
    "both": {"encoder": InPlace, "decoder": InPlace},
    "without steps": {"encoder": InPlace, "decoder": InPlace, "transform_max_iter": 0},
    "instances": {"encoder": InPlace(5, 2), "decoder": InPlace(2, 5)},
    "activation": {"activation": functools.partial(nn.ReLU, inplace=True)},
    "activation, tied": {
        "activation": functools.partial(nn.ELU, inplace=True),
        "tied_weights": True,
        "hidden_layer_sizes": (8, 4),
    },
    "activation, attention": {
        "activation": functools.partial(nn.ReLU, inplace=True),
        "encoder": "attention",
    },
    "loss": {"loss": InPlaceLoss(), "encoder": InPlace, "decoder": InPlace},
}


@every_init
@pytest.mark.parametrize("params", IN_PLACE.values(), ids=IN_PLACE)
def test_rows_of_a_fit_are_not_spoiled(make_estimator, params, init):
    CompareRows.seen.clear()
    rows = X.copy()
    model = make(make_estimator, init=init, **params).fit(rows)
    assert CompareRows.seen == [True] * 3
    assert np.array_equal(rows, X)
    held_out = X[held_out_rows(len(X))]
    # Where the model is PCA of all rows, the score is that of PCA which has not seen them.
    found = model.pca_score_ if model.is_pca_ else model.score(held_out)
    assert model.score_ == pytest.approx(found, rel=1e-4)
    assert np.array_equal(rows, X)


@every_init
def test_corruption_in_place(init):
    CompareRows.seen.clear()
    model = make(DenoisingAutoencoderTransformer, init=init, corruption=darken).fit(X)
    assert CompareRows.seen == [True] * 3
    assert model.score_ == pytest.approx(model.score(X[held_out_rows(len(X))]), rel=1e-4)
    before = X.copy()
    assert not np.array_equal(model.corrupt(X, random_state=0), X)
    assert np.array_equal(before, X)


@pytest.mark.parametrize("pretraining", ["rbm", "denoising"])
def test_pretraining_with_activations_in_place(pretraining):
    """The layers below must hand on what they have made, not what the next one left of it."""
    X01 = (X - X.min(axis=0)) / np.ptp(X, axis=0)
    found = []  # ReLU has the same gradient in place, to the last bit
    for inplace in (False, True):
        activation = "logistic"
        if pretraining == "denoising":
            activation = functools.partial(nn.ReLU, inplace=inplace)
        CompareRows.seen.clear()
        model = make(
            init="random", pretraining=pretraining, activation=activation,
            hidden_layer_sizes=(8, 4), early_stopping=False,
        )  # fmt: skip
        found.append(model.fit(X01).transform(X01))
        assert CompareRows.seen == [True] * 3
    np.testing.assert_array_equal(*found)


@every_init
@pytest.mark.parametrize("name", ["activation", "activation, tied", "activation, attention"])
def test_in_place_gives_what_its_twin_gives(name, init):
    """Up to rounding: some gradients are computed from the output, which is all that is left."""
    params = IN_PLACE[name]
    kind = params["activation"].func
    one, other = (
        make(init=init, **params | {"activation": activation}).fit(X)
        for activation in (kind, functools.partial(kind, inplace=True))
    )
    np.testing.assert_allclose(one.transform(X), other.transform(X), atol=1e-3)
    np.testing.assert_allclose(one.reconstruct(X), other.reconstruct(X), atol=1e-3)


@every_init
def test_users_module_is_used_on_rows_that_stay(init):
    """Also after the fit: what each method is given, and what another method sees of it."""
    model = make(init=init, encoder=InPlace, decoder=InPlace).fit(X)
    rows = X.copy()
    codes = model.transform(rows)
    kept = codes.copy()
    rebuilt = model.inverse_transform(codes)
    np.testing.assert_array_equal(codes, kept)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_allclose(model.reconstruct(rows), rebuilt, atol=1e-9)
    expected = -np.square(X - rebuilt).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-9, atol=1e-12)
