"""Seconds of training until held-out rows are rebuilt better than PCA rebuilds them.

    python benchmarks/time_to_quality.py DATA_DIR [--tasks "fashion_mnist 32" ...] [--figure PATH]

All methods train the same widths on the same rows, one after the other on the same threads. Ours is
a whole fit, from a call of `fit` to its return, with more and more epochs: its error is that of
`transform` and `inverse_transform`. Peers (peers.py) are measured after every epoch with the clock
stopped, and are asked for nothing else that a fit does. Imports and a first fit of few rows, which
loads what a process needs, are left out for all.

Peers that are no dependencies of sklearn_ae are installed from PyPI, each into an environment of
its own below --environments. One that cannot be installed or fails is reported.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from report import fit_seconds, print_versions
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from tables import import_loader, load_images

from sklearn_ae import AutoencoderTransformer

HIDDEN = [256, 256]
MOST_ROWS = 20_000
# Of PCA's held-out error.
RATIOS = (1.0, 0.9, 0.8, 0.7)
# A fit of so many epochs each, until one takes too long.
EPOCHS = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 28, 40, 56, 80, 100)
TORCH = "torch==" + version("torch").split("+")[0]
# What a peer's environment needs; the others run in ours.
REQUIREMENTS = {
    "torch": [],
    "skorch": [],
    "MLPRegressor": [],
    "Keras": ["keras", "tensorflow-cpu"],
    "PyOD": ["pyod", TORCH, "tqdm"],
    "hypertools": ["hypertools", TORCH],
    "ParametricUMAP": ["umap-learn", "keras", "tensorflow-cpu"],
}
OURS = {"sklearn_ae": "pca", "sklearn_ae, random": "random"}
TASKS = (
    "fashion_mnist 32",
    "fashion_mnist 8",
    "mnist 30",
    "letter 8",
    "uci_protein 2",
    "cal_housing 2",
    "digits 8",
)


def load_rows(name: str, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on, at most 20,000, and a quarter as many to hold out, as float32."""
    if name in ("mnist", "fashion_mnist"):
        X, _ = load_images(name, data_dir)
    elif name == "digits":
        X = load_digits().data / 16
    else:
        X = import_loader(data_dir).load(name)["X"]
        X = (X.select_dtypes("number") if hasattr(X, "columns") else X).astype(float)
        X = np.asarray(X)[:, np.isfinite(np.asarray(X)).all(axis=0)]
    rows = np.random.default_rng(0).permutation(len(X))[: MOST_ROWS * 5 // 4]
    train, test = np.split(rows, [len(rows) * 4 // 5])
    scale = StandardScaler().fit(X[train]).transform if np.abs(X).max() > 1 else np.asarray
    return tuple(np.ascontiguousarray(scale(X[part]), np.float32) for part in (train, test))


def held_out_error(estimator, X_test: np.ndarray) -> float:
    """Return the squared error of the reconstruction, summed over the cells."""
    rebuilt = estimator.inverse_transform(estimator.transform(X_test))
    return float(np.square(X_test - rebuilt, dtype=np.float64).sum())


def our_curve(X, X_test, size: int, init: str, seconds: float) -> list[tuple[float, float]]:
    """Fit with more and more epochs; return seconds and errors."""
    AutoencoderTransformer(size, hidden_layer_sizes=HIDDEN, init=init, max_iter=1).fit(X[:1_000])
    points: list[tuple[float, float]] = []
    for max_iter in EPOCHS[init == "random" :]:
        model = AutoencoderTransformer(
            size, hidden_layer_sizes=HIDDEN, init=init, max_iter=max_iter, random_state=0
        )
        start = time.perf_counter()
        model.fit(X)
        points.append((time.perf_counter() - start, held_out_error(model, X_test)))
        if points[-1][0] > seconds or model.n_iter_ < max_iter:
            break
    return points


@functools.cache
def python_of(method: str, folder: Path) -> str:
    """Return the interpreter of a peer's environment, which is made where there is none.

    Raises
    ------
    subprocess.CalledProcessError
        If a requirement cannot be installed.
    """
    requirements = REQUIREMENTS[method]
    if not requirements:
        return sys.executable
    python, stamp = folder / method / "bin" / "python", folder / method / ".installed"
    if not stamp.exists():
        run([sys.executable, "-m", "venv", str(folder / method)])
        run([str(python), "-m", "pip", "install", "-q", *requirements])
        stamp.touch()
    return str(python)


def run(command: list[str]) -> None:
    """Run a command, and keep what it says for its error."""
    subprocess.run(command, check=True, capture_output=True, text=True)


def peer_curve(method: str, folder: Path, task: dict) -> list[tuple[float, float]]:
    """Train a peer in a process of its environment; return seconds and errors."""
    path = Path(task["curve"]).with_name("task.json")
    path.write_text(json.dumps(task))
    run([python_of(method, folder), str(Path(__file__).with_name("peers.py")), method, str(path)])
    return json.loads(Path(task["curve"]).read_text())


def seconds_to(points: list[tuple[float, float]], error: float) -> float:
    """Return when an error was reached first, infinity where never."""
    return min((seconds for seconds, found in points if found <= error), default=np.inf)


def print_task(name: str, curves: dict[str, list], pca: float, pca_seconds: float) -> None:
    """Print the median seconds to each share of PCA's error, and how many times ours they are."""
    print(f"\n{name}: PCA {pca_seconds:.2f} s; median seconds to a share of PCA's error")
    print(f"{'':>19}" + "".join(f"{ratio:>18.1f}" for ratio in RATIOS) + f"{'last':>18}")
    ours: list[float] = []
    for method, runs in curves.items():
        medians = [float(np.median([seconds_to(r, x * pca) for r in runs])) for x in RATIOS]
        ours = ours or medians
        cells = [
            f"{seconds:.2f} ({seconds / own:.1f} x)" if np.isfinite(seconds) else "-"
            for seconds, own in zip(medians, ours, strict=True)
        ]
        last = f"{runs[0][-1][1] / pca:.2f} at {runs[0][-1][0]:.0f} s"
        print(f"{method:>19}" + "".join(f"{cell:>18}" for cell in [*cells, last]), flush=True)


def draw(tasks: dict[str, tuple[dict, float]], path: str) -> None:
    """Draw the held-out errors of the first repetition against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(tasks), figsize=(4.5 * len(tasks) + 2, 4), layout="constrained", squeeze=False
    )
    for ax, (name, (curves, pca)) in zip(axes[0], tasks.items(), strict=True):
        for method, runs in curves.items():
            seconds, errors = np.transpose(runs[0])
            ours = method in OURS
            ax.plot(seconds, errors / pca, label=method, lw=2.5 if ours else 1.2, zorder=2 + ours)
        ax.axhline(1, color="0.5", linestyle=":")
        ax.set(xscale="log", xlabel="seconds", title=name, ylim=(0, 2))
    axes[0][0].set_ylabel("held-out error, of PCA's")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train the methods on the tasks, and print what took how long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--peers", nargs="*", choices=REQUIREMENTS, default=list(REQUIREMENTS))
    parser.add_argument("--seconds", type=float, default=30, help="of training, each")
    parser.add_argument("--repetitions", type=int, default=3)
    default = Path(__file__).parents[1] / ".venv-peers"
    parser.add_argument("--environments", type=Path, default=default, help="folder for peers")
    parser.add_argument("--figure")
    args = parser.parse_args()
    print_versions()
    drawn = {}
    for name in args.tasks:
        data, size = name.split()
        X, X_test = load_rows(data, args.data_dir)
        pca = PCA(int(size), svd_solver="randomized", random_state=0)
        pca_seconds = fit_seconds(pca, X)
        curves: dict[str, list] = {}
        with tempfile.TemporaryDirectory() as folder:
            task = {"size": int(size), "hidden": HIDDEN, "seconds": args.seconds}
            for key, value in (("X_train", X), ("X_test", X_test)):
                task[key] = f"{folder}/{key}.npy"
                np.save(task[key], value)
            task["curve"] = f"{folder}/curve.json"
            for _ in range(args.repetitions):
                for method, init in OURS.items():
                    points = our_curve(X, X_test, int(size), init, args.seconds)
                    curves.setdefault(method, []).append(points)
                for method in args.peers:
                    try:
                        points = peer_curve(method, args.environments, task)
                    except subprocess.CalledProcessError as error:
                        why = (error.stderr.strip() or "no message").splitlines()[-1]
                        print(f"{name}, {method}: failed: {why}", flush=True)
                        continue
                    curves.setdefault(method, []).append(points)
        error = held_out_error(pca, X_test)
        print_task(name, curves, error, pca_seconds)
        drawn[name] = curves, error
    if args.figure:
        draw(drawn, args.figure)


if __name__ == "__main__":
    main()
