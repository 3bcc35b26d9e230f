"""Autoencoders whose codes are nested: the first numbers of a code are the code of that size."""

import bisect
import copy
import math
from typing import Any, TypeVar

import torch
from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder
from sklearn_ae.modules.corrected import Corrected, Fade
from sklearn_ae.modules.probability import ClippedProbabilities
from sklearn_ae.modules.weights import linear_of

Part = TypeVar("Part", bound=nn.Module)


class First(nn.Module):
    """The first columns of what a module gives.

    Parameters
    ----------
    module : nn.Module
        Any.
    n : int
        How many columns.
    """

    def __init__(self, module: nn.Module, n: int):
        super().__init__()
        self.module = module
        self.n = n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n)``."""
        return self.module(x)[..., : self.n]


class Padded(nn.Module):
    """A module that is given zeros for the columns that are missing.

    Parameters
    ----------
    module : nn.Module
        Takes more columns.
    n_missing : int
        How many more.
    """

    def __init__(self, module: nn.Module, n_missing: int):
        super().__init__()
        self.module = module
        self.n_missing = n_missing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)``, padded, to what the module makes of it."""
        return self.module(nn.functional.pad(x, (0, self.n_missing)))


class Between(nn.Module):
    """A decoder between those of a smaller and a larger code.

    The smaller is rebuilt from its first numbers, with what PCA makes of the others.

    Parameters
    ----------
    smaller, larger : nn.Module
        The decoders; the larger takes all numbers.
    rest : nn.Linear
        What the numbers that the smaller does not take are in the rows.
    share : float
        Of the larger.
    """

    def __init__(self, smaller: nn.Module, larger: nn.Module, rest: nn.Linear, share: float):
        super().__init__()
        self.smaller = smaller
        self.larger = larger
        self.rest = rest
        self.share = share

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes ``(*, n_components)`` to rows ``(*, n_features)``."""
        n = z.shape[-1] - self.rest.in_features
        small = self.smaller(z[..., :n]) + self.rest(z[..., n:])
        return torch.lerp(small, self.larger(z), self.share)


class Nested(nn.Module):
    """An autoencoder that started at PCA, for codes of any size up to its own.

    A code of n numbers is rebuilt as one whose other numbers are zero, with a correction in units
    of its own. Some sizes have a last layer of their own; the decoder of a size between two of
    them lies between theirs.

    Parameters
    ----------
    network : Autoencoder
        Of the largest size; encoder and decoder are `Corrected`, or linear.
    ratios : sequence of float of length n_components
        Size of the decoder's correction for codes of each size, in that for the largest.

    Attributes
    ----------
    sizes : list of int
        Which sizes have a last layer of their own, ascending.
    layers : nn.ModuleList
        These layers.
    """

    def __init__(self, network: Autoencoder, ratios: Any):
        super().__init__()
        self.network = network
        self.ratios = [float(ratio) for ratio in ratios]
        self.sizes: list[int] = []
        self.layers = nn.ModuleList()

    def prefix(self, n: int) -> Autoencoder:
        """Make the autoencoder for codes of `n` numbers; it shares all but first and last layers.

        Parameters
        ----------
        n : int
            At most as many as the network has, which is then returned itself.
        """
        if n == len(self.ratios):
            return self.network
        # What is made in inference mode cannot be descended on later.
        with torch.inference_mode(False):
            prefix = Autoencoder(_of_first(self.network.encoder, n), self._decoder(n))
        return prefix.train(self.network.training)

    def forget(self) -> None:
        """Drop the last layers of prefixes: all have that of the network."""
        self.sizes, self.layers = [], nn.ModuleList()

    def learn(self, n: int, prefix: Autoencoder) -> None:
        """Take over the last layer of a prefix of another size than those that have one."""
        decoder: Any = prefix.decoder
        at = bisect.bisect(self.sizes, n)
        self.sizes.insert(at, n)
        self.layers.insert(at, decoder.correction[-1])

    def _decoder(self, n: int) -> nn.Module:
        decoder: Any = self.network.decoder
        if isinstance(decoder, ClippedProbabilities):
            cut: Any = _like(decoder)
            cut.decoder = _columns(decoder.decoder, n)
            return cut
        if not isinstance(decoder, Corrected):
            return _columns(decoder, n)
        sizes = [*self.sizes, len(self.ratios)]
        above = bisect.bisect_left(sizes, n)
        larger = self._corrected(n, above)
        if sizes[above] == n or above == 0:
            return larger
        below = sizes[above - 1]
        layer: Any = decoder.linear
        rest = _linear(layer.weight[:, below:n], torch.zeros_like(layer.bias))
        share = math.log(n / below) / math.log(sizes[above] / below)
        return Between(self._corrected(below, above - 1), larger, rest, share)

    def _corrected(self, n: int, layer: int) -> nn.Module:
        """Return the decoder of the first `n` numbers, with one of the last layers."""
        decoder: Any = self.network.decoder
        cut: Any = _like(decoder)
        cut.linear = _columns(decoder.linear, n)
        for name in ("input_scale", "low", "high"):
            setattr(cut, name, getattr(decoder, name)[:n].clone())
        fade: Any = decoder.fade
        cut.fade = Fade(fade.middle[:n].clone(), fade.radius[:n].clone(), fade.order)
        cut.output_scale = decoder.output_scale * self.ratios[n - 1]
        if not _is_dense(decoder.correction):
            cut.correction = Padded(decoder.correction, len(self.ratios) - n)
            return cut
        *layers, last = decoder.correction
        last = copy.deepcopy([*self.layers, last][layer])
        if layers:
            cut.correction = nn.Sequential(_columns(layers[0], n), *layers[1:], last)
        else:
            cut.correction = nn.Sequential(_columns(last, n))
        return cut


def _is_dense(correction: nn.Module) -> bool:
    """Tell whether first and last layer can be cut."""
    return isinstance(correction, nn.Sequential) and all(
        isinstance(correction[i], nn.Linear) for i in (0, -1)
    )


def _like(module: Part) -> Part:
    """Copy a module, but not what is inside of it."""
    found = copy.copy(module)
    for name in ("_modules", "_parameters", "_buffers"):
        found.__dict__[name] = dict(module.__dict__[name])
    return found


def _of_first(encoder: Any, n: int) -> nn.Module:
    """Return the encoder of the first numbers."""
    if not isinstance(encoder, Corrected):
        return _rows(encoder, n)
    cut: Any = _like(encoder)
    cut.linear = _rows(encoder.linear, n)
    cut.output_scale = encoder.output_scale[:n].clone()
    correction: Any = encoder.correction
    if _is_dense(correction):
        *layers, last = correction
        cut.correction = nn.Sequential(*layers, _rows(last, n))
    else:
        cut.correction = First(correction, n)
    return cut


def _rows(layer: Any, n: int) -> nn.Linear:
    """Return a linear layer of the first outputs."""
    return _linear(layer.weight[:n], layer.bias[:n])


def _columns(layer: Any, n: int) -> nn.Linear:
    """Return a linear layer of the first inputs."""
    return _linear(layer.weight[:, :n], layer.bias)


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    """Return a linear layer with copies of weight and bias."""
    return linear_of(weight.detach().clone(), bias.detach().clone())
