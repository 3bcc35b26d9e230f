"""
Images without their noise
==========================

A denoising autoencoder [1]_ sees corrupted rows in training and has to rebuild the clean ones. What
it rebuilds from a corrupted image is therefore a guess at the clean one.

.. [1] P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, Extracting and Composing Robust
   Features with Denoising Autoencoders, ICML 2008.
"""

# %%
# A fifth of the pixels of each image are lost or saturated. ``transform_max_iter=0``: the steps
# that improve a code would fit it to the noise.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.displays import ReconstructionDisplay

X = load_digits().data
X_train, X_test = train_test_split(X, random_state=0)

denoiser = DenoisingAutoencoderTransformer(
    16,
    corruption="salt_and_pepper",
    corruption_level=0.2,
    transform_max_iter=0,
    random_state=0,
).fit(X_train)

# %%
# The display corrupts held-out rows as training did, and shows what comes back. PCA with as many
# components keeps much of the noise: it has no idea of what is likely.
pca = PCA(16).fit(X_train)
display = ReconstructionDisplay.from_estimator(
    denoiser, X_test, n_rows=10, pca=pca, image_shape=(1, 8, 8)
)
display.figure_.set_size_inches(9, 4)

# %%
# In numbers: the mean squared error to the clean pixels, over all test images.
corrupted = denoiser.corrupt(X_test, random_state=1)
plain = AutoencoderTransformer(16, transform_max_iter=0, random_state=0).fit(X_train)
for name, rebuilt in {
    "nothing done": corrupted,
    "PCA": pca.inverse_transform(pca.transform(corrupted)),
    "autoencoder": plain.reconstruct(corrupted),
    "denoising autoencoder": denoiser.reconstruct(corrupted),
}.items():
    print(f"{name:>22}: {np.mean((rebuilt - X_test) ** 2):6.2f}")

# %%
plt.show()
