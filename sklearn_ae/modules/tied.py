"""A decoder whose weights are the transposes of the encoder's."""

import copy

import torch
from torch import nn
from torch.nn import functional as F


class Transposed(nn.Module):
    """The transpose of a linear layer, with a bias of its own.

    Parameters
    ----------
    layer : nn.Linear
        Maps ``(*, n_inputs)`` to ``(*, n_outputs)``. Its weight is shared, not copied: one
        parameter, which learns from both places.
    bias : Tensor of shape (n_inputs,)
        Where the bias starts.

    Notes
    -----
    Input ``(*, n_outputs)``, output ``(*, n_inputs)``.
    """

    def __init__(self, layer: nn.Linear, bias: torch.Tensor):
        super().__init__()
        self.weight = layer.weight
        self.bias = nn.Parameter(bias.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_outputs)`` to ``(*, n_inputs)``."""
        return F.linear(x, self.weight.T, self.bias)


def transposed(encoder: nn.Sequential) -> nn.Sequential:
    """Make the decoder that mirrors a dense encoder and shares its weights.

    Parameters
    ----------
    encoder : nn.Sequential
        Linear layers with one activation between each two, as `dense` makes them.

    Returns
    -------
    decoder : nn.Sequential
        The transposed layers in reverse order with the same activations between them; its biases
        start at zero.

    References
    ----------
    P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked Denoising
    Autoencoders", Journal of Machine Learning Research 11:3371, 2010, section 2.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ae.modules import dense
    >>> encoder = dense(4, [8], 2, torch.nn.ReLU, torch.Generator().manual_seed(0))
    >>> decoder = transposed(encoder)
    >>> decoder(encoder(torch.zeros(3, 4))).shape
    torch.Size([3, 4])
    >>> decoder[0].weight is encoder[-1].weight
    True
    """
    return nn.Sequential(
        *(
            Transposed(layer, layer.weight.new_zeros(layer.in_features))
            if isinstance(layer, nn.Linear)
            else copy.deepcopy(layer)
            for layer in reversed(encoder)
        )
    )
