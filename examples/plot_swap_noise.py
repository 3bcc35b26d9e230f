"""
Swap noise on a table
=====================

In a table a cell is rarely white noise: it is wrong. Swap noise replaces cells by the same column's
value of another row, so that each value is possible, and only the others tell that it does not fit.
To rebuild the clean row, the network must learn how the columns depend on each other.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

X = load_breast_cancer().data
X_train, X_test = train_test_split(X, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

models = {
    "PCA": PCA(8),
    "autoencoder": AutoencoderTransformer(8, transform_max_iter=0, random_state=0),
    "denoising autoencoder": DenoisingAutoencoderTransformer(
        8, transform_max_iter=0, random_state=0
    ),
}
for model in models.values():
    model.fit(X_train)

# %%
# Test rows with more and more swapped cells, rebuilt from eight numbers each: those that the
# encoder gives. The steps by which ``transform`` improves a code would fit it to wrong cells too,
# and ``transform_max_iter=0`` leaves them out.
rng = np.random.RandomState(0)


def swapped(rows, level):
    """Replace a share of the cells by those of other rows."""
    others = np.stack([rng.permutation(column) for column in rows.T], axis=1)
    return np.where(rng.random_sample(rows.shape) < level, others, rows)


levels = np.linspace(0, 0.4, 9)
errors = {name: [] for name in models}
for level in levels:
    corrupted = [swapped(X_test, level) for _ in range(10)]
    for name, model in models.items():
        rebuilt = [model.inverse_transform(model.transform(rows)) for rows in corrupted]
        errors[name].append(np.mean([(rows - X_test) ** 2 for rows in rebuilt]))

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
styles = [("0.35", "s--"), ("#0072B2", "o-"), ("#D55E00", "^-.")]
for (name, values), (color, style) in zip(errors.items(), styles, strict=True):
    ax.plot(levels, values, style, color=color, label=name)
ax.axvline(0.15, color="0.7", linewidth=1, zorder=0)
ax.annotate("level in training", (0.15, ax.get_ylim()[1]), (4, -12), textcoords="offset points")
ax.set(
    xlabel="share of swapped cells",
    ylabel="squared error to the clean cells",
    title="Breast cancer table: 30 columns, 8 components",
)
ax.legend(frameon=False)

# %%
# On clean rows the noise in training costs a little; it pays from a few wrong cells in a hundred
# on, and the more of them, the more.
plt.show()
