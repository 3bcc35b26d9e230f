"""Convolutional networks between flat rows of pixels and codes.

An image one pixel high or wide is a profile, and is convolved along its length alone.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import nn

from sklearn_ae.modules.weights import drawn, zero_

# Each layer halves the image. A kernel of twice the stride covers all pixels alike; an odd one
# leaves the checkerboards of Odena, Dumoulin and Olah (Distill, 2016).
KERNEL, STRIDE, PADDING = 4, 2, 1


def most_layers(image_shape: tuple[int, int, int]) -> int:
    """Return how many layers can halve the image, until its shorter side is one pixel long."""
    return min((size.bit_length() - 1 for size in image_shape[1:] if size > 1), default=0)


def halved_sizes(image_shape: tuple[int, int, int], n_layers: int) -> list[tuple[int, int]]:
    """Return height and width before the first layer and after each of them.

    Raises
    ------
    ValueError
        If nothing is left of the image to halve.
    """
    _, height, width = image_shape
    least = STRIDE**n_layers
    if not all(size == 1 or size >= least for size in (height, width)):
        raise ValueError(
            f"image_shape={image_shape!r} is too small for {n_layers} convolutional layers: each "
            f"of them halves the image, which must be at least {least} pixels high and wide."
        )
    return [(max(height // STRIDE**i, 1), max(width // STRIDE**i, 1)) for i in range(n_layers + 1)]


def _along(
    image_shape: tuple[int, int, int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return kernel, stride and padding for height and width."""
    along = [(KERNEL, STRIDE, PADDING) if size > 1 else (1, 1, 0) for size in image_shape[1:]]
    kernel, stride, padding = zip(*along, strict=True)
    return kernel, stride, padding


def conv_encoder(
    image_shape: tuple[int, int, int],
    channels: Sequence[int],
    n_outputs: int,
    activation: Callable[[], nn.Module],
    generator: torch.Generator,
    *,
    zero_last: bool = False,
) -> nn.Sequential:
    """Make strided convolutions, each followed by an activation, and a linear last layer.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the image that a row holds, in this order.
    channels : sequence of int
        Channels of the convolutions; each halves height and width.
    n_outputs : int
        Size of the code.
    activation : callable
        Makes the module that follows each convolution.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    zero_last : bool, default=False
        Start the last layer at zero.

    Returns
    -------
    network : nn.Sequential
        Maps ``(n, channels * height * width)`` to ``(n, n_outputs)``.

    Raises
    ------
    ValueError
        If the image is too small.

    Examples
    --------
    >>> import torch
    >>> network = conv_encoder((1, 9, 8), [4, 6], 2, torch.nn.ReLU, torch.Generator())
    >>> network(torch.zeros(3, 72)).shape
    torch.Size([3, 2])
    """
    size = halved_sizes(image_shape, len(channels))[-1]
    along = _along(image_shape)
    layers: list[nn.Module] = [nn.Unflatten(1, image_shape)]
    for n_in, n_out in pairwise([image_shape[0], *channels]):
        fan_in = n_in * prod(along[0])
        layers += [
            drawn(nn.Conv2d, n_in, n_out, *along, fan_in=fan_in, generator=generator),
            activation(),
        ]
    n_flat = prod(size) * (channels[-1] if channels else image_shape[0])
    last = drawn(nn.Linear, n_flat, n_outputs, fan_in=n_flat, generator=generator)
    if zero_last:
        zero_(last)
    return nn.Sequential(*layers, nn.Flatten(), last)


def conv_decoder(
    n_inputs: int,
    channels: Sequence[int],
    image_shape: tuple[int, int, int],
    activation: Callable[[], nn.Module],
    generator: torch.Generator,
    *,
    zero_last: bool = False,
) -> nn.Sequential:
    """Make a linear layer to a small image, and transposed convolutions that double it.

    Parameters
    ----------
    n_inputs : int
        Size of the code.
    channels : sequence of int
        Channels before each transposed convolution.
    image_shape : tuple of int
        Channels, height and width of the image that a row holds, in this order.
    activation : callable
        Makes the module that comes before each transposed convolution.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    zero_last : bool, default=False
        Start the last layer at zero.

    Returns
    -------
    network : nn.Sequential
        Maps ``(n, n_inputs)`` to ``(n, channels * height * width)``.

    Raises
    ------
    ValueError
        If the image is too small.
    """
    sizes = halved_sizes(image_shape, len(channels))[::-1]
    along = kernel, stride, _ = _along(image_shape)
    small = ((channels[0] if channels else image_shape[0]), *sizes[0])
    last = drawn(nn.Linear, n_inputs, prod(small), fan_in=n_inputs, generator=generator)
    layers: list[nn.Module] = [last, nn.Unflatten(1, small)]
    for (n_in, n_out), (height, width) in zip(
        pairwise([*channels, image_shape[0]]), sizes[1:], strict=True
    ):
        last = drawn(
            nn.ConvTranspose2d,
            *(n_in, n_out, *along),
            # An odd size comes out one short of it.
            output_padding=(height % stride[0], width % stride[1]),
            fan_in=n_in * prod(kernel) / prod(stride),
            generator=generator,
        )
        layers += [activation(), last]
    if zero_last:
        zero_(last)
    return nn.Sequential(*layers, nn.Flatten())
