"""
A network of your own
=====================

``encoder`` and ``decoder`` take any torch module, or a callable that makes one. With ``init="pca"``
it is the correction to PCA: it starts at zero and has to show on held-out rows that it helps.
"""

# %%
# Spectra: three peaks that move, with noise. A shift is the least linear of all changes.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ReconstructionDisplay

rng = np.random.default_rng(0)
grid = np.linspace(0, 1, 96)
centres = np.array([0.2, 0.5, 0.8]) + rng.uniform(-0.1, 0.1, size=(2000, 3))
peaks = np.exp(-(((grid - centres[:, :, None]) / 0.03) ** 2) / 2).sum(axis=1)
X = peaks + 0.05 * rng.normal(size=peaks.shape)
X_train, X_test, _, clean = train_test_split(X, peaks, random_state=0)


# %%
# An encoder with convolutions over the spectrum, and no mirror image as decoder: that stays dense.
def make_encoder(n_inputs, n_outputs):
    """Return a module from rows of `n_inputs` numbers to codes of `n_outputs`."""
    return nn.Sequential(
        nn.Unflatten(1, (1, n_inputs)),
        nn.Conv1d(1, 16, 9, stride=2, padding=4),
        nn.GELU(),
        nn.Conv1d(16, 32, 9, stride=2, padding=4),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(32 * (n_inputs // 4), n_outputs),
    )


model = AutoencoderTransformer(3, encoder=make_encoder, decoder="dense", random_state=0)
model.fit(X_train)
print(f"held-out variance explained: PCA {model.pca_score_:.3f}, ours {model.score_:.3f}")

# %%
# Three numbers are enough for three peaks. What is left is the noise.
display = ReconstructionDisplay.from_estimator(model, X_test, n_rows=4)
display.figure_.set_size_inches(9, 5)
noise = np.mean((X_test - clean) ** 2)
left = np.mean((X_test - model.reconstruct(X_test)) ** 2)
print(f"mean square: noise {noise:.4f}, left by the reconstruction {left:.4f}")

# %%
plt.show()
