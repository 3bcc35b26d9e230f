"""Torch modules of the autoencoders; usable without the estimators."""

from sklearn_ae.modules.autoencoder import Autoencoder, Rescaled
from sklearn_ae.modules.corrected import Corrected, Fade, Gate
from sklearn_ae.modules.dense import ACTIVATIONS, dense

__all__ = ["ACTIVATIONS", "Autoencoder", "Corrected", "Fade", "Gate", "Rescaled", "dense"]
