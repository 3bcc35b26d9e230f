"""
Anomaly scores
==============

A row that the codes cannot describe is rebuilt badly. ``score_samples`` is minus the squared error
of the reconstruction: the lower, the more unusual. Here the models have seen no eight, and have to
notice one.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
unusual = y == 8
X_train, X_usual = train_test_split(X[~unusual], test_size=0.3, random_state=0)
pca = PCA(4).fit(X_train)
autoencoder = AutoencoderTransformer(4, random_state=0).fit(X_train)


def pca_errors(rows):
    """Return the squared errors of PCA's reconstruction."""
    return ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).sum(axis=1)


errors = {
    "PCA": (pca_errors(X_usual), pca_errors(X[unusual])),
    "autoencoder": (
        -autoencoder.score_samples(X_usual),
        -autoencoder.score_samples(X[unusual]),
    ),
}

# %%
# Left and middle: squared errors of digits of the kinds that were seen, and of eights. The better
# the usual ones are rebuilt, the more the others stand out. Right: how many eights are found at
# how many false alarms.
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
colors = {"PCA": "0.35", "autoencoder": "#0072B2"}
for ax, (name, (usual, eights)) in zip(axes, errors.items(), strict=False):
    ax.hist([usual, eights], bins=30, range=(0, 1500), density=True, label=["usual", "8"])
    ax.set(title=name, xlabel="squared error", yticks=[])
    ax.legend(frameon=False)
    RocCurveDisplay.from_predictions(
        [0] * len(usual) + [1] * len(eights),
        [*usual, *eights],
        name=name,
        ax=axes[2],
        curve_kwargs={"color": colors[name]},
    )
axes[2].set_title("eights found")

# %%
plt.show()
