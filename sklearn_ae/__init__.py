"""Autoencoders that drop into a scikit-learn pipeline where PCA stood."""

from sklearn_ae._autoencoder import AutoencoderTransformer
from sklearn_ae._denoising import DenoisingAutoencoderTransformer
from sklearn_ae._persistence import SKOPS_TYPES
from sklearn_ae._version import __version__

__all__ = [
    "SKOPS_TYPES",
    "AutoencoderTransformer",
    "DenoisingAutoencoderTransformer",
    "__version__",
]
