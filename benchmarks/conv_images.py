"""Convolutional against dense networks on images, with codes of the same size and the same time.

    python benchmarks/conv_images.py DATA_DIR [--seconds 60] [--size 16] [--seeds 3]

For each set a quarter of at most 10,000 images is held out: squared error as a ratio to PCA's, and
error of the nearest neighbour in the training codes. Every network trains until it stops by itself
or the seconds are over, with one seed after the other. Fashion-MNIST is read from where Debian's
package dataset-fashion-mnist puts it.
"""

import argparse
import time

import numpy as np
from report import StopAfter, print_versions, warm_up
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from tables import load_images

from sklearn_ae import AutoencoderTransformer

SHAPES = {
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "olivetti": (1, 64, 64),
    "coil20": (1, 32, 32),
}
MAX_ROWS = 10_000


def main() -> None:
    """Run the sets, and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads the sets")
    parser.add_argument("--sets", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=16, help="numbers a code")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print_versions()
    warm_up()
    for name in args.sets:
        X, y = load_images(name, args.data_dir)
        kinds = {"dense": {}, "conv": {"encoder": "conv", "image_shape": SHAPES[name]}}
        found: dict[str, list] = {"PCA": [], **{kind: [] for kind in kinds}}
        for seed in range(args.seeds):
            rows = np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS]
            train, test = train_test_split(rows, test_size=0.25, random_state=seed)
            reducers = {"PCA": PCA(args.size, random_state=seed)}
            for kind, params in kinds.items():
                reducers[kind] = AutoencoderTransformer(
                    args.size, max_iter=1_000, random_state=seed, **params,
                    callbacks=[("stop", StopAfter(args.seconds))],
                )  # fmt: skip
            pca_error = None
            for kind, reducer in reducers.items():
                start = time.perf_counter()
                codes = reducer.fit_transform(X[train])
                seconds = time.perf_counter() - start
                Z = reducer.transform(X[test])
                error = np.square(X[test] - reducer.inverse_transform(Z), dtype=np.float64).sum()
                pca_error = pca_error or error
                wrong = 1 - KNeighborsClassifier(1).fit(codes, y[train]).score(Z, y[test])
                epochs = getattr(reducer, "n_iter_", 0)
                found[kind].append((error / pca_error, 100 * wrong, seconds, epochs))
        for kind, results in found.items():
            mean, spread = np.mean(results, axis=0), np.std(results, axis=0)
            print(
                f"{name:>9} {kind:>6}: error {mean[0]:.3f} ± {spread[0]:.3f} of PCA's, 1-NN "
                f"{mean[1]:5.2f} ± {spread[1]:.2f} %, {mean[2]:4.0f} s, {mean[3]:.0f} epochs",
                flush=True,
            )


if __name__ == "__main__":
    main()
