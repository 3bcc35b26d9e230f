"""The deep autoencoders of Hinton and Salakhutdinov (2006), from each of the starts.

    python benchmarks/deep_autoencoder.py DATA_DIR [--data mnist] [--minutes 10] [--figure PATH]

Their sizes of networks, and their error: the squared error summed over the pixels of a test image,
mean over the test images. The weights of a fit are chosen on a tenth of the training images; the
test images only measure, after every epoch, with the clock stopped. CURVES is drawn by a surrogate
of their recipe, and FACES is cut out of the Olivetti faces by theirs.
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from report import StopAfter, print_versions, warm_up
from sklearn.decomposition import PCA
from skorch.callbacks import LRScheduler
from tables import import_loader

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining


class Task(NamedTuple):
    """Sizes of the hidden layers and of the code, published errors, values in [0, 1] or not."""

    hidden: tuple[int, ...]
    size: int
    published: float
    published_pca: str
    binary: bool


TASKS = {
    "mnist": Task((1000, 500, 250), 30, 3.00, "13.87", True),
    "curves": Task((400, 200, 100, 50, 25), 6, 1.44, "5.90 with 18 components", True),
    "faces": Task((2000, 1000, 500), 30, 126, "135", False),
}


def load_images(name: str, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test images."""
    if name == "mnist":
        data = import_loader(data_dir).load("mnist")
        return tuple(np.asarray(data[key], np.float32) / 255 for key in ("X", "X_test"))
    if name == "faces":
        return import_loader(data_dir, "make_faces").faces(40_000, 10_000)
    images, _ = import_loader(data_dir, "make_curves").curves(30_000)
    return images[:20_000], images[20_000:]


def starts(task: Task, epochs: int) -> dict[str, dict]:
    """Return the parameters of each start."""
    logistic: dict[str, Any] = {"init": "random", "activation": "logistic"}
    if task.binary:
        logistic["loss"] = "binary_log_loss"
    return {
        "PCA": {},
        "random": {"init": "random"},
        "random, logistic units": logistic,
        "RBM, logistic units": logistic | {"pretraining": RBMPretraining(max_iter=epochs)},
    }


def image_error(X: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return the squared error summed over the pixels, mean over the images."""
    return float(np.square(X - rebuilt, dtype=np.float64).sum(axis=1).mean())


class Curve(StopAfter):
    """Measures test images after every epoch, and stops training when the time is up.

    Parameters
    ----------
    seconds : float
        How long the fit may take from now on, measurements not counted.
    X : ndarray of shape (n_images, n_pixels)
        Test images, centred and scaled as the network sees them.
    scale : float
        What they have been divided by.
    """

    def __init__(self, seconds: float, X: np.ndarray, scale: float):
        super().__init__(seconds)
        self.X = torch.from_numpy(X)
        self.scale = scale
        self.began = time.perf_counter()
        self.points: list[tuple[float, float]] = []

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Let the clock run on: what came before training counts."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Measure, with the clock stopped."""
        stopped = time.perf_counter()
        net.module_.eval()
        with torch.inference_mode():
            error = sum(
                float((net.module_(block) - block).square().sum()) for block in self.X.split(2_000)
            )
        self.points.append((stopped - self.began, error * self.scale**2 / len(self.X)))
        self.began += time.perf_counter() - stopped
        super().on_epoch_end(net)


def draw(name: str, curves: dict[str, tuple[list, float]], pca_error: float, path: str) -> None:
    """Draw the test errors against time, and what refined codes make of the last weights."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    task = TASKS[name]
    figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for start, (points, refined) in curves.items():
        (line,) = ax.plot(*zip(*points, strict=True), label=f"started: {start}")
        ax.plot(points[-1][0], refined, "o", color=line.get_color())
    ax.plot([], [], "o", color="0.3", label="the same, codes refined")
    ax.axhline(pca_error, color="0.6", linestyle=":", label="PCA")
    ax.axhline(task.published, color="0.3", linestyle="--", label="Hinton, Salakhutdinov (2006)")
    ax.set(xlabel="seconds", ylabel="squared error of a test image", yscale="log")
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(ScalarFormatter())
    widths = "-".join(map(str, (*task.hidden, task.size)))
    ax.set_title(f"{name.upper()} in {task.size} numbers, {widths}")
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train from every start, and print what the test images say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py, make_curves.py and make_faces.py")
    parser.add_argument("--data", choices=TASKS, default="mnist")
    parser.add_argument("--minutes", type=float, default=30, help="longest fit")
    parser.add_argument("--epochs", type=int, default=150, help="over which the rate falls to 0")
    parser.add_argument("--pretraining-epochs", type=int, default=5, help="a layer")
    parser.add_argument("--starts", nargs="+", help="names of starts; all without")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="that refine a code")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure")
    args = parser.parse_args()
    print_versions()
    warm_up()
    task = TASKS[args.data]
    X, X_test = load_images(args.data, args.data_dir)
    pca = PCA(task.size, random_state=args.seed).fit(X)
    pca_error = image_error(X_test, pca.inverse_transform(pca.transform(X_test)))
    print(
        f"{args.data}, {len(X):,} and {len(X_test):,} images: PCA {pca_error:.2f}; published "
        f"autoencoder {task.published:.2f}, PCA {task.published_pca}"
    )
    mean = X.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.mean((X - mean) ** 2)))
    scaled = ((X_test - mean) / scale).astype(np.float32)
    curves = {}
    for name, params in starts(task, args.pretraining_epochs).items():
        if args.starts and name not in args.starts:
            continue
        curve = Curve(60 * args.minutes, scaled, scale)
        rate = LRScheduler("CosineAnnealingLR", T_max=args.epochs)
        model = AutoencoderTransformer(
            task.size,
            hidden_layer_sizes=task.hidden,
            learning_rate_init=args.learning_rate,
            batch_size=args.batch_size,
            max_iter=args.epochs,
            n_iter_no_change=args.epochs,
            transform_max_iter=args.steps,
            callbacks=[("curve", curve), ("rate", rate)],
            random_state=args.seed,
            **params,
        ).fit(X)
        points = dict(model.net_.callbacks_)["curve"].points
        codes = model.transform(X_test)
        network = model.net_.module_.eval()
        with torch.inference_mode():
            rebuilt = network(torch.from_numpy(scaled)).numpy() * scale + mean
        error = image_error(X_test, model.inverse_transform(codes))
        curves[name] = points, error
        print(
            f"start {name}: {error:.2f}, with the encoder's own codes "
            f"{image_error(X_test, rebuilt):.2f}; {model.n_iter_} epochs in {points[-1][0]:.0f} s, "
            f"best {model.best_iter_}",
            flush=True,
        )
    if args.figure:
        draw(args.data, curves, pca_error, args.figure)


if __name__ == "__main__":
    main()
