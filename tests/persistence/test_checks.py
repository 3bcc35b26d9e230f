"""What is checked of the attributes of a file, and of its networks for codes of each size."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from curves import curve
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._persistence.checks import check_attributes, check_layers, check_sizes
from sklearn_ae.modules import Autoencoder, Nested

VALID = {
    "n_features_in_": 12,
    "n_components_": 2,
    "_n_steps": 0,
    "_split_seed": 0,
    "_code_layer": None,
    "_structure": {},
    "device_": "cpu",
    "mean_": np.zeros(12),
}


@pytest.mark.parametrize(
    "also",
    [{}, {"mean_": np.zeros(12, np.float32)}, {"_code_layer": 0}],
    ids=repr,
)
def test_what_fits(also):
    check_attributes(VALID | also)


@pytest.mark.parametrize(
    "found",
    [
        {"mean_": np.zeros(11)},
        {"mean_": np.zeros(12, np.int64)},
        {"mean_": np.full(12, np.inf)},
        {"mean_": np.float64(0)},
        {"mean_": None},
    ],
    ids=repr,
)
def test_what_does_not(found):
    with pytest.raises(ValueError, match=f"is damaged: its {next(iter(found))}"):
        check_attributes(VALID | found)


# -- Codes of each size ---------------------------------------------------------------------------

NAN = float("nan")
SIZES = {
    "is_pca": [False, False, True],
    "loss": [0.5, 0.4, NAN],
    "pca_loss": [1.0, 0.5, 0.3],
    "score": [0.5, 0.6, 0.7],
    "pca_score": [0.0, 0.5, 0.7],
}
# A network of two numbers, and PCA of three.
OF_SIZES = {
    "n_components_": 2,
    "is_pca_": False,
    "_is_ordered": True,
    "n_samples_": 3,
    "validation_loss_curve_": None,
    "_sizes": SIZES,
    "_whitenings": [(0, [0.0] * 3, [1.0] * 3), (1, [0.0], [1.0]), (2, [0.0] * 2, [1.0] * 2)],
    "_variance": 3.0,
    "_variances": None,
    "_some_codes": np.zeros((3, 2)),
}


@contextlib.contextmanager
def refused():
    """Check that an error says what is damaged, or is one that `unpack` says it of."""
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)) as caught:
        yield
    assert not isinstance(caught.value, ValueError) or "is damaged" in str(caught.value)


@pytest.fixture(scope="module")
def nested():
    """Return a network of two numbers whose first has a last layer of its own."""
    fitted = AutoencoderTransformer(
        2, hidden_layer_sizes=(4,), max_iter=1, early_stopping=False, random_state=0
    ).fit(curve())
    assert fitted._nested.sizes == [1]
    return fitted._nested


def make_pca(n=3):
    return Nested(Autoencoder(nn.Linear(5, n), nn.Linear(n, 5)), [1.0] * n)


@pytest.mark.parametrize(
    "also",
    [
        {},
        {"n_components_": 1},
        {"n_components_": 3, "is_pca_": True},
        {"_whitenings": []},
        {"_some_codes": None},
        {"_variances": [2.0, 1.0, 0.0]},
        {"_variance": float("inf")},
    ],
    ids=repr,
)
def test_sizes_that_fit(nested, also):
    check_sizes(VALID | OF_SIZES | also, nested, make_pca())


@pytest.mark.parametrize(
    "found",
    [
        {"n_components_": 0},
        {"n_components_": 4},
        {"n_components_": 3},
        {"n_components_": 2.5},
        {"is_pca_": True},
        {"_is_ordered": None},
        {"n_components_": 3, "is_pca_": True, "_is_ordered": 1},
        {"_code_layer": 0},
        {"n_samples_": 0},
        {"n_samples_": "3"},
        {"n_components_": 1, "_is_ordered": False},
        {"_sizes": None},
        {"_sizes": {}},
        {"_sizes": SIZES | {"is_pca": []}},
        {"_sizes": SIZES | {"is_pca": 3}},
        {"_sizes": SIZES | {"is_pca": [0, False, True]}},
        {"_sizes": SIZES | {"is_pca": [False, False]}},
        {"_sizes": SIZES | {"is_pca": [False] * 3}},
        {"_sizes": SIZES | {"is_pca": [False, False, True, True]}},
        {"_sizes": {name: [*value, value[-1]] for name, value in SIZES.items()}},
        {"_sizes": SIZES | {"loss": [0.5, 0.4, "0.3"]}},
        {"_sizes": SIZES | {"score": (0.5, 0.6, 0.7)}},
        {"_sizes": SIZES | {"pca_score": [1, 1, 1]}},
        {"_sizes": {name: value for name, value in SIZES.items() if name != "pca_loss"}},
        {"_whitenings": None},
        {"_whitenings": [3]},
        {"_whitenings": [(0, [0.0] * 3)]},
        {"_whitenings": [[0, [0.0] * 3, [1.0] * 3]]},
        {"_whitenings": [(0, [0.0] * 2, [1.0] * 2)]},
        {"_whitenings": [(2, [0.0] * 2, [1.0] * 3)]},
        {"_whitenings": [(2, [0.0, NAN], [1.0] * 2)]},
        {"_whitenings": [(2, [0.0] * 2, [NAN, 1.0])]},
        {"_whitenings": [(2, [0.0] * 2, [1.0, 0.0])]},
        {"_whitenings": [(2, [0.0] * 2, [1.0, -1.0])]},
        {"_whitenings": [(2, [0, 0], [1, 1])]},
        {"_whitenings": [(2, [[0.0]] * 2, [[1.0]] * 2)]},
        {"_whitenings": [(2, "ab", "cd")]},
        {"_whitenings": [(-1, [], [])]},
        {"_whitenings": [(4, [0.0] * 4, [1.0] * 4)]},
        {"_whitenings": [("2", [0.0] * 2, [1.0] * 2)]},
        {"_whitenings": [(True, [0.0], [1.0])]},
        {"_variance": None},
        {"_variance": NAN},
        {"_variance": -1.0},
        {"_variance": 10**400},
        {"_variances": 3.0},
        {"_variances": [1.0, 1.0]},
        {"_variances": [1.0, 1.0, None]},
        {"_variances": [1.0, 1.0, -1.0]},
        {"_some_codes": np.zeros((3, 3))},
        {"_some_codes": np.zeros((3, 1))},
        {"_some_codes": np.zeros((0, 2))},
        {"_some_codes": np.zeros(2)},
        {"_some_codes": np.zeros((3, 2), np.float32)},
        {"_some_codes": np.full((3, 2), np.nan)},
        {"_some_codes": [[0.0, 1.0]]},
    ],
    ids=repr,
)
def test_sizes_that_do_not(nested, found):
    with refused():
        check_sizes(VALID | OF_SIZES | found, nested, make_pca())


def test_every_size_has_a_network(nested):
    attributes = VALID | OF_SIZES
    for pca, message in ((None, "its PCA has 0 of 3"), (make_pca(2), "its PCA has 2 of 3")):
        with pytest.raises(ValueError, match=message):
            check_sizes(attributes, nested, pca)
    with pytest.raises(ValueError, match="its network has 0 of 2"):
        check_sizes(attributes | {"_some_codes": None}, None, make_pca())


def changed(nested, change):
    """Return a copy with something else in it."""
    other = copy.deepcopy(nested)
    change(other)
    return other


def set_layer(layer):
    return lambda nested: nested.layers.__setitem__(0, layer)


@pytest.mark.parametrize(
    "change",
    [
        lambda nested: setattr(nested, "ratios", [1.0]),
        lambda nested: setattr(nested, "ratios", []),
        lambda nested: setattr(nested, "ratios", [1.0, NAN]),
        lambda nested: setattr(nested, "ratios", [float("inf"), 1.0]),
        lambda nested: setattr(nested, "ratios", [0.0, 1.0]),
        lambda nested: setattr(nested, "ratios", [1, 1]),
        lambda nested: setattr(nested, "ratios", "ab"),
        lambda nested: setattr(nested, "ratios", 2),
        lambda nested: setattr(nested, "ratios", [1.0] * 10**5),
        lambda nested: delattr(nested, "ratios"),
        lambda nested: setattr(nested, "sizes", [2]),
        lambda nested: setattr(nested, "sizes", [0]),
        lambda nested: setattr(nested, "sizes", [-1]),
        lambda nested: setattr(nested, "sizes", [1, 1]),
        lambda nested: setattr(nested, "sizes", [1.0]),
        lambda nested: setattr(nested, "sizes", [True]),
        lambda nested: setattr(nested, "sizes", [10**30]),
        lambda nested: setattr(nested, "sizes", []),
        lambda nested: setattr(nested, "sizes", 1),
        lambda nested: delattr(nested, "sizes"),
        lambda nested: delattr(nested, "layers"),
        lambda nested: setattr(nested, "layers", nn.ModuleList()),
        lambda nested: nested.layers.append(nn.Linear(4, 5)),
        set_layer(nn.Identity()),
        set_layer(nn.Linear(4, 6)),
        set_layer(nn.Linear(3, 5)),
        set_layer(nn.Linear(4, 5, bias=False)),
        set_layer(nn.Linear(4, 5).double()),
        set_layer(nn.Linear(4, 5, dtype=torch.cfloat)),
        lambda nested: nested.layers[0].register_parameter("weight", None),
        lambda nested: delattr(nested, "network"),
        lambda nested: setattr(nested, "network", copy.deepcopy(nested)),
        lambda nested: setattr(nested, "network", nn.Identity()),
        lambda nested: setattr(nested.network, "encoder", copy.deepcopy(nested)),
        lambda nested: setattr(nested.network, "more", copy.deepcopy(nested)),
        lambda nested: setattr(nested.network, "encoder", nn.Linear(5, 3)),
        lambda nested: setattr(nested.network, "encoder", nn.Sequential(nn.Linear(5, 2))),
        lambda nested: setattr(nested.network, "decoder", nn.Linear(2, 5)),
        lambda nested: setattr(nested.network.decoder, "correction", nn.Linear(2, 5)),
        lambda nested: setattr(nested.network.decoder, "fade", nn.Identity()),
        lambda nested: setattr(nested.network.decoder, "low", torch.zeros(())),
        lambda nested: delattr(nested.network.encoder, "output_scale"),
    ],
)
def test_nested_codes_that_are_none(nested, change):
    """What is looked at is all that `prefix` takes for granted."""
    attributes = VALID | OF_SIZES | {"n_features_in_": 5}

    def check(network, *, run=True):
        check_sizes(attributes, network, make_pca())
        check_layers(network, attributes, run=run)

    check(nested)
    with refused():
        check(changed(nested, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda nested: setattr(nested.network, "encoder", nn.Sequential(nn.Linear(5, 2))),
        set_layer(nn.Identity()),
        set_layer(nn.Linear(4, 6)),
        set_layer(nn.Linear(3, 5)),
        set_layer(nn.Linear(4, 5, bias=False)),
        lambda nested: setattr(nested.layers[0], "bias", nn.Parameter(torch.zeros(1))),
    ],
)
def test_networks_that_are_not_run_are_cut(nested, change):
    """A part of them may be the user's; to take the first numbers runs nothing."""
    attributes = VALID | OF_SIZES | {"n_features_in_": 5}
    network = changed(nested, change)
    with refused():
        check_sizes(attributes, network, make_pca())
        check_layers(network, attributes, run=False)


# -- In all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("whiten", [False, True])
def test_rows_in_float32(whiten):
    rows = curve().astype(np.float32)
    fitted = AutoencoderTransformer(2, whiten=whiten, max_iter=1, random_state=0).fit(rows)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.mean_.dtype == loaded.components_.dtype == np.float32
    np.testing.assert_array_equal(loaded.transform(rows), fitted.transform(rows))
