"""Files without pickle: what skops saves comes back, and names no other types than it says."""

import importlib

import numpy as np
import pytest
from configurations import ESTIMATORS, Network
from sklearn.base import clone
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_ae import SKOPS_TYPES, AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining, StackedDenoisingPretraining

skops_io = pytest.importorskip("skops.io")
UntrustedTypesFoundException = skops_io.exceptions.UntrustedTypesFoundException

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False}


def through_skops(estimator, *users):
    """Save and load, and trust but what files of this package name and these types of the user."""
    data = skops_io.dumps(estimator)
    assert set(skops_io.get_untrusted_types(data=data)) <= {*SKOPS_TYPES, *users}
    return skops_io.loads(data, trusted=[*SKOPS_TYPES, *users])


def users_types(estimator):
    """Return the types of the user that a file of one of the configurations may name."""
    params = estimator.get_params().values()
    if Network in params:
        names = ("linear.Linear", "activation.Tanh")
        return ["configurations.Network", *(f"torch.nn.modules.{name}" for name in names)]
    modules = [value for value in params if isinstance(value, nn.Module)]
    return [f"{type(module).__module__}.{type(module).__name__}" for module in modules]


def test_types_are_those_of_the_estimators_and_what_is_set_in_them():
    classes = AutoencoderTransformer, DenoisingAutoencoderTransformer
    classes += RBMPretraining, StackedDenoisingPretraining
    assert set(SKOPS_TYPES) == {f"{cls.__module__}.{cls.__qualname__}" for cls in classes}
    for name in SKOPS_TYPES:
        module, _, kind = name.rpartition(".")
        assert getattr(importlib.import_module(module), kind) in classes


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_every_configuration_comes_back(estimator):
    fitted = clone(estimator).fit(X)
    loaded = through_skops(fitted, *users_types(fitted))
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(loaded.reconstruct(X), fitted.reconstruct(X))
    assert vars(loaded).keys() == vars(fitted).keys()
    for name, value in vars(fitted).items():
        if name.endswith("_") and name not in ("module_", "net_"):
            np.testing.assert_equal(getattr(loaded, name), value)
    assert loaded.net_.history == fitted.net_.history
    assert str(loaded.get_params()) == str(fitted.get_params())
    if "warm_start=True" in repr(estimator) and not fitted.is_pca_:
        assert loaded.fit(X).loss_curve_ == fitted.fit(X).loss_curve_


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_every_configuration_comes_back_unfitted(estimator):
    estimator = clone(estimator)  # others fit those of the list
    loaded = through_skops(estimator, *users_types(estimator))
    assert str(loaded.get_params()) == str(estimator.get_params())
    assert not hasattr(loaded, "module_")


@pytest.mark.parametrize("cls", [RBMPretraining, StackedDenoisingPretraining])
def test_pretraining_comes_back(cls):
    estimator = AutoencoderTransformer(
        2, init="random", activation="logistic", pretraining=cls(max_iter=1), **QUICK
    ).fit(X)
    assert repr(through_skops(estimator).pretraining) == repr(cls(max_iter=1))


@pytest.mark.parametrize(
    "params",
    [
        {"n_components": np.int64(2), "learning_rate_init": np.float32(1e-3), "tol": np.float64(0)},
        {"hidden_layer_sizes": np.array([4, 4]), "early_stopping": np.True_},
        {"random_state": np.random.RandomState(0)},
    ],
    ids=lambda params: ", ".join(params),
)
def test_values_of_numpy(params):
    fitted = DenoisingAutoencoderTransformer(
        **QUICK | {"corruption_level": np.full(12, 0.1)} | params
    ).fit(X)
    loaded = through_skops(fitted)
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert {name: type(value) for name, value in loaded.get_params().items()} == {
        name: type(value) for name, value in fitted.get_params().items()
    }


def test_names_and_output_of_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(12)])
    fitted = AutoencoderTransformer(2, **QUICK).set_output(transform="pandas").fit(frame)
    pandas.testing.assert_frame_equal(
        through_skops(fitted).transform(frame), fitted.transform(frame)
    )


def test_callbacks_are_types_of_the_user():
    stop = EarlyStopping("train_loss")
    fitted = AutoencoderTransformer(2, **QUICK, callbacks=[stop]).fit(X)
    names = "skorch.callbacks.training.EarlyStopping", "builtins.print"  # it is told to use it
    with pytest.raises(UntrustedTypesFoundException, match=names[0]):
        skops_io.loads(skops_io.dumps(fitted), trusted=SKOPS_TYPES)
    loaded = through_skops(fitted, *names)
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert loaded.callbacks[0].sink is print
    assert loaded.callbacks[0].get_params() == stop.get_params()
