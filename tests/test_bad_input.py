"""Bad input gets a clear error and leaves nothing behind; hard input is no worse than with PCA."""

import numpy as np
import pytest
import torch
from failures import check_nothing_changes
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)) @ RNG.normal(size=(3, 6)) + 0.2 * RNG.normal(size=(80, 6)) ** 2
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
METHODS = ("transform", "reconstruct", "score", "score_samples")


def with_value(value):
    rows = X.copy()
    rows[7, 2] = value
    return rows


class Constant(nn.Module):
    """A module that gives something of a fixed kind."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


class ReturnsNone(nn.Module):
    """No loss."""

    def forward(self, prediction, target):
        return None


def returns_3(params):
    """No optimizer."""
    return 3


class FailsLater(nn.Module):
    """Fails in its third step of training."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 3:
            raise RuntimeError("the third step")
        return self.layer(x)


# -- Parameters ---------------------------------------------------------------------------------

BAD_PARAMETERS = {
    "n_components": [0, -1, 1.0, 1.5, 2.0, float("nan"), np.True_, "2", "mle", [2]],
    "max_components": [0, -1, 1.5, 0.5, "a", float("nan"), [2]],
    "memory": [3, 0.5, ["folder"]],
    "hidden_layer_sizes": [0, -3, 2.5, None],
    "activation": ["step", None, 3],
    "init": ["zeros", None],
    "encoder": ["cnn", None, 3],
    "decoder": ["attention", 3],
    "loss": ["log", None, 3],
    "optimizer": ["lbfgs", None, 3],
    "learning_rate_init": [0, -1.0, "fast", None, float("nan")],
    "weight_decay": [-0.1, "some", None, float("nan")],
    "batch_size": [0, -1, 2.5, "all", None],
    "max_iter": [-1, 2.5, "many", None],
    "early_stopping": ["yes", None, 2],
    "validation_fraction": [0, 0.0, 1.0, 1, -0.1, "some", None, float("nan")],
    "n_iter_no_change": [0, -1, 2.5, None],
    "tol": [-1e-3, "small", None, float("nan")],
    "warm_start": ["yes", None, 2],
    "callbacks": ["EarlyStopping", 3, ()],
    "device": [None, 0],
    "random_state": ["seed", -1, 0.5],
    "verbose": ["loud", -1, None],
}
BAD_NOISE = {
    "corruption": ["blur", None, 3],
    "corruption_level": [-0.1, "high", None, float("nan")],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_PARAMETERS.items() for value in values],
)
def test_parameters(make_estimator, name, value):
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        make_estimator(**{**SMALL, name: value}).fit(X)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_NOISE.items() for value in values]
)
def test_parameters_of_the_noise(name, value):
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        DenoisingAutoencoderTransformer(**SMALL, **{name: value}).fit(X)


@pytest.mark.parametrize("sizes", [(0,), (8, -1), (2.5,), ("8",), (None,), "8", ((8,),)])
def test_hidden_layer_sizes(sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        AutoencoderTransformer(**{**SMALL, "hidden_layer_sizes": sizes}).fit(X)


@pytest.mark.parametrize("corruption", ["masking", "salt_and_pepper", "swap"])
@pytest.mark.parametrize("level", [1.5, [0.1] * 5 + [1.1], [0.1] * 5 + [-0.1], [np.nan] * 6])
def test_corruption_level_out_of_range(corruption, level):
    estimator = DenoisingAutoencoderTransformer(
        corruption=corruption, corruption_level=level, **SMALL
    )
    with pytest.raises(ValueError, match=r"corruption_level.*\[0, 1"):
        estimator.fit(X)


def test_gaussian_level_is_a_deviation():
    make = DenoisingAutoencoderTransformer
    assert make(corruption="gaussian", corruption_level=3.0, **SMALL).fit(X).n_iter_ == 3
    for level in ([-0.1] * 6, [np.inf] * 6, [np.nan] * 6):
        with pytest.raises(ValueError, match="corruption_level"):
            make(corruption="gaussian", corruption_level=level, **SMALL).fit(X)


@pytest.mark.parametrize("level", [[0.1] * 5, [0.1] * 7, [0.1], [[0.1] * 6], []])
def test_corruption_level_of_wrong_length(level):
    estimator = DenoisingAutoencoderTransformer(corruption_level=level, **SMALL)
    with pytest.raises(ValueError, match=r"corruption_level.*\b6\b") as caught:
        estimator.fit(X)
    assert str(np.shape(level)[0]) in str(caught.value)


# -- Devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "cuda:99", "meta", "", "cpu,cuda"])
def test_unknown_device(make_estimator, name):
    with pytest.raises(ValueError, match="device=") as caught:
        make_estimator(device=name, **SMALL).fit(X)
    assert repr(name) in str(caught.value)
    assert "cpu" in str(caught.value).replace(repr(name), "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda(make_estimator):
    with pytest.raises(ValueError, match=r"device='cuda' .*Available here: cpu"):
        make_estimator(device="cuda", **SMALL).fit(X)
    assert make_estimator(device="auto", **SMALL).fit(X).device_ == "cpu"


# -- Modules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize(
    ("name", "value", "expected", "found"),
    [
        ("encoder", nn.Linear(6, 3), r"\(n, 6\) to \(n, 2\)", r"\(2, 3\)"),
        ("encoder", nn.Linear(5, 2), r"\(n, 6\) to \(n, 2\)", "6"),
        ("encoder", nn.Flatten(0), r"\(n, 6\) to \(n, 2\)", r"\(12,\)"),
        ("decoder", nn.Linear(2, 5), r"\(n, 2\) to \(n, 6\)", r"\(2, 5\)"),
        ("decoder", nn.Linear(3, 6), r"\(n, 2\) to \(n, 6\)", "2"),
        ("encoder", lambda n, k: nn.Linear(n, k + 1), r"\(n, 6\) to \(n, 2\)", r"\(2, 3\)"),
        ("decoder", lambda k, n: nn.Linear(n, k), r"\(n, 2\) to \(n, 6\)", "2"),
        ("encoder", Constant((1, 2)), r"\(n, 6\) to \(n, 2\)", ""),
        ("encoder", Constant(None), r"\(n, 6\) to \(n, 2\)", ""),
    ],
)
def test_shapes_of_modules(make_estimator, init, name, value, expected, found):
    with pytest.raises(ValueError, match=name) as caught:
        make_estimator(2, init=init, **{name: value}, **SMALL).fit(X)
    caught.match(expected)
    caught.match(found)


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_factories_must_make_modules(make_estimator, name):
    with pytest.raises(ValueError, match=rf"{name}.*torch.nn.Module.*\bint\b"):
        make_estimator(2, **{name: lambda n, k: 3}, **SMALL).fit(X)


@pytest.mark.parametrize("noise", [lambda x, g: x[:, :2], lambda x, g: None, lambda x, g: x[:-1]])
def test_shape_of_a_corruption(noise):
    with pytest.raises(ValueError, match=r"corruption must return a tensor.*expected \(\d+, 6\)"):
        DenoisingAutoencoderTransformer(corruption=noise, **SMALL).fit(X)


# -- Rows ---------------------------------------------------------------------------------------

BAD_ROWS = {
    "nan": (with_value(np.nan), "NaN"),
    "infinity": (with_value(np.inf), "infinity"),
    "-infinity": (with_value(-np.inf), "infinity"),
    "sparse nan": (sparse.csr_matrix(with_value(np.nan)), "NaN"),
    "one dimension": (X[:, 0], "Expected 2D array, got 1D array instead"),
    "a number": (3.0, "Expected 2D array, got scalar array instead"),
    "three dimensions": (X[None], "dim 3"),
    "no rows": (X[:0], "0 sample"),
    "no columns": (X[:, :0], "0 feature"),
    "words": (np.full((8, 6), "word"), "could not convert string to float|dtype='numeric'"),
    "complex": (X + 1j, "Complex data not supported"),
    "none": (None, "Expected 2D array|NoneType"),
}


@pytest.mark.parametrize(("rows", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows(make_estimator, rows, message):
    with pytest.raises(ValueError, match=message):
        make_estimator(2, **SMALL).fit(rows)
    fitted = make_estimator(2, **SMALL).fit(X)
    for method in METHODS:
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(rows)


@pytest.mark.parametrize(
    "name", ["nan", "infinity", "one dimension", "three dimensions", "no rows"]
)
def test_codes(make_estimator, name):
    rows, message = BAD_ROWS[name]
    fitted = make_estimator(6, **SMALL).fit(X)
    with pytest.raises(ValueError, match=message):
        fitted.inverse_transform(rows)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_codes_of_a_wrong_width(make_estimator, width):
    fitted = make_estimator(2, **SMALL).fit(X)
    with pytest.raises(ValueError, match=rf"X has {width} .*{make_estimator.__name__}.* 2 comp"):
        fitted.inverse_transform(np.ones((4, width)))


@pytest.mark.parametrize("width", [5, 7])
def test_wrong_width(make_estimator, width):
    fitted = make_estimator(2, **SMALL).fit(X)
    for method in METHODS:
        with pytest.raises(
            ValueError, match=f"X has {width} features, but .* expecting 6 features"
        ):
            getattr(fitted, method)(np.ones((4, width)))


@pytest.mark.parametrize("method", [*METHODS, "inverse_transform"])
def test_unfitted(make_estimator, method):
    with pytest.raises(NotFittedError, match=make_estimator.__name__):
        getattr(make_estimator(6), method)(X)


@pytest.mark.parametrize("rows", [X[:1], sparse.csr_matrix(X[:1])], ids=["dense", "sparse"])
def test_one_row(make_estimator, rows):
    for params in ({}, {"early_stopping": False}, {"init": "random"}):
        with pytest.raises(ValueError, match=r"1 sample.*minimum of 2"):
            make_estimator(2, **SMALL, **params).fit(rows)
    # But one row can be transformed.
    assert make_estimator(2, **SMALL).fit(X).transform(rows).shape == (1, 2)


# -- Nothing half-fitted ------------------------------------------------------------------------

FAILURES = {
    "parameter": ({"n_components": 0}, X, "n_components"),
    "share": ({"n_components": 0.9999, "max_components": 1}, X[:, :4], "n_components=0.9999"),
    "rows": ({}, with_value(np.nan), "contains NaN"),
    "one row": ({}, X[:1], "minimum of 2"),
    "narrow and bad": ({"encoder": nn.Linear(6, 3)}, X[:, :4], "encoder must map"),
    "sizes": ({"hidden_layer_sizes": (-1,)}, X[:, :4], "hidden_layer_sizes"),
    "device": ({"device": "nowhere"}, X[:, :4], "device='nowhere'"),
    "in training": ({"encoder": FailsLater}, X[:, :4], "the third step"),
    "in training, random": (
        {"decoder": FailsLater, "init": "random"},
        X[:, :4],
        "the third step",
    ),
    "loss": ({"loss": ReturnsNone()}, X[:, :4], "loss=ReturnsNone.* must return .* scalar"),
    "optimizer": ({"optimizer": returns_3}, X[:, :4], "optimizer=.*returns_3.* got int"),
    "callback": ({"callbacks": [3]}, X[:, :4], r"callbacks=\[3\].* skorch.callbacks.Callback"),
}


def check_usable(estimator, params):
    """Check that the same object fits with the usual parameters."""
    usual = type(estimator)(2).get_params()
    estimator.set_params(**{name: usual[name] for name in params}).fit(X)
    assert estimator.transform(X).shape == (80, 2)


@pytest.mark.parametrize(("params", "rows", "message"), FAILURES.values(), ids=FAILURES)
def test_nothing_half_fitted(make_estimator, params, rows, message):
    estimator = make_estimator(2, early_stopping=False, **SMALL).set_params(**params)
    check_nothing_changes(estimator, rows, message)
    with pytest.raises(NotFittedError):
        estimator.transform(X)
    check_usable(estimator, params)


@pytest.mark.parametrize(
    ("params", "rows", "message"),
    [*FAILURES.values(), ({"warm_start": True}, X[:, :4], "warm_start=True")],
    ids=[*FAILURES, "warm start"],
)
def test_a_failed_fit_leaves_the_last_one(make_estimator, params, rows, message):
    estimator = make_estimator(2, early_stopping=False, **SMALL).fit(X)
    codes = estimator.transform(X)
    check_nothing_changes(estimator.set_params(**params), rows, message)
    np.testing.assert_array_equal(estimator.transform(X), codes)
    check_usable(estimator, params)


@pytest.mark.parametrize(
    "params",
    [
        {"device": "nowhere"},
        {"tied_weights": True, "decoder": "linear"},
        {"encoder": "conv"},
        {"hidden_layer_sizes": (0,)},
        {"pretraining": "rbm"},
        {"callbacks": ["x"]},
    ],
    ids=str,
)
def test_parameters_are_checked_before_the_rows(make_estimator, params):
    name = next(iter(params))
    if name == "encoder":
        name = "image_shape"
    with pytest.raises(ValueError, match=name):
        make_estimator(2, **params).fit(np.full((20, 4), np.nan))
