"""
Replacing PCA in a script, line by line
=======================================

A script as it is often written around PCA: scale, keep 95 % of the variance, look at the spectrum
and at two components, classify, go back. Next to each line for PCA stands that for the autoencoder:
little but the class differs.
"""

# %%
# **The import.** ``max_iter=20`` keeps the example short; more epochs find more.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_ae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
scaler = MinMaxScaler().fit(X_train)
scaled, scaled_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# **The fit.** A share of the variance instead of a size: PCA's is that of the rows it is fitted to,
# ours that of rows that it holds out.
pca = PCA(0.95)
autoencoder = AutoencoderTransformer(0.95, max_iter=20, random_state=0)

pca_codes = pca.fit_transform(scaled)
codes = autoencoder.fit_transform(scaled)

print("PCA:        ", pca.n_components_, "components")
print("autoencoder:", autoencoder.n_components_, "components")

# %%
# **The scree plot.** What each component adds: of ours the first ones more, the later ones less.
# Ours is measured at some sizes, and interpolated between them.
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for reducer, style in [(pca, "s--"), (autoencoder, "o-")]:
    ratio = reducer.explained_variance_ratio_
    color = "0.35" if reducer is pca else "#0072B2"
    label = type(reducer).__name__
    ax.plot(range(1, len(ratio) + 1), ratio, style, color=color, markersize=4, label=label)
ax.set(xlabel="component", ylabel="explained_variance_ratio_", ylim=(0, None))
ax.legend(frameon=False)

# %%
# **Two components.** The first two columns of the codes. Of the autoencoder take those of
# ``truncated(2)``: they are fitted to do without the others.
plane = autoencoder.truncated(2).transform(scaled)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for ax, name, points in zip(axes, ["PCA", "autoencoder"], [pca_codes, plane], strict=True):
    points = ax.scatter(*points[:, :2].T, c=y_train, cmap="tab10", s=8, vmin=-0.5, vmax=9.5)
    ax.set(title=name, xticks=[], yticks=[])
figure.colorbar(points, ax=axes, label="digit", ticks=range(10))

# %%
# **The pipeline.** The rows are scaled, reduced and classified; the test rows are new to all three.
for reducer in (pca, autoencoder):
    pipeline = make_pipeline(MinMaxScaler(), reducer, LogisticRegression(max_iter=5000))
    accuracy = pipeline.fit(X_train, y_train).score(X_test, y_test)
    print(f"{type(reducer).__name__:>22}: accuracy {accuracy:.3f}")

# %%
# **The way back.** Both rebuild the test images about as well, ours from fewer numbers.
figure, axes = plt.subplots(3, 8, figsize=(9, 3.6), layout="constrained")
rows = {"original": X_test}
for reducer in (pca, autoencoder):
    rebuilt = reducer.inverse_transform(reducer.transform(scaled_test))
    rows[f"{type(reducer).__name__}, {reducer.n_components_}"] = scaler.inverse_transform(rebuilt)
    left = np.mean((rebuilt - scaled_test) ** 2) / np.mean((scaled_test - pca.mean_) ** 2)
    print(f"{type(reducer).__name__:>22}: {1 - left:.1%} of the variance of test rows")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.axis("off")
    line[0].set_title(name, loc="left", fontsize=9)

# %%
plt.show()
