"""Encoder, decoder and head as they are drawn, before they know where they start."""

import copy
import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sklearn_ae._specs import NetworkSpec
from sklearn_ae.modules import (
    ACTIVATIONS,
    AttentionEncoder,
    Gate,
    Isolated,
    conv_decoder,
    conv_encoder,
    dense,
    transposed,
)
from sklearn_ae.modules.conv import most_layers

# What `hidden_layer_sizes="auto"` stands for.
SIZES = {"dense": (256, 256), "conv": (16, 32, 64, 128), "attention": (32, 32)}


@dataclass
class Parts:
    """What the network is made of.

    Attributes
    ----------
    encoder : nn.Module
        Maps rows to codes; with a start at PCA, to zeros.
    decoder : nn.Module or None
        Maps codes to rows, likewise; None for a linear decoder that starts at PCA.
    head : nn.Module or None
        Maps codes to one logit a cell.
    """

    encoder: nn.Module
    decoder: Any
    head: nn.Module | None


def make_parts(
    spec: NetworkSpec, n_columns: int, n_components: int, generator: torch.Generator
) -> Parts:
    """Draw what the network is made of, on the CPU.

    Parameters
    ----------
    spec : NetworkSpec
        What it is to be.
    n_columns, n_components : int
        Widths of rows and codes.
    generator : torch.Generator
        Draws the weights.

    Raises
    ------
    ValueError
        If a user's module maps to other shapes than it should, there is nothing to train, or the
        image is too small.
    """
    _check_activation(spec.activation)
    # What a user's encoder and decoder share is to be shared by their copies.
    copies: dict = {}
    # Transposes share their zeros: of those that are tied, a gate is what starts at zero.
    zero = spec.at_pca and not spec.tied_weights
    encoder = _make("encoder", spec, n_columns, n_components, generator, zero, copies)
    decoder: Any = None
    if spec.tied_weights:
        decoder = transposed(encoder)
        if spec.at_pca:
            encoder, decoder = Gate(encoder, n_components), Gate(decoder, n_columns)
    elif not (spec.at_pca and spec.decoder == "linear"):
        decoder = _make("decoder", spec, n_components, n_columns, generator, zero, copies)
    if spec.activation not in ACTIVATIONS.values():
        _try_activation(spec.activation, encoder, n_columns)
    head = dense(n_components, (), n_columns, nn.Identity, generator) if spec.head else None
    trained = [part for part in (encoder, decoder, head) if part is not None]
    weights = [weight for part in trained for weight in part.parameters()]
    if not (spec.at_pca or any(weight.requires_grad for weight in weights)):
        raise ValueError(
            f"encoder={spec.encoder!r} and decoder={spec.decoder!r} have no parameters "
            "to train. Give one of them a layer with weights that are not frozen."
        )
    return Parts(encoder, decoder, head)


def _make(name, spec, n_inputs, n_outputs, generator, zero, copies):
    """Make the encoder or decoder, as `name` says; `zero` starts it at zero."""
    kind = getattr(spec, name)
    if not isinstance(kind, str):
        module = kind if isinstance(kind, nn.Module) else _called(name, kind, n_inputs, n_outputs)
        try:
            module = copy.deepcopy(module, copies)
        except Exception as error:
            raise ValueError(f"{name}={kind!r} cannot be copied: {error}") from error
        if not all(weight.is_leaf for weight in module.parameters()):
            raise ValueError(
                f"{name}={kind!r} has weights that cannot be trained once they are copied, as of a "
                "scripted module. Give the module that it was made from."
            )
        if any(t.is_complex() for t in itertools.chain(module.parameters(), module.buffers())):
            raise ValueError(
                f"{name}={kind!r} has complex weights or buffers, and networks compute in float32 "
                "and float64. Let it keep real and imaginary parts as two tensors."
            )
        module = module.to(dtype=torch.float32, device="cpu")
        descended = name == "decoder" and spec.n_steps > 0
        _check_shape(name, module, n_inputs, n_outputs, descended)
        # What a fitted estimator computes with.
        _check_shape(name, copy.deepcopy(module).double(), n_inputs, n_outputs, descended)
        return Gate(module, n_outputs) if zero else Isolated(module)
    rest = (spec.activation, generator)
    if kind == "linear":
        return dense(n_inputs, (), n_outputs, *rest, zero_last=zero)
    sizes = spec.hidden_layer_sizes
    if sizes is None:
        sizes = SIZES[kind]
        if kind == "conv":
            sizes = sizes[: most_layers(spec.image_shape)]
    if kind == "attention":
        return AttentionEncoder(
            n_inputs, sizes, n_outputs, *rest, image_shape=spec.image_shape, zero_last=zero
        )
    if name == "decoder":
        sizes = sizes[::-1]
        if kind == "conv":
            return conv_decoder(n_inputs, sizes, spec.image_shape, *rest, zero_last=zero)
    elif kind == "conv":
        return conv_encoder(spec.image_shape, sizes, n_outputs, *rest, zero_last=zero)
    return dense(n_inputs, sizes, n_outputs, *rest, zero_last=zero)


def _called(name, function, n_inputs, n_outputs):
    """Let a user's callable make a module."""
    wanted = f"{name}={function!r} must return a torch.nn.Module for ({n_inputs}, {n_outputs})"
    try:
        module = function(n_inputs, n_outputs)
    except Exception as error:
        raise ValueError(f"{wanted}; it failed: {error}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{wanted}, got {type(module).__name__}.")
    return module


def _check_activation(activation):
    """Check that what follows a hidden layer is a module, of which each layer has its own."""
    wanted = f"activation={activation!r} must return a torch.nn.Module"
    if isinstance(activation, nn.Module):
        kind = type(activation).__name__
        raise ValueError(f"{wanted}, and is one itself. Give its class: activation={kind}.")
    try:
        module = activation()
    except Exception as error:
        raise ValueError(f"{wanted}; it failed: {error}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{wanted}, got {type(module).__name__}.")


def _try_activation(activation, encoder, n_columns):
    """Run two rows through an encoder that has it, before any training."""
    try:
        with torch.no_grad():
            encoder.eval()(torch.zeros(2, n_columns, device="cpu", dtype=torch.float32))
    except Exception as error:
        raise ValueError(
            f"activation={activation!r} must keep the shape of a hidden layer's output; it failed "
            f"in the encoder: {error}"
        ) from error


def _check_shape(name, module, n_inputs, n_outputs, descended):
    """Run two rows through a user's module before any training."""
    module.eval()
    weights = (p.dtype for p in module.parameters() if p.is_floating_point())
    dtype = next(weights, torch.float32)
    rows = torch.zeros(2, n_inputs, device="cpu", dtype=dtype)
    try:
        with torch.no_grad():
            found = module(rows.clone())
            if descended:
                torch.func.vjp(Isolated(module), rows)
    except Exception as error:
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it failed on rows of shape (2, {n_inputs}) and of {dtype}: {error}"
        ) from error
    if not isinstance(found, torch.Tensor) or found.shape != (2, n_outputs):
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ValueError(
            f"{name} must map rows of shape (n, {n_inputs}) to (n, {n_outputs}); "
            f"it maps (2, {n_inputs}) to {got}."
        )
