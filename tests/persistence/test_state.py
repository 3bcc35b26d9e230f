"""What is checked of the state of an estimator, where the checksum is right."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from states import change_text, load

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer, __version__
from sklearn_ae._persistence.state import checksum
from sklearn_ae.pretraining import RBMPretraining, StackedDenoisingPretraining

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return AutoencoderTransformer(2, **QUICK).fit(X)


def test_unchanged(fitted):
    loaded = load(fitted)
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))
    # The checks leave nothing behind, which would make its layers objects.
    assert loaded.__getstate__()["_saved"]["network"] == fitted.__getstate__()["_saved"]["network"]


def test_weights_that_were_read_in_inference_mode_can_be_trained(fitted):
    with torch.inference_mode():
        loaded = load(fitted)
    assert not any(weight.is_inference() for weight in loaded.net_.module_.parameters())


# -- Attributes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        {"n_features_in_": 11},
        {"n_features_in_": 0},
        {"n_features_in_": None},
        {"n_components_": 3},
        {"n_components_": [2]},
        {"_n_steps": -1},
        {"_n_steps": 0.5},
        {"_split_seed": "0"},
        {"device_": "tpu"},
        {"device_": 3},
        {"device_": "cuda:0; 1"},
        {"_tensors_on": "elsewhere"},
        {"_tensors_on": 5},
        {"_tensors_on": None},
        {"_structure": []},
        {"_net": {}},
        {"_net": None},
        {"_net": {"history": 3, "batch_size": 1, "max_epochs": 1}},
        {"_net": {"history": [3], "batch_size": 1, "max_epochs": 1}},
        {"_net": {"history": [], "batch_size": None, "max_epochs": 1}},
        {"feature_names_in_": ["a"] * 12},
        {"_net": {"history": [], "batch_size": "a", "max_epochs": 1}},
        {"_net": {"history": [], "batch_size": 1, "max_epochs": math.inf}},
        {"n_components_": 1, "_is_ordered": False},
        {"is_pca_": True},
        {"is_pca_": None},
        {"_is_ordered": 1},
        {"_sizes": 3},
        {"_whitenings": 3},
        {"_variance": None},
        {"_some_codes": 3},
        {"_some_codes": [[1.0, 2.0]]},
    ],
    ids=repr,
)
def test_attributes_of_other_kinds(fitted, found):
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, change_text("fitted", lambda attributes: attributes.update(found)))


@pytest.mark.parametrize(
    "name",
    ["n_features_in_", "n_components_", "is_pca_", "_n_steps", "_net", "device_", "_sizes",
     "_is_ordered", "_whitenings", "_variance", "_variances", "n_samples_",
     "validation_loss_curve_"],
)  # fmt: skip
def test_missing_attributes(fitted, name):
    with pytest.raises(ValueError, match=f"is damaged.*{name}"):
        load(fitted, change_text("fitted", lambda attributes: attributes.pop(name)))


@pytest.mark.parametrize("names", [[], np.array(["a"]), np.arange(12), np.array([print] * 12)])
def test_names_of_columns(fitted, names):
    with pytest.raises(ValueError, match="feature_names_in_"):
        load(fitted, feature_names_in_=names)
    names = np.array([f"c{i}" for i in range(12)], dtype=object)
    np.testing.assert_array_equal(load(fitted, feature_names_in_=names).feature_names_in_, names)


@pytest.mark.parametrize(
    "change",
    [
        lambda scaling: scaling.pop("shift"),
        lambda scaling: scaling.update(another=1.0),
        lambda scaling: scaling.update(shift=scaling["shift"][:-1]),
        lambda scaling: scaling.update(shift=scaling["shift"][:, None]),
        lambda scaling: scaling.update(shift=scaling["shift"].astype(object)),
        lambda scaling: scaling.update(shift=scaling["shift"] * np.nan),
        lambda scaling: scaling.update(shift=scaling["shift"].astype(int)),
        lambda scaling: scaling.update(shift=None),
        lambda scaling: scaling.update(scale=math.inf),
        lambda scaling: scaling.update(scale="1"),
    ],
)
def test_units(fitted, change):
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, lambda saved: change(saved["scaling"]))


@pytest.mark.parametrize("name", ["network", "fitted", "arrays", "objects", "scaling", "checksum"])
@pytest.mark.parametrize("value", [None, 3, "", []])
def test_missing_parts(fitted, name, value):
    if name == "objects" and not value:
        value = {1: 2}  # nothing is what it is
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, lambda saved: saved.update({name: value}), true=False)
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, lambda saved: saved.pop(name), true=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["arrays"].reverse(),
        lambda saved: saved["arrays"].__setitem__(0, saved["arrays"][0] + 1),
        lambda saved: saved["arrays"].__setitem__(0, saved["arrays"][0].astype(float)),
        lambda saved: saved["scaling"].update(scale=saved["scaling"]["scale"] * 2),
        change_text("fitted", lambda attributes: attributes.update(n_iter_=5)),
        change_text("network", lambda described: described.update(more=5)),
    ],
)
def test_the_checksum_tells_of_any_change(fitted, change):
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, change, true=False)


def test_the_checksum_tells_shapes_and_types_apart():
    arrays = [
        np.ones(4, np.float32),
        np.ones((2, 2), np.float32),
        np.ones(4, np.float32).view("i4"),
    ]
    saved = {"network": "", "fitted": "", "scaling": {}}
    found = {checksum(saved | {"arrays": [array]}) for array in arrays}
    assert len(found) == 3


# -- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["transform", "fit", "__deepcopy__", "__class__", "module_", "net_", "_coder", 3,
             "_parameter_constraints", "_doc_link_template", "_validate_params", "_repr_html_"]
)  # fmt: skip
def test_attributes_that_no_file_sets(fitted, name):
    message = f"names an attribute {name!r}, which is not read from a file"
    with pytest.raises(ValueError, match=message):
        load(fitted, **{"a": 0} | {name: 0}) if type(name) is str else fitted.__setstate__(
            {name: 0}
        )
    unfitted = clone(fitted)
    with pytest.raises(ValueError, match=message):
        unfitted.__setstate__(vars(unfitted) | {name: 0})
    if type(name) is str:
        with pytest.raises(ValueError, match=message):
            load(fitted, change_text("fitted", lambda attributes: attributes.update({name: 0})))


@pytest.mark.parametrize("cls", [RBMPretraining, StackedDenoisingPretraining])
def test_attributes_that_no_file_sets_in_a_pretraining(cls):
    for name in ("pretrain_layers", "__deepcopy__", "_train"):
        with pytest.raises(ValueError, match=f"names an attribute '{name}'"):
            cls().__setstate__(vars(cls()) | {name: print})
    assert vars(pickle.loads(pickle.dumps(cls(max_iter=3)))) == vars(cls(max_iter=3))


class Derived(DenoisingAutoencoderTransformer):
    """A user's, with a default of its own and something that is its instances'."""

    level = 3

    def extra(self):
        return self.level


def test_classes_derived_from_ours_set_what_is_theirs(fitted):
    derived = Derived(2, **QUICK)
    derived.level, derived.note = 4, {1: print}
    derived.fit(X)
    loaded = load(derived)
    assert loaded.extra() == 4
    assert loaded.note == {1: print}
    np.testing.assert_array_equal(loaded.transform(X), derived.transform(X))
    for name in ("extra", "corrupt", "transform"):
        with pytest.raises(ValueError, match="which is not read from a file"):
            load(derived, **{name: print})


@pytest.mark.parametrize("state", [None, 3, [], "text", [("n_components", 2)]])
def test_states_that_are_none(state):
    with pytest.raises(ValueError, match="in place of the attributes of"):
        AutoencoderTransformer().__setstate__(state)
    with pytest.raises(ValueError, match="in place of the attributes of"):
        RBMPretraining().__setstate__(state)


def test_missing_parameters(fitted):
    for estimator in (fitted, clone(fitted)):
        state = estimator.__getstate__()
        del state["encoder"], state["verbose"]
        with pytest.raises(ValueError, match="has no encoder, verbose"):
            AutoencoderTransformer().__setstate__(state)


# -- Formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("saved_by", [(99, "7.0"), [99, "7.0"], None])
def test_other_formats(fitted, saved_by):
    with pytest.raises(ValueError, match=r"was saved by sklearn_ae .* in format (99|0)"):
        load(fitted, _saved_by=saved_by)


def test_what_is_saved_says_its_format(fitted):
    """Files are read by this number for as long as it stays."""
    assert fitted.__getstate__()["_saved_by"] == (2, __version__)


@pytest.mark.parametrize("saved_by", [3, "text", (1,), (1, 2, 3)])
def test_no_format(fitted, saved_by):
    with pytest.raises(ValueError, match="is no format"):
        load(fitted, _saved_by=saved_by)


@pytest.mark.parametrize("name", ["_saved_by", "_saved"])
def test_half_of_what_was_saved(fitted, name):
    state = fitted.__getstate__()
    del state[name]
    with pytest.raises(ValueError, match=r"(is damaged|in format 0)"):
        AutoencoderTransformer().__setstate__(state)


def test_only_sizes_of_the_net_are_read(fitted):
    change = change_text("fitted", lambda found: found["_net"].update(compile=True))
    assert not load(fitted, change).net_.compile


def test_what_callbacks_recorded_comes_back():
    """What is no plain data stays beside the text, and the rest of the net with it."""
    estimator = AutoencoderTransformer(2, **QUICK).fit(X)
    estimator.net_.history[-1]["codes"] = X[:2]
    loaded = load(estimator)
    np.testing.assert_array_equal(loaded.net_.history[-1]["codes"], X[:2])
    assert loaded.net_.batch_size == estimator.net_.batch_size
    assert vars(loaded).keys() == vars(estimator).keys()
