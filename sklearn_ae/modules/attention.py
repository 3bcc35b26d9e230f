"""An attention network over the cells of a row, or the patches of an image."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from sklearn_ae.modules.weights import drawn, undrawn, zero_

# An image is cut into about so many patches in height and in width.
PATCHES = 7
# The feed-forward layer of a block is wider than its tokens by this factor.
WIDENING = 2
# Least width of a head of attention, and the most heads.
HEAD_WIDTH, MOST_HEADS = 8, 8
# Comparisons of tokens that are made at once where rows are encoded: bounds the memory.
MOST_SCORES = 2**26


class CellTokens(nn.Module):
    """Each cell of a row as a token: its value times a direction, plus a place, of its column.

    Parameters
    ----------
    n_columns : int
        Width of a row.
    width : int
        Size of a token.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    """

    def __init__(self, n_columns: int, width: int, generator: torch.Generator):
        super().__init__()
        self.n_tokens = n_columns
        bound = 1 / math.sqrt(width)
        draw = torch.empty(3, n_columns, width, device="cpu", dtype=torch.float32)
        direction, place, mask = draw.uniform_(-bound, bound, generator=generator)
        self.direction, self.place = nn.Parameter(direction.clone()), nn.Parameter(place.clone())
        self.mask = nn.Parameter(mask[0].clone())

    def forward(self, x: torch.Tensor, masked: torch.Tensor | None) -> torch.Tensor:
        """Map rows ``(n, n_columns)`` to tokens ``(n, n_columns, width)``."""
        values = x.unsqueeze(-1) * self.direction
        if masked is not None:
            values = torch.where(masked.unsqueeze(-1), self.mask, values)
        return values + self.place


class PatchTokens(nn.Module):
    """Each patch of an image as a token.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width.
    patch : int
        Height and width of a patch; the image is padded with zeros below and at the right.
    width : int
        Size of a token.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        patch: int,
        width: int,
        generator: torch.Generator,
    ):
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape, self.patch = image_shape, patch
        self.pad = nn.ZeroPad2d((0, -image_width % patch, 0, -height % patch))
        self.n_tokens = -(-height // patch) * -(-image_width // patch)
        n_pixels = channels * patch**2
        self.project = drawn(
            nn.Conv2d, channels, width, patch, patch, fan_in=n_pixels, generator=generator
        )
        bound = 1 / math.sqrt(width)
        draw = torch.empty(self.n_tokens + 1, width, device="cpu", dtype=torch.float32)
        draw.uniform_(-bound, bound, generator=generator)
        self.place, self.mask = nn.Parameter(draw[1:].clone()), nn.Parameter(draw[0].clone())

    def forward(self, x: torch.Tensor, masked: torch.Tensor | None) -> torch.Tensor:
        """Map rows ``(n, channels * height * width)`` to tokens ``(n, n_tokens, width)``."""
        tokens = self.project(self.pad(x.unflatten(1, self.image_shape)))
        tokens = tokens.flatten(2).transpose(1, 2)
        if masked is not None:
            cells = self.pad(masked.to(x.dtype).unflatten(1, self.image_shape))
            any_cell = nn.functional.max_pool2d(cells.amax(1, keepdim=True), self.patch)
            tokens = torch.where(any_cell.flatten(1).unsqueeze(-1) > 0, self.mask, tokens)
        return tokens + self.place


def patch_size(image_shape: tuple[int, int, int]) -> int:
    """Return the height and width of the patches that an image is cut into."""
    return -(-max(image_shape[1:]) // PATCHES)


def patch_of_pixels(image_shape: tuple[int, int, int]) -> torch.Tensor:
    """Return the number of the patch that each cell of a row of pixels lies in."""
    channels, height, width = image_shape
    patch = patch_size(image_shape)
    down = torch.arange(height, device="cpu") // patch
    across = torch.arange(width, device="cpu") // patch
    return (down[:, None] * -(-width // patch) + across).repeat(channels, 1, 1).flatten()


class AttentionEncoder(nn.Module):
    """Tokens, blocks of attention with the normalization first, and a linear last layer.

    Parameters
    ----------
    n_inputs : int
        Width of a row.
    widths : sequence of int
        Size of the tokens, once a block; all the same.
    n_outputs : int
        Size of the code.
    activation : callable
        Makes the module in the feed-forward layer of each block.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    image_shape : tuple of int or None, default=None
        Channels, height and width of the image that a row holds: tokens are patches of it, else
        cells.
    zero_last : bool, default=False
        Start the last layer at zero.

    Raises
    ------
    ValueError
        If the widths differ, or there is none.

    References
    ----------
    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional
    Transformers for Language Understanding", NAACL 2019.

    Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko, "Revisiting Deep Learning Models for
    Tabular Data", NeurIPS 2021 (cells as tokens).

    Examples
    --------
    >>> import torch
    >>> network = AttentionEncoder(5, [16, 16], 2, torch.nn.GELU, torch.Generator())
    >>> network(torch.zeros(3, 5)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_inputs: int,
        widths: Sequence[int],
        n_outputs: int,
        activation: Callable[[], nn.Module],
        generator: torch.Generator,
        *,
        image_shape: tuple[int, int, int] | None = None,
        zero_last: bool = False,
    ):
        super().__init__()
        if len(set(widths)) != 1:
            raise ValueError(
                f"hidden_layer_sizes={tuple(widths)!r} must be one or more equal sizes for "
                "encoder='attention': the size of a token, once a block."
            )
        width = widths[0]
        self.tokens: CellTokens | PatchTokens
        if image_shape is None:
            self.tokens = CellTokens(n_inputs, width, generator)
        else:
            self.tokens = PatchTokens(image_shape, patch_size(image_shape), width, generator)
        # Rows that are encoded at once: each head compares all tokens of a row.
        self.most_rows = max(MOST_SCORES // (MOST_HEADS * self.tokens.n_tokens**2), 1)
        self.blocks = nn.ModuleList(_block(width, activation(), generator) for _ in widths)
        self.norm = nn.LayerNorm(width, device="cpu", dtype=torch.float32)
        n_flat = self.tokens.n_tokens * width
        self.last = drawn(nn.Linear, n_flat, n_outputs, fan_in=n_flat, generator=generator)
        if zero_last:
            zero_(self.last)

    def forward(self, x: torch.Tensor, masked: torch.Tensor | None = None) -> torch.Tensor:
        """Map ``(n, n_inputs)`` to ``(n, n_outputs)``.

        Parameters
        ----------
        x : Tensor of shape (n, n_inputs)
            Rows.
        masked : bool Tensor of shape (n, n_inputs) or None, default=None
            Cells whose token is replaced by the mask token, which is learned.
        """
        return self.last(self.hidden(x, len(self.blocks), masked))

    def hidden(
        self, x: torch.Tensor, n_blocks: int, masked: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the normalized tokens after so many blocks, ``(n, n_tokens * width)``."""
        if not self.training and x.shape[0] > self.most_rows:
            return torch.cat([self.hidden(part, n_blocks) for part in x.split(self.most_rows)])
        tokens = self.tokens(x, masked)
        for block in list(self.blocks)[:n_blocks]:
            tokens = block(tokens)
        return self.norm(tokens).flatten(1)


def _block(width, activation, generator):
    """Make one block: attention, then a feed-forward layer, each after a normalization."""
    most = min(max(width // HEAD_WIDTH, 1), MOST_HEADS)
    heads = max(n for n in range(1, most + 1) if width % n == 0)
    block = undrawn(
        nn.TransformerEncoderLayer,
        *(width, heads, WIDENING * width),
        dropout=0.0,
        activation=nn.Identity(),
        batch_first=True,
        norm_first=True,
    )
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if parameter.ndim == 2:
                bound = 1 / math.sqrt(parameter.shape[1])
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                # Biases, and the shifts and scales of the normalizations.
                parameter.fill_("norm" in name and name.endswith("weight"))
    # Not before: what it has learned or starts from is not drawn here.
    block.activation = activation
    return block
