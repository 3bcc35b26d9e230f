"""A linear map with a learned correction: the shape that lets a network start at PCA."""

import torch
from torch import nn


class Corrected(nn.Module):
    """A linear map plus a correction in units of its own.

    ``forward(x) = linear(x) + fade(x) * output_scale * correction(seen)``, where
    ``seen = clamp(x, low, high) / input_scale``

    Beyond the bounds the correction stays what it is there, and where it fades the map is linear.

    Parameters
    ----------
    linear : nn.Linear
        The linear path; starts at PCA.
    correction : nn.Module
        Takes inputs and gives outputs of the same widths as `linear`; starts at zero.
    input_scale : Tensor of shape (n_inputs,)
        The inputs are divided by it for the correction, so that each has unit size there.
    output_scale : Tensor of shape (n_outputs,)
        Size of the outputs that the correction has to give.
    low, high : Tensor of shape (n_inputs,)
        Bounds of the inputs that the correction sees.
    fade : Fade
        Weighs the correction by how far out the input lies.

    Notes
    -----
    Input ``(*, n_inputs)``, output ``(*, n_outputs)``.
    """

    input_scale: torch.Tensor
    output_scale: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(
        self,
        linear: nn.Module,
        correction: nn.Module,
        input_scale: torch.Tensor,
        output_scale: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        fade: nn.Module,
    ):
        super().__init__()
        self.fade = fade
        self.linear = linear
        self.correction = correction
        self.register_buffer("input_scale", input_scale)
        self.register_buffer("output_scale", output_scale)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    @property
    def is_solvable(self) -> bool:
        """Whether the last layer of the correction is linear, and so can be solved for."""
        layers = self.correction
        return isinstance(layers, nn.Sequential) and isinstance(layers[-1], nn.Linear)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the correction sees of ``x``."""
        return torch.clamp(x, self.low, self.high) / self.input_scale

    def forward(self, x: torch.Tensor, *masked: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n_outputs)``; the correction gets what else is given."""
        # One operation with a gradient in place of three: small networks wait for little else.
        weight = self.fade(x) * self.output_scale
        return torch.addcmul(self.linear(x), weight, self.correction(self.bounded(x), *masked))

    def resized(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` with the correction multiplied by a factor ``(*, 1)``."""
        weight = (self.fade(x) * factor) * self.output_scale
        return torch.addcmul(self.linear(x), weight, self.correction(self.bounded(x)))

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """Map what is known to lie within all bounds, where nothing fades: the same, but sooner."""
        correction = self.correction(x / self.input_scale)
        return torch.addcmul(self.linear(x), self.output_scale, correction)


class Fade(nn.Module):
    """Weight of a correction by how far out its input lies.

    The distance is ``norm((x - middle) / radius)``; the weight is 1 up to a distance of 1, 0 from a
    distance of 2, linear between.

    Parameters
    ----------
    middle : Tensor of shape (n_inputs,)
        Where the distance is zero.
    radius : Tensor of shape (n_inputs,) or ()
        Unit of the distance. An input whose radius is 0 does not count.
    order : float, default=2
        Of the norm: 2 for a ball, infinity for a box.
    """

    middle: torch.Tensor
    radius: torch.Tensor

    def __init__(self, middle: torch.Tensor, radius: torch.Tensor, order: float = 2):
        super().__init__()
        self.order = order
        self.register_buffer("middle", middle)
        self.register_buffer("radius", torch.where(radius > 0, radius, torch.inf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to weights ``(*, 1)``."""
        with torch.no_grad():
            away = (x - self.middle) / self.radius
            if self.order == torch.inf:
                # What vector_norm takes four times as long for.
                distance = away.abs_().amax(-1, keepdim=True)
            else:
                distance = torch.linalg.vector_norm(away, self.order, dim=-1, keepdim=True)
            # Of a float: to make one of an integer is an operation more.
            return distance.neg_().add_(2.0).clamp_(0, 1)


class Gate(nn.Module):
    """A module whose output is multiplied by a learned factor a column, zero at the start.

    It makes any module start at zero without knowing its last layer (Bachlechner et al.,
    "ReZero is All You Need", UAI 2021).

    Parameters
    ----------
    module : nn.Module
        Maps ``(*, n_inputs)`` to ``(*, n_outputs)``.
    n_outputs : int
        Number of columns that `module` gives.
    """

    def __init__(self, module: nn.Module, n_outputs: int):
        super().__init__()
        self.module = module
        self.gain = nn.Parameter(torch.zeros(n_outputs, device="cpu", dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n_outputs)``."""
        return self.gain * self.module(x)
