"""Files that were made to run code: they do where each name of the package is trusted, else not."""

import copy
import itertools
import json
import pickle

import numpy as np
import pytest
import sklearn
import torch
from archives import (
    applied,
    calls,
    file_of,
    instance,
    mapping,
    node,
    payload,
    plain,
    sequence,
    tree_of,
    with_tree,
)
from configurations import Network
from sklearn.exceptions import NotFittedError

from sklearn_ae import SKOPS_TYPES, AutoencoderTransformer

skops_io = pytest.importorskip("skops.io")
UntrustedTypesFoundException = skops_io.exceptions.UntrustedTypesFoundException

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))
QUICK = {"max_iter": 1, "early_stopping": False, "random_state": 0}
OURS, _, RBM, _ = SKOPS_TYPES
# Trusted by some of the tests, as a user's own function: what does not call it calls nothing.
PAYLOAD = "archives.payload"


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


@pytest.fixture(scope="module")
def good():
    """Return a file that is as it should be."""
    return skops_io.dumps(AutoencoderTransformer(2, hidden_layer_sizes=(4,), **QUICK).fit(X))


def function(name=PAYLOAD):
    return node("Function", name)


def load(data, *more):
    """Load a file as the documentation says, and perhaps trust more."""
    return skops_io.loads(data, trusted=[*SKOPS_TYPES, *more])


# -- Names of what the package's modules import or define -----------------------------------------


class Unpickled:
    """Its pickle calls the payload."""

    def __reduce__(self):
        return payload, ("unpickled",)


def constructor_that_is_a_function(module):
    """Call ``sklearn_ae.onnx._needed``, which imports what it is given the name of."""
    return file_of(
        node("ConstructorFromReduce", "sklearn_ae.onnx._needed", content=sequence("tuple", module))
    )


def method_of_an_imported_module(module):
    """Make the key of a dict by ``importlib.import_module``, found through a module of ours."""
    imported = "sklearn_ae.onnx.importlib"
    content = {"func": "import_module", "obj": node("Type", imported)}
    method = node("Method", imported, content=content)
    return file_of(mapping([method], **{json.loads(module["content"]): plain(0)}))


def class_that_unpickles(module):
    """Set the state of a skorch net, a part of which it unpickles."""
    content = {"content": mapping(device=plain("cpu"), __cuda_dependent_attributes__={})}
    tree = node("Object", "sklearn_ae._fitting.training.net.ReconstructionNet", **content)
    attributes = tree["content"]["content"]
    attributes["__cuda_dependent_attributes__"] = node("Bytes", "builtins.bytes", file="state")
    return file_of(tree, state=pickle.dumps({"a": Unpickled()}))


def class_that_a_module_imports(module):
    """Do the same, by the name of a class of skorch in a module of ours."""
    data = class_that_unpickles(module)
    tree = tree_of(data) | {"__class__": "NeuralNet"}
    return with_tree(data, tree)


@pytest.mark.parametrize(
    "craft",
    [
        constructor_that_is_a_function,
        method_of_an_imported_module,
        class_that_unpickles,
        class_that_a_module_imports,
    ],
)
def test_names_of_the_package_that_are_no_types_of_its_files(craft, tmp_path, monkeypatch):
    name = f"crafted_{craft.__name__}"
    (tmp_path / f"{name}.py").write_text("import archives\narchives.payload('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = craft(plain(name))
    with pytest.raises(UntrustedTypesFoundException, match="sklearn_ae"):
        load(data)
    assert not calls
    # All begin with the name of the package. Whoever takes that for trust runs the file's code.
    types = skops_io.get_untrusted_types(data=data)
    assert all(name.startswith("sklearn_ae.") for name in types)
    assert not set(types) & set(SKOPS_TYPES)
    try:
        skops_io.loads(data, trusted=types)
    except (AttributeError, KeyError, TypeError):
        pass  # after the code has run, what it gave is not what was looked for
    assert calls


# -- Names that are trusted, with something else done ---------------------------------------------


@pytest.mark.parametrize("method", ["fit", "set_params", "__reduce_ex__"])
def test_methods_are_no_types(method, good):
    content = {"func": method, "obj": tree_of(good)}
    data = with_tree(good, node("Method", OURS, content=content) | {"protocol": 2})
    with pytest.raises(UntrustedTypesFoundException, match=rf"AutoencoderTransformer\.{method}"):
        load(data)


@pytest.mark.parametrize("loader", ["Type", "Function", "ConstructorFromReduce", "Loss", "NdArray"])
def test_trusted_types_construct_and_run_nothing(loader):
    """For skops, a trusted name may be of any kind of node; constructors only keep their values."""
    arguments = sequence("tuple", function())
    more = {"content": arguments}
    if loader == "Loss":
        more = {"content": mapping(), "__reduce__": {"args": arguments}}
    if loader == "NdArray":
        more = {"content": [function()], "type": "json", "shape": sequence("tuple", plain(1))}
    found = load(file_of(node(loader, OURS, **more)), PAYLOAD)
    if isinstance(found, AutoencoderTransformer):
        with pytest.raises(NotFittedError):
            found.transform(X)
    assert not calls


@pytest.mark.parametrize("kind", ["list", "set", "tuple"])
def test_containers_of_trusted_names(kind):
    data = file_of(node(kind.capitalize(), OURS, content=[function()]))
    load(data, PAYLOAD)
    assert not calls


# -- The state of an estimator --------------------------------------------------------------------


def with_attributes(good, **attributes):
    """Return the file with more attributes in the estimator."""
    tree = tree_of(good)
    state = tree["content"]
    state["content"] |= attributes
    state["key_types"]["content"] += [node("Type", "builtins.str")] * len(attributes)
    return with_tree(good, tree)


@pytest.mark.parametrize("name", ["transform", "__sklearn_tags__", "_check_rows", "module_"])
def test_attributes_that_replace_methods(name, good):
    with pytest.raises(ValueError, match=f"names an attribute '{name}'"):
        load(with_attributes(good, **{name: function()}), PAYLOAD)
    assert not calls
    # By a ufunc, nothing more has to be trusted.
    with pytest.raises(ValueError, match=f"names an attribute '{name}'"):
        load(with_attributes(good, **{name: function("numpy.add")}))


def test_attributes_of_a_pretraining_that_replace_methods(good):
    for name in ("pretrain_layers", "_validate_params"):
        with pytest.raises(ValueError, match=f"names an attribute '{name}'"):
            load(with_attributes(good, pretraining=instance(RBM, **{name: function()})), PAYLOAD)
    assert not calls


def test_state_that_is_no_dict(good):
    for content in (function(), plain([1]), sequence("list", function()), plain("text")):
        with pytest.raises(ValueError, match="in place of the attributes"):
            load(file_of(node("Object", OURS, content=content)), PAYLOAD)
    assert not calls


# -- The network ----------------------------------------------------------------------------------


def with_objects(data, *objects):
    """Return the file with other objects in the network."""
    tree = tree_of(data)
    tree["content"]["content"]["_saved"]["content"]["objects"] = sequence("list", *objects)
    return with_tree(data, tree)


def test_skeletons_that_say_how_they_are_copied(good):
    """Estimators of scikit-learn, which skops trusts by itself, take any attribute."""
    version = plain(sklearn.__version__)
    attributes = {"_sklearn_version": version, "__deepcopy__": function()}
    crafted = instance("sklearn.decomposition._pca.PCA", **attributes)
    copy.deepcopy(load(file_of(crafted), PAYLOAD))
    assert calls
    calls.clear()
    with pytest.raises(ValueError, match=r"is damaged: PCA in place of a torch\.nn\.Module"):
        load(with_objects(good, crafted), PAYLOAD)
    with pytest.raises(ValueError, match="names an attribute '__deepcopy__'"):
        load(with_objects(good, instance(RBM, __deepcopy__=function())), PAYLOAD)
    for crafted in (function(), applied(OURS, function()), plain(1)):
        with pytest.raises(ValueError, match="is damaged"):
            load(with_objects(good, crafted), PAYLOAD)
    assert not calls


def test_modules_of_the_user_that_say_how_they_are_copied():
    users = ["configurations.Network", "torch.nn.modules.linear.Linear"]
    users.append("torch.nn.modules.activation.Tanh")
    fitted = AutoencoderTransformer(2, encoder=Network, init="random", **QUICK).fit(X)
    data = skops_io.dumps(fitted)
    np.testing.assert_array_equal(load(data, *users).transform(X), fitted.transform(X))
    tree = tree_of(data)
    (network,) = tree["content"]["content"]["_saved"]["content"]["objects"]["content"]
    attributes = network["content"]
    attributes["content"]["__deepcopy__"] = function()
    attributes["key_types"]["content"].append(node("Type", "builtins.str"))
    with pytest.raises(ValueError, match="Network has attributes that are methods"):
        load(with_tree(data, tree), PAYLOAD, *users)
    assert not calls


def test_names_in_the_text_of_the_network(good, monkeypatch):
    """``torch.hub`` and others are one attribute away from where layers are."""
    monkeypatch.setattr(torch.nn.modules.linear, "payload", payload, raising=False)
    tree = tree_of(good)
    text = tree["content"]["content"]["_saved"]["content"]["network"]
    described = json.loads(json.loads(text["content"]))
    names = "archives:payload", "torch.nn.modules.linear:payload", "sklearn_ae.onnx:_needed"
    for name, part in itertools.product(names, ("nested", "loss")):
        crafted = copy.deepcopy(described)
        crafted["modules"][part]["class"] = name
        text["content"] = json.dumps(json.dumps(crafted))
        with pytest.raises(ValueError, match=f"names '{name}', which is not read from a file"):
            load(with_tree(good, tree))
    assert not calls
