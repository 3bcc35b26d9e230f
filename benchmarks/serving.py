"""Latency and rows a second of a fitted model: PCA, the bare encoder, and ours.

    python benchmarks/serving.py [--rows 100000] [--components 8]

scikit-learn's digits (64 columns), fitted with default parameters; for many rows they are repeated.
For one row, a thousand and many, in float32 and float64: `PCA.transform`, the encoder alone,
`transform` without its steps and with them, and `inverse_transform` beside the bare decoder. All in
turn, medians of the repetitions, one thread. The error is that of rebuilding the rows, to PCA's.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from report import print_versions
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

REPETITIONS = 7
# So many calls of a single row are timed together.
CALLS = 50


def bare(module: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """Return what runs rows through a module, as torch users do."""

    def run(X: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(X)).numpy()

    return run


def seconds(calls: dict[str, tuple[Callable, np.ndarray]], n_calls: int) -> dict[str, float]:
    """Return the median seconds of one call of each on its rows, timed in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPETITIONS):
        for name, (call, X) in calls.items():
            start = time.perf_counter()
            for _ in range(n_calls):
                call(X)
            found[name].append((time.perf_counter() - start) / n_calls)
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    """Fit once, and print seconds and ratios for each number of rows and each precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--components", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print_versions()
    X, _ = load_digits(return_X_y=True)
    model = AutoencoderTransformer(args.components, random_state=0).fit(X)
    unrefined = clone(model).set_params(transform_max_iter=0).fit(X)
    print(f"{'rows':>7} {'precision':>9} {'what':>24} {'ms':>9} {'rows/s':>11} {'to bare':>8}")
    for dtype in (np.float64, np.float32):
        pca = PCA(args.components).fit(X.astype(dtype))
        # Both in the units of the network, so that centring is no part of it.
        network = unrefined.net_.module_.to(torch.from_numpy(X[:1].astype(dtype)).dtype)
        for n_rows in (1, 1_000, args.rows):
            rows = np.resize(X, (n_rows, X.shape[1])).astype(dtype)
            codes = model.transform(rows)
            calls = {
                "PCA.transform": (pca.transform, rows),
                "bare encoder": (bare(network.encoder), rows),
                "transform, 0 steps": (unrefined.transform, rows),
                "transform": (model.transform, rows),
                "bare decoder": (bare(network.decoder), codes),
                "inverse_transform": (model.inverse_transform, codes),
            }
            found = seconds(calls, CALLS if n_rows == 1 else 1)
            for name, value in found.items():
                to = found["bare decoder" if calls[name][1] is codes else "bare encoder"]
                print(
                    f"{n_rows:>7} {np.dtype(dtype).name:>9} {name:>24} {1e3 * value:9.3f} "
                    f"{n_rows / value:11,.0f} {value / to:8.2f}"
                )
        errors = {
            name: np.sum((X - fitted.inverse_transform(fitted.transform(X.astype(dtype)))) ** 2)
            for name, fitted in (("PCA", pca), ("0 steps", unrefined), ("ours", model))
        }
        print(
            f"error to PCA's, {np.dtype(dtype).name}: "
            + ", ".join(f"{name} {value / errors['PCA']:.4f}" for name, value in errors.items())
        )


if __name__ == "__main__":
    main()
