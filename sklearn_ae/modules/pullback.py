"""What a module makes of its input, and what pulls gradients back to there, without autograd.

Recording and replaying costs a small network more than its arithmetic.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ae.modules.autoencoder import Isolated
from sklearn_ae.modules.corrected import Corrected, Gate
from sklearn_ae.modules.nested import Between
from sklearn_ae.modules.started import StartedLinear
from sklearn_ae.modules.tied import Transposed

# Cells of an activation from which torch's own gradient is faster in float32.
MANY = 2**12
# Maps the gradient of something by the outputs to that by the inputs.
Pull = Callable[[torch.Tensor], torch.Tensor]


def vjp(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    """Return the output of a module and its vector-Jacobian product; in inference mode too.

    Parameters
    ----------
    module : nn.Module
        Any: what is not known here is left to `torch.func.vjp`.
    x : Tensor of shape (n, n_inputs)
        Where.

    Returns
    -------
    output : Tensor of shape (n, n_outputs)
        ``module(x)``.
    pull : callable
        Maps ``(n, n_outputs)`` to ``(n, n_inputs)``.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(3, 2)
    >>> output, pull = vjp(layer, torch.zeros(1, 3))
    >>> bool((pull(torch.tensor([[1.0, 0.0]])) == layer.weight[0]).all())
    True
    """
    forward = forward_of(module)
    if forward in DERIVATIVES:
        output, derivative = DERIVATIVES[forward](module, x)
        return output, lambda gradient: gradient * derivative
    return PULLBACKS.get(forward, _any)(module, x)


def forward_of(module: Any) -> Callable | None:
    """Return what a module computes by its class; None where it computes something else.

    It is told by that and not by the class: a subclass may compute something else, and a tracer has
    classes of its own.
    """
    is_changed = (
        module._forward_hooks
        or module._forward_pre_hooks
        or "forward" in module.__dict__
        or type(module).__call__ is not nn.Module.__call__
    )
    return None if is_changed else getattr(type(module), "forward", None)


def _any(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    output, pull, *_ = torch.func.vjp(Isolated(module), x)
    return output, lambda gradient: pull(gradient)[0]


def _linear(layer: Any, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    weight = layer.weight
    return F.linear(x, weight, layer.bias), lambda gradient: gradient @ weight


def _transposed(layer: Transposed, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    return layer(x), lambda gradient: gradient @ layer.weight.T


def vjp_in_turn(layers: Iterable[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    """Return the output of modules, one after the other, and what pulls gradients back."""
    pulls: list[Pull] = []
    for layer in layers:
        x, pull = vjp(layer, x)
        pulls.append(pull)

    def back(gradient: torch.Tensor) -> torch.Tensor:
        for pull in reversed(pulls):
            gradient = pull(gradient)
        return gradient

    return x, back


def _corrected(module: Corrected, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    # Where it fades counts as given, as in training.
    weight = module.fade(x) * module.output_scale
    linear, pull_linear = vjp(module.linear, x)
    seen, slope = seen_by(module, x)
    correction, pull_correction = vjp(module.correction, seen)

    def back(gradient: torch.Tensor) -> torch.Tensor:
        corrected = pull_correction(gradient * weight)
        return torch.addcmul(pull_linear(gradient), corrected, slope)

    return torch.addcmul(linear, weight, correction), back


def seen_by(module: Corrected, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the correction sees of ``x``, and its derivative."""
    bounded = torch.clamp(x, module.low, module.high)
    return bounded / module.input_scale, (bounded == x) / module.input_scale


def _gate(module: Gate, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    output, pull = vjp(module.module, x)
    return module.gain * output, lambda gradient: pull(gradient * module.gain)


def _between(module: Between, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    n = x.shape[-1] - module.rest.in_features
    smaller, pull_smaller = vjp(module.smaller, x[..., :n])
    rest, pull_rest = vjp(module.rest, x[..., n:])
    larger, pull_larger = vjp(module.larger, x)

    def back(gradient: torch.Tensor) -> torch.Tensor:
        small = torch.cat([pull_smaller(gradient), pull_rest(gradient)], -1)
        return torch.lerp(small, pull_larger(gradient), module.share)

    return torch.lerp(smaller + rest, larger, module.share), back


def _gelu(module: nn.GELU, x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    if module.approximate != "none":
        return _any(module, x)
    # torch is fast at many in this dtype, and slow to begin.
    if x.dtype == torch.float32 and x.numel() > MANY:
        return F.gelu(x), lambda gradient: torch.ops.aten.gelu_backward(gradient, x)
    # The normal distribution function and its density. New arrays cost as much as what is computed.
    below = torch.erf(x * math.sqrt(0.5)).add_(1).mul_(0.5)
    density = x.square().mul_(-0.5).exp_()
    derivative = torch.addcmul(below, x, density, value=1 / math.sqrt(2 * math.pi))
    return x * below, lambda gradient: gradient * derivative


PULLBACKS: dict[Callable | None, Callable[[Any, torch.Tensor], tuple[torch.Tensor, Pull]]] = {
    nn.Linear.forward: _linear,
    StartedLinear.forward: _linear,
    Transposed.forward: _transposed,
    nn.Sequential.forward: vjp_in_turn,
    Corrected.forward: _corrected,
    Gate.forward: _gate,
    Between.forward: _between,
    nn.Identity.forward: lambda module, x: (x, lambda gradient: gradient),
    nn.GELU.forward: _gelu,
}


def _silu(module: nn.SiLU, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    share = torch.sigmoid(x)
    output = x * share
    return output, share + output * (1 - share)


def _elu(module: nn.ELU, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    output = F.elu(x, module.alpha)
    return output, torch.where(x > 0, 1.0, output + module.alpha)


def _tanh(module: nn.Tanh, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    output = torch.tanh(x)
    return output, 1 - output.square()


def _sigmoid(module: nn.Sigmoid, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    output = torch.sigmoid(x)
    return output, output * (1 - output)


# What works on each number alone: the output and its derivative.
DERIVATIVES: dict[
    Callable | None, Callable[[Any, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
] = {
    nn.ELU.forward: _elu,
    nn.ReLU.forward: lambda module, x: (torch.relu(x), x > 0),
    nn.Sigmoid.forward: _sigmoid,
    nn.SiLU.forward: _silu,
    nn.Tanh.forward: _tanh,
}
