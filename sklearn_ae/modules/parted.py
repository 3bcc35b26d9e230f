"""Decoders parted into features of the code and the linear map that ends them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sklearn_ae.modules.corrected import Corrected, Gate
from sklearn_ae.modules.nested import Between
from sklearn_ae.modules.pullback import Pull, forward_of, in_turn
from sklearn_ae.modules.started import StartedLinear
from sklearn_ae.modules.tied import Transposed


@dataclass(frozen=True)
class Parted:
    """A decoder as ``decoder(z) = features(z) @ weight + bias``.

    Attributes
    ----------
    features : callable
        Maps codes ``(n, n_components)`` to features ``(n, n_features)``, and to what pulls
        gradients back from there.
    weight : Tensor of shape (n_features, n_outputs)
        What each feature is in the rows.
    bias : Tensor of shape (n_outputs,)
        Of the rows.
    """

    features: Callable[[torch.Tensor], tuple[torch.Tensor, Pull]]
    weight: torch.Tensor
    bias: torch.Tensor


def parted(module: nn.Module) -> Parted | None:
    """Part a decoder; None where it does not end in a linear map, or none that is known here.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> decoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 5))
    >>> parts, z = parted(decoder), torch.ones(1, 2)
    >>> features, pull = parts.features(z)
    >>> features.shape, torch.allclose(features @ parts.weight + parts.bias, decoder(z))
    (torch.Size([1, 3]), True)
    """
    part = PARTS.get(forward_of(module))
    return None if part is None else part(module)


def _linear(layer: Any) -> Parted:
    return _as_it_is(layer.weight.T, layer.bias)


def _transposed(layer: Transposed) -> Parted:
    return _as_it_is(layer.weight, layer.bias)


def _as_it_is(weight: torch.Tensor, bias: torch.Tensor | None) -> Parted:
    """Part a linear layer: the features are the code."""
    if bias is None:
        bias = weight.new_zeros(weight.shape[1])
    return Parted(lambda z: (z, lambda gradient: gradient), weight, bias)


def _sequential(layers: Any) -> Parted | None:
    # As a list: a part of a subclass cannot be made by taking a slice of it.
    before = list(layers)
    last = parted(before.pop()) if before else None
    if last is None:
        return None

    rule = in_turn(before)

    def features(z: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        hidden, pull = rule(z)
        found, pull_last = last.features(hidden)
        return found, lambda gradient: pull(pull_last(gradient))

    return Parted(features, last.weight, last.bias)


def _gate(module: Gate) -> Parted | None:
    inner = parted(module.module)
    if inner is None:
        return None
    return Parted(inner.features, inner.weight * module.gain, inner.bias * module.gain)


def _corrected(module: Corrected) -> Parted | None:
    linear, correction = parted(module.linear), parted(module.correction)
    if linear is None or correction is None:
        return None
    scale = module.output_scale
    # Where the correction fades, so does its bias.
    weight = torch.cat([linear.weight, correction.weight * scale, (correction.bias * scale)[None]])
    n_linear, n_corrections = len(linear.weight), len(correction.weight)

    def features(z: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        fade = module.fade(z)
        straight, pull_linear = linear.features(z)
        bounded = torch.clamp(z, module.low, module.high)
        curved, pull_correction = correction.features(bounded / module.input_scale)

        def back(gradient: torch.Tensor) -> torch.Tensor:
            by_linear, by_curved, _ = gradient.split([n_linear, n_corrections, 1], -1)
            corrected = pull_correction(by_curved * fade)
            slope = (bounded == z) / module.input_scale
            return torch.addcmul(pull_linear(by_linear), corrected, slope)

        return torch.cat([straight, curved * fade, fade], -1), back

    return Parted(features, weight, linear.bias)


def _between(module: Between) -> Parted | None:
    smaller, larger, rest = parted(module.smaller), parted(module.larger), parted(module.rest)
    if smaller is None or larger is None or rest is None:
        return None
    share, sizes = module.share, [len(part.weight) for part in (smaller, rest, larger)]
    weight = torch.cat([smaller.weight, rest.weight, larger.weight])
    bias = torch.lerp(smaller.bias + rest.bias, larger.bias, share)

    def features(z: torch.Tensor) -> tuple[torch.Tensor, Pull]:
        n = z.shape[-1] - module.rest.in_features
        small, pull_small = smaller.features(z[..., :n])
        large, pull_large = larger.features(z)
        found = torch.cat([(1 - share) * small, (1 - share) * z[..., n:], share * large], -1)

        def back(gradient: torch.Tensor) -> torch.Tensor:
            by_small, by_rest, by_large = gradient.split(sizes, -1)
            below = torch.cat([pull_small(by_small), by_rest], -1)
            return torch.lerp(below, pull_large(by_large), share)

        return found, back

    return Parted(features, weight, bias)


PARTS: dict[Callable | None, Callable[[Any], Parted | None]] = {
    nn.Linear.forward: _linear,
    StartedLinear.forward: _linear,
    Transposed.forward: _transposed,
    nn.Sequential.forward: _sequential,
    Gate.forward: _gate,
    Corrected.forward: _corrected,
    Between.forward: _between,
}
