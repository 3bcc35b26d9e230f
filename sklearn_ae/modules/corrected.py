"""A linear map with a learned correction: the shape that lets a network start at PCA."""

import torch
from torch import nn


class Corrected(nn.Module):
    """A linear map plus a correction in units of its own.

    ``forward(x) = linear(x) + output_scale * correction(clamp(x, low, high) / input_scale)``

    Beyond the bounds the correction stays what it is there, and with `fade` it goes to zero, so
    that far away the map is linear.

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
    fade : Fade or None
        Weighs the correction by the codes: the outputs of `linear` with `encodes`, else the inputs.
    encodes : bool, default=False
        Whether the outputs are codes.

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
        fade: nn.Module | None = None,
        encodes: bool = False,
    ):
        super().__init__()
        self.fade = fade
        self.encodes = encodes
        self.linear = linear
        self.correction = correction
        self.register_buffer("input_scale", input_scale)
        self.register_buffer("output_scale", output_scale)
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    @property
    def is_dense(self) -> bool:
        """Whether the correction is a dense network, whose last layer can be solved for."""
        return isinstance(self.correction, nn.Sequential)

    def bounded(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the correction sees of ``x``."""
        return torch.clamp(x, self.low, self.high) / self.input_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n_outputs)``."""
        linear = self.linear(x)
        corrected = self.output_scale * self.correction(self.bounded(x))
        if self.fade is not None:
            corrected = self.fade(linear if self.encodes else x) * corrected
        return linear + corrected


class Fade(nn.Module):
    """Weight of a correction by how far a code lies outside the codes of the training rows.

    1 up to the bounds, 0 from twice as far from their middle, linear between.

    Parameters
    ----------
    low, high : Tensor of shape (n_components,)
        Bounds of the codes.
    """

    middle: torch.Tensor
    radius: torch.Tensor

    def __init__(self, low: torch.Tensor, high: torch.Tensor):
        super().__init__()
        self.register_buffer("middle", (low + high) / 2)
        # A component without variance has no outside.
        radius = (high - low) / 2
        self.register_buffer("radius", torch.where(radius > 0, radius, torch.inf))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_components)`` to weights ``(*, 1)``."""
        with torch.no_grad():
            distance = ((codes - self.middle) / self.radius).abs().amax(-1, keepdim=True)
            return (2 - distance).clamp_(0, 1)


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
