"""
Started at PCA
==============

The error on held-out rows, epoch by epoch. With ``init="pca"`` the network *is* PCA before the
first epoch; with ``init="random"``, as autoencoders usually are, it has to find PCA first.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import LossCurveDisplay

X = StandardScaler().fit_transform(load_digits().data)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for ax, init in zip(axes, ["pca", "random"], strict=True):
    model = AutoencoderTransformer(16, init=init, max_iter=40, random_state=0).fit(X)
    LossCurveDisplay.from_estimator(model, ax=ax)
    ax.set_title(f'init="{init}"')
    explained = f"{model.score_:.3f} of held-out variance, PCA {model.pca_score_:.3f}"
    print(f"{init}: {explained} after {model.n_iter_} epochs")

# %%
# The two losses are in units of their own: what PCA leaves, and the variance.
plt.show()
