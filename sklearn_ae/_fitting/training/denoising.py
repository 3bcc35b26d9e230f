"""A step of training on corrupted rows, and what corrupts them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ae import corruption as kinds
from sklearn_ae._rows import Scaling
from sklearn_ae._specs import NoiseSpec
from sklearn_ae.modules import Autoencoder
from sklearn_ae.modules.attention import patch_of_pixels


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
    masks_tokens : bool
        Whether the encoder is told which cells are masked.
    generator : torch.Generator or None
        What `corrupt` draws from.
    """

    corrupt: Callable[[torch.Tensor], torch.Tensor]
    emphasis: float = 0.5
    head_weight: float = 0.0
    masks_tokens: bool = False
    generator: torch.Generator | None = None

    def loss(
        self,
        network: Autoencoder,
        criterion: nn.Module,
        rows: torch.Tensor,
        decoded: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of a batch of clean rows, and what the network made of them.

        `decoded` gives the loss of codes: ``(decoder, criterion, codes, rows, *weight)``.
        """
        inputs, weight = self.inputs(rows)
        if network.head is None and not self.masks_tokens:
            return decoded(network.decoder, criterion, network.encoder(inputs), rows, *weight)
        corrupted = inputs != rows
        codes = network.encoder(inputs, *([corrupted] if self.masks_tokens else []))
        loss, rebuilt = decoded(network.decoder, criterion, codes, rows, *weight)
        if network.head is not None:
            found = F.binary_cross_entropy_with_logits(network.head(codes), corrupted.to(codes))
            loss = loss + self.head_weight * found
        return loss, rebuilt

    def inputs(self, rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return corrupted rows and, if not all count alike, the weights of the cells."""
        inputs = self.corrupt(rows)
        if self.emphasis == 0.5:
            return inputs, []
        # A cell that is drawn and yet keeps its value is not corrupted.
        return inputs, [torch.where(inputs != rows, 2 * self.emphasis, 2 * (1 - self.emphasis))]


def make_denoising(
    noise: NoiseSpec,
    scaling: Scaling,
    image_shape: tuple[int, int, int] | None,
    generator: torch.Generator,
    donors: torch.Tensor | None = None,
) -> Denoising:
    """Make what corrupts batches, on the device of the generator.

    Cells are swapped for those of `donors` where the rows of a batch are spread over processes.
    """
    corrupt = make_corruption(noise, scaling, image_shape, generator.device, donors)
    if noise.emphasis == 0.5:
        corrupt = functools.partial(kinds.corrupt_some_rows, corrupt=corrupt)
    return Denoising(
        functools.partial(corrupt, generator=generator),
        noise.emphasis,
        noise.head_weight,
        noise.masks_tokens,
        generator,
    )


def make_corruption(
    noise: NoiseSpec,
    scaling: Scaling,
    image_shape: tuple[int, int, int] | None,
    device: torch.device,
    donors: torch.Tensor | None = None,
) -> Callable:
    """Make ``(tensor, generator) -> tensor``, for scaled rows on the device."""
    if not isinstance(noise.corruption, str):
        return functools.partial(_users_corruption, noise.corruption)

    def tensor(values):
        return torch.tensor(values, dtype=torch.float32, device=device)

    level = tensor(noise.level)
    if noise.corruption == "gaussian":
        return kinds.Gaussian(level, tensor(scaling.deviation))
    if noise.corruption == "masking":
        patches = None
        if noise.masks_tokens and image_shape is not None:
            patches = patch_of_pixels(image_shape).to(device)
        return kinds.Masking(level, tensor(np.zeros(len(scaling.shift))), patches)
    if noise.corruption == "salt_and_pepper":
        return kinds.SaltAndPepper(level, tensor(scaling.low), tensor(scaling.high))
    return kinds.Swap(level, donors)


def check_corruption(noise: NoiseSpec, n_columns: int) -> None:
    """Try a user's corruption before any work.

    Raises
    ------
    ValueError
        If it fails on rows, or returns what it should not.
    """
    if isinstance(noise.corruption, str):
        return
    rows = torch.zeros(2, n_columns, device="cpu", dtype=torch.float32)
    try:
        with torch.no_grad():
            _users_corruption(noise.corruption, rows, torch.Generator("cpu").manual_seed(0))
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"corruption={noise.corruption!r} must return corrupted rows for (rows, generator); "
            f"it failed on rows of shape (2, {n_columns}): {error}"
        ) from error


def _users_corruption(corruption, x, generator):
    """Call a user's corruption on a copy, and check what comes back."""
    corrupted = corruption(x.clone(), generator)
    if not isinstance(corrupted, torch.Tensor) or corrupted.shape != x.shape:
        found = tuple(corrupted.shape) if hasattr(corrupted, "shape") else type(corrupted).__name__
        raise ValueError(
            f"corruption must return a tensor of the shape that it is given: expected "
            f"{tuple(x.shape)}, got {found}."
        )
    return corrupted.to(x)
