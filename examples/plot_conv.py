"""
Convolutional against dense
===========================

Digits that may lie anywhere in a larger image. Convolutions see the same stroke wherever it is,
dense layers must learn it at every place anew.
"""

# %%
# Each digit of 8 x 8 pixels is put at a random place of 16 x 16, four times. The places and the
# digits of the test images are in no fit.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer

SIZE = 16
rng = np.random.RandomState(0)


def placed(digits, repeats):
    """Put each digit at random places of an empty image; return rows."""
    digits = np.repeat(digits, repeats, axis=0).reshape(-1, 8, 8)
    images = np.zeros((len(digits), SIZE, SIZE), dtype=np.float32)
    for image, digit, (top, left) in zip(
        images, digits, rng.randint(0, SIZE - 8 + 1, size=(len(digits), 2)), strict=True
    ):
        image[top : top + 8, left : left + 8] = digit
    return images.reshape(len(images), -1)


train, test = train_test_split(load_digits().data / 16, random_state=0)
X_train, X_test = placed(train, 4), placed(test, 1)
print(X_train.shape, X_test.shape)

# %%
# "conv" needs to know the shape of the image that a row holds. Nothing else changes. More epochs
# would help both networks; convolutions take longer for each.
models = {
    "PCA": PCA(16, random_state=0),
    "dense": AutoencoderTransformer(16, max_iter=20, random_state=0),
    "convolutional": AutoencoderTransformer(
        16, encoder="conv", image_shape=(1, SIZE, SIZE), max_iter=20, random_state=0
    ),
}
total = np.mean((X_test - X_train.mean(axis=0)) ** 2)
pictures = {"original": X_test}
for name, model in models.items():
    rebuilt = model.fit(X_train).inverse_transform(model.transform(X_test))
    explained = 1 - np.mean((rebuilt - X_test) ** 2) / total
    pictures[f"{name}\n{explained:.0%} of variance"] = rebuilt

# %%
figure, axes = plt.subplots(4, 9, figsize=(10, 4.4), layout="constrained")
for row, (name, images) in zip(axes, pictures.items(), strict=True):
    for ax, image in zip(row[1:], images, strict=False):
        ax.imshow(image.reshape(SIZE, SIZE), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].text(1, 0.5, name, ha="right", va="center", transform=row[0].transAxes)
    row[0].axis("off")

# %%
plt.show()
