"""Linear support vector machines on frozen layers of stacked denoising autoencoders.

    python benchmarks/stacked_denoising.py DATA_DIR [--sets basic rot ...] [--seeds 3]

After table 5 of Vincent et al. (2010): three layers of 1,000 units are pretrained one after the
other without labels, as denoising autoencoders or (no noise) as plain ones, and nothing is
fine-tuned. The machine sees the raw pixels, PCA's codes, or the third layer. Its C is chosen on the
last sixth of the training images. The sets are rebuilt from the paper's recipes, so that its errors
(raw and third layer of denoising autoencoders) are approximate.
"""

import argparse
import time

import numpy as np
from report import mean_and_spread, print_versions
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC
from tables import import_loader

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.pretraining import StackedDenoisingPretraining

# Share of masked cells, and published errors in percent on raw pixels and on the third layer.
SETS = {
    "basic": (0.10, 7.32, 2.63),
    "rot": (0.25, 43.47, 10.00),
    "bg-rand": (0.40, 24.14, 11.32),
    "rectangles": (0.10, 29.04, 1.80),
    "convex": (0.10, 45.75, 18.06),
}
N_UNITS = 1_000
PENALTIES = (0.001, 0.01, 0.1)


def load_set(name: str, data_dir: str, n_test: int, seed: int) -> tuple:
    """Return training and test images with their labels."""
    make = import_loader(data_dir, "make_mnist_variants")
    if name == "rectangles":
        X, y = make.rectangles(1_200 + n_test, seed)
        return X[:1_200], y[:1_200], X[1_200:], y[1_200:]
    if name == "convex":
        X, y = make.convex(8_000 + n_test, seed)
        return X[:8_000], y[:8_000], X[8_000:], y[8_000:]
    return make.mnist_variant(name, 12_000, n_test, seed)


def svm_error(Z, y, Z_test, y_test) -> float:
    """Return the test error in percent of a linear machine, its C chosen on training rows."""
    scale = np.sqrt(Z.var(axis=0).mean())
    Z, Z_test = Z / scale, Z_test / scale
    n = len(Z) * 5 // 6
    machines = [LinearSVC(C=C, dual=False, tol=1e-3) for C in PENALTIES]
    scores = [machine.fit(Z[:n], y[:n]).score(Z[n:], y[n:]) for machine in machines]
    return 100 * (1 - machines[int(np.argmax(scores))].fit(Z, y).score(Z_test, y_test))


def third_layer(level: float, seed: int, n_epochs: int) -> AutoencoderTransformer:
    """Make the transformer that gives the third pretrained layer."""
    return AutoencoderTransformer(
        2,
        hidden_layer_sizes=(N_UNITS,) * 3,
        activation="logistic",
        init="random",
        loss="binary_log_loss",
        pretraining=StackedDenoisingPretraining(corruption_level=level, max_iter=n_epochs),
        code_layer=2,
        max_iter=0,
        early_stopping=False,
        random_state=seed,
    )


def main() -> None:
    """Run the sets, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py and make_mnist_variants.py")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500, help="of 128 images, a layer")
    parser.add_argument("--test-rows", type=int, default=10_000)
    args = parser.parse_args()
    print_versions()
    columns = ["raw", "PCA", "plain", "denoising", "paper, raw", "paper, third"]
    print(f"{'percent':>10}" + "".join(f" {name:>14}" for name in columns))
    for name in args.sets:
        level, *published = SETS[name]
        errors = []
        start = time.perf_counter()
        for seed in range(args.seeds):
            X, y, X_test, y_test = load_set(name, args.data_dir, args.test_rows, seed)
            n_epochs = -(-args.steps * 128 // len(X))
            reducers = [
                PCA(0.95, random_state=seed),
                third_layer(0.0, seed, n_epochs),
                third_layer(level, seed, n_epochs),
            ]
            codes = [(X, X_test)]
            codes += [(r.fit(X).transform(X), r.transform(X_test)) for r in reducers]
            errors.append([svm_error(Z, y, Z_test, y_test) for Z, Z_test in codes])
        cells = [*mean_and_spread(errors), *(f"{value:.2f}" for value in published)]
        seconds = time.perf_counter() - start
        print(
            f"{name:>10}" + "".join(f" {cell:>14}" for cell in cells) + f"   {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
