"""
Variance explained against size
===============================

How large must the code be? One fit tells: its numbers are ordered, and
``explained_variance_ratio_`` says what each of them adds, as PCA's does.
"""

# %%
# Here as many numbers as explain 95 % are used, of 64 that could be. ``max_iter=20`` is enough to
# choose by; more epochs find more.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ExplainedVarianceDisplay

X = load_digits().data
autoencoder = AutoencoderTransformer(0.95, max_components=64, max_iter=20, random_state=0).fit(X)
pca = PCA(0.95).fit(X)
taken = {"PCA": pca.n_components_, "autoencoder": autoencoder.n_components_}
for name, size in taken.items():
    print(f"{name}: {size} numbers explain 95 %")

# %%
# ``truncated`` gives codes of any other size from the same fit, here all. The dots are what
# ``n_components=0.95`` takes. Ours are shares of the variance of rows that are held out in the fit,
# PCA's of those that it is fitted to.
curves = {
    "PCA": PCA().fit(X).explained_variance_ratio_.cumsum(),
    "autoencoder": [autoencoder.truncated(size).score_ for size in range(1, 65)],
}
figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.axhline(0.95, color="0.7", linewidth=1)
for (name, curve), color in zip(curves.items(), ["0.35", "#0072B2"], strict=True):
    size = taken[name]
    ax.plot(np.arange(1, 65), curve, color=color, label=name)
    ax.plot(size, curve[size - 1], "o", color=color)
    ax.annotate(size, (size, curve[size - 1]), (0, 8), textcoords="offset points", ha="center")
ax.set(
    xlabel="n_components",
    ylabel="explained_variance_ratio_.cumsum()",
    title="Digits",
    ylim=(0, 1.05),
)
ax.legend(frameon=False, loc="lower right")

# %%
# For a figure in which both are judged by rows that neither has seen,
# :class:`~sklearn_ae.displays.ExplainedVarianceDisplay` cross-validates them, with one fit a fold.
display = ExplainedVarianceDisplay.from_estimator(
    AutoencoderTransformer(max_iter=20, random_state=0), X, n_components=[1, 2, 4, 8, 16], cv=3
)
display.ax_.set_title("Digits, three folds")

# %%
# The same on random numbers: there is nothing to learn, and nothing is what the autoencoder finds.
# It falls back to PCA.
noise = StandardScaler().fit_transform(np.random.default_rng(0).normal(size=(1000, 32)))
display = ExplainedVarianceDisplay.from_estimator(
    AutoencoderTransformer(max_iter=20, random_state=0), noise, n_components=[1, 2, 4, 8], cv=3
)
display.ax_.set_title("Noise, three folds")

# %%
plt.show()
