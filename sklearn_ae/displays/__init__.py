"""Pictures of fitted autoencoders, in scikit-learn's form. Drawing needs matplotlib."""

from sklearn_ae.displays.components import ComponentsDisplay
from sklearn_ae.displays.explained_variance import ExplainedVarianceDisplay
from sklearn_ae.displays.latent_space import LatentSpaceDisplay
from sklearn_ae.displays.loss_curve import LossCurveDisplay
from sklearn_ae.displays.reconstruction import ReconstructionDisplay

__all__ = [
    "ComponentsDisplay",
    "ExplainedVarianceDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ReconstructionDisplay",
]
