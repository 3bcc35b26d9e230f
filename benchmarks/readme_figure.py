"""Draw the figure of the README: digits in two dimensions, by PCA and by the autoencoder.

    python benchmarks/readme_figure.py docs/digits.png

Everything in the titles is measured on the held-out rows, which are also the rows that are drawn.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from report import print_versions
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer


def main() -> None:
    """Fit the three reducers and draw their codes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    args = parser.parse_args()
    print_versions()
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    mean = X_train.mean(axis=0)
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    reducers = {
        "PCA": PCA(2),
        "AutoencoderTransformer": AutoencoderTransformer(2, random_state=0),
        "DenoisingAutoencoderTransformer": DenoisingAutoencoderTransformer(2, random_state=0),
    }
    for ax, (name, reducer) in zip(axes, reducers.items(), strict=True):
        reducer.fit(X_train)
        codes = reducer.transform(X_test)
        left = ((X_test - reducer.inverse_transform(codes)) ** 2).sum()
        explained = 1 - left / ((X_test - mean) ** 2).sum()
        neighbours = KNeighborsClassifier(5).fit(reducer.transform(X_train), y_train)
        accuracy = neighbours.score(codes, y_test)
        title = f"{name}(2)\n{explained:.0%} of variance, 5-NN accuracy {accuracy:.0%}"
        print(title.replace("\n", ": "))
        ax.set_title(title, fontsize=11)
        points = ax.scatter(*codes.T, c=y_test, cmap="tab10", s=14, vmin=-0.5, vmax=9.5)
        ax.set(xticks=[], yticks=[])
    figure.colorbar(points, ax=axes, ticks=range(10), label="digit", pad=0.01)
    figure.savefig(args.path, dpi=110, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
