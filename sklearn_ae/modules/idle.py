"""Layers that change nothing: those of a network at its start, and those that pass features on."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.corrected import Corrected, Gate


@contextlib.contextmanager
def without_idle_layers(network: Autoencoder) -> Iterator[None]:
    """Leave out, for a time, what need not be computed; what the network maps to stays the same.

    These are an encoder's correction that gives zeros, and linear layers in the decoder's that are
    the identity. Weights of the other layers may be changed meanwhile.

    Parameters
    ----------
    network : Autoencoder
        Changed in place; it gets all of its layers back.
    """
    encoder, decoder = network.encoder, network.decoder
    correction: Any = decoder.correction if isinstance(decoder, Corrected) else None
    if isinstance(encoder, Corrected) and _gives_zeros(encoder.correction):
        network.encoder = encoder.linear
    try:
        if isinstance(correction, nn.Sequential):
            decoder.correction = nn.Sequential(*(x for x in correction if not _is_identity(x)))
        yield
    finally:
        network.encoder = encoder
        if isinstance(correction, nn.Sequential):
            decoder.correction = correction


def _gives_zeros(module: Any) -> bool:
    """Tell whether the last layer is known to give zeros."""
    last = module[-1] if isinstance(module, nn.Sequential) else module
    if isinstance(last, Gate):
        return not last.gain.any()
    return isinstance(last, nn.Linear) and not (last.weight.any() or last.bias.any())


def _is_identity(layer: nn.Module) -> bool:
    """Tell whether a layer gives what it is given."""
    if not isinstance(layer, nn.Linear) or layer.in_features != layer.out_features:
        return False
    eye = torch.eye(layer.in_features, device=layer.weight.device, dtype=layer.weight.dtype)
    return torch.equal(layer.weight, eye) and not layer.bias.any()
