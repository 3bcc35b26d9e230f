"""Parameters that are modules of the user, in files."""

import copy
import pickle

import numpy as np
import pytest
import torch
from curves import curve, mlp
from torch import nn

from sklearn_ae import SKOPS_TYPES, AutoencoderTransformer
from sklearn_ae._persistence import pack_parameters, unpack_parameters

X = curve()


def through_skops(estimator):
    skops_io = pytest.importorskip("skops.io")
    return skops_io.loads(skops_io.dumps(estimator), trusted=list(SKOPS_TYPES))


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


WAYS = pytest.mark.parametrize("come_back", [through_pickle, copy.deepcopy, through_skops])


class Picked(nn.Module):
    """Has a parameter that no gradient is for."""

    def __init__(self):
        super().__init__()
        self.columns = nn.Parameter(torch.tensor([0, 2]), requires_grad=False)
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x[:, self.columns.long()])


def make(**params):
    defaults = {"init": "random", "max_iter": 3, "random_state": 0, "hidden_layer_sizes": (4,)}
    return AutoencoderTransformer(1, **defaults | params)


@WAYS
@pytest.mark.parametrize("fitted", [False, True])
def test_modules_come_back(come_back, fitted):
    estimator = make(encoder=mlp(5, 1).double(), decoder=mlp(1, 5), loss=nn.SmoothL1Loss(beta=0.5))
    if fitted:
        estimator.fit(X)
    loaded = come_back(estimator)
    for name in ("encoder", "decoder"):
        before, after = getattr(estimator, name), getattr(loaded, name)
        assert after is not before
        assert after.training
        for a, b in zip(before.parameters(), after.parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.dtype == b.dtype
    assert loaded.loss.beta == 0.5
    if fitted:
        np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
    np.testing.assert_array_equal(loaded.fit(X).transform(X), estimator.fit(X).transform(X))


@WAYS
def test_what_is_frozen_or_shared_stays_so(come_back):
    layer = nn.Linear(5, 5).requires_grad_(False)
    encoder, decoder = nn.Sequential(layer, nn.Linear(5, 1)), nn.Sequential(nn.Linear(1, 5), layer)
    estimator = make(encoder=encoder, decoder=decoder, warm_start=True).fit(X)
    loaded = come_back(estimator)
    assert loaded.encoder[0] is loaded.decoder[1]
    for _ in range(2):
        network = loaded.net_.module_
        first, last = network.encoder.module[0], network.decoder.module[1]
        assert first.weight is last.weight
        assert torch.equal(first.weight.cpu(), layer.weight)
        assert not any(p.requires_grad for p in first.parameters())
        assert all(p.requires_grad for p in network.encoder.module[1].parameters())
        loaded.fit(X)  # goes on with the network of the last fit


@WAYS
def test_a_fit_goes_on_only_with_the_same_module(come_back):
    estimator = make(encoder=mlp(5, 1), warm_start=True).fit(X)
    loaded = come_back(estimator)
    assert loaded.fit(X).loss_curve_ == estimator.fit(X).loss_curve_
    other = come_back(estimator.set_params(encoder=mlp(5, 1)))
    with pytest.raises(ValueError, match="encoder="):
        other.fit(X)


def test_parameters_that_are_whole_numbers():
    estimator = make(encoder=Picked()).fit(X)
    loaded = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert loaded.encoder.columns.dtype == torch.int64


def test_the_state_is_left_alone():
    estimator = make(encoder=mlp(5, 1)).fit(X)
    state = vars(estimator).copy()
    packed = pack_parameters(state)
    assert state == vars(estimator)
    assert packed["encoder"] is None
    again = packed.copy()
    assert isinstance(unpack_parameters(packed)["encoder"], nn.Sequential)
    assert packed.keys() == again.keys()


@pytest.mark.parametrize(
    "given",
    [
        None, (), ("{}", [], []), ("[]", [], []), 3,
        pack_parameters({"encoder": mlp(5, 1)})["_given"][:2],
        ('{"class":"torch.nn.modules.linear:Linear"}', [], []),
        ('{"class":"torch.nn.modules.container:ModuleDict","attributes":{},"parameters":{},'
         '"buffers":{},"modules":{"fit":null}}', [], []),
    ],
)  # fmt: skip
def test_damaged_modules(given):
    state = pack_parameters(vars(make(encoder=mlp(5, 1)))) | {"_given": given}
    with pytest.raises(ValueError, match=r"damaged|not read"):
        AutoencoderTransformer().__setstate__(state)
