"""Layers that change nothing: those of a network at its start, and those that pass features on."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.corrected import Corrected, Gate
from sklearn_ae.modules.pullback import forward_of


def drop_idle_layers(network: Autoencoder) -> None:
    """Leave out what need not be computed, in place; what the network maps to stays the same.

    These are an encoder's correction that gives zeros, and linear layers in the decoder's that are
    the identity.

    Parameters
    ----------
    network : Autoencoder
        The corrections in its decoder are replaced, and not changed.
    """
    encoder: Any = network.encoder
    # A class tells too little: a user's may compute something else than the one that it is made of.
    if forward_of(encoder) == Corrected.forward and _gives_zeros(encoder.correction):
        network.encoder = encoder.linear
    for part in _corrected(network.decoder):
        layers: Any = part.correction
        if forward_of(layers) == nn.Sequential.forward:
            part.correction = nn.Sequential(*(x for x in layers if not _is_identity(x)))


@contextlib.contextmanager
def without_idle_layers(network: Autoencoder) -> Iterator[None]:
    """Leave out, for a time, what need not be computed.

    Parameters
    ----------
    network : Autoencoder
        Changed in place by `drop_idle_layers`; it gets all of its layers back. Weights of the
        others may be changed meanwhile.
    """
    encoder = network.encoder
    corrections = [(part, part.correction) for part in _corrected(network.decoder)]
    try:
        drop_idle_layers(network)
        yield
    finally:
        network.encoder = encoder
        for part, correction in corrections:
            part.correction = correction


def _corrected(decoder: nn.Module) -> list[Corrected]:
    """Return the corrected parts of a decoder: itself, or those that it lies between."""
    return [part for part in decoder.modules() if isinstance(part, Corrected)]


def _gives_zeros(module: Any) -> bool:
    """Tell whether the last layer is known to give zeros."""
    last = module[-1] if forward_of(module) == nn.Sequential.forward else module
    if forward_of(last) == Gate.forward:
        return not last.gain.any()
    return forward_of(last) == nn.Linear.forward and not (last.weight.any() or _adds(last))


def _is_identity(layer: Any) -> bool:
    """Tell whether a layer gives what it is given."""
    if forward_of(layer) != nn.Linear.forward or _adds(layer):
        return False
    # By the weight: the attributes of what comes from a file may say something else.
    weight = layer.weight
    n_outputs, n_inputs = weight.shape
    # An identity as wide as rows may be takes more memory than all else.
    if n_outputs != n_inputs:
        return False
    return torch.equal(weight, torch.eye(n_inputs, device=weight.device, dtype=weight.dtype))


def _adds(layer: nn.Linear) -> bool:
    """Tell whether a layer adds something to the products."""
    return layer.bias is not None and bool(layer.bias.any())
