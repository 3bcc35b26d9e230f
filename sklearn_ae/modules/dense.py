"""Fully connected networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from sklearn_ae.modules.weights import drawn, zero_

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def dense(
    n_inputs: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    activation: Callable[[], nn.Module],
    generator: torch.Generator,
    *,
    zero_last: bool = False,
) -> nn.Sequential:
    """Make a fully connected network with a linear last layer.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Widths of the first and the last layer.
    hidden_layer_sizes : sequence of int
        Widths of the layers between; may be empty.
    activation : callable
        Makes the module that follows each hidden layer.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    zero_last : bool, default=False
        Start the last layer at zero, so that the network does nothing until it is trained.

    Returns
    -------
    network : nn.Sequential
        Maps ``(*, n_inputs)`` to ``(*, n_outputs)``.

    Examples
    --------
    >>> import torch
    >>> network = dense(4, [8], 2, torch.nn.ReLU, torch.Generator().manual_seed(0))
    >>> network(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([n_inputs, *hidden_layer_sizes, n_outputs]):
        layer = drawn(nn.Linear, n_in, n_out, fan_in=n_in, generator=generator)
        layers += [layer, activation()]
    layers.pop()
    if zero_last:
        zero_(layer)
    return nn.Sequential(*layers)
