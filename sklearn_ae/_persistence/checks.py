"""What is checked of a file before anything of it is used."""

import inspect
import re
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._persistence.modules import RefusedError, damaged
from sklearn_ae.modules import Autoencoder, Nested
from sklearn_ae.modules.hidden import hidden_layers

# What `fit` sets, and reading makes anew.
MADE = ("net_", "module_", "_coder")
# In a network, a row becomes at most so many times the numbers that the file holds, and passes at
# most so many modules.
MOST_GROWTH, MOST_CALLS = 2**10, 10_000


def check_names(cls: type, state: Any) -> None:
    """Check that a state is a dict that replaces nothing that the class has.

    Parameters
    ----------
    cls : type
        Of this package, or derived from one that is; what else is in the latter is its own affair.
    state : object
        What a file has for its attributes.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(state, dict):
        raise damaged(f"{type(state).__name__} in place of the attributes of {cls.__name__}")
    ours = next(base for base in cls.__mro__ if base.__module__.startswith("sklearn_ae."))
    for name in state:
        if (
            type(name) is not str
            or name in MADE
            or name.startswith("__")
            or hasattr(ours, name)
            or hasattr(inspect.getattr_static(cls, name, None), "__get__")
        ):
            raise RefusedError(
                f"The saved {cls.__name__} names an attribute {name!r}, which is not read from a "
                "file."
            )


def check_attributes(attributes: dict[str, Any]) -> None:
    """Check the attributes of a fitted estimator that are used without a look.

    Raises
    ------
    ValueError, KeyError
        If one of them is missing, or something else.
    """
    least = {"n_features_in_": 1, "n_components_": 1, "_n_steps": 0, "_split_seed": 0}
    if attributes["_code_layer"] is not None:
        least["_code_layer"] = 0
    for name, lowest in least.items():
        if not (isinstance(attributes[name], Integral) and attributes[name] >= lowest):
            raise damaged(f"its {name} is {attributes[name]!r}")
    shape = (attributes["n_features_in_"],)
    mean = attributes["mean_"]
    if not _is_table(mean, shape) and not _is_table(mean, shape, np.float32):
        raise damaged("its mean_ is not one of its columns")
    if not isinstance(attributes["_structure"], dict):
        raise damaged(f"its _structure is {attributes['_structure']!r}")
    names = attributes.get("feature_names_in_")
    if names is not None:
        given = isinstance(names, np.ndarray) and names.shape == shape
        if not (given and all(isinstance(name, str) for name in names)):
            raise damaged("its feature_names_in_ are no names of its columns")


def check_devices(attributes: dict[str, Any]) -> None:
    """Check the names of devices: of the module, and of tensors where those of a fit were some."""
    for name in ("device_", "_tensors_on"):
        value = attributes.get(name, "cpu")
        if not (isinstance(value, str) and re.fullmatch(r"cpu|cuda(:\d+)?", value)):
            raise damaged(f"its {name} is {value!r}")


def check_sizes(attributes: dict[str, Any], nested: Any, pca: Any) -> None:
    """Check what is known of codes of each size, and that there are networks for all of them.

    Raises
    ------
    ValueError, LookupError, TypeError, AttributeError
        If something is missing, or something else.
    """
    sizes, used = attributes["_sizes"], attributes["n_components_"]
    is_pca, is_ordered = sizes["is_pca"], attributes["_is_ordered"]
    n = len(is_pca)
    if not all(type(value) is bool for value in [*is_pca, is_ordered]):
        raise damaged("it does not say which sizes of the code are PCA, or whether there are some")
    if not 1 <= used <= n or (used < n and not is_ordered):
        raise damaged(f"its n_components_ is {used!r} of {n}")
    if is_ordered and attributes["_code_layer"] is not None:
        raise damaged("codes of a hidden layer have no order")
    if attributes["is_pca_"] is not is_pca[used - 1]:
        raise damaged(f"its is_pca_ is {attributes['is_pca_']!r}")
    n_rows = attributes["n_samples_"] if is_ordered else 1
    if not (isinstance(n_rows, Integral) and int(n_rows) >= 1):
        raise damaged(f"its n_samples_ is {n_rows!r}")
    if "validation_loss_curve_" not in attributes:
        raise damaged("it has no validation_loss_curve_, not even None")
    for name in ("loss", "pca_loss", "score", "pca_score"):
        if not _are_numbers(sizes[name], n):
            raise damaged(f"its {name} is not a number for each size of the code")
    for name, module, kind in (("network", nested, False), ("PCA", pca, True)):
        needed = [size for size in range(1, n + 1) if is_pca[size - 1] is kind]
        largest = _size_of(module) if module is not None else 0
        if needed and max(needed) > largest:
            raise damaged(f"its {name} has {largest} of {max(needed)} numbers of a code")
    codes = attributes["_some_codes"]
    if codes is not None and not (
        nested is not None
        and isinstance(codes, np.ndarray)
        and codes.ndim == 2
        and len(codes)
        and _is_table(codes, (len(codes), _size_of(nested)))
    ):
        raise damaged("its _some_codes are no codes")
    _check_whitenings(attributes["_whitenings"], n)
    variances = attributes["_variances"]
    # What is too large for a number is infinite.
    if not (_are_numbers([attributes["_variance"]], 1) and attributes["_variance"] >= 0):
        raise damaged(f"its _variance is {attributes['_variance']!r}")
    if variances is not None and not (_are_numbers(variances, n) and min(variances) >= 0):
        raise damaged("its _variances are not one for each number of the code")


def _check_whitenings(whitenings: Any, n: int) -> None:
    """Check means and deviations of codes of up to `n` numbers."""
    for whitening in whitenings:
        if not (isinstance(whitening, tuple) and len(whitening) == 3):
            raise damaged("its _whitenings are not sizes, means and deviations")
        size, mean, deviation = whitening
        if not (type(size) is int and 0 <= size <= n):
            raise damaged(f"its _whitenings are of {size!r} numbers")
        width = size or n
        if not (_are_numbers(mean, width) and _are_numbers(deviation, width)):
            raise damaged("its _whitenings are not means and deviations of codes")
        if not (np.isfinite([mean, deviation]).all() and min(deviation) > 0):
            raise damaged("its _whitenings are not finite, or divide by what is not positive")


def _are_numbers(values: Any, n: int) -> bool:
    """Tell whether this is a list of so many numbers."""
    return type(values) is list and len(values) == n and all(type(v) is float for v in values)


def _size_of(nested: Any) -> int:
    """Return the size of the largest code, after a look at what says how smaller ones are made."""
    if type(nested) is not Nested or type(nested.network) is not Autoencoder:
        raise damaged(f"{type(nested).__name__} in place of an autoencoder of nested codes")
    if sum(isinstance(part, Nested) for part in nested.modules()) > 1:
        raise damaged("an autoencoder of nested codes is inside of another")
    ratios, sizes, layers = nested.ratios, nested.sizes, nested.layers
    n = len(ratios)
    if not (_are_numbers(ratios, n) and n and np.isfinite(ratios).all() and min(ratios) > 0):
        raise damaged("its ratios are no positive numbers")
    whole = type(sizes) is list and all(type(size) is int for size in sizes)
    if not (whole and sorted({*sizes, 0, n}) == [0, *sizes, n]):
        raise damaged(f"its sizes are {sizes!r}")
    if type(layers) is not nn.ModuleList or len(layers) != len(sizes):
        raise damaged("its sizes have no layers")
    decoder: Any = nested.network.decoder
    for size, layer in zip(sizes, layers, strict=True):
        if not len(decoder.correction):
            raise damaged("its decoder has no layers")
        *hidden, last = decoder.correction
        shape = len(last.weight), last.weight.shape[1] if hidden else size
        if type(layer) is not nn.Linear or layer.weight.shape != shape:
            raise damaged("its layers are not of one shape")
        if layer.bias.shape != last.bias.shape:
            raise damaged("its layers are not of one shape")
    return n


def _is_table(value: Any, shape: tuple[int, ...], dtype: type = np.float64) -> bool:
    """Tell whether a value is an array of finite numbers of this shape."""
    table = isinstance(value, np.ndarray) and value.dtype == dtype and value.shape == shape
    return table and bool(np.isfinite(value).all())


def check_history(net: dict[str, Any]) -> None:
    """Check that the history of a net is one."""
    rows = net["history"]
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise damaged("its history is no list of epochs")


def check_scaling(scaling: dict[str, Any], n_features: int) -> None:
    """Check that each entry is finite: a number, or one a column."""
    for name, value in scaling.items():
        column = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        column = column and value.shape == (n_features,)
        if not ((column or type(value) is float) and np.isfinite(value).all()):
            raise damaged(
                f"its {name} is no finite number, or one for each of {n_features} columns"
            )


def check_layers(nested: Any, attributes: dict[str, Any], *, run: bool) -> None:
    """Check that networks map rows to codes and back, and have the hidden layer of the codes.

    Parameters
    ----------
    nested : Nested
        The networks, of which the whole and those whose layers are others are looked at.
    attributes : dict
        Of the estimator.
    run : bool
        Whether to run them, without a row: the shapes are all there, and take no memory.

    Raises
    ------
    ValueError
        If they do not.
    """
    network, n = nested.network, len(nested.ratios)
    try:
        layer = attributes["_code_layer"]
        if layer is not None and layer >= len(hidden_layers(network)):
            raise damaged(f"it has no hidden layer {layer}")
        weights = list(nested.parameters())
        if not weights:
            raise damaged("it has no weights")
        sizes = {min(attributes["n_components_"], n), n}
        if attributes["_is_ordered"]:
            sizes |= {1, *nested.sizes}
        for size in sorted(sizes, reverse=True):
            part = nested.prefix(size)
            if run:
                _check_shapes(part, weights, attributes["n_features_in_"], size)
    except RefusedError:
        raise
    # Whatever wrong layers lead to.
    except Exception as error:
        raise damaged(repr(error)) from error


def _check_shapes(
    network: Any, weights: list[nn.Parameter], n_features: int, n_components: int
) -> None:
    if len({weight.dtype for weight in weights}) != 1 or not weights[0].is_floating_point():
        raise damaged("its weights are not all of one type of real numbers")
    most = MOST_GROWTH * (sum(weight.numel() for weight in weights) + n_features + n_components)
    calls = 0

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal calls
        calls += 1
        large = torch.is_tensor(output) and output.shape[1:].numel() > most
        if large or calls > MOST_CALLS:
            raise damaged("its layers are too large")

    handles = [part.register_forward_hook(watch) for part in network.modules()]
    # Without gradients, torch's attention takes a way that checks less of its sizes.
    with torch.inference_mode(False), torch.enable_grad():
        rows = weights[0].new_zeros(0, n_features)
        codes = network.encoder(rows)
        found = codes.shape, network.decoder(codes).shape
    for handle in handles:
        handle.remove()
    if found != ((0, n_components), (0, n_features)):
        raise damaged(f"it maps rows of shape {tuple(rows.shape)} to {found[0]} and {found[1]}")
