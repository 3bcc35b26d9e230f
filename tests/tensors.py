"""Rows and estimators for the tests of tensors in, tensors out."""

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

X = np.ascontiguousarray(load_digits().data[:120, 10:22])
QUICK = {"max_iter": 4, "hidden_layer_sizes": (6,), "random_state": 0, "device": "cpu"}
ESTIMATORS = {
    "pca": AutoencoderTransformer(2, learning_rate_init=1e-12, **QUICK),
    "network": AutoencoderTransformer(2, early_stopping=False, whiten=True, **QUICK),
    "denoising": DenoisingAutoencoderTransformer(2, early_stopping=False, **QUICK),
    "layer": AutoencoderTransformer(2, code_layer=0, early_stopping=False, **QUICK),
}
METHODS = ["transform", "reconstruct", "score_samples"]
FITTED = [
    "mean_", "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_",
]  # fmt: skip


def model(name="network"):
    return clone(ESTIMATORS[name])
