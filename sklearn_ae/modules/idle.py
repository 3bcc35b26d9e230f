"""Layers that change nothing: those of a network at its start, and those that pass features on."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.corrected import Corrected, Gate


def drop_idle_layers(network: Autoencoder) -> None:
    """Leave out what need not be computed, in place; what the network maps to stays the same.

    These are an encoder's correction that gives zeros, and linear layers in the decoder's that are
    the identity.

    Parameters
    ----------
    network : Autoencoder
        The corrections in its decoder are replaced, and not changed.
    """
    encoder = network.encoder
    if isinstance(encoder, Corrected) and _gives_zeros(encoder.correction):
        network.encoder = encoder.linear
    for part in _corrected(network.decoder):
        if isinstance(part.correction, nn.Sequential):
            part.correction = nn.Sequential(*(x for x in part.correction if not _is_identity(x)))


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
    last = module[-1] if isinstance(module, nn.Sequential) else module
    if isinstance(last, Gate):
        return not last.gain.any()
    return isinstance(last, nn.Linear) and not (last.weight.any() or _adds(last))


def _is_identity(layer: nn.Module) -> bool:
    """Tell whether a layer gives what it is given."""
    if not isinstance(layer, nn.Linear) or _adds(layer):
        return False
    # By the weight: the attributes of what comes from a file may say something else.
    weight = layer.weight
    eye = torch.eye(len(weight), device=weight.device, dtype=weight.dtype)
    return torch.equal(weight, eye)


def _adds(layer: nn.Linear) -> bool:
    """Tell whether a layer adds something to the products."""
    return layer.bias is not None and bool(layer.bias.any())
