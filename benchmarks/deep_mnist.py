"""The deep autoencoder of Hinton and Salakhutdinov (2006) on MNIST, from each of its starts.

    python benchmarks/deep_mnist.py DATA_DIR [--minutes 30] [--starts NAME ...] [--figure PATH]

The network is 784-1000-500-250-30 and its mirror image. The error is the squared error summed over
the pixels of a test image, mean over the 10,000 images; pixels lie in [0, 1]. Published: 3.00, and
13.87 for PCA. The weights of a fit are chosen on a tenth of the 60,000 training images; the test
images only measure, after every epoch, with the clock stopped.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from report import print_versions, warm_up
from sklearn.decomposition import PCA
from skorch.callbacks import Callback
from tables import import_loader

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining

LOGISTIC = {"init": "random", "activation": "logistic", "loss": "binary_log_loss"}
STARTS: dict[str, dict] = {
    "PCA": {},
    "random": {"init": "random"},
    "random, logistic units": LOGISTIC,
    "RBM, logistic units": LOGISTIC | {"pretraining": RBMPretraining(max_iter=5)},
}
PUBLISHED = 3.00


def image_error(X: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return the squared error summed over the pixels, mean over the images."""
    return float(np.square(X - rebuilt, dtype=np.float64).sum(axis=1).mean())


class Curve(Callback):
    """Measures test images after every epoch, and stops training when the time is up.

    Parameters
    ----------
    X : ndarray of shape (n_images, n_pixels)
        Test images, centred and scaled as the network sees them.
    scale : float
        What they have been divided by.
    seconds : float
        How long the fit may take, measurements not counted.
    """

    def __init__(self, X: np.ndarray, scale: float, seconds: float):
        self.X = torch.from_numpy(X)
        self.scale = scale
        self.seconds = seconds
        self.began = time.perf_counter()
        self.points: list[tuple[float, float]] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Measure, with the clock stopped."""
        stopped = time.perf_counter()
        seconds = stopped - self.began
        net.module_.eval()
        with torch.inference_mode():
            error = sum(
                float((net.module_(block) - block).square().sum()) for block in self.X.split(2_000)
            )
        self.points.append((seconds, error * self.scale**2 / len(self.X)))
        self.began += time.perf_counter() - stopped
        if seconds > self.seconds:
            raise KeyboardInterrupt


def draw(curves: dict[str, list], pca_error: float, path: str) -> None:
    """Draw the test errors against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in curves.items():
        ax.plot(*zip(*points, strict=True), label=name)
    ax.axhline(pca_error, color="0.6", linestyle=":", label="PCA")
    ax.axhline(PUBLISHED, color="0.3", linestyle="--", label="Hinton and Salakhutdinov (2006)")
    ax.set(xlabel="seconds", ylabel="squared error of a test image", yscale="log")
    ax.set_title("MNIST in 30 numbers, 784-1000-500-250-30")
    ax.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train from every start, and print what the test images say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads mnist")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure")
    args = parser.parse_args()
    print_versions()
    warm_up()
    data = import_loader(args.data_dir).load("mnist")
    X, X_test = (np.asarray(data[key], np.float32) / 255 for key in ("X", "X_test"))
    X = X[: args.rows]
    pca = PCA(30, random_state=args.seed).fit(X)
    pca_error = image_error(X_test, pca.inverse_transform(pca.transform(X_test)))
    print(f"PCA: {pca_error:.2f}")
    mean = X.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((X - mean) ** 2)))
    scaled = ((X_test - mean) / scale).astype(np.float32)
    curves = {}
    for name in args.starts:
        model = AutoencoderTransformer(
            30,
            hidden_layer_sizes=(1000, 500, 250),
            learning_rate_init=args.learning_rate,
            batch_size=args.batch_size,
            max_iter=10_000,
            callbacks=[("curve", Curve(scaled, scale, 60 * args.minutes))],
            random_state=args.seed,
            **STARTS[name],
        ).fit(X)
        curve = dict(model.net_.callbacks_)["curve"]
        curves[name] = curve.points
        codes = model.transform(X_test)
        plain = model.net_.module_.eval()
        with torch.inference_mode():
            rebuilt = plain(torch.from_numpy(scaled)).numpy() * scale + mean
        print(
            f"start {name}: {image_error(X_test, model.inverse_transform(codes)):.2f}, with the "
            f"encoder's own codes {image_error(X_test, rebuilt):.2f}; {model.n_iter_} epochs in "
            f"{curve.points[-1][0]:.0f} s, best {model.best_iter_}",
            flush=True,
        )
    if args.figure:
        draw(curves, pca_error, args.figure)


if __name__ == "__main__":
    main()
