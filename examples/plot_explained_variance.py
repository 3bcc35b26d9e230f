"""
Variance explained against size
===============================

How large must the code be? :class:`~sklearn_ae.displays.ExplainedVarianceDisplay` fits PCA and the
autoencoder at several sizes and shows what they explain of rows that were held out by
cross-validation.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ExplainedVarianceDisplay

X = load_digits().data
display = ExplainedVarianceDisplay.from_estimator(
    AutoencoderTransformer(max_iter=20, random_state=0), X, n_components=[1, 2, 4, 8, 16], cv=3
)
display.ax_.set_title("Digits")

# %%
# The same on random numbers: there is nothing to learn, and nothing is what the autoencoder finds.
# It falls back to PCA.
import numpy as np

noise = StandardScaler().fit_transform(np.random.default_rng(0).normal(size=(1000, 32)))
display = ExplainedVarianceDisplay.from_estimator(
    AutoencoderTransformer(max_iter=20, random_state=0), noise, n_components=[1, 4, 16], cv=3
)
display.ax_.set_title("Noise")

# %%
plt.show()
