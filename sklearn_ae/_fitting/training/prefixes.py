"""What is asked of a code in training: the whole of it, and a prefix that each step draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


class Step(NamedTuple):
    """What a step asks of codes: of the whole, and perhaps of a prefix.

    Attributes
    ----------
    mask : Tensor of shape (n_asked, 1, n_components)
        1 for the numbers that the whole code and the prefix have.
    shares : Tensor of shape (n_asked, 1, 1)
        What their losses count.
    ratios : Tensor of shape (n_asked, 1, 1)
        Sizes of the decoder's correction for them, in that for the whole; none, of shape (0, 1, 1),
        where those of all prefixes are 1.
    """

    mask: torch.Tensor
    shares: torch.Tensor
    ratios: torch.Tensor

    @classmethod
    def whole(cls, like: torch.Tensor) -> "Step":
        """Return what is asked where nothing is asked of prefixes, as tensors like another."""
        one = like.new_ones(1, 1, 1)
        return cls(one, one, one[:0])

    def factor(self, n_rows: int) -> list[torch.Tensor]:
        """Return what `Corrected.resized` takes for so many rows of each; nothing where it is 1."""
        return [self.ratios.expand(-1, n_rows, 1).flatten(0, 1)] if len(self.ratios) else []


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
    _steps: dict[int, Step] = field(default_factory=dict, init=False, repr=False)

    def draw(self) -> int:
        """Draw the size of a step."""
        return int(self.generator.integers(1, len(self.ratios)))

    def step(self, like: torch.Tensor) -> Step:
        """Draw the size of a step, and return what is asked, as tensors like another."""
        size = self.draw()
        if size not in self._steps:
            # Kept, since small operations take their time too: the masks of all sizes together are
            # of the size of the linear path.
            mask = like.new_ones(2, 1, len(self.ratios))
            mask[1, :, size:] = 0
            share = min((len(self.ratios) - 1) / MANY_PREFIXES, 1.0)
            ratios = [1.0, self.ratios[size - 1]] if any(r != 1 for r in self.ratios) else []
            self._steps[size] = Step(
                mask,
                like.new_tensor([1.0, share * self._weight(size)]).view(2, 1, 1) / (1 + share),
                like.new_tensor(ratios).view(-1, 1, 1),
            )
        return self._steps[size]

    def loss(
        self,
        decoder: Any,
        criterion: nn.Module,
        codes: torch.Tensor,
        rows: torch.Tensor,
        *weight: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weighed loss of whole codes and prefixes, and what the whole becomes."""
        step, n_rows = self.step(codes), len(codes)
        # Decoded together: small networks wait for little else than the number of operations.
        both = (codes * step.mask).flatten(0, 1)
        factor = step.factor(n_rows)
        rebuilt = decoder.resized(both, *factor) if factor else decoder(both)
        whole, prefix = rebuilt.split(n_rows)
        losses = torch.stack([criterion(part, rows, *weight) for part in (whole, prefix)])
        return losses @ step.shares.flatten().to(losses), whole

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

    def _decode(self, decoder, codes, size):
        """Decode prefixes."""
        ratio = self.ratios[size - 1]
        if ratio == 1:
            return decoder(codes)
        return decoder.resized(codes, codes.new_full((len(codes), 1), ratio))

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
