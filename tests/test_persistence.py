"""What was saved comes back: pickle, joblib, deepcopy; on a machine without the device, too."""

import copy
import functools
import io
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._persistence import freeze, thaw

CPU = torch.device("cpu")
T = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
# A closed curve in six columns: one code is too few for PCA.
X = np.column_stack([np.cos(T), np.sin(T), np.cos(2 * T), np.sin(2 * T), T, np.ones(200)])
X = X + 0.01 * np.random.default_rng(1).normal(size=X.shape)
SMALL = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


class Block(nn.Module):
    """A user's module, with batch statistics and dropout."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_inputs, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.last(self.dropout(torch.tanh(self.norm(self.first(x)))))


class Transposed(nn.Module):
    """A decoder whose weights are those of an encoder."""

    def __init__(self, weight, n_outputs):
        super().__init__()
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, z):
        return nn.functional.linear(z, self.weight.T, self.bias)


class TiedFactory:
    """Makes an encoder and a decoder that share a weight."""

    def encoder(self, n_inputs, n_outputs):
        self.layer = nn.Linear(n_inputs, n_outputs)
        return self.layer

    def decoder(self, n_inputs, n_outputs):
        return Transposed(self.layer.weight, n_outputs)

    def __getstate__(self):
        return {}


class ScaledError(nn.Module):
    """A user's loss, with a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor(2.0))

    def forward(self, prediction, target):
        return (self.weights * (prediction - target).square()).mean()


def through_pickle(estimator, folder, protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.loads(pickle.dumps(estimator, protocol=protocol))


def through_joblib(estimator, folder, mmap_mode=None):
    # A new file each time: one that is mapped must not be written to.
    path = folder / f"estimator{len(list(folder.iterdir()))}.joblib"
    joblib.dump(estimator, path)
    return joblib.load(path, mmap_mode=mmap_mode)


WAYS = {
    "pickle": through_pickle,
    "pickle-2": functools.partial(through_pickle, protocol=2),
    "joblib": through_joblib,
    "joblib-mmap": functools.partial(through_joblib, mmap_mode="r"),
    "deepcopy": lambda estimator, folder: copy.deepcopy(estimator),
}
CONFIGURATIONS = {
    "pca start": {"early_stopping": False},
    "random start": {"init": "random"},
    "pca itself": {"learning_rate_init": 1e-12, "hidden_layer_sizes": (), "max_iter": 1},
    "user's modules": {"encoder": Block, "decoder": Block, "early_stopping": False},
    "user's loss": {"loss": ScaledError(), "init": "random"},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def come_back(request, tmp_path):
    """Each way to save and load."""
    return lambda estimator: request.param(estimator, tmp_path)


@pytest.fixture(params=["pickle", "joblib-mmap"])
def come_back_usable(request, tmp_path):
    """Two of them, whose results differ most, for what is slow."""
    return lambda estimator: WAYS[request.param](estimator, tmp_path)


@pytest.fixture(params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def params(request):
    """Parameters that lead to different contents."""
    return {**SMALL, **request.param}


def assert_same(first, second):
    """Two fitted estimators give the same bits."""
    for method in ("transform", "reconstruct", "score_samples", "score"):
        np.testing.assert_array_equal(getattr(first, method)(X), getattr(second, method)(X))
    Z = first.transform(X)
    np.testing.assert_array_equal(first.inverse_transform(Z), second.inverse_transform(Z))


class Recorder(pickle.Unpickler):
    """Notes every name that a pickle refers to."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.names = []

    def find_class(self, module, name):
        self.names.append(f"{module}.{name}")
        return super().find_class(module, name)


def tensor_names(data):
    """Names in a pickle that rebuild tensors, parameters, storages, devices or generators."""
    recorder = Recorder(data)
    recorder.load()
    modules = ("torch._utils.", "torch.storage.", "torch._tensor.", "torch.nn.parameter.")
    kinds = ("torch.Tensor", "torch.device", "torch.Generator", "torch.random")
    return [
        name
        for name in recorder.names
        if name.startswith((*modules, *kinds)) or name.endswith("Storage")
    ]


# -- Estimators ---------------------------------------------------------------------------------


def test_come_back(params, come_back, device):
    estimator = AutoencoderTransformer(1, device=device, **params).fit(X)
    loaded = come_back(estimator)
    assert_same(loaded, estimator)
    for name in ("n_iter_", "best_iter_", "loss_curve_", "validation_loss_curve_", "is_pca_"):
        assert getattr(loaded, name) == getattr(estimator, name)
    assert loaded.device_ == estimator.device_
    assert loaded.net_.history[-1]["train_loss"] == estimator.loss_curve_[-1]
    assert not loaded.module_.training
    assert set(vars(loaded)) == set(vars(estimator))


def test_pca_itself_is_what_it_says():
    estimator = AutoencoderTransformer(1, **{**SMALL, **CONFIGURATIONS["pca itself"]}).fit(X)
    assert estimator.is_pca_


def test_unfitted_comes_back(make_estimator, come_back):
    loaded = come_back(make_estimator(1, **SMALL))
    assert not hasattr(loaded, "module_")
    assert_same(loaded.fit(X), make_estimator(1, **SMALL).fit(X))


def test_twice(come_back):
    estimator = AutoencoderTransformer(1, early_stopping=False, **SMALL).fit(X)
    assert_same(come_back(come_back(estimator)), estimator)
    assert pickle.dumps(come_back(estimator)) == pickle.dumps(come_back(come_back(estimator)))


def test_saving_changes_nothing(come_back):
    estimator = AutoencoderTransformer(1, early_stopping=False, **SMALL).fit(X)
    before, codes = vars(estimator).copy(), estimator.transform(X)
    come_back(estimator)
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(estimator.transform(X), codes)


def test_copies_are_independent():
    estimator = AutoencoderTransformer(1, early_stopping=False, **SMALL).fit(X)
    codes = estimator.transform(X)
    other = copy.deepcopy(estimator)
    with torch.no_grad():
        for parameter in other.module_.parameters():
            parameter.fill_(3.0)
    assert not np.array_equal(other.transform(X), codes)
    np.testing.assert_array_equal(estimator.transform(X), codes)


def test_no_tensors_inside(make_estimator, params, device):
    estimator = make_estimator(1, device=device, **params).fit(X)
    if isinstance(estimator.loss, nn.Module):
        estimator.loss = "squared_error"  # a parameter of the user's, which is left as it is
    assert tensor_names(pickle.dumps(estimator)) == []


def test_the_search_for_tensors_finds_them():
    for found in (torch.ones(2), nn.Linear(1, 1), torch.device("cpu")):
        assert tensor_names(pickle.dumps(found)) != []


@pytest.mark.parametrize("init", ["pca", "random"])
def test_size(make_estimator, init, tmp_path, device):
    rows = np.random.default_rng(0).normal(size=(300, 200))
    estimator = make_estimator(
        8, init=init, hidden_layer_sizes=(256, 256), max_iter=1, early_stopping=False, device=device
    ).fit(rows)
    assert bool(estimator._nested.sizes) == (init == "pca")
    # Last layers of smaller codes among them, and PCA; what is shared is counted once.
    networks = nn.ModuleList(part for part in (estimator._nested, estimator._pca) if part)
    weights = sum(p.numel() * p.element_size() for p in networks.parameters())
    assert weights > 2**19
    assert len(pickle.dumps(estimator)) < 1.2 * weights
    joblib.dump(estimator, tmp_path / "estimator")
    assert (tmp_path / "estimator").stat().st_size < 1.2 * weights
    # What keeps it alive after loading does not grow either.
    assert len(pickle.dumps(pickle.loads(pickle.dumps(estimator)))) < 1.2 * weights


def test_fit_again(make_estimator, params, come_back_usable):
    estimator = make_estimator(1, device="cpu", **params).fit(X)
    loaded = come_back_usable(estimator)
    assert_same(loaded.fit(X), estimator)
    assert loaded.fit(X[:, :3]).transform(X[:, :3]).shape == (200, 1)


def test_warm_start_goes_on(make_estimator, params, come_back_usable):
    estimator = make_estimator(1, warm_start=True, device="cpu", **params).fit(X)
    before = estimator.score(X)
    loaded = come_back_usable(estimator)
    assert_same(loaded.fit(X), estimator.fit(X))
    assert loaded.n_iter_ == estimator.n_iter_
    assert loaded.loss_curve_ == estimator.loss_curve_
    if make_estimator is AutoencoderTransformer:
        # It went on from there: without validation rows, no worse than twice the loss of the start.
        assert 1 - loaded.score(X) <= 2.1 * (1 - before) + 1e-6


def test_weights_can_be_trained_after_loading(come_back):
    estimator = AutoencoderTransformer(1, early_stopping=False, **SMALL).fit(X)
    parameters = list(come_back(estimator).net_.module_.parameters())
    assert [p.shape for p in parameters] == [p.shape for p in estimator.net_.module_.parameters()]
    assert all(p.requires_grad and p.is_leaf for p in parameters)


def test_the_net_can_be_pickled_after_loading(come_back):
    estimator = AutoencoderTransformer(1, init="random", **SMALL).fit(X)
    again = pickle.loads(pickle.dumps(come_back(estimator).net_))
    np.testing.assert_array_equal(again.predict(X), estimator.net_.predict(X))
    assert [row["train_loss"] for row in again.history] == estimator.loss_curve_


def shares_weight(network):
    weights = [next(part.parameters()) for part in (network.encoder, network.decoder)]
    return weights[0] is weights[1]


def test_tied_weights_stay_tied(come_back):
    factory = TiedFactory()
    estimator = AutoencoderTransformer(
        2, encoder=factory.encoder, decoder=factory.decoder, init="random", **SMALL
    ).fit(X)
    loaded = come_back(estimator)
    for fitted in (estimator, loaded):
        assert shares_weight(fitted.net_.module_)
    assert_same(loaded, estimator)
    for fitted in (estimator, loaded):
        fitted.set_params(warm_start=True).fit(X)
    assert_same(loaded, estimator)
    assert shares_weight(loaded.net_.module_)


def test_goes_to_the_nearest_device(make_estimator, monkeypatch):
    estimator = make_estimator(1, early_stopping=False, device="cpu", **SMALL).fit(X)
    estimator.device_ = "cuda:99"
    state = estimator.__getstate__()
    asked = []

    def nearest(device):
        asked.append(device)
        return CPU

    monkeypatch.setattr("sklearn_ae._base.nearest_device", nearest)
    loaded = make_estimator.__new__(make_estimator)
    loaded.__setstate__(state)
    assert asked == ["cuda:99"]
    assert loaded.device_ == "cpu"
    estimator.device_ = "cpu"
    assert_same(loaded, estimator)


LOAD = """
import pickle, sys
import numpy as np, torch
assert not torch.cuda.is_available()
with open(sys.argv[1], "rb") as file:
    estimator, X = pickle.load(file)
codes = estimator.transform(X)
assert estimator.device_ == "cpu", estimator.device_
np.savez(sys.argv[2], codes=codes, rows=estimator.inverse_transform(codes))
"""


def test_loads_where_there_is_no_cuda(device, tmp_path):
    estimator = AutoencoderTransformer(1, early_stopping=False, device=device, **SMALL).fit(X)
    assert torch.device(estimator.device_).type == device
    with open(tmp_path / "saved", "wb") as file:
        pickle.dump((estimator, X), file)
    arguments = [sys.executable, "-c", LOAD, tmp_path / "saved", tmp_path / "out.npz"]
    subprocess.run(arguments, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=True)
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["codes"], estimator.transform(X), rtol=0, atol=1e-5)
        np.testing.assert_allclose(found["rows"], estimator.reconstruct(X), rtol=0, atol=1e-5)


# -- freeze and thaw ----------------------------------------------------------------------------


def shared_parts():
    """Make modules that share a module, a parameter and a buffer."""
    module = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Module()])
    module[1].weight = module[0].weight
    module.append(module[0])
    module[3].register_buffer("mean", module[2].running_mean)
    module[3].register_buffer("nothing", None)
    module[3].register_parameter("no_weight", None)
    return module


def test_freeze_leaves_the_module_alone(device):
    module = shared_parts().to(device)
    before = copy.deepcopy(module.state_dict())
    parameters = list(module.parameters())
    frozen = freeze(module)
    assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    # What was frozen is a copy.
    with torch.no_grad():
        module[0].weight.zero_()
    thawed = thaw(frozen, torch.device(device))
    assert torch.equal(thawed[0].weight, before["0.weight"])
    with torch.no_grad():
        thawed[0].weight.fill_(2)
    assert not module[0].weight.any()


def test_thaw_restores_all(device):
    module = shared_parts().to(device).half()
    thawed = thaw(pickle.loads(pickle.dumps(freeze(module))), torch.device(device))
    assert thawed.state_dict().keys() == module.state_dict().keys()
    for name, value in module.state_dict().items():
        assert torch.equal(thawed.state_dict()[name], value)
        assert thawed.state_dict()[name].dtype == value.dtype
        assert thawed.state_dict()[name].device == value.device
    assert not thawed.training


@pytest.mark.parametrize("way", ["pickle", "joblib", "joblib-mmap", "deepcopy"])
def test_what_is_shared_stays_shared(way, tmp_path):
    thawed = thaw(WAYS[way](freeze(shared_parts()), tmp_path), CPU)
    assert thawed[0] is thawed[4]
    assert thawed[0].weight is thawed[1].weight
    assert thawed[0].bias is not thawed[1].bias
    assert thawed[3].mean is thawed[2].running_mean
