"""Torch modules of the autoencoders; usable without the estimators."""

from sklearn_ae.modules.attention import AttentionEncoder
from sklearn_ae.modules.autoencoder import Autoencoder, Isolated, Rescaled
from sklearn_ae.modules.conv import conv_decoder, conv_encoder
from sklearn_ae.modules.corrected import Corrected, Fade, Gate
from sklearn_ae.modules.dense import ACTIVATIONS, dense
from sklearn_ae.modules.nested import Nested
from sklearn_ae.modules.probability import (
    ClippedProbabilities,
    CorrectedProbabilities,
    Probabilities,
)
from sklearn_ae.modules.refined import RefinedEncoder
from sklearn_ae.modules.started import StartedLinear, settled
from sklearn_ae.modules.tied import Transposed, transposed

__all__ = [
    "ACTIVATIONS",
    "AttentionEncoder",
    "Autoencoder",
    "ClippedProbabilities",
    "Corrected",
    "CorrectedProbabilities",
    "Fade",
    "Gate",
    "Isolated",
    "Nested",
    "Probabilities",
    "RefinedEncoder",
    "Rescaled",
    "StartedLinear",
    "Transposed",
    "conv_decoder",
    "conv_encoder",
    "dense",
    "settled",
    "transposed",
]
