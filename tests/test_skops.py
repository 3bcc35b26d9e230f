"""Files without pickle: what skops saves comes back, with no torch object inside."""

from zipfile import BadZipFile

import numpy as np
import pytest
from configurations import ESTIMATORS, Network
from sklearn.base import clone
from torch import nn

from sklearn_ae import AutoencoderTransformer

skops_io = pytest.importorskip("skops.io")

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))


def through_skops(estimator):
    """Save and load, and return what had to be trusted too."""
    data = skops_io.dumps(estimator)
    types = skops_io.get_untrusted_types(data=data)
    return skops_io.loads(data, trusted=types), types


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_every_configuration_comes_back(estimator):
    fitted = clone(estimator).fit(X)
    loaded, types = through_skops(fitted)
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(loaded.reconstruct(X), fitted.reconstruct(X))
    assert loaded.loss_curve_ == fitted.loss_curve_
    assert str(loaded.get_params()) == str(fitted.get_params())
    users = any(
        value is Network or isinstance(value, nn.Module) for value in fitted.get_params().values()
    )
    foreign = [name for name in types if not name.startswith("sklearn_ae.")]
    assert bool(foreign) == users
    if "warm_start=True" in repr(estimator) and not fitted.is_pca_:
        assert loaded.fit(X).loss_curve_ == fitted.fit(X).loss_curve_


@pytest.mark.parametrize(
    "path", ["os:path", "nothing:", "torch.nn.modules.linear:init", "sklearn_ae._base:np"]
)
def test_names_only_modules_of_torch_and_ours(path):
    state = AutoencoderTransformer(1, max_iter=1, early_stopping=False).fit(X).__getstate__()
    state["_frozen"][0]["modules"]["0"]["class"] = path
    name = path.replace(":", ".")
    with pytest.raises(ValueError, match=f"The saved network names {name}, which is no"):
        AutoencoderTransformer().__setstate__(state)


def test_sizes_may_be_numpy_integers():
    fitted = AutoencoderTransformer(np.int64(2), max_iter=1, early_stopping=False).fit(X)
    _, types = through_skops(fitted)
    assert all(name.startswith("sklearn_ae.") for name in types)


def test_nothing_of_the_net_is_set_but_its_sizes():
    state = AutoencoderTransformer(1, max_iter=1, early_stopping=False).fit(X).__getstate__()
    loaded = AutoencoderTransformer()
    loaded.__setstate__(state | {"_net": state["_net"] | {"compile": True}})
    assert not loaded.net_.compile
    for damaged in ({"_net": None}, {"_net": {}}, {"_frozen": 3}):
        with pytest.raises(ValueError, match="is damaged"):
            AutoencoderTransformer().__setstate__(state | damaged)


@pytest.mark.parametrize(
    "attributes",
    [{"forward": print}, {"forward": 1}, {"_forward_hooks": {}}, {"unknown": np.ones(2)}],
    ids=lambda attributes: next(iter(attributes)),
)
def test_attributes_replace_no_methods(attributes):
    state = AutoencoderTransformer(1, max_iter=1, early_stopping=False).fit(X).__getstate__()
    state["_frozen"][0]["modules"]["0"]["attributes"] |= attributes
    with pytest.raises(ValueError, match=r"has attributes that .* cannot have"):
        AutoencoderTransformer().__setstate__(state)


def test_missing_parts():
    fitted = AutoencoderTransformer(1, max_iter=1, early_stopping=False).fit(X)
    for spoil in (
        lambda skeleton, arrays: arrays.pop(),
        lambda skeleton, arrays: skeleton.pop("modules"),
        lambda skeleton, arrays: skeleton["modules"]["0"].update({"modules": {"0": {"again": -1}}}),
        lambda skeleton, arrays: skeleton["modules"]["0"].update({"modules": {"0": {"again": 99}}}),
    ):
        state = fitted.__getstate__()
        spoil(*state["_frozen"])
        with pytest.raises(ValueError, match="The saved network is damaged"):
            AutoencoderTransformer().__setstate__(state)


@pytest.mark.parametrize("saved_by", [(99, "7.0"), None])
def test_other_formats(saved_by):
    state = AutoencoderTransformer(1, max_iter=1).fit(X).__getstate__()
    state["_saved_by"] = saved_by
    with pytest.raises(ValueError, match=r"was saved by sklearn_ae .* in format (99|0)"):
        AutoencoderTransformer().__setstate__(state)


def test_damaged_files():
    """Fifty corruptions, none of which is read as if nothing were wrong."""
    fitted = AutoencoderTransformer(1, max_iter=1, early_stopping=False, random_state=0).fit(X)
    data = skops_io.dumps(fitted)
    types = skops_io.get_untrusted_types(data=data)
    rng = np.random.default_rng(0)
    errors = []
    for case in range(50):
        damaged = bytearray(data)
        if case % 2:
            del damaged[rng.integers(len(data)) :]
        else:
            start = rng.integers(len(data) - 16)
            damaged[start : start + 16] = rng.bytes(16)
        try:
            loaded = skops_io.loads(bytes(damaged), trusted=types)
        except (BadZipFile, LookupError, ValueError) as error:
            errors.append(error)
        else:
            # Bytes that say nothing, such as a date.
            np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert len(errors) > 45
    assert all(len(str(error)) > 10 for error in errors)
