"""Which networks make little of a row, so that many rows fit into a device's memory at once."""

from torch import nn

from sklearn_ae.modules.autoencoder import Autoencoder, Isolated, Rescaled
from sklearn_ae.modules.corrected import Corrected, Fade, Gate
from sklearn_ae.modules.dense import ACTIVATIONS
from sklearn_ae.modules.hidden import Bounded, Copied
from sklearn_ae.modules.nested import Between, First, Padded
from sklearn_ae.modules.probability import (
    ClippedProbabilities,
    CorrectedProbabilities,
    Probabilities,
)
from sklearn_ae.modules.refined import RefinedEncoder
from sklearn_ae.modules.started import StartedLinear
from sklearn_ae.modules.tied import Transposed

LIGHT = {
    nn.Flatten,
    nn.Identity,
    nn.Linear,
    nn.Sequential,
    *ACTIVATIONS.values(),
    Autoencoder,
    Between,
    Bounded,
    ClippedProbabilities,
    Copied,
    Corrected,
    CorrectedProbabilities,
    Fade,
    First,
    Gate,
    Isolated,
    Padded,
    Probabilities,
    RefinedEncoder,
    Rescaled,
    StartedLinear,
    Transposed,
}


def is_light(module: nn.Module) -> bool:
    """Tell whether a module is of dense layers alone.

    What convolutions and attention make of a row, or a user's module, is often many times as large
    as the row.

    Examples
    --------
    >>> from torch import nn
    >>> is_light(nn.Sequential(nn.Linear(3, 2), nn.GELU()))
    True
    >>> is_light(nn.Conv2d(1, 8, 3))
    False
    """
    return all(type(part) in LIGHT for part in module.modules())
