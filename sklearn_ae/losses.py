"""Reconstruction losses, in units of the residual that PCA leaves.

Each is a module ``(prediction, target) -> scalar``. `unit` is the root mean square of PCA's
residual, so that a squared error of 1 is as good as PCA, and that the size of the gradient does not
depend on how little variance PCA has left.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Where Huber's loss turns from quadratic to linear: the usual 95 % efficiency on normal residuals.
HUBER_DELTA = 1.345


class SquaredError(nn.Module):
    """Mean squared error, divided by the square of `unit`."""

    def __init__(self, unit: float):
        super().__init__()
        self.weight = unit**-2

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        return self.weight * F.mse_loss(prediction, target)


class AbsoluteError(nn.Module):
    """Mean absolute error, divided by `unit`."""

    def __init__(self, unit: float):
        super().__init__()
        self.weight = 1 / unit

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        return self.weight * F.l1_loss(prediction, target)


class Huber(nn.Module):
    """Huber's loss: quadratic up to 1.345 units, linear beyond."""

    def __init__(self, unit: float):
        super().__init__()
        self.unit = unit

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        loss = F.huber_loss(prediction, target, delta=HUBER_DELTA * self.unit)
        return loss / self.unit**2


class OriginalUnits(nn.Module):
    """A user's loss, which expects rows as they were given to ``fit``.

    Parameters
    ----------
    loss : nn.Module
        ``(prediction, target) -> scalar``.
    shift : Tensor of shape (n_columns,)
        Where the columns lie.
    scale : float
        How wide they spread.
    """

    shift: torch.Tensor

    def __init__(self, loss: nn.Module, shift: torch.Tensor, scale: float):
        super().__init__()
        self.loss = loss
        self.register_buffer("shift", shift)
        self.scale = scale

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compare two tensors of the same shape, given in scaled units."""
        return self.loss(prediction * self.scale + self.shift, target * self.scale + self.shift)


LOSSES = {"squared_error": SquaredError, "absolute_error": AbsoluteError, "huber": Huber}
