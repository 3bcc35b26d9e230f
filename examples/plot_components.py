"""
What each number of a code does
===============================

Along a component of PCA an image changes by more and more of one and the same picture. A number of
an autoencoder's code is no straight line: what it does depends on where it stands.
:class:`~sklearn_ae.displays.ComponentsDisplay` walks along each number and decodes on the way.
"""

# %%
# Digits in three numbers. Each row of images moves one of them from two standard deviations below
# the mean code to two above, and holds the others.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ComponentsDisplay

X = load_digits().data
autoencoder = AutoencoderTransformer(3, max_iter=10, random_state=0).fit(X)
display = ComponentsDisplay.from_estimator(autoencoder, X, n_steps=7, image_shape=(1, 8, 8))
display.ax_.set_title("autoencoder")

# %%
# The same of PCA, whose codes have mean 0: a display draws any decoded rows.
pca = PCA(3, random_state=0).fit(X)
walks = display.steps[:, None] * np.diag(np.sqrt(pca.explained_variance_))[:, None]
display_of_pca = ComponentsDisplay(
    display.components,
    display.steps,
    pca.inverse_transform(walks.reshape(-1, 3)).reshape(3, 7, -1),
    image_shape=display.image_shape,
    value_range=display.value_range,
).plot()
display_of_pca.ax_.set_title("PCA")

# %%
# In numbers: does the second half of a walk go where the first half went? The cosine between the
# two is 1 for PCA, whose walks are straight, and lower where they bend.
for name, shown in {"PCA": display_of_pca, "autoencoder": display}.items():
    before = shown.decoded[:, 3] - shown.decoded[:, 0]
    after = shown.decoded[:, 6] - shown.decoded[:, 3]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    print(f"{name:>12}:", ((before * after).sum(axis=1) / norms).round(2))

# %%
# Of a table with few columns it draws values beside their names, light at the low end of a walk and
# dark at the high end.
wine = load_wine(as_frame=True).data
wine = StandardScaler().set_output(transform="pandas").fit_transform(wine)
autoencoder = AutoencoderTransformer(3, max_iter=10, random_state=0).fit(wine)
ComponentsDisplay.from_estimator(autoencoder, wine)

# %%
plt.show()
