"""What is asked of a code in training: the whole of it, and a prefix that each step draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

# So many prefixes together count as much as the whole; of fewer, each counts a part of that.
MANY_PREFIXES = 8


def whole_loss(
    decoder: nn.Module,
    criterion: nn.Module,
    codes: torch.Tensor,
    rows: torch.Tensor,
    *weight: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the whole codes, and what they are decoded to."""
    rebuilt = decoder(codes)
    return criterion(rebuilt, rows, *weight), rebuilt


@dataclass
class Prefixes:
    """Rebuilds rows from the whole code and from a prefix of it.

    All rows of a step have a prefix of one size, so that any loss can be used: it is weighed by
    what PCA of that size leaves. (Rippel, Gelbart and Adams, "Learning Ordered Representations with
    Nested Dropout", ICML 2014, draw a size for each row, from a geometric distribution, and let the
    whole code be one of them.)

    Attributes
    ----------
    ratios : sequence of float of length n_components
        Size of the decoder's correction for each prefix, in that for the whole code.
    losses : sequence of float of length n_components
        Loss of PCA of each size.
    sizes : sequence of int
        Those that are watched on held-out rows; the last is the whole.
    generator : numpy.random.Generator
        Draws the sizes.
    """

    ratios: Sequence[float]
    losses: Sequence[float]
    sizes: Sequence[int]
    generator: np.random.Generator

    def draw(self) -> int:
        """Draw the size of a step."""
        return int(self.generator.integers(1, len(self.ratios)))

    def loss(
        self,
        decoder: Any,
        criterion: nn.Module,
        codes: torch.Tensor,
        rows: torch.Tensor,
        *weight: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighed loss of whole codes and prefixes, and what the whole becomes."""
        n_rows, size = len(codes), self.draw()
        # Decoded together: small networks wait for little else than the number of operations.
        both = torch.cat([codes, _prefixes(codes, size)])
        whole, prefix = self._decode(decoder, both, size, n_rows).split(n_rows)
        found, part = (criterion(rebuilt, rows, *weight) for rebuilt in (whole, prefix))
        share = min((len(self.ratios) - 1) / MANY_PREFIXES, 1.0)
        return (found + share * self._weight(size) * part) / (1 + share), whole

    def watched(
        self, decoder: Any, criterion: nn.Module, codes: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean loss over the sizes that are watched, and what the whole becomes."""
        losses = []
        for n in self.sizes:
            rebuilt = self._decode(decoder, _prefixes(codes, n), n)
            losses.append(self._weight(n) * criterion(rebuilt, rows))
        return torch.stack(losses).mean(), rebuilt

    def watched_of(self, losses: Sequence[float]) -> float:
        """Return the mean of the losses of each size over those that are watched, likewise."""
        return float(np.mean([self._weight(n) * losses[n - 1] for n in self.sizes]))

    def _decode(self, decoder, codes, size, n_whole=0):
        """Decode codes: some that are whole, and the prefixes."""
        ratio = self.ratios[size - 1]
        if ratio == 1:
            return decoder(codes)
        factor = codes.new_full((len(codes), 1), ratio)
        factor[:n_whole] = 1
        return decoder.resized(codes, factor)

    def _weight(self, size: int) -> float:
        """Return what the loss of a prefix counts in units of that of the whole code."""
        ours, theirs = self.losses[-1], self.losses[size - 1]
        # A user's loss may have any values.
        return ours / theirs if 0 < ours <= theirs < np.inf else 1.0


def _prefixes(codes: torch.Tensor, size: int) -> torch.Tensor:
    """Return codes whose other numbers are zero."""
    n_components = codes.shape[1]
    if size == n_components:
        return codes
    return nn.functional.pad(codes[:, :size], (0, n_components - size))
