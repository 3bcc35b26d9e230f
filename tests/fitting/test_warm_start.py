"""Going on from the last fit."""

import numpy as np
import pytest
import torch
from curves import every_estimator, make, parabola
from sklearn import datasets
from torch import nn

from sklearn_ae import DenoisingAutoencoderTransformer


@every_estimator
def test_warm_start_goes_on(cls):
    X = parabola()
    model = make(cls, warm_start=True, max_iter=8, init="random").fit(X)
    first, weights = model.best_loss_, model.net_.module_.encoder[0].weight.detach().clone()
    scaling = model._scaling
    model.fit(X)
    assert model.best_loss_ <= first * (1 + 1e-5)
    assert model.n_iter_ == len(model.loss_curve_) == 8
    assert model._scaling is scaling
    model.set_params(max_iter=0).fit(X)
    assert model.loss_curve_ == []
    kept = model.net_.module_.encoder[0].weight.detach().clone()
    model.fit(X)
    assert torch.equal(model.net_.module_.encoder[0].weight, kept)
    assert not torch.equal(weights, kept)


def test_warm_start_from_the_start_at_pca_loses_nothing():
    X = parabola()
    model = make(warm_start=True, max_iter=20).fit(X)
    score = model.score_
    assert not model.is_pca_
    model.fit(X)
    assert model.score_ >= score - 1e-4


def test_what_goes_on_from_another_fit_is_not_found_in_memory(tmp_path):
    X = parabola()
    params = {"early_stopping": False, "memory": str(tmp_path)}
    going_on = make(warm_start=True, **params).fit(X)
    first = going_on.net_
    going_on.fit(X[::-1])
    assert going_on.net_ is not first
    found, anew = make(**params).fit(X[::-1]), make(early_stopping=False).fit(X[::-1])
    np.testing.assert_array_equal(found.transform(X), anew.transform(X))
    assert going_on.loss_curve_ != found.loss_curve_


def test_warm_start_starts_anew_where_it_is_off():
    X = parabola()
    model = make(init="random").fit(X)
    codes = model.transform(X)
    np.testing.assert_array_equal(model.fit(X).transform(X), codes)
    moved = model.set_params(warm_start=True).fit(X).transform(X)
    assert not np.array_equal(moved, codes)


def test_warm_start_cannot_change_shapes():
    X = parabola()
    model = make(warm_start=True, max_iter=20).fit(X)
    codes = model.transform(X)
    with pytest.raises(ValueError, match="n_components=2"):
        model.set_params(n_components=2).fit(X)
    model.set_params(n_components=1)
    with pytest.raises(ValueError, match="n_features_in_=3, was 4"):
        model.fit(X[:, :3])
    np.testing.assert_array_equal(model.transform(X), codes)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_layer_sizes": (4,)}, {"activation": "relu"}, {"encoder": "attention"},
        {"decoder": "linear"}, {"tied_weights": True}, {"init": "pca"},
        {"loss": "binary_log_loss"}, {"corruption_loss_weight": 1.0},
    ],
    ids=str,
)  # fmt: skip
def test_warm_start_cannot_change_the_network(changed):
    X = datasets.load_iris().data / 8
    model = make(DenoisingAutoencoderTransformer, warm_start=True, init="random").fit(X)
    codes = model.transform(X)
    (name,) = changed
    with pytest.raises(ValueError, match=rf"warm_start=True .*{name}"):
        model.set_params(**changed).fit(X)
    np.testing.assert_array_equal(model.transform(X), codes)


def test_warm_start_sees_the_range_of_the_new_rows():
    X = datasets.load_iris().data / 8
    model = make(warm_start=True, init="random", loss="binary_log_loss").fit(X)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        model.fit(10 * X)
    model.fit(X / 2)


@pytest.mark.parametrize("seed", [None, 0, "instance"])
def test_warm_start_holds_the_same_rows_out(seed):
    """The others have been trained on."""
    X, seen = parabola(), []

    class Spy(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.append(x.detach().clone())
            return super().forward(x)

    model = make(
        init="random", encoder=Spy, warm_start=True,
        random_state=np.random.RandomState(0) if seed == "instance" else seed,
    )  # fmt: skip
    trained = []
    for _ in range(3):
        seen.clear()
        model.fit(X)
        rows = torch.cat(seen).numpy() * model._scaling.scale + model._scaling.shift
        trained.append({int(np.abs(X - row).sum(axis=1).argmin()) for row in rows})
    assert len(trained[0]) == 180
    assert trained[0] == trained[1] == trained[2]


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("seed", range(3))
@every_estimator
def test_warm_start_is_never_worse(cls, seed, early_stopping):
    """Also after few epochs, and with the decoder solved for the refined codes."""
    X = parabola(300, seed=seed)
    params = {"early_stopping": early_stopping, "random_state": seed}
    model = make(cls, warm_start=True, max_iter=8, hidden_layer_sizes=(32,), **params).fit(X)
    for max_iter in (2, 0, 2):
        before = model.best_loss_
        model.set_params(max_iter=max_iter).fit(X)
        assert model.best_loss_ <= before * (1 + 1e-4)
