"""What a module makes of its input, and what pulls gradients back to there, without autograd.

Recording and replaying costs a small network more than its arithmetic.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ae.modules.autoencoder import Isolated
from sklearn_ae.modules.corrected import Corrected, Fade, Gate
from sklearn_ae.modules.nested import Between
from sklearn_ae.modules.started import StartedLinear
from sklearn_ae.modules.tied import Transposed

# Cells of an activation from which torch's own gradient is faster in float32, and up to which it is
# in float64.
MANY, FEW = 2**12, 2**10
# Maps the gradient of something by the outputs to that by the inputs. Those of modules that can
# learn so (`can_learn`) take two more arguments: a dict, to which the gradients by the weights are
# added, and whether that by the inputs is wanted; what they return is not, where it is not.
Pull = Callable[..., torch.Tensor]
# Maps inputs to outputs, and to what pulls gradients back.
Rule = Callable[..., tuple[torch.Tensor, Pull]]
Learned = dict[torch.Tensor, torch.Tensor]


def rule_of(module: nn.Module) -> Rule:
    """Return what maps inputs to outputs and vector-Jacobian products; in inference mode too.

    Parameters
    ----------
    module : nn.Module
        Any: what is not known here is left to `torch.func.vjp`.

    Returns
    -------
    rule : callable
        Maps ``(n, n_inputs)`` to what the module gives, ``(n, n_outputs)``, and to what pulls
        gradients of that shape back to ``(n, n_inputs)``; for as long as nothing of the module but
        the values of its weights is changed.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(3, 2)
    >>> output, pull = rule_of(layer)(torch.zeros(1, 3))
    >>> bool((pull(torch.tensor([[1.0, 0.0]])) == layer.weight[0]).all())
    True
    """
    forward = forward_of(module)
    if forward in DERIVATIVES:
        return functools.partial(_of_each_number, DERIVATIVES[forward], module)
    return KINDS[forward].rule(module) if forward in KINDS else _any(module)


def can_learn(module: Any) -> bool:
    """Tell whether what pulls back here gives the gradients of all weights of a module too."""
    forward = forward_of(module)
    hooks = [module._backward_hooks, module._backward_pre_hooks]
    for weight in module.parameters(recurse=False):
        # A tensor that was never hooked may have None.
        hooks += [weight._backward_hooks, weight._post_accumulate_grad_hooks]
    if any(hooks):
        return False
    if forward in DERIVATIVES:
        return True
    kind = KINDS.get(forward)
    # What is computed, as by a parametrization, is no weight.
    if kind is None or kind.weights is None or module._parameters.keys() != set(kind.weights):
        return False
    # Where a correction fades counts as given: it must not learn.
    if forward == Corrected.forward and forward_of(module.fade) != Fade.forward:
        return False
    return all(map(can_learn, kind.parts(module)))


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
            return gradient @ weight if wanted else None

        return F.linear(x, weight, bias), back

    return rule


def _transposed(layer: Transposed) -> Rule:
    weight, bias = layer.weight, layer.bias

    def rule(x):
        def back(gradient, learned=None, wanted=True):
            if learned is not None:
                _learn(learned, weight, x.T @ gradient)
                _learn(learned, bias, gradient.sum(0))
            return gradient @ weight.T if wanted else None

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
            return gradient @ weight if wanted else None

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


def corrected_rule(module: Any, inside: bool = False) -> Rule:
    """Return the rule of a `Corrected`, or of its `inside`.

    That of the whole takes the factors of `Corrected.resized` too.
    """
    linear, correction = rule_of(module.linear), rule_of(module.correction)
    fade, low, high = module.fade, module.low, module.high
    unit, output_scale = module.input_scale, module.output_scale

    def rule(x, factor=None):
        if inside:
            weight, bounded = output_scale, x
        else:
            # Where it fades counts as given.
            weight, bounded = fade(x) * output_scale, torch.clamp(x, low, high)
        if factor is not None:
            weight = weight * factor
        straight, pull_linear = linear(x)
        corrected, pull_correction = correction(bounded / unit)

        def back(gradient, learned=None, wanted=True):
            by_correction = pull_correction(gradient * weight, learned, wanted)
            by_linear = pull_linear(gradient, learned, wanted)
            if not wanted:
                return None
            # Where it is bounded, nothing changes with the input.
            return torch.addcmul(by_linear, by_correction, (bounded == x) / unit)

        return torch.addcmul(straight, weight, corrected), back

    return rule


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
        if is_traced(x):
            # A graph may know no such operation.
            return output, lambda gradient, *_: gradient * (output > 0)
        # Products with truth values take several times as long.
        return output, lambda gradient, *_: torch.ops.aten.threshold_backward(gradient, output, 0)

    return rule


def _gelu(module: nn.GELU) -> Rule:
    approximate = module.approximate

    def is_torchs(x):
        if approximate != "none":
            return True
        return x.numel() > MANY if x.dtype == torch.float32 else x.numel() <= FEW

    def rule(x):
        # A graph is of any number of rows, and may know no such operation.
        if not is_traced(x) and is_torchs(x):
            gelu_backward = torch.ops.aten.gelu_backward
            return F.gelu(x, approximate=approximate), lambda gradient, *_: gelu_backward(
                gradient, x, approximate=approximate
            )
        if approximate != "none":
            return _any(module)(x)
        # The normal distribution function, and below its density. New arrays cost as much as what
        # is computed.
        below = torch.erf(x * math.sqrt(0.5)).add_(1).mul_(0.5)

        def back(gradient, *_):
            density = x.square().mul_(-0.5).exp_()
            unit = 1 / math.sqrt(2 * math.pi)
            if torch.is_grad_enabled() or is_traced(x):
                # What is itself differentiated needs what it was computed from.
                return gradient * torch.addcmul(below, x, density, value=unit)
            return density.mul_(x).mul_(unit).add_(below).mul_(gradient)

        return x * below, back

    return rule


class Kind(NamedTuple):
    """What is known of modules with one `forward`.

    Attributes
    ----------
    rule : callable
        Makes their rule.
    weights : tuple of str or None
        Names of the parameters that it gives gradients by; None if it gives none.
    parts : callable
        Gives the modules inside that have to be known too.
    """

    rule: Callable[[Any], Rule]
    weights: tuple[str, ...] | None = ()
    parts: Callable[[Any], Iterable[nn.Module]] = lambda module: ()


KINDS: dict[Callable | None, Kind] = {
    nn.Linear.forward: Kind(_linear, ("weight", "bias")),
    StartedLinear.forward: Kind(_started, ("change", "bias_change")),
    Transposed.forward: Kind(_transposed, ("weight", "bias")),
    nn.Sequential.forward: Kind(in_turn, parts=list),
    Corrected.forward: Kind(
        corrected_rule, parts=lambda module: (module.linear, module.correction)
    ),
    Gate.forward: Kind(_gate, ("gain",), lambda gate: (gate.module,)),
    Between.forward: Kind(_between, None),
    nn.Identity.forward: Kind(_identity),
    nn.GELU.forward: Kind(_gelu),
    nn.ReLU.forward: Kind(_relu),
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
