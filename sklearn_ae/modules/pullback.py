"""What a module makes of its input, and what pulls gradients back to there, without autograd.

Recording and replaying costs a small network more than its arithmetic.
"""

import functools
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

# Cells of an activation from which torch's own gradient is faster in float32, and up to which it is
# in float64.
MANY, FEW = 2**12, 2**10
# Maps the gradient of something by the outputs to that by the inputs. Those of modules that can
# learn so (`can_learn`) take two more arguments: a dict, to which the gradients by the weights are
# added, and whether that by the inputs is wanted.
Pull = Callable[..., torch.Tensor]
# Maps inputs to outputs, and to what pulls gradients back.
Rule = Callable[..., tuple[torch.Tensor, Pull]]
Learned = dict[torch.Tensor, torch.Tensor]


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
    return rule_of(module)(x)


def rule_of(module: nn.Module) -> Rule:
    """Return ``x -> vjp(module, x)``, for as long as the module stays what it is."""
    forward = forward_of(module)
    if forward in DERIVATIVES:
        return functools.partial(_of_each_number, DERIVATIVES[forward], module)
    return RULES.get(forward, _any)(module)


def can_learn(module: Any) -> bool:
    """Tell whether what pulls back here gives the gradients of all weights of a module too."""
    forward = forward_of(module)
    hooks = [module._backward_hooks, module._backward_pre_hooks]
    for weight in module.parameters(recurse=False):
        # A tensor that was never hooked may have None.
        hooks += [weight._backward_hooks, weight._post_accumulate_grad_hooks]
    if any(hooks):
        return False
    if forward == nn.Sequential.forward:
        return all(map(can_learn, module))
    if forward == Corrected.forward:
        return can_learn(module.linear) and can_learn(module.correction)
    if forward == Gate.forward:
        return can_learn(module.module)
    if forward == nn.GELU.forward:
        return module.approximate == "none"
    return forward in DERIVATIVES or forward in (
        nn.Identity.forward,
        nn.Linear.forward,
        nn.ReLU.forward,
        StartedLinear.forward,
        Transposed.forward,
    )


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


def is_traced(x: Any) -> bool:
    """Tell whether a graph is made of what is computed, which is of any number of rows."""
    if not isinstance(x, torch.Tensor) or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return True
    return torch.compiler.is_compiling()


def _any(module: nn.Module) -> Rule:
    def rule(x):
        output, pull, *_ = torch.func.vjp(Isolated(module), x)
        return output, lambda gradient, *_: pull(gradient)[0]

    return rule


def _identity(module: nn.Identity) -> Rule:
    return lambda x: (x, lambda gradient, *_: gradient)


def _linear(layer: nn.Linear) -> Rule:
    weight, bias = layer.weight, layer.bias

    def rule(x):
        def back(gradient, learned=None, wanted=True):
            if learned is not None:
                _learn(learned, weight, gradient.T @ x)
                if bias is not None:
                    _learn(learned, bias, gradient.sum(0))
            return gradient @ weight if wanted else gradient

        return F.linear(x, weight, bias), back

    return rule


def _transposed(layer: Transposed) -> Rule:
    weight, bias = layer.weight, layer.bias

    def rule(x):
        def back(gradient, learned=None, wanted=True):
            if learned is not None:
                _learn(learned, weight, x.T @ gradient)
                _learn(learned, bias, gradient.sum(0))
            return gradient @ weight.T if wanted else gradient

        return F.linear(x, weight.T, bias), back

    return rule


def _started(layer: StartedLinear) -> Rule:
    unit, change, bias_change = layer.unit, layer.change, layer.bias_change

    def rule(x):
        weight = layer.weight

        def back(gradient, learned=None, wanted=True):
            if learned is not None:
                changed = x.T @ gradient if layer.transposes else gradient.T @ x
                _learn(learned, change, changed.mul_(unit))
                _learn(learned, bias_change, gradient.sum(0).mul_(unit))
            return gradient @ weight if wanted else gradient

        return F.linear(x, weight, layer.bias), back

    return rule


def _learn(learned: Learned, weight: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add the gradient by a weight, which two layers may share."""
    learned[weight] = learned[weight] + gradient if weight in learned else gradient


def in_turn(layers: Iterable[nn.Module]) -> Rule:
    """Return the rule of modules, one after the other."""
    rules = [rule_of(layer) for layer in layers]

    def rule(x):
        pulls: list[Pull] = []
        for rule in rules:
            x, pull = rule(x)
            pulls.append(pull)

        def back(gradient, learned=None, wanted=True):
            for i in range(len(pulls) - 1, -1, -1):
                gradient = pulls[i](gradient, learned, wanted or i > 0)
            return gradient

        return x, back

    return rule


def _corrected(module: Corrected) -> Rule:
    linear, correction = rule_of(module.linear), rule_of(module.correction)
    fade, low, high = module.fade, module.low, module.high
    unit, output_scale = module.input_scale, module.output_scale

    def rule(x, factor=None):
        # Where it fades counts as given.
        weight = fade(x) * output_scale
        if factor is not None:
            weight = weight * factor
        bounded = torch.clamp(x, low, high)
        straight, pull_linear = linear(x)
        corrected, pull_correction = correction(bounded / unit)

        def back(gradient, learned=None, wanted=True):
            by_correction = pull_correction(gradient * weight, learned, wanted)
            by_linear = pull_linear(gradient, learned, wanted)
            if not wanted:
                return gradient
            return torch.addcmul(by_linear, by_correction, (bounded == x) / unit)

        return torch.addcmul(straight, weight, corrected), back

    return rule


def inside_rule_of(module: Any) -> Rule:
    """Return the rule of `Corrected.inside`."""
    linear, correction = rule_of(module.linear), rule_of(module.correction)
    weight, unit = module.output_scale, module.input_scale
    # As those of rows are.
    is_one = bool((unit == 1).all())

    def rule(x):
        straight, pull_linear = linear(x)
        corrected, pull_correction = correction(x if is_one else x / unit)

        def back(gradient, learned=None, wanted=True):
            by_correction = pull_correction(gradient * weight, learned, wanted)
            by_linear = pull_linear(gradient, learned, wanted)
            return torch.addcdiv(by_linear, by_correction, unit) if wanted else gradient

        return torch.addcmul(straight, weight, corrected), back

    return rule


def seen_by(module: Corrected, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the correction sees of ``x``, and its derivative."""
    bounded = torch.clamp(x, module.low, module.high)
    return bounded / module.input_scale, (bounded == x) / module.input_scale


def _gate(module: Gate) -> Rule:
    inner = rule_of(module.module)

    def rule(x):
        output, pull = inner(x)

        def back(gradient, learned=None, wanted=True):
            if learned is not None:
                _learn(learned, module.gain, (gradient * output).sum(0))
            return pull(gradient * module.gain, learned, wanted)

        return module.gain * output, back

    return rule


def _between(module: Between) -> Rule:
    smaller, larger, rest = (rule_of(part) for part in (module.smaller, module.larger, module.rest))

    def rule(x):
        n = x.shape[-1] - module.rest.in_features
        small, pull_smaller = smaller(x[..., :n])
        others, pull_rest = rest(x[..., n:])
        large, pull_larger = larger(x)

        def back(gradient, *_):
            below = torch.cat([pull_smaller(gradient), pull_rest(gradient)], -1)
            return torch.lerp(below, pull_larger(gradient), module.share)

        return torch.lerp(small + others, large, module.share), back

    return rule


def _of_each_number(kind, module, x):
    output, derivative = kind(module, x)
    return output, lambda gradient, *_: gradient * derivative


def _relu(module: nn.ReLU) -> Rule:
    def rule(x):
        output = torch.relu(x)
        # Products with truth values take several times as long.
        return output, lambda gradient, *_: torch.ops.aten.threshold_backward(gradient, output, 0)

    return rule


def _gelu(module: nn.GELU) -> Rule:
    return _gelu_of if module.approximate == "none" else _any(module)


def _gelu_of(x: torch.Tensor) -> tuple[torch.Tensor, Pull]:
    is_single, traced = x.dtype == torch.float32, is_traced(x)
    if traced or (x.numel() > MANY if is_single else x.numel() <= FEW):
        gelu_backward = torch.ops.aten.gelu_backward
        return F.gelu(x), lambda gradient, *_: gelu_backward(gradient, x)
    # The normal distribution function and its density. New arrays cost as much as what is computed.
    below = (x * math.sqrt(0.5)).erf_().add_(1).mul_(0.5)

    def back(gradient, *_):
        density = (x * x).mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
        return density.mul_(x).add_(below).mul_(gradient)

    return x * below, back


RULES: dict[Callable | None, Callable[[Any], Rule]] = {
    nn.Linear.forward: _linear,
    StartedLinear.forward: _started,
    Transposed.forward: _transposed,
    nn.Sequential.forward: in_turn,
    Corrected.forward: _corrected,
    Gate.forward: _gate,
    Between.forward: _between,
    nn.Identity.forward: _identity,
    nn.GELU.forward: _gelu,
    nn.ReLU.forward: _relu,
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
    nn.Sigmoid.forward: _sigmoid,
    nn.SiLU.forward: _silu,
    nn.Tanh.forward: _tanh,
}
