"""The network, built of its parts where it starts: at PCA, or nowhere."""

from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._fitting.parts import Parts
from sklearn_ae._fitting.start import PrincipalComponents, Start
from sklearn_ae._rows import Scaling
from sklearn_ae._specs import NetworkSpec
from sklearn_ae.modules import (
    Autoencoder,
    ClippedProbabilities,
    Corrected,
    CorrectedProbabilities,
    Fade,
    Probabilities,
    StartedLinear,
    Transposed,
)
from sklearn_ae.modules.hidden import WEIGHTED, hidden_layers
from sklearn_ae.modules.probability import NEAREST
from sklearn_ae.modules.weights import linear_of


def build_network(
    spec: NetworkSpec, parts: Parts, scaling: Scaling, start: Start | None
) -> Autoencoder:
    """Put the parts together, on the CPU.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    parts : Parts
        What it is made of.
    scaling : Scaling
        The units of the rows.
    start : Start or None
        PCA, to start there; None starts as the parts were drawn.

    Returns
    -------
    network : Autoencoder
        For scaled rows.
    """
    probabilities = _probabilities(spec, scaling)
    if start is not None:
        network = _corrected(parts, start, spec.tied_weights, probabilities)
    elif probabilities:
        network = Autoencoder(parts.encoder, Probabilities(parts.decoder, **probabilities))
    else:
        network = Autoencoder(parts.encoder, parts.decoder)
    network.head = parts.head
    return network


def build_pca(
    spec: NetworkSpec,
    pca: PrincipalComponents,
    scaling: Scaling,
    dtype: torch.dtype = torch.float32,
    nearest: float = NEAREST,
) -> Autoencoder:
    """Make the autoencoder that is PCA.

    Rows that stand for probabilities are clipped to where these are, and stay so far from the ends.
    """
    components, mean = pca.components, pca.mean
    encoder, decoder = (
        _linear(weight, bias, dtype)
        for weight, bias in ((components, -components @ mean), (components.T, mean))
    )
    probabilities = _probabilities(spec, scaling, dtype)
    if probabilities:
        decoder = ClippedProbabilities(decoder, **probabilities, nearest=nearest)
    return Autoencoder(encoder, decoder)


def _linear(weight, bias, dtype):
    """Make a linear layer of given weights."""
    parts = (np.ascontiguousarray(part) for part in (weight, bias))
    return linear_of(*(torch.tensor(part, dtype=dtype, device="cpu") for part in parts))


def _probabilities(spec, scaling, dtype=torch.float32):
    """Return the units that a decoder of probabilities needs; nothing for other decoders."""
    if not spec.probabilities:
        return {}
    shift = torch.as_tensor(scaling.shift, dtype=dtype, device="cpu")
    return {"shift": shift, "scale": scaling.scale}


def _corrected(parts, start, tied, probabilities):
    """Make the network that starts at PCA of its corrections; the decoder may have none."""
    components, mean = start.pca.components, start.pca.mean
    unit = min(start.residual, 1.0)
    encode = StartedLinear(_float32(components), _float32(-components @ mean), unit)
    weight = _float32(np.ascontiguousarray(components.T))
    path: Any = StartedLinear(weight, _float32(mean), unit, encode if tied else None)
    deviations = start.pca.deviations
    found = deviations > 1e-6 * deviations.max()
    smallest = deviations[found].min() if found.any() else start.residual
    code_unit = _float32(np.where(found, deviations, smallest))
    # In whitened units, each code moves as far as one residual moves the code of least variance.
    step = code_unit * min(start.residual / smallest, 1.0)
    low, high = map(_float32, start.row_bounds)
    margin = (high - low) / 2
    ones = torch.ones_like(low)
    rows = (low - margin, high + margin, Fade(_float32(mean), _float32(start.row_radius)))
    middle, radius = _float32(start.code_middle), _float32(start.code_radius)
    codes = (middle - radius, middle + radius, Fade(middle, radius, torch.inf))
    if parts.decoder is None:
        decode = ClippedProbabilities(path, **probabilities) if probabilities else path
    elif probabilities:
        decode = CorrectedProbabilities(
            path, parts.decoder, code_unit, ones, *codes, **probabilities
        )
    else:
        decode = Corrected(path, parts.decoder, code_unit, start.residual * ones, *codes)
    return Autoencoder(Corrected(encode, parts.encoder, ones, step, *rows), decode)


def _float32(values: Any) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device="cpu")


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


def count_operations(network: Autoencoder, n_columns: int, device: torch.device) -> int:
    """Count the floating point operations of a row on its way through the network's layers."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        # A convolution applies its weights at many places. The first axis of the weights is that of
        # the outputs, but where a layer is the transpose of another.
        backwards = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | Transposed)
        cells = inputs[0] if backwards else output
        total += 2 * layer.weight.numel() * cells.numel() // layer.weight.shape[0]

    handles = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, (*WEIGHTED, StartedLinear))
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, n_columns, device=device, dtype=torch.float32))
    for handle in handles:
        handle.remove()
    return total
