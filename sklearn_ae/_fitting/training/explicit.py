"""A step of training whose gradients are written out."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sklearn_ae._fitting.training.prefixes import Prefixes, Step
from sklearn_ae.losses import LOSSES, BinaryLogLoss, CellLoss, SquaredError
from sklearn_ae.modules import Autoencoder
from sklearn_ae.modules.pullback import Learned, can_learn, corrected_rule, forward_of, rule_of

CELL_LOSSES = (*LOSSES.values(), BinaryLogLoss)


def can_be_explicit(network: Autoencoder) -> bool:
    """Tell whether the gradients of all of a network's weights are known."""
    if type(network) is not Autoencoder or network.head is not None:
        return False
    # Whoever looks at all layers, or for what is no longer finite, is to see them.
    if nn.modules.module._has_any_global_hook() or torch.is_anomaly_enabled():
        return False
    return can_learn(network.encoder) and can_learn(network.decoder)


def is_of_cells(criterion: Any) -> bool:
    """Tell whether a loss is one of ours, and nothing listens to it or has replaced it."""
    if type(criterion) not in CELL_LOSSES or "compare" in criterion.__dict__:
        return False
    hooked = criterion._backward_hooks or criterion._backward_pre_hooks
    return forward_of(criterion) == CellLoss.forward and not hooked


def is_plain(criterion: Any) -> bool:
    """Tell whether a loss is the squared error, likewise."""
    return type(criterion) is SquaredError and is_of_cells(criterion)


class ExplicitStep:
    """Computes what autograd would, without it: the loss of a batch and the gradients.

    Autograd looks after each operation by itself, which takes a small network longer than its
    arithmetic.

    Parameters
    ----------
    network : Autoencoder
        One that `can_be_explicit`; it stays what it is but for its weights.
    criterion : nn.Module
        The loss.
    inside : bool
        Whether rows are known to lie where the correction of the encoder is not bounded.
    prefixes : Prefixes or None
        What is asked of prefixes of the codes.
    """

    def __init__(
        self, network: Autoencoder, criterion: nn.Module, inside: bool, prefixes: Prefixes | None
    ):
        self.encode = corrected_rule(network.encoder, True) if inside else rule_of(network.encoder)
        self.decode = rule_of(network.decoder)
        self.criterion: Any = criterion
        self.is_squared = is_plain(criterion)
        self.prefixes = prefixes
        self._whole: Step | None = None

    def draw(self, like: torch.Tensor) -> Step:
        """Draw what a step asks of codes, as tensors like another."""
        if self.prefixes is not None:
            return self.prefixes.step(like)
        self._whole = self._whole or Step.whole(like)
        return self._whole

    @torch.no_grad()
    def backward(
        self,
        inputs: torch.Tensor,
        rows: torch.Tensor,
        *weight: torch.Tensor,
        asked: Iterable[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Set the gradients of the weights.

        Parameters
        ----------
        inputs : Tensor of shape (n, n_columns)
            What the network sees.
        rows : Tensor of shape (n, n_columns)
            What it is to make of them.
        *weight : Tensor of shape (n, n_columns)
            What each cell counts.
        asked : iterable of Tensor or None, default=None
            What is asked of the codes, as `draw` gives it; None draws it.

        Returns
        -------
        loss : Tensor of shape ()
            The loss.
        rebuilt : Tensor of shape (n, n_columns)
            What whole codes become.
        """
        step = self.draw(rows) if asked is None else Step(*asked)
        codes, pull_codes = self.encode(inputs)
        parts = codes * step.mask
        rebuilt, pull_rebuilt = self.decode(parts.flatten(0, 1), *step.factor(len(codes)))
        rebuilt = rebuilt.view(len(parts), *rows.shape)
        loss, gradient = self._loss(rebuilt, rows, step.shares, *weight)
        learned: Learned = {}
        by_parts = pull_rebuilt(gradient.flatten(0, 1), learned).view_as(parts)
        pull_codes((by_parts * step.mask).sum(0), learned, False)
        for parameter, found in learned.items():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = found
            else:
                parameter.grad.add_(found)
        return loss, rebuilt[0]

    def _loss(self, rebuilt, rows, shares, *weight):
        """Return a weighed sum of losses of what rows became, and its gradient."""
        if self.is_squared and not weight:
            return self.criterion.with_gradient(rebuilt, rows, shares)
        with torch.enable_grad():
            leaf = rebuilt.detach().requires_grad_()
            losses = torch.stack([self.criterion(part, rows, *weight) for part in leaf])
            loss = losses @ shares.flatten().to(losses)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), gradient
