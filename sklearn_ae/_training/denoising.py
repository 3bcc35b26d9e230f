"""A step of training on corrupted rows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ae.modules import Autoencoder


@dataclass
class Denoising:
    """How corrupted rows are made, and what is asked of the network that sees them.

    Attributes
    ----------
    corrupt : callable
        ``tensor -> tensor``: what the network sees of a batch.
    emphasis : float
        Share of the loss that corrupted cells have in that of two cells, a corrupted and a clean
        one; 0.5 counts all cells alike.
    head_weight : float
        Weight of the cross-entropy of the network's head, which tells corrupted cells from clean
        ones.
    mask_tokens : bool
        Whether the encoder is told which cells are masked.
    """

    corrupt: Callable[[torch.Tensor], torch.Tensor]
    emphasis: float = 0.5
    head_weight: float = 0.0
    mask_tokens: bool = False

    def loss(
        self, network: Autoencoder, criterion: nn.Module, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of a batch of clean rows, and what the network made of them."""
        inputs = self.corrupt(rows)
        if self.emphasis == 0.5 and network.head is None and not self.mask_tokens:
            rebuilt = network(inputs)
            return criterion(rebuilt, rows), rebuilt
        # A cell that is drawn and yet keeps its value is not corrupted.
        corrupted = inputs != rows
        codes = network.encoder(inputs, *([corrupted] if self.mask_tokens else []))
        rebuilt = network.decoder(codes)
        if self.emphasis == 0.5:
            loss = criterion(rebuilt, rows)
        else:
            weight = torch.where(corrupted, 2 * self.emphasis, 2 * (1 - self.emphasis))
            loss = criterion(rebuilt, rows, weight)
        if network.head is not None:
            found = F.binary_cross_entropy_with_logits(network.head(codes), corrupted.to(codes))
            loss = loss + self.head_weight * found
        return loss, rebuilt
