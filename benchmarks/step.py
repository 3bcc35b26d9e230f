"""Milliseconds of a training step of a small network: ours, a bare loop of torch, and skorch.

    python benchmarks/step.py [--epochs 20] [--repetitions 5]

64-128-8-128-64, batches of 128 rows, Adam, squared error; all in turn on the same rows and threads,
the median of the repetitions. A step is what one epoch more costs, divided by its batches: what a
fit does once is left out. The bare loop slices batches from one tensor; skorch is used as its
documentation shows it.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from peers import Curve, TrainingIsOverError, skorch, torch_loop
from report import print_versions

from sklearn_ae import AutoencoderTransformer

BATCHES = 100
BATCH_SIZE = 128
N_FEATURES = 64
HIDDEN, SIZE = [128], 8


class Epochs(Curve):
    """Ends a peer's training after so many epochs, and measures nothing."""

    def measure(self, rebuild: Callable) -> None:
        """Count the epoch."""
        self.points.append((time.perf_counter() - self.began, 0.0))
        if len(self.points) > self.seconds:
            raise TrainingIsOverError


def peer(train: Callable) -> Callable[[np.ndarray, int], float]:
    """Return what trains a peer, and gives the seconds of the epochs after the first."""

    def seconds(X: np.ndarray, n_epochs: int) -> float:
        epochs = Epochs(X, n_epochs)
        epochs.start()
        try:
            train(X, epochs, HIDDEN, SIZE)
        except TrainingIsOverError:
            pass
        return epochs.points[-1][0] - epochs.points[0][0]

    return seconds


def ours(init: str) -> Callable[[np.ndarray, int], float]:
    """Return what trains ours, and gives the seconds of the epochs after the first."""

    def seconds(X: np.ndarray, n_epochs: int) -> float:
        taken = []
        for max_iter in (1, n_epochs + 1):
            model = AutoencoderTransformer(
                SIZE,
                hidden_layer_sizes=HIDDEN,
                init=init,
                activation="relu",
                batch_size=BATCH_SIZE,
                early_stopping=False,
                n_iter_no_change=n_epochs + 1,
                max_iter=max_iter,
                random_state=0,
            )
            start = time.perf_counter()
            model.fit(X)
            taken.append(time.perf_counter() - start)
        return taken[1] - taken[0]

    return seconds


METHODS = {
    "bare loop": peer(torch_loop),
    "sklearn_ae, random": ours("random"),
    "sklearn_ae, PCA": ours("pca"),
    "skorch": peer(skorch),
}


def main() -> None:
    """Print the milliseconds, and how many times those of the bare loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    print_versions()
    generator = np.random.default_rng(0)
    X = generator.normal(size=(BATCHES * BATCH_SIZE, N_FEATURES)).astype(np.float32)
    for method in METHODS.values():
        method(X, 1)
    found = {name: [] for name in METHODS}
    for _ in range(args.repetitions):
        for name, method in METHODS.items():
            found[name].append(1e3 * method(X, args.epochs) / (args.epochs * BATCHES))
    bare = np.median(found["bare loop"])
    for name, values in found.items():
        print(
            f"{name:>18}: {np.median(values):.2f} ms a step ({min(values):.2f} to "
            f"{max(values):.2f}), {np.median(values) / bare:.2f} times the bare loop"
        )


if __name__ == "__main__":
    main()
