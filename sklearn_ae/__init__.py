"""Autoencoders that drop into a scikit-learn pipeline where PCA stood."""

from sklearn_ae._autoencoder import AutoencoderTransformer
from sklearn_ae._denoising import DenoisingAutoencoderTransformer

__version__ = "0.1.0.dev0"

__all__ = ["AutoencoderTransformer", "DenoisingAutoencoderTransformer", "__version__"]
