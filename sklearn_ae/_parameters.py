"""Which values the parameters may take, alone and together; and what a fit is told of them."""

from dataclasses import replace
from math import prod
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import nn

from sklearn_ae._callbacks import made_callbacks
from sklearn_ae._device import resolve_device
from sklearn_ae._sklearn import HasMethods, Interval, RealNotInt, StrOptions
from sklearn_ae._specs import NetworkSpec, NoiseSpec, TrainingSpec
from sklearn_ae.corruption import KINDS
from sklearn_ae.losses import LOSSES
from sklearn_ae.modules import ACTIVATIONS
from sklearn_ae.pretraining import NAMED, RBMPretraining, StackedDenoisingPretraining

# Those that both estimators have.
CONSTRAINTS: dict = {
    "n_components": [
        None,
        Interval(Integral, 1, None, closed="left"),
        Interval(RealNotInt, 0, 1, closed="neither"),
    ],
    "max_components": [None, Interval(Integral, 1, None, closed="left")],
    "memory": [None, str, HasMethods("cache")],
    "hidden_layer_sizes": [
        StrOptions({"auto"}),
        "array-like",
        Interval(Integral, 1, None, closed="left"),
    ],
    "activation": [StrOptions(set(ACTIVATIONS)), callable],
    "init": [StrOptions({"pca", "random"})],
    "encoder": [StrOptions({"dense", "conv", "attention"}), nn.Module, callable],
    "decoder": [None, StrOptions({"dense", "conv", "linear"}), nn.Module, callable],
    "image_shape": [None, "array-like"],
    "tied_weights": ["boolean"],
    "pretraining": [
        None,
        StrOptions({"rbm", "denoising"}),
        RBMPretraining,
        StackedDenoisingPretraining,
    ],
    "whiten": ["boolean"],
    "code_layer": [None, Interval(Integral, 0, None, closed="left")],
    "loss": [StrOptions({*LOSSES, "binary_log_loss"}), nn.Module],
    "optimizer": [StrOptions({"adam", "adamw", "sgd"}), callable],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "transform_max_iter": [Interval(Integral, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "callbacks": [list, None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
# Those of noise.
NOISE_CONSTRAINTS: dict = {
    "corruption": [StrOptions(set(KINDS)), callable],
    "corruption_level": [Interval(Real, 0, None, closed="left"), "array-like"],
    "emphasis": [Interval(Real, 0, 1, closed="both")],
    "corruption_loss_weight": [Interval(Real, 0, None, closed="left")],
}
# What may run code that is not ours.
FOREIGN = ("encoder", "decoder", "activation", "loss", "optimizer", "corruption")


def read_parameters(params: dict[str, Any], name: str) -> tuple[NetworkSpec, TrainingSpec]:
    """Check what can be checked of the parameters without a row, and type them.

    Parameters
    ----------
    params : dict
        Those of an estimator; each of them alone has an allowed value.
    name : str
        Of the estimator's class.

    Raises
    ------
    ValueError
        If a list has a wrong entry, parameters contradict each other, or there is no such device.
    """
    resolve_device(params["device"])
    n_components, max_components = _components(params)
    encoder, decoder = _networks(params)
    if params["whiten"] and params["code_layer"] is not None:
        raise ValueError(
            f"whiten={params['whiten']!r} is of the bottleneck, and "
            f"code_layer={params['code_layer']!r} makes transform return a hidden layer. Set one "
            "of them."
        )
    activation = params["activation"]
    network = NetworkSpec(
        n_components=n_components,
        max_components=max_components,
        encoder=encoder,
        decoder=decoder,
        hidden_layer_sizes=_hidden_layer_sizes(params["hidden_layer_sizes"], encoder),
        activation=ACTIVATIONS[activation] if isinstance(activation, str) else activation,
        image_shape=_image_shape(params["image_shape"], (encoder, decoder)),
        tied_weights=params["tied_weights"],
        at_pca=params["init"] == "pca",
        pretraining=_pretraining(params),
        whiten=params["whiten"],
        code_layer=params["code_layer"],
        probabilities=params["loss"] == "binary_log_loss",
        head=params.get("corruption_loss_weight", 0) > 0,
        n_steps=int(params["transform_max_iter"]),
    )
    callbacks, checkpoint = made_callbacks(params["callbacks"])
    batch_size = params["batch_size"]
    parts = [params.get(part) for part in FOREIGN]
    training = TrainingSpec(
        loss=params["loss"],
        optimizer=params["optimizer"],
        learning_rate_init=params["learning_rate_init"],
        weight_decay=params["weight_decay"],
        batch_size=None if batch_size == "auto" else int(batch_size),
        max_iter=int(params["max_iter"]),
        validation_fraction=params["validation_fraction"] if params["early_stopping"] else None,
        n_iter_no_change=int(params["n_iter_no_change"]),
        tol=params["tol"],
        callbacks=callbacks,
        checkpoint=checkpoint,
        noise=read_noise(params) if "corruption" in params else None,
        device=params["device"],
        foreign=bool(callbacks) or not all(p is None or isinstance(p, str) for p in parts),
        name=name,
        verbose=int(params["verbose"]),
    )
    return network, training


def for_columns(network: NetworkSpec, noise: NoiseSpec | None, n_columns: int) -> NetworkSpec:
    """Check the specifications against the number of columns, and fill in what it decides.

    Raises
    ------
    ValueError
        If an image has another number of pixels, or a list of levels another length.
    """
    if noise is not None:
        check_levels(noise, n_columns)
    if network.image_shape is None:
        return network
    return replace(network, image_shape=image_size(network.image_shape, n_columns))


def describe_network(params: dict[str, Any], n_features: int) -> dict:
    """Return what the network is built from, to compare it with that of another fit."""
    names = ("activation", "init", "encoder", "decoder", "tied_weights")
    described = {name: params[name] for name in names}
    described["n_components"] = params["max_components"] or params["n_components"]
    for name in ("hidden_layer_sizes", "image_shape"):
        described[name] = np.ravel(params[name]).tolist()
    described["n_features_in_"] = n_features
    # What these change is the last layer of the decoder, and a head beside it.
    probabilities = params["loss"] == "binary_log_loss"
    described["loss"] = "binary_log_loss" if probabilities else "another"
    described["corruption_loss_weight > 0"] = params.get("corruption_loss_weight", 0) > 0
    return described


def _components(params: dict[str, Any]) -> tuple[int | float | None, int | None]:
    """Return the size of the code that is used, and that which is trained where it is another."""
    n, most = params["n_components"], params["max_components"]
    for name, value in (("n_components", n), ("max_components", most)):
        if isinstance(value, bool | np.bool_):
            raise ValueError(f"{name}={value!r} must be a number, not a boolean.")
    given = isinstance(n, Integral)
    if given and most is not None and n > most:
        raise ValueError(
            f"n_components={n!r} must be at most max_components={most!r}, the size of the code "
            "that is trained."
        )
    if most is not None or not (given or n is None):
        asked = f"n_components={n!r}" if most is None else f"max_components={most!r}"
        _check_ordered(params, asked)
    modules = [name for name in ("encoder", "decoder") if isinstance(params[name], nn.Module)]
    if modules and not given and most is None:
        raise ValueError(
            f"n_components={n!r} leaves the size of the code to the data, but {modules[0]} is a "
            "module, which has one. Give n_components, or a callable that makes the module."
        )
    size = int(n) if given else None if n is None else float(n)
    return size, None if most is None else int(most)


def _check_ordered(params, asked):
    """Check that the first numbers of a code will be a code of their own."""
    if params["init"] != "pca" or params["code_layer"] is not None:
        raise ValueError(
            f"{asked} needs codes whose first numbers are codes of their own: init='pca' and "
            f"code_layer=None; got init={params['init']!r}, code_layer={params['code_layer']!r}."
        )


def _hidden_layer_sizes(value: Any, encoder: Any) -> tuple[int, ...] | None:
    if isinstance(value, str):
        return None
    scalar = isinstance(value, Integral) or getattr(value, "ndim", 1) == 0
    sizes = (value,) if scalar else tuple(value)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes={value!r} must contain positive integers, one a hidden layer."
        )
    if _is(encoder, "attention") and len(set(sizes)) != 1:
        raise ValueError(
            f"hidden_layer_sizes={value!r} must be one or more equal sizes for "
            "encoder='attention': the size of a token, once a block."
        )
    return tuple(int(size) for size in sizes)


def _image_shape(value: Any, kinds: tuple) -> tuple[int, int, int] | None:
    if value is None:
        if any(_is(kind, "conv") for kind in kinds):
            raise ValueError(
                "image_shape=None must be (channels, height, width), the image that a row holds, "
                "for convolutions."
            )
        return None
    shape = tuple(value) if np.ndim(value) else (value,)
    known = [n for n in shape if n != -1]
    valid = all(isinstance(n, Integral) and int(n) > 0 for n in known)
    if not (valid and len(shape) == 3 and len(known) >= 2):
        raise ValueError(
            f"image_shape={value!r} must be three positive integers: (channels, height, width). "
            "One of them may be -1: what the columns leave for it."
        )
    channels, height, width = (int(n) for n in shape)
    return channels, height, width


def image_size(value: Any, n_columns: int) -> tuple[int, int, int]:
    """Return `image_shape` with nothing left open.

    Raises
    ------
    ValueError
        If it is not three positive integers, one of them perhaps -1, or does not multiply to the
        columns of `X`.
    """
    shape: Any = _image_shape(value, ())
    rest = n_columns // prod(n for n in shape if n != -1)
    channels, height, width = (rest if n == -1 else n for n in shape)
    if channels * height * width != n_columns:
        raise ValueError(
            f"image_shape={value!r} stands for {channels * height * width} columns, but X has "
            f"{n_columns}."
        )
    return channels, height, width


def _is(kind: Any, name: str) -> bool:
    """Tell whether a kind of network is the one of this name, and not a user's."""
    return isinstance(kind, str) and kind == name


def _networks(params: dict[str, Any]) -> tuple[Any, Any]:
    """Return which encoder and decoder the parameters ask for: a kind, a module or a callable."""
    encoder, decoder = params["encoder"], params["decoder"]
    if params["tied_weights"] and not (_is(encoder, "dense") and decoder is None):
        raise ValueError(
            f"tied_weights=True needs encoder='dense' and decoder=None, whose layers it makes the "
            f"transposes of the encoder's; got encoder={encoder!r}, decoder={decoder!r}."
        )
    if decoder is not None:
        return encoder, decoder
    if _is(encoder, "attention"):
        # As BERT's. Started at PCA, a linear decoder would never be better than PCA.
        return encoder, "linear" if params["init"] == "random" else "dense"
    return encoder, "conv" if _is(encoder, "conv") else "dense"


def _pretraining(params: dict[str, Any]) -> Any:
    """Return what pretrains the layers, where they can be unrolled into the network."""
    value = params["pretraining"]
    if value is None:
        return None
    method = NAMED[value]() if isinstance(value, str) else value
    method._validate_params()
    needed: dict[str, Any] = {"init": "random", "encoder": "dense", "decoder": None}
    if isinstance(method, RBMPretraining):
        # The hidden units of the machines are logistic.
        needed["activation"] = "logistic"
    wrong = {k: v for k, v in needed.items() if not (params[k] is v or _is(params[k], v))}
    if wrong:
        wanted = ", ".join(f"{k}={v!r}" for k, v in wrong.items())
        got = ", ".join(f"{k}={params[k]!r}" for k in wrong)
        raise ValueError(
            f"pretraining={value!r} needs {wanted}, as its layers become those of the network; got "
            f"{got}."
        )
    return method


def read_noise(params: dict[str, Any]) -> NoiseSpec:
    """Check the parameters of the noise, and type them.

    Raises
    ------
    ValueError
        If a level is out of range, or parameters contradict each other.
    """
    corruption, emphasis = params["corruption"], params["emphasis"]
    if emphasis != 0.5 and not isinstance(params["loss"], str):
        raise ValueError(
            f"emphasis={emphasis!r} weighs cells, which needs a loss by name; loss="
            f"{params['loss']!r} gives one number for all cells. Set emphasis=0.5."
        )
    if emphasis != 0.5 and corruption == "gaussian":
        raise ValueError(
            f"emphasis={emphasis!r} weighs corrupted cells against clean ones, but corruption="
            "'gaussian' leaves no cell clean. Set emphasis=0.5."
        )
    most = np.inf if corruption == "gaussian" else 1.0
    try:
        level = np.asarray(params["corruption_level"], dtype=np.float64)
    except (TypeError, ValueError):
        level = np.asarray(np.nan)
    valid = (level >= 0) & (level <= most) & np.isfinite(level)
    if isinstance(corruption, str) and not valid.all():
        raise ValueError(
            f"corruption_level={params['corruption_level']!r} must lie in [0, {most}] for "
            f"corruption={corruption!r}."
        )
    masks_tokens = _is(params["encoder"], "attention") and _is(corruption, "masking")
    if masks_tokens and params["image_shape"] is not None and level.ndim:
        raise ValueError(
            "corruption_level must be one number where encoder='attention' masks whole patches of "
            f"an image: got shape {level.shape}."
        )
    return NoiseSpec(corruption, level, emphasis, params["corruption_loss_weight"], masks_tokens)


def check_levels(noise: NoiseSpec, n_columns: int) -> None:
    """Check that there is one level, or one a column.

    Raises
    ------
    ValueError
        If there is not.
    """
    if isinstance(noise.corruption, str) and noise.level.shape not in ((), (n_columns,)):
        raise ValueError(
            f"corruption_level must be one number or one a column: got shape {noise.level.shape} "
            f"for {n_columns} columns."
        )
