"""Estimators with random parameters, valid and not, and random rows for them."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining


@dataclass
class Case:
    """One estimator and its rows."""

    estimator: Any
    X: Any
    more: Any  # further rows, up to 1,000 times as far from the mean
    y: Any
    faults: list[str] = field(default_factory=list)  # what makes an error the only right end


# -- Parameters ----------------------------------------------------------------------------------


def _mlp(n_in, n_out, hidden=5):
    return nn.Sequential(nn.Linear(n_in, hidden), nn.Tanh(), nn.Linear(hidden, n_out))


def _norm_and_dropout(n_in, n_out):
    return nn.Sequential(nn.LayerNorm(n_in), nn.Dropout(0.2), nn.Linear(n_in, n_out))


def _add_noise(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator, device=x.device)


def _in_place(x, generator):
    return x.mul_(0.5)


def _image(rng, n_columns):
    height = max(n for n in range(1, n_columns + 1) if n_columns % n == 0 and n * n <= n_columns)
    return (1, height, n_columns // height)


def _levels(rng, n_columns):
    return rng.uniform(0, 1, n_columns)


# For each parameter: what is valid, and what is not. A function draws a value for the width.
VALID = {
    # No share: whether codes reach one depends on the rows.
    "n_components": [lambda rng, columns: int(rng.integers(1, 2 * columns + 3)), 1, 2, 50, None],
    "max_components": [None, None, 50, lambda rng, columns: 2 * columns + 2],
    "memory": [None],
    "hidden_layer_sizes": ["auto", (), 3, (8,), [4, 6], np.array([5]), (2, 2, 2), (1,)],
    "activation": ["identity", "logistic", "tanh", "relu", "elu", "gelu", "silu", nn.PReLU],
    "init": ["pca", "random"],
    "encoder": ["dense"] * 4 + ["conv", "attention", _mlp, _norm_and_dropout],
    "decoder": [None] * 4 + ["dense", "conv", "linear", _mlp, _norm_and_dropout],
    "image_shape": [None, _image, _image, (1, 1, -1)],
    "tied_weights": [False, False, True],
    "whiten": [False, False, True],
    "pretraining": [None, None, "rbm", "denoising", RBMPretraining(max_iter=1)],
    "code_layer": [None, None, 0, 1],
    "transform_max_iter": [0, 1, 7],
    "loss": ["squared_error", "absolute_error", "huber", "binary_log_loss"],
    "optimizer": ["adam", "adamw", "sgd", functools.partial(torch.optim.RMSprop, lr=1e-3)],
    "learning_rate_init": [1e-12, 1e-3, 0.1, 1.0, 1e3, 1e10, np.float32(0.01), 1],
    "weight_decay": [0.0, 0, 1e-4, 0.5, 10.0],
    "batch_size": ["auto", 1, 3, 16, 1_000, np.int64(5)],
    "max_iter": [0, 1, 2, 4],
    "early_stopping": [True, False],
    "validation_fraction": [1e-6, 0.1, 0.5, 0.999],
    "n_iter_no_change": [1, 2, 10],
    "tol": [0, 0.0, 1e-4, 1.0, 100.0],
    "callbacks": [None, []],
    "random_state": [0, 1, 12345, lambda rng, columns: np.random.RandomState(3)],
    "device": ["cpu"],
    "warm_start": [False, True],
    "corruption": [
        "gaussian", "masking", "salt_and_pepper", "swap", _add_noise, _in_place,
    ],
    "emphasis": [0.5, 0.5, 0, 1, 0.7],
    "corruption_loss_weight": [0, 0, 0.5],
    "corruption_level": [0, 0.15, 1.0, _levels, lambda rng, columns: [0.5] * columns],
}  # fmt: skip
INVALID = {
    "n_components": [0, -1, 1.5, "two", 1.0, True, np.nan],
    "max_components": [0, -1, 1.5, "two", 0.5, True],
    "memory": [3, True],
    "hidden_layer_sizes": [0, -3, (0,), (4, -1), (2.5,), "ten", ("a",), None],
    "activation": ["swish", 3, None, ""],
    "init": ["svd", None, 0],
    "image_shape": [3, (1, 2), (0, 3, 3), (1, 999, 7), (1, -1, -1), "image"],
    "tied_weights": ["yes", None],
    "whiten": ["yes", None],
    "pretraining": ["autoencoder", 3, RBMPretraining(max_iter=0)],
    "code_layer": [-1, 1.5, 999, "last"],
    "transform_max_iter": [-1, 2.5, None],
    "encoder": ["conv2", 3, None, nn.Linear(977, 3), lambda n_in, n_out: "module"],
    "decoder": ["attention", 3, nn.Linear(977, 3), lambda n_in, n_out: nn.Linear(n_in, n_out + 1)],
    "loss": ["mse", None, 1.0],
    "optimizer": ["lbfgs2", None, 3],
    "learning_rate_init": [0, -1e-3, "fast", None],
    "weight_decay": [-0.1, "none", None],
    "batch_size": [0, -5, 2.5, "all", None],
    "max_iter": [-1, 1.5, "many", None],
    "early_stopping": ["yes", None, 5],
    "validation_fraction": [0, 1, 0.0, 1.0, -0.5, 3, "some", None],
    "n_iter_no_change": [0, -1, 2.5, None],
    "tol": [-1e-9, "small", None],
    "callbacks": ["log", 3],
    "random_state": [-1, "seed", 0.5],
    "device": ["gpu", "cuda:99", None, 0, ""],
    "verbose": [-1, "loud", None],
    "warm_start": ["yes", None, 3],
}
INVALID_CORRUPTION = {
    "emphasis": [-0.1, 1.1, "much", None],
    "corruption_loss_weight": [-1, None],
    "corruption": ["blur", None, 3],
    "corruption_level": [-0.1, 1.5, np.nan, [0.1] * 41, "much", None, lambda rng, columns: [[0.1]]],
}


def _pick(rng, options, n_columns):
    value = options[rng.integers(len(options))]
    # Those that draw take (rng, columns), and no other function here has these names.
    code = getattr(value, "__code__", None)
    draws = code is not None and code.co_varnames[:1] == ("rng",)
    return value(rng, n_columns) if draws else value


def draw_parameters(rng, cls, n_columns) -> tuple[dict, list[str]]:
    """Draw a setting, and what is wrong with it."""
    params = {"device": "cpu", "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    names = set(cls().get_params())
    for name, options in VALID.items():
        if name in names and rng.random() < 0.4:
            params[name] = _pick(rng, options, n_columns)
    faults = []
    if rng.random() < 0.15:
        invalid = INVALID | (INVALID_CORRUPTION if "corruption" in names else {})
        name = sorted(invalid)[rng.integers(len(invalid))]
        params[name] = _pick(rng, invalid[name], n_columns)
        if name == "corruption_level":
            params["corruption"] = "swap"  # a callable does not use the level
        if name == "pretraining":
            params |= UNROLLABLE
        faults.append(f"{name}={params[name]!r}")
    else:
        faults += settle(rng, cls(**params), params, n_columns)
    return params, faults


UNROLLABLE = {"init": "random", "encoder": "dense", "decoder": None, "activation": "logistic"}


def settle(rng, estimator, params, n_columns) -> list[str]:
    """Make most of the parameters that contradict each other agree; return what is left."""
    get = estimator.get_params(deep=False) | params
    faults = []
    if get["pretraining"] is not None and rng.random() < 0.8:
        params |= UNROLLABLE
        get |= UNROLLABLE
    if get["tied_weights"] and rng.random() < 0.8:
        params |= {"encoder": "dense", "decoder": None}
        get |= params
    dense = isinstance(get["encoder"], str) and get["encoder"] == "dense" and get["decoder"] is None
    if get["tied_weights"] and not dense:
        faults.append("tied weights of other networks")
    rbm = get["pretraining"] is not None and get["pretraining"] != "denoising"
    unrollable = dense and get["init"] == "random" and (not rbm or get["activation"] == "logistic")
    if get["pretraining"] is not None and not unrollable:
        faults.append("pretraining of other networks")
    kinds = [get["encoder"], get["decoder"]]
    sizes = get["hidden_layer_sizes"]
    sizes = () if isinstance(sizes, str) else np.atleast_1d(sizes)
    n_layers = 2 if isinstance(get["hidden_layer_sizes"], str) else len(sizes)
    if "conv" in kinds:
        image = get["image_shape"]
        # "auto" has no more layers than the image can be halved.
        least = 2 ** len(sizes)
        sides = [] if image is None else [n_columns if n == -1 else n for n in image[1:]]
        if image is None or any(1 < side < least for side in sides):
            faults.append("no image for convolutions")
    if kinds[0] == "attention" and n_layers and len(set(sizes)) > 1:
        faults.append("tokens of several sizes")
    if kinds[0] == "attention" and not n_layers:
        faults.append("no tokens")
    if get["code_layer"] is not None and not (dense and get["code_layer"] < 2 * n_layers):
        # Which layers the other networks have is a question for the tests.
        params["code_layer"] = None
        get["code_layer"] = None
    if get["max_components"] is not None:
        if get["init"] != "pca" or get["code_layer"] is not None:
            faults.append("prefixes of codes without an order")
        if get["n_components"] is not None and get["n_components"] > get["max_components"]:
            faults.append("more numbers than are trained")
    if get["code_layer"] is not None and get["whiten"]:
        faults.append("hidden layers are not whitened")
    patches = kinds[0] == "attention" and get["image_shape"] is not None
    if patches and get.get("corruption") == "masking" and np.ndim(get["corruption_level"]):
        faults.append("levels of patches")
    if get.get("corruption") == "gaussian" and get["emphasis"] != 0.5:
        faults.append("no clean cells to weigh")
    return faults


# -- Rows ----------------------------------------------------------------------------------------


def draw_values(rng, n_rows, n_columns) -> np.ndarray:
    """Draw float64 rows of one kind or another."""
    kind = rng.choice(["normal", "low rank", "curve", "heavy", "counts", "constant", "binary"])
    if kind == "low rank":
        rank = int(rng.integers(1, 4))
        X = rng.normal(size=(n_rows, rank)) @ rng.normal(size=(rank, n_columns))
    elif kind == "curve":
        X = np.sin(rng.uniform(-2, 2, size=(n_rows, 1)) * np.arange(1, n_columns + 1))
    elif kind == "heavy":
        X = rng.standard_cauchy(size=(n_rows, n_columns))
    elif kind == "counts":
        X = rng.poisson(0.3, size=(n_rows, n_columns)).astype(float)
    elif kind == "constant":
        X = np.full((n_rows, n_columns), rng.choice([0.0, 0.1, -3.0, 1e9]))
    elif kind == "binary":
        X = (rng.random((n_rows, n_columns)) < 0.3).astype(float)
    else:
        X = rng.normal(size=(n_rows, n_columns))
    if rng.random() < 0.2:
        X[:, rng.random(n_columns) < 0.3] = rng.choice([0.0, 0.1, -3.0, 1e9])
    if rng.random() < 0.15:
        X = X[rng.integers(n_rows, size=n_rows)]
    if rng.random() < 0.2:
        X = X * 10.0 ** rng.uniform(-12, 12, size=n_columns)
    if rng.random() < 0.2:
        X = X * 10.0 ** rng.choice([-30, -20, -6, 6, 20, 30])
    if rng.random() < 0.1:
        X = X + rng.choice([-100.0, 1e3, 1e9])
    if rng.random() < 0.1:
        X[rng.integers(n_rows)] *= 10.0 ** rng.uniform(0, 6)
    return np.clip(X, -1e32, 1e32)


def _in_container(rng, X):
    """Give the rows another dtype, container or memory layout."""
    dtype = rng.choice(["float64", "float64", "float32", "int64", "int32", "uint8", "bool"])
    if dtype == "uint8":
        X = np.clip(X, 0, 255)
    elif dtype.startswith("int"):
        X = np.clip(X, -(2**31), 2**31 - 1)
    with np.errstate(under="ignore"):
        X = X.astype(dtype)
    container = rng.choice(["array", "array", "fortran", "read-only", "strided", "list", "csr",
                            "csc", "coo", "csr_array"])  # fmt: skip
    if container in ("csr", "csc", "coo", "csr_array"):
        return getattr(sparse, container if "_" in container else f"{container}_matrix")(X)
    if container == "list":
        return X.tolist()
    if container == "fortran":
        return np.asfortranarray(X)
    if container == "strided":
        return np.repeat(X, 2, axis=0)[::2]
    X = np.array(X)
    X.flags.writeable = container != "read-only"
    return X


def draw_case(seed: int) -> Case:
    """Draw everything of one case."""
    rng = np.random.default_rng(seed)
    cls = [AutoencoderTransformer, DenoisingAutoencoderTransformer][rng.integers(2)]
    n_rows, n_columns = int(rng.integers(1, 61)), int(rng.integers(1, 41))
    X = draw_values(rng, n_rows, n_columns)
    params, faults = draw_parameters(rng, cls, n_columns)
    if n_rows == 1:
        faults.append("one row")
    probabilities = params.get("loss") == "binary_log_loss"
    if probabilities and rng.random() < 0.8:
        X = (X - X.min()) / max(np.ptp(X), 1e-300)
    u = rng.random()
    if u < 0.04:
        X[rng.integers(n_rows), rng.integers(n_columns)] = rng.choice([np.nan, np.inf, -np.inf])
        faults.append("not finite")
    elif u < 0.05:
        X = X[:, 0]
        faults.append("1-D")
    elif u < 0.06:
        X = X[:0] if rng.random() < 0.5 else X[:, :0]
        faults.append("empty")
    X = _in_container(rng, X) if u >= 0.06 else X
    more = as_dense(X).astype(np.float64)
    if probabilities and (more.min(initial=0) < 0 or more.max(initial=0) > 1):
        faults.append("not within [0, 1]")
    if u >= 0.06:
        mean = more.mean(axis=0)
        more = mean + (more[rng.integers(n_rows, size=7)] - mean) * 10.0 ** rng.uniform(-3, 3)
    y = [None, list("ab") * 30, np.arange(n_rows)][rng.integers(3)]
    return Case(cls(**params), X, more, y, faults)


def as_dense(X) -> np.ndarray:
    return X.toarray() if sparse.issparse(X) else np.array(X)
