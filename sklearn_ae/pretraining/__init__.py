"""Layer by layer pretraining of dense networks."""

from sklearn_ae.pretraining.layers import NAMED, pretrain
from sklearn_ae.pretraining.rbm import RBMPretraining
from sklearn_ae.pretraining.stacked import StackedDenoisingPretraining

__all__ = ["NAMED", "RBMPretraining", "StackedDenoisingPretraining", "pretrain"]
