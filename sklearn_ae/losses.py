"""Reconstruction losses, most of them in units of the residual that PCA leaves.

Each is a module ``(prediction, target) -> scalar``. `unit` is the root mean square of PCA's
residual, so that a squared error of 1 is as good as PCA, and that the size of the gradient does not
depend on how little variance PCA has left.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Where Huber's loss turns from quadratic to linear: the usual 95 % efficiency on normal residuals.
HUBER_DELTA = 1.345
# Probabilities are at least so far from 0 and 1, which float32 can still tell from them.
SMALLEST = 1e-6


class CellLoss(nn.Module):
    """A loss that is a mean over the cells, which can be weighted."""

    def compare(
        self, prediction: torch.Tensor, target: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """Compare two tensors of the same shape; `reduction` is torch's, "mean" or "none"."""
        raise NotImplementedError

    def forward(
        self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the mean over the cells, each times its weight if there are weights."""
        if weight is None:
            return self.compare(prediction, target, "mean")
        return (weight * self.compare(prediction, target, "none")).mean()


class SquaredError(CellLoss):
    """Mean squared error, divided by the square of `unit`."""

    def __init__(self, unit: float):
        super().__init__()
        self.factor = unit**-2

    def compare(
        self, prediction: torch.Tensor, target: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        return self.factor * F.mse_loss(prediction, target, reduction=reduction)

    def with_gradient(
        self, predictions: torch.Tensor, target: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a weighed sum of the losses of predictions, and its gradient, without autograd.

        Parameters
        ----------
        predictions : Tensor of shape (n_predictions, n, n_columns)
            Several of one target.
        target : Tensor of shape (n, n_columns)
            That.
        shares : Tensor of shape (n_predictions, 1, 1)
            The weights.
        """
        missed, factor = predictions - target, self.factor / target.numel()
        weighed = missed * shares
        loss = (missed * weighed).sum() * factor
        return loss, weighed.mul_(2 * factor)


class AbsoluteError(CellLoss):
    """Mean absolute error, divided by `unit`."""

    def __init__(self, unit: float):
        super().__init__()
        self.factor = 1 / unit

    def compare(
        self, prediction: torch.Tensor, target: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        return self.factor * F.l1_loss(prediction, target, reduction=reduction)


class Huber(CellLoss):
    """Huber's loss: quadratic up to 1.345 units, linear beyond."""

    def __init__(self, unit: float):
        super().__init__()
        self.unit = unit

    def compare(
        self, prediction: torch.Tensor, target: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """Compare two tensors of the same shape."""
        delta = HUBER_DELTA * self.unit
        return F.huber_loss(prediction, target, reduction=reduction, delta=delta) / self.unit**2


class BinaryLogLoss(CellLoss):
    """Cross-entropy, in nats a cell, of rows in [0, 1] that are centred and scaled.

    Parameters
    ----------
    shift : Tensor of shape (n_columns,)
        Where the columns lie.
    scale : float
        How wide they spread.
    """

    shift: torch.Tensor

    def __init__(self, shift: torch.Tensor, scale: float):
        super().__init__()
        self.register_buffer("shift", shift)
        self.scale = scale

    def compare(
        self, prediction: torch.Tensor, target: torch.Tensor, reduction: str
    ) -> torch.Tensor:
        """Compare two tensors of the same shape, given in scaled units."""
        # Not torch's, which raises an error where training has diverged.
        p = (prediction * self.scale + self.shift).clamp(SMALLEST, 1 - SMALLEST)
        t = target * self.scale + self.shift
        entropy = -(t * p.log() + (1 - t) * (1 - p).log())
        return entropy.mean() if reduction == "mean" else entropy


class OriginalUnits(nn.Module):
    """A user's loss, which expects rows as they were given to ``fit``.

    They are given in float64: columns may lie far from zero.

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
        return self.loss(
            *(rows.double() * self.scale + self.shift for rows in (prediction, target))
        )


# Those in units of PCA's residual.
LOSSES = {"squared_error": SquaredError, "absolute_error": AbsoluteError, "huber": Huber}
