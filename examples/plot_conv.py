"""
Convolutional against dense
===========================

Patches of a photograph, each squeezed into a few numbers, by PCA, by dense layers and by
convolutions. The model is fitted on the left half of the picture and has to rebuild the right one.
"""

# %%
# A patch is 16 x 16 pixels of three colours: 768 numbers, of which 24 are kept.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

SIZE = 16
image = load_sample_image("china.jpg")[:416, :640].astype(np.float32) / 255


def patches(part, step):
    """Return the patches at every `step` pixels as rows: channels, height, width."""
    windows = np.lib.stride_tricks.sliding_window_view(part, (SIZE, SIZE), axis=(0, 1))
    return windows[::step, ::step].reshape(-1, 3 * SIZE * SIZE)


left, right = image[:, :320], image[:, 320:]
X_train, X_test = patches(left, 5), patches(right, SIZE)
print(X_train.shape, X_test.shape)

# %%
# "conv" needs to know the shape of the image that a row holds. Nothing else changes.
models = {
    "PCA": PCA(24, random_state=0),
    "dense": AutoencoderTransformer(24, max_iter=15, random_state=0),
    "convolutional": AutoencoderTransformer(
        24, encoder="conv", image_shape=(3, SIZE, SIZE), max_iter=15, random_state=0
    ),
}


def as_picture(rows):
    """Put patches together again."""
    grid = rows.reshape(right.shape[0] // SIZE, right.shape[1] // SIZE, 3, SIZE, SIZE)
    return np.clip(grid.transpose(0, 3, 1, 4, 2).reshape(right.shape), 0, 1)


figure, axes = plt.subplots(1, 4, figsize=(12, 5.2), layout="constrained")
axes[0].imshow(right)
axes[0].set_title("right half")
for ax, (name, model) in zip(axes[1:], models.items(), strict=True):
    rebuilt = model.fit(X_train).inverse_transform(model.transform(X_test))
    error = np.mean((rebuilt - X_test) ** 2) / np.mean((X_test - X_train.mean(axis=0)) ** 2)
    ax.imshow(as_picture(rebuilt))
    ax.set_title(f"{name}: {1 - error:.1%} of variance")
for ax in axes:
    ax.axis("off")

# %%
plt.show()
