"""Initial weights from a generator of one's own: the global one is left alone."""

import math
from typing import Any

import torch
from torch import nn


def drawn(
    kind: type[nn.Module], *args: Any, fan_in: float, generator: torch.Generator, **kwargs: Any
) -> Any:
    """Make a layer with weight and bias from ``U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))``.

    That is what ``nn.Linear`` and ``nn.Conv2d`` draw.

    Parameters
    ----------
    kind : type
        Of the layer, which has ``weight`` and ``bias``.
    *args, **kwargs
        For its constructor.
    fan_in : float
        Inputs that an output of the layer is made of.
    generator : torch.Generator
        Source of the weights, on the CPU.
    """
    layer: Any = undrawn(kind, *args, **kwargs)
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def undrawn(kind: type[nn.Module], *args: Any, **kwargs: Any) -> Any:
    """Make a module without buffers whose weights have no values yet, on the CPU.

    As `torch.nn.utils.skip_init` does, without the third of a second that it takes to load sympy.

    Parameters
    ----------
    kind : type
        Of the module.
    *args, **kwargs
        For its constructor.
    """
    module = kind(*args, device="meta", **kwargs)
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            empty = torch.empty(weight.shape, device="cpu", dtype=torch.float32)
            setattr(part, name, nn.Parameter(empty))
    return module


def linear_of(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    """Make a linear layer of weight and bias, which are not copied."""
    n_outputs, n_inputs = weight.shape
    layer = nn.Linear(n_inputs, n_outputs, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def zero_(layer: Any) -> None:
    """Set weight and bias to zero, so that the layer gives zeros until it is trained."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
