"""
One fit for every bottleneck
============================

The numbers of a code are ordered, as PCA's components are: the first of them are a code of their
own. ``truncated`` takes as many as are wanted, without another fit.
"""

# %%
# One fit, of sixteen numbers. ``max_iter=20`` keeps the example short; more epochs find more.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer

X = load_digits().data
X_train, X_test = train_test_split(X, random_state=0)
autoencoder = AutoencoderTransformer(16, max_iter=20, random_state=0).fit(X_train)
pca = PCA(16, random_state=0).fit(X_train)

# %%
# ``truncated(j)`` is a fitted estimator like any other, which encodes, decodes and scores. Of PCA
# the first ``j`` components are taken by hand.
sizes = [1, 2, 4, 8, 16]
rebuilt = {"autoencoder": {}, "PCA": {}}
for size in sizes:
    smaller = autoencoder.truncated(size)
    rebuilt["autoencoder"][size] = smaller.inverse_transform(smaller.transform(X_test))
    codes = pca.transform(X_test)[:, :size]
    rebuilt["PCA"][size] = codes @ pca.components_[:size] + pca.mean_

# %%
# Six images that no fit has seen, from one number each to sixteen. Below each size stands the share
# of the variance of all test images that codes of this size explain.
total = np.sum((X_test - pca.mean_) ** 2)
figure = plt.figure(figsize=(10, 5), layout="constrained")
for part, (name, images) in zip(figure.subfigures(1, 2), rebuilt.items(), strict=True):
    part.suptitle(name)
    rows = {
        f"{size}\n{1 - np.sum((found - X_test) ** 2) / total:.0%}": found
        for size, found in images.items()
    }
    rows["original"] = X_test
    for ax, (label, found) in zip(part.subplots(len(rows), 1), rows.items(), strict=True):
        images = np.pad(found[:6].reshape(6, 8, 8), ((0, 0), (0, 0), (1, 1)))
        ax.imshow(np.hstack(images), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(label, rotation=0, ha="right", va="center")
        ax.spines[:].set_visible(False)

# %%
plt.show()
