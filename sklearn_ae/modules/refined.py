"""An encoder whose codes are improved by descent on what the decoder makes of them."""

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.parted import Parted, parted
from sklearn_ae.modules.pullback import Pull, vjp

# A step that makes things worse is shortened by it, and no step is so much longer than the one
# before.
SHORTENED = 0.3
STRETCHED = 10.0
# What counts as no worse: next to its least the error changes by less than it is rounded, and a
# stricter rule would toss a coin.
TOLERANCE = 1e-6
# Products of the decoder's last layer pay from so many rows on, and where these have so many more
# columns than the layer has inputs.
FEW_ROWS, WIDE = 64, 2


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

    Attributes
    ----------
    by_products : bool
        Whether the products of the decoder's last layer are used where that is faster; not for a
        graph, which is of any number of rows.

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
        self.by_products = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows ``(n, n_features)`` to codes ``(n, n_components)``."""
        codes = self.encoder(x)
        missed = self._missed_of(x)
        error, gradient = missed.at_start(codes)
        # Of a linear map with orthonormal rows, as PCA is, 1 is the best step. No step can gain
        # more than all of the error.
        steepness = _square(gradient)
        step = torch.where(steepness > error, error / steepness, 1.0)
        for i in range(self.n_steps):
            tried = torch.addcmul(codes, step, gradient, value=-1)
            if i == self.n_steps - 1:
                return torch.where(missed.at(tried) - error <= TOLERANCE * error, tried, codes)
            tried_error, tried_gradient = missed.around(tried)
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

    def _missed_of(self, x: torch.Tensor) -> "_InRows | _InFeatures":
        """Return what computes the errors of codes of these rows."""
        if self.by_products and not torch.compiler.is_compiling() and len(x) >= FEW_ROWS:
            parts = parted(self.decoder)
            if parts is not None and x.shape[-1] > WIDE * len(parts.weight):
                return _InFeatures(parts, x)
        return _InRows(self.decoder, x)


class _InRows:
    """The squared error of each row, and half its gradient by the code; in inference mode too."""

    def __init__(self, decoder: nn.Module, x: torch.Tensor):
        self.decoder = decoder
        self.x = x

    def at(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the errors of codes."""
        return _square(self.decoder(codes) - self.x)

    def around(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the errors of codes and half the gradients."""
        rebuilt, pull = vjp(self.decoder, codes)
        missed = rebuilt - self.x  # itself half the gradient at the decoder's end
        return _square(missed), pull(missed)

    at_start = around


class _InFeatures:
    """The same, of a decoder that is linear in features of the code.

    The rows are looked at once, at the start. From there on the errors are those of the features,
    with the products of the last layer, which are smaller than the rows.
    """

    def __init__(self, decoder: Parted, x: torch.Tensor):
        self.decoder = decoder
        self.x = x

    def at_start(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the errors of the codes that are started from, and half the gradients."""
        weight = self.decoder.weight
        self.features, pull = self.decoder.features(codes)
        missed = torch.addmm(self.decoder.bias, self.features, weight) - self.x
        self.error, self.slope = _square(missed), missed @ weight.T
        self.products = weight @ weight.T
        return self.error, pull(self.slope)

    def at(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the errors of codes."""
        error, *_ = self._moved_to(codes)
        return error

    def around(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the errors of codes and half the gradients."""
        error, slope, pull = self._moved_to(codes)
        return error, pull(slope)

    def _moved_to(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Pull]:
        features, pull = self.decoder.features(codes)
        away = features - self.features
        turned = away @ self.products
        slope = self.slope + turned
        error = self.error + (away * (self.slope + slope)).sum(-1, keepdim=True)
        return error, slope, pull


def _square(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(-1, keepdim=True)


def refined(network: Autoencoder, n_steps: int) -> Autoencoder:
    """Return the autoencoder with the codes of its encoder refined; it shares the weights."""
    if n_steps == 0:
        return network
    encoder = RefinedEncoder(network.encoder, network.decoder, n_steps)
    return Autoencoder(encoder, network.decoder)
