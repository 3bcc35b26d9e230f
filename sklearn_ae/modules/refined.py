"""An encoder whose codes are improved by descent on what the decoder makes of them."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.parted import Parted, parted
from sklearn_ae.modules.pullback import Pull, is_traced, rule_of

# A step that makes things worse is shortened by it, and no step is so much longer than the one
# before.
SHORTENED = 0.3
STRETCHED = 10.0
# What counts as no worse: next to its least the error changes by less than it is rounded, and a
# stricter rule would toss a coin.
TOLERANCE = 1e-6
# Products of the decoder's last layer are not looked for where there are fewer rows, nor for more
# steps in float32: they tell no errors apart that are less than 1e-7 of that of the start.
FEW_ROWS, MANY_STEPS = 64, 8


class _InParts(NamedTuple):
    """A decoder in parts, and the products of its last layer."""

    parts: Parted
    products: torch.Tensor


class _Pass(NamedTuple):
    """How many rows a pass goes through, and what is known of the decoders meanwhile."""

    n_rows: int
    known: dict[nn.Module, _InParts | None]


_pass: ContextVar[_Pass | None] = ContextVar("_pass", default=None)


@contextlib.contextmanager
def one_pass(n_rows: int) -> Iterator[None]:
    """Make products of a decoder's last layer once, for rows that come a block at a time.

    Parameters
    ----------
    n_rows : int
        How many rows. No weight may change before the last of them, and gradients by weights are
        not to be computed.
    """
    token = _pass.set(_Pass(n_rows, {}))
    try:
        yield
    finally:
        _pass.reset(token)


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
        Whether the products of the decoder's last layer are used where they take fewer operations;
        not for a graph, which is of any number of rows.

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

    by_products = True

    def __init__(self, encoder: nn.Module, decoder: nn.Module, n_steps: int):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.n_steps = n_steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows ``(n, n_features)`` to codes ``(n, n_components)``."""
        codes = self.encoder(x)
        missed = self._missed_around(codes, x)
        error, gradient = missed.start
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
            factor = torch.where(factor > 0.0, factor.clamp(max=STRETCHED), 1.0)
            step = step * torch.where(better, factor, SHORTENED)
            codes = torch.where(better, tried, codes)
            gradient = torch.where(better, tried_gradient, gradient)
            error = torch.where(better, tried_error, error)
        return codes

    def _missed_around(self, codes: torch.Tensor, x: torch.Tensor) -> "_InRows | _InFeatures":
        """Return what computes the errors of codes of these rows."""
        if self.by_products and not is_traced(x) and x.dim() == 2:
            exact = x.dtype == torch.float64 or self.n_steps <= MANY_STEPS
            n_rows, known = _pass.get() or _Pass(len(x), {})
            if exact and n_rows >= FEW_ROWS:
                if self not in known:
                    known[self] = self._in_parts(n_rows, x.shape[1])
                if (found := known[self]) is not None:
                    return _InFeatures(found, codes, x)
        return _InRows(self.decoder, codes, x)

    def _in_parts(self, n_rows: int, n_columns: int) -> _InParts | None:
        """Part the decoder for so many rows, where that takes fewer operations."""
        parts = parted(self.decoder)
        if parts is None or not _saves(n_rows, n_columns, len(parts.weight), self.n_steps):
            return None
        return _InParts(parts, parts.weight @ parts.weight.T)


def _saves(n_rows: int, n_columns: int, n_features: int, n_steps: int) -> bool:
    """Tell whether the products of the last layer take fewer operations than passes through it."""
    made, used = n_features**2 * n_columns, n_steps * n_rows * n_features**2
    return made + used < (2 * n_steps - 1) * n_rows * n_features * n_columns


class _InRows:
    """The squared error of each row, and half its gradient by the code; in inference mode too.

    Attributes
    ----------
    start : tuple of two Tensors
        Both, of the codes that are started from.
    """

    def __init__(self, decoder: nn.Module, codes: torch.Tensor, x: torch.Tensor):
        self.decoder = decoder
        self.decode = rule_of(decoder)
        self.x = x
        self.start = self.around(codes)

    def at(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the errors of codes."""
        return _square(self.decoder(codes) - self.x)

    def around(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the errors of codes and half the gradients."""
        rebuilt, pull = self.decode(codes)
        missed = rebuilt - self.x  # itself half the gradient at the decoder's end
        return _square(missed), pull(missed)


class _InFeatures:
    """The same, of a decoder that is linear in features of the code.

    The rows are looked at once, at the start. From there on the errors are those of the features,
    with the products of the last layer, which are smaller than the rows.
    """

    def __init__(self, decoder: _InParts, codes: torch.Tensor, x: torch.Tensor):
        self.decoder, self.products = decoder
        weight = self.decoder.weight
        self.features, pull = self.decoder.features(codes)
        missed = torch.addmm(self.decoder.bias, self.features, weight) - x
        self.error, self.slope = _square(missed), missed @ weight.T
        self.start = self.error, pull(self.slope)

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
    return (x * x).sum(-1, keepdim=True)


def refined(network: Autoencoder, n_steps: int) -> Autoencoder:
    """Return the autoencoder with the codes of its encoder refined; it shares the weights."""
    if n_steps == 0:
        return network
    encoder = RefinedEncoder(network.encoder, network.decoder, n_steps)
    return Autoencoder(encoder, network.decoder)
