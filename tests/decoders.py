"""Small decoders that tests of modules take apart."""

import torch
from torch import nn

from sklearn_ae.modules import Corrected, Fade, Gate, dense
from sklearn_ae.modules.nested import Between


def generator():
    return torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def corrected(n_components=3, activation=nn.GELU, n_features=5):
    """Make a decoder that is bounded for some of the rows, and fades for some."""
    unit = torch.ones(n_components)
    return Corrected(
        nn.Linear(n_components, n_features),
        dense(n_components, [7, 6], n_features, activation, generator()),
        0.5 + torch.arange(n_components),
        torch.linspace(0.5, 2, n_features),
        -unit,
        unit,
        Fade(torch.zeros(n_components), unit),
    ).double()


def between():
    smaller, rest = corrected(2), nn.Linear(1, 5).double()
    return Between(smaller, corrected(3), rest, 0.3)


def gate():
    module = Gate(dense(3, [4], 5, nn.Tanh, generator()), 5)
    module.gain.data = torch.arange(5.0)
    return module


def hooked(module, before=False):
    if before:
        module.register_forward_pre_hook(lambda module, inputs: (torch.sin(inputs[0]),))
    else:
        module.register_forward_hook(lambda module, inputs, output: torch.sin(output))
    return module


def of_its_own(module):
    module.forward = torch.sin
    return module
