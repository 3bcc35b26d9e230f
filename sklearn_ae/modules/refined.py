"""An encoder whose codes are improved by descent on what the decoder makes of them."""

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.pullback import vjp

# A step that makes things worse is shortened by it, and no step is so much longer than the one
# before.
SHORTENED = 0.3
STRETCHED = 10.0
# What counts as no worse: next to its least the error changes by less than it is rounded, and a
# stricter rule would toss a coin.
TOLERANCE = 1e-6


class RefinedEncoder(nn.Module):
    """An encoder, followed by steps of gradient descent on the error of the reconstruction.

    An encoder that has to serve all rows is not at its best on each of them, the less the fewer
    rows it has learned from (the amortization gap of Cremer et al., 2018). Its codes are a good
    place to start from: the steps have the lengths of Barzilai and Borwein, one for each row, and
    a step is taken by those rows alone whose error it lowers.

    Parameters
    ----------
    encoder : nn.Module
        Maps rows ``(n, n_features)`` to codes ``(n, n_components)``.
    decoder : nn.Module
        Maps codes back to rows. It is shared, not copied.
    n_steps : int
        How many steps.

    References
    ----------
    C. Cremer, X. Li, D. Duvenaud, "Inference Suboptimality in Variational Autoencoders",
    ICML 2018.

    J. Barzilai, J. M. Borwein, "Two-Point Step Size Gradient Methods", IMA Journal of Numerical
    Analysis 8:141, 1988.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
    >>> x = torch.randn(5, 4)
    >>> def error(encoder):
    ...     return (decoder(encoder(x)) - x).square().sum(1)
    >>> bool((error(RefinedEncoder(encoder, decoder, 3)) <= error(encoder)).all())
    True
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, n_steps: int):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_steps = n_steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows ``(n, n_features)`` to codes ``(n, n_components)``."""
        codes = self.encoder(x)
        error, gradient = self._error_and_gradient(codes, x)
        # Of a linear map with orthonormal rows, as PCA is, 1 is the best step. No step can gain
        # more than all of the error.
        steepness = _square(gradient)
        step = torch.where(steepness > error, error / steepness, 1.0)
        for i in range(self.n_steps):
            tried = torch.addcmul(codes, step, gradient, value=-1)
            if i == self.n_steps - 1:
                tried_error = _square(self.decoder(tried) - x)
                return torch.where(tried_error - error <= TOLERANCE * error, tried, codes)
            tried_error, tried_gradient = self._error_and_gradient(tried, x)
            better = tried_error - error <= TOLERANCE * error
            turned = gradient - tried_gradient
            # The shorter of the two lengths: where the gradient is all rounding, it does not grow.
            factor = (gradient * turned).sum(-1, keepdim=True) / _square(turned)
            factor = torch.where(factor > 0, factor.clamp(max=STRETCHED), 1.0)
            step = torch.where(better, step * factor, step * SHORTENED)
            codes = torch.where(better, tried, codes)
            gradient = torch.where(better, tried_gradient, gradient)
            error = torch.where(better, tried_error, error)
        return codes

    def _error_and_gradient(
        self, codes: torch.Tensor, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the squared error of each row, and half its gradient; in inference mode too."""
        rebuilt, pull = vjp(self.decoder, codes)
        missed = rebuilt - x  # itself half the gradient at the decoder's end
        return _square(missed), pull(missed)


def _square(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(-1, keepdim=True)


def refined(network: Autoencoder, n_steps: int) -> Autoencoder:
    """Return the autoencoder with the codes of its encoder refined; it shares the weights."""
    if n_steps == 0:
        return network
    encoder = RefinedEncoder(network.encoder, network.decoder, n_steps)
    return Autoencoder(encoder, network.decoder)
