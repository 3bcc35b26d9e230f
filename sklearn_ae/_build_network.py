"""From constructor values to encoder and decoder."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._initialization import PrincipalComponents
from sklearn_ae._training.scaling import Scaling
from sklearn_ae.modules import (
    ACTIVATIONS,
    AttentionEncoder,
    Autoencoder,
    ClippedProbabilities,
    Corrected,
    CorrectedProbabilities,
    Fade,
    Gate,
    Probabilities,
    Transposed,
    conv_decoder,
    conv_encoder,
    dense,
    transposed,
)
from sklearn_ae.modules.conv import most_layers
from sklearn_ae.modules.hidden import hidden_layers

# What `hidden_layer_sizes="auto"` stands for.
SIZES = {"dense": (256, 256), "conv": (16, 32, 64, 128), "attention": (32, 32)}


@dataclass
class Start:
    """Where a network starts that starts at PCA.

    Attributes
    ----------
    pca : PrincipalComponents
        The linear path.
    residual : float
        Root mean square of what PCA leaves: the unit of the corrections.
    row_bounds : tuple of two arrays
        Least and greatest value of each column, of all rows.
    row_radius : float
        Distance from the mean up to which rows are ordinary.
    code_middle, code_radius : ndarray of shape (n_components,)
        Middle of the ordinary codes, and how far from it they lie.
    """

    pca: PrincipalComponents
    residual: float
    row_bounds: tuple
    row_radius: float
    code_middle: np.ndarray
    code_radius: np.ndarray


def hidden_sizes(
    value: Any, kind: str, image_shape: tuple[int, int, int] | None
) -> tuple[int, ...]:
    """Check `hidden_layer_sizes` and return it as a tuple.

    "auto" depends on the kind of network, and its convolutions on how often the image can be
    halved.

    Raises
    ------
    ValueError
        If a size is not a positive integer.
    """
    if isinstance(value, str):
        sizes = SIZES[kind]
        return sizes[: most_layers(image_shape)] if kind == "conv" and image_shape else sizes
    sizes = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes={value!r} must contain positive integers, one a hidden layer."
        )
    return tuple(int(size) for size in sizes)


def image_size(value: Any, n_features: int) -> tuple[int, int, int]:
    """Check `image_shape` against the number of columns and return it as a tuple.

    Raises
    ------
    ValueError
        If it is not three positive integers, one of them perhaps -1, or does not multiply to the
        columns of `X`.
    """
    shape = tuple(value)
    known = [n for n in shape if n != -1]
    valid = all(isinstance(n, Integral) and int(n) > 0 for n in known)
    if not (valid and len(shape) == 3 and len(known) >= 2):
        raise ValueError(
            f"image_shape={value!r} must be three positive integers: (channels, height, width). "
            "One of them may be -1: what the columns leave for it."
        )
    rest = n_features // prod(map(int, known))
    channels, height, width = (rest if n == -1 else int(n) for n in shape)
    if channels * height * width != n_features:
        raise ValueError(
            f"image_shape={value!r} stands for {channels * height * width} columns, but X has "
            f"{n_features}."
        )
    return channels, height, width


def network_kinds(estimator: Any) -> tuple[Any, Any]:
    """Return which encoder and decoder the parameters ask for: a name, a module or a callable.

    Raises
    ------
    ValueError
        If parameters contradict each other.
    """
    encoder, decoder = estimator.encoder, estimator.decoder
    if estimator.tied_weights and not (encoder == "dense" and decoder is None):
        raise ValueError(
            f"tied_weights=True needs encoder='dense' and decoder=None, whose layers it makes the "
            f"transposes of the encoder's; got encoder={encoder!r}, decoder={decoder!r}."
        )
    if decoder is None:
        decoder = encoder if encoder in ("dense", "conv") else "dense"
        if encoder == "attention" and estimator.init == "random":
            # As BERT's. Started at PCA, a linear decoder would never be better than PCA.
            decoder = "linear"
    if "conv" in (encoder, decoder) and estimator.image_shape is None:
        raise ValueError(
            "image_shape=None must be (channels, height, width), the image that a row holds, for "
            "convolutions."
        )
    return encoder, decoder


def _make(name, kind, estimator, n_inputs, n_outputs, image_shape, generator, zero):
    """Make the encoder or decoder of this name; `zero` starts it at zero."""
    if not isinstance(kind, str):
        descended = name == "decoder" and estimator.transform_max_iter > 0
        module = _users(name, kind, n_inputs, n_outputs, descended)
        return Gate(module, n_outputs) if zero else module
    activation = estimator.activation
    if isinstance(activation, str):
        activation = ACTIVATIONS[activation]
    rest = (activation, generator)
    if kind == "linear":
        return dense(n_inputs, (), n_outputs, *rest, zero_last=zero)
    sizes = hidden_sizes(estimator.hidden_layer_sizes, kind, image_shape)
    if kind == "attention":
        return AttentionEncoder(
            n_inputs, sizes, n_outputs, *rest, image_shape=image_shape, zero_last=zero
        )
    if name == "decoder":
        sizes = sizes[::-1]
        if kind == "conv":
            return conv_decoder(n_inputs, sizes, image_shape, *rest, zero_last=zero)
    elif kind == "conv":
        return conv_encoder(image_shape, sizes, n_outputs, *rest, zero_last=zero)
    return dense(n_inputs, sizes, n_outputs, *rest, zero_last=zero)


def _users(name, value, n_inputs, n_outputs, descended):
    """Copy or make a user's module; the codes may have to descend on its error."""
    if isinstance(value, nn.Module):
        module = copy.deepcopy(value)
    else:
        module = value(n_inputs, n_outputs)
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{name}={value!r} must return a torch.nn.Module, got {type(module).__name__}."
            )
    module = module.to(dtype=torch.float32, device="cpu").requires_grad_(True)
    _check_shape(name, module, n_inputs, n_outputs, descended)
    # What a fitted estimator computes with.
    _check_shape(name, copy.deepcopy(module).double(), n_inputs, n_outputs, descended)
    return module


def _check_shape(name, module, n_inputs, n_outputs, descended):
    """Run two rows through a user's module before any training."""
    module.eval()
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    rows = torch.zeros(2, n_inputs, device="cpu", dtype=dtype)
    try:
        with torch.no_grad():
            found = tuple(module(rows).shape)
            if descended:
                torch.func.vjp(module, rows)
    except Exception as error:
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it failed on rows of shape (2, {n_inputs}) and of {dtype}: {error}"
        ) from error
    if found != (2, n_outputs):
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it maps (2, {n_inputs}) to {found}."
        )


def linear(weight: np.ndarray, bias: np.ndarray, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """Make a linear layer of given weights."""
    layer = nn.utils.skip_init(nn.Linear, *weight.shape[::-1], device="cpu", dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def linear_autoencoder(pca: PrincipalComponents, dtype: torch.dtype = torch.float32) -> Autoencoder:
    """Make the autoencoder that is PCA."""
    components, mean = pca.components, pca.mean
    return Autoencoder(
        linear(components, -components @ mean, dtype), linear(components.T, mean, dtype)
    )


def build_network(
    estimator: Any,
    n_features: int,
    scaling: Scaling,
    start: Start | None,
    generator: torch.Generator,
) -> Autoencoder:
    """Make encoder and decoder as the parameters of the estimator say, on the CPU.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read.
    n_features : int
        Width of a row.
    scaling : Scaling
        The units of the rows.
    start : Start or None
        PCA, to start there; None starts at random.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    network : Autoencoder
        For scaled rows.

    Raises
    ------
    ValueError
        If a parameter is wrong, or a module maps to other shapes than it should.
    """
    encoder_kind, decoder_kind = network_kinds(estimator)
    image_shape = estimator.image_shape
    if image_shape is not None:
        image_shape = image_size(image_shape, n_features)
    k, tied = estimator.n_components, estimator.tied_weights
    # Transposes share their zeros: of those that are tied, a gate is what starts at zero.
    zero = start is not None and not tied
    rest = (image_shape, generator, zero)
    encoder = _make("encoder", encoder_kind, estimator, n_features, k, *rest)
    decoder: Any = None
    if tied:
        decoder = transposed(encoder)
        if start is not None:
            encoder, decoder = Gate(encoder, k), Gate(decoder, n_features)
    elif start is None or decoder_kind != "linear":
        decoder = _make("decoder", decoder_kind, estimator, k, n_features, *rest)
    probabilities = _probabilities(estimator.loss, scaling)
    if start is not None:
        network = _corrected(encoder, decoder, start, tied, probabilities)
    elif probabilities:
        network = Autoencoder(encoder, Probabilities(decoder, **probabilities))
    else:
        network = Autoencoder(encoder, decoder)
    if getattr(estimator, "corruption_loss_weight", 0):
        network.head = dense(k, (), n_features, nn.Identity, generator)
    if not any(True for _ in network.parameters()):
        raise ValueError(
            f"encoder={estimator.encoder!r} and decoder={estimator.decoder!r} have no parameters "
            "to train. Give one of them a layer with weights."
        )
    return network


def _probabilities(loss, scaling):
    """Return the units that a decoder of probabilities needs; nothing for other decoders."""
    if loss != "binary_log_loss":
        return {}
    return {"shift": _float32(scaling.shift), "scale": scaling.scale}


def _corrected(encoder, decoder, start, tied, probabilities):
    """Make the network that starts at PCA of its corrections; the decoder may have none."""
    pca: Any = linear_autoencoder(start.pca)
    path = Transposed(pca.encoder, pca.decoder.bias) if tied else pca.decoder
    deviations = start.pca.deviations
    found = deviations > 1e-6 * deviations.max()
    smallest = deviations[found].min() if found.any() else start.residual
    unit = _float32(np.where(found, deviations, smallest))
    # In whitened units, each code moves as far as one residual moves the code of least variance.
    step = unit * min(start.residual / smallest, 1.0)
    low, high = map(_float32, start.row_bounds)
    margin = (high - low) / 2
    ones = torch.ones_like(low)
    rows = (low - margin, high + margin, Fade(_float32(start.pca.mean), _float32(start.row_radius)))
    middle, radius = _float32(start.code_middle), _float32(start.code_radius)
    codes = (middle - radius, middle + radius, Fade(middle, radius, torch.inf))
    if decoder is None:
        decode = ClippedProbabilities(path, **probabilities) if probabilities else path
    elif probabilities:
        decode = CorrectedProbabilities(path, decoder, unit, ones, *codes, **probabilities)
    else:
        decode = Corrected(path, decoder, unit, start.residual * ones, *codes)
    return Autoencoder(Corrected(pca.encoder, encoder, ones, step, *rows), decode)


def check_code_layer(network: Autoencoder, code_layer: int | None) -> None:
    """Check that the network has this hidden layer.

    Raises
    ------
    ValueError
        If it has not.
    """
    n_layers = len(hidden_layers(network))
    if code_layer is not None and code_layer >= n_layers:
        there = f"one of the hidden layers 0 to {n_layers - 1} or " if n_layers else ""
        raise ValueError(
            f"code_layer={code_layer!r} must be {there}None, the bottleneck: this network has "
            f"{n_layers} hidden layers."
        )


def build_pca(
    pca: PrincipalComponents, loss: Any, scaling: Scaling, dtype: torch.dtype = torch.float32
) -> Autoencoder:
    """Make the autoencoder that is PCA, its rows clipped where the loss is one of probabilities."""
    network = linear_autoencoder(pca, dtype)
    probabilities = _probabilities(loss, scaling)
    if probabilities:
        network.decoder = ClippedProbabilities(network.decoder, **probabilities)
    return network


def _float32(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device="cpu")
