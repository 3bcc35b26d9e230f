"""Decoders of probabilities, for rows in [0, 1] that are centred and scaled."""

from typing import Any

import torch
from torch import nn

from sklearn_ae.modules.corrected import Corrected

# PCA gives values outside of [0, 1]. In a loss, which takes logarithms of them, they are at least
# this far from its ends.
NEAREST = 0.01


class Probabilities(nn.Module):
    """A decoder of logits, followed by the logistic function.

    Like all of this module it gives ``(probability - shift) / scale``: rows in the units that the
    network works in.

    Parameters
    ----------
    decoder : nn.Module
        Maps codes to logits.
    shift : Tensor of shape (n_features,)
        Where the columns lie.
    scale : float
        How wide they spread.
    """

    shift: torch.Tensor

    def __init__(self, decoder: nn.Module, shift: torch.Tensor, scale: float):
        super().__init__()
        self.decoder = decoder
        self.register_buffer("shift", shift)
        self.scale = scale

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes ``(*, n_components)`` to rows ``(*, n_features)``."""
        return (torch.sigmoid(self.decoder(z)) - self.shift) / self.scale


class ClippedProbabilities(nn.Module):
    """A decoder of rows, clipped to where probabilities are: PCA's.

    Parameters
    ----------
    decoder : nn.Module
        Maps codes to rows in scaled units.
    shift, scale
        As for `Probabilities`.
    nearest : float, default=0.01
        How close to 0 and to 1 they come.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(
        self, decoder: nn.Module, shift: torch.Tensor, scale: float, nearest: float = NEAREST
    ):
        super().__init__()
        self.decoder = decoder
        self.register_buffer("low", (nearest - shift) / scale)
        self.register_buffer("high", (1 - nearest - shift) / scale)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes ``(*, n_components)`` to rows ``(*, n_features)``."""
        return self.decoder(z).clamp(self.low, self.high)


class CorrectedProbabilities(Corrected):
    """A linear map to probabilities, whose logits are corrected.

    Parameters
    ----------
    *args
        Those of `Corrected`. The correction is added to logits.
    shift, scale
        As for `Probabilities`.
    """

    shift: torch.Tensor

    def __init__(self, *args: Any, shift: torch.Tensor, scale: float):
        super().__init__(*args)
        self.register_buffer("shift", shift)
        self.scale = scale

    @property
    def is_solvable(self) -> bool:
        """False: logits have no closed form."""
        return False

    def forward(self, x: torch.Tensor, *masked: torch.Tensor) -> torch.Tensor:
        """Map codes ``(*, n_components)`` to rows ``(*, n_features)``."""
        linear = torch.logit(self.linear(x) * self.scale + self.shift, eps=NEAREST)
        correction = self.output_scale * self.correction(self.bounded(x), *masked)
        probabilities = torch.sigmoid(linear + self.fade(x) * correction)
        return (probabilities - self.shift) / self.scale
