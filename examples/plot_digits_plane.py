"""
Digits in the plane, beside PCA
===============================

Two numbers for each image of 64 pixels. PCA draws a plane through the images; the autoencoder bends
it to where they are, so that its two numbers say more: of the pixels, and of the digits, whose
names it never sees.
"""

# %%
# Both reducers are fitted on the same rows, and both are drawn for others.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

pca = PCA(2).fit(X_train)
autoencoder = AutoencoderTransformer(2, random_state=0).fit(X_train)

# %%
# How well do five neighbours in the plane tell the digit?
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, name, reducer in zip(axes, ["PCA", "autoencoder"], [pca, autoencoder], strict=True):
    neighbours = KNeighborsClassifier(5).fit(reducer.transform(X_train), y_train)
    accuracy = neighbours.score(reducer.transform(X_test), y_test)
    ax.scatter(*reducer.transform(X_test).T, c=y_test, cmap="tab10", s=14, vmin=-0.5, vmax=9.5)
    ax.set(title=f"{name}: 5-NN accuracy {accuracy:.2f}", xticks=[], yticks=[])

# %%
# The plane can be decoded where there are no points, too: a map of all images that two numbers can
# describe. Where corrections fade, far from the training rows, the map is PCA's.
display = LatentSpaceDisplay.from_estimator(autoencoder, X_test, y_test, image_shape=(1, 8, 8))
display.figure_.set_size_inches(7, 6.5)

# %%
# The share of variance that is explained compares with PCA's, on rows that were held out in ``fit``
# and on ours.
print(f"held out in fit: PCA {autoencoder.pca_score_:.3f}, autoencoder {autoencoder.score_:.3f}")
print(f"test rows: autoencoder {autoencoder.score(X_test):.3f}")

# %%
plt.show()
