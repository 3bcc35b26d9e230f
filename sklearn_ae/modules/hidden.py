"""The hidden layers of an autoencoder, as codes of their own."""

from collections.abc import Iterator

import torch
from torch import nn

from sklearn_ae.modules.attention import AttentionEncoder
from sklearn_ae.modules.autoencoder import Autoencoder, Isolated
from sklearn_ae.modules.corrected import Corrected, Gate
from sklearn_ae.modules.probability import Probabilities
from sklearn_ae.modules.refined import RefinedEncoder
from sklearn_ae.modules.tied import Transposed

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, Transposed)


class Bounded(nn.Module):
    """What the correction of a `Corrected` sees of its input.

    Parameters
    ----------
    corrected : Corrected
        Whose bounds and units they are.
    """

    def __init__(self, corrected: Corrected):
        super().__init__()
        self.corrected = corrected

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n_inputs)``."""
        return self.corrected.bounded(x)


class Copied(nn.Module):
    """A copy of the input, for layers that may compute in place."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a copy of ``x``."""
        return x.clone()


class Blocks(nn.Module):
    """The first blocks of an attention network.

    Parameters
    ----------
    network : AttentionEncoder
        The network.
    n_blocks : int
        How many of its blocks.
    """

    def __init__(self, network: AttentionEncoder, n_blocks: int):
        super().__init__()
        self.network = network
        self.n_blocks = n_blocks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, n_inputs)`` to ``(n, n_tokens * width)``."""
        return self.network.hidden(x, self.n_blocks)


def hidden_layers(network: Autoencoder) -> list[nn.Module]:
    """Return the hidden layers of encoder and decoder, in their order.

    Parameters
    ----------
    network : Autoencoder
        What is not a chain of layers (a user's module of another kind) has no hidden layers here.

    Returns
    -------
    layers : list of nn.Module
        Each maps rows ``(n, n_features)`` to the flattened activations of a layer ``(n, *)``. With
        a start at PCA these are the layers of the corrections.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ae.modules import Autoencoder, dense
    >>> draw = torch.Generator()
    >>> encoder = dense(6, [5, 4], 2, torch.nn.ReLU, draw)
    >>> network = Autoencoder(encoder, dense(2, [3], 6, torch.nn.ReLU, draw))
    >>> [layer(torch.zeros(1, 6)).shape[1] for layer in hidden_layers(network)]
    [5, 4, 3]
    """
    decoded = [nn.Sequential(network.encoder, layer) for layer in _of_part(network.decoder)]
    encoder = network.encoder
    if isinstance(encoder, RefinedEncoder):
        encoder = encoder.encoder
    return [*_of_part(encoder), *decoded]


def _of_part(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the hidden layers of an encoder or decoder."""
    before: list[nn.Module] = []
    if isinstance(part, Probabilities):
        part = part.decoder
    if isinstance(part, Corrected):
        before, part = [Bounded(part)], part.correction
    if isinstance(part, Gate):
        part = part.module
    if isinstance(part, Isolated):
        before, part = [*before, Copied()], part.module
    if isinstance(part, AttentionEncoder):
        for n in range(len(part.blocks)):
            yield nn.Sequential(*before, Blocks(part, n + 1))
    elif isinstance(part, nn.Sequential):
        weighted = [i for i, layer in enumerate(part) if isinstance(layer, WEIGHTED)]
        for i in weighted[1:]:
            yield nn.Sequential(*before, *list(part)[:i], nn.Flatten())
