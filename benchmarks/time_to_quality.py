"""Seconds of training until held-out rows are rebuilt better than PCA rebuilds them.

    python benchmarks/time_to_quality.py DATA_DIR [--tasks "fashion_mnist 32" ...] [--figure PATH]
    python benchmarks/time_to_quality.py DATA_DIR --times 10

All methods train the same widths on the same rows, one after the other on the same threads. Ours is
a whole fit, from a call of `fit` to its return, with more and more epochs: its error is that of
`transform` and `inverse_transform`. Peers (peers.py) are measured after every epoch with the clock
stopped, and are asked for nothing else that a fit does. Imports and a first fit of few rows, which
loads what a process needs, are left out for all.

With `--times`, peers have so many times the seconds that our fit with default parameters took (its
widths are the same), and a second table has what they reach: the least held-out error, which only
one who measures it can stop at. `search_peers.py` compares searches over the size of the code.

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
from report import fit_seconds, median_and_range, print_versions, warm_up
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
ENVIRONMENTS = Path(__file__).parents[1] / ".venv-peers"
KERAS = ["keras==3.15.1", "tensorflow-cpu==2.21.0"]
# What a peer's environment needs; the others run in ours.
REQUIREMENTS = {
    "torch": [],
    "skorch": [],
    "MLPRegressor": [],
    "Keras": KERAS,
    "PyOD": ["pyod==3.6.7", TORCH, "tqdm"],
    "hypertools": ["hypertools==1.1.0", TORCH],
    "ParametricUMAP": ["umap-learn==0.5.12", *KERAS],
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


def default_fit(X, X_test, size: int) -> tuple[float, float]:
    """Fit with default parameters; return the seconds and the error."""
    warm_up()
    model = AutoencoderTransformer(size, random_state=0)
    start = time.perf_counter()
    model.fit(X)
    return time.perf_counter() - start, held_out_error(model, X_test)


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


def save_rows(X, X_test, folder: str) -> dict[str, str]:
    """Save the rows for peers; return the paths of a task."""
    paths = {key: f"{folder}/{key}.npy" for key in ("X_train", "X_test")}
    for path, rows in zip(paths.values(), (X, X_test), strict=True):
        np.save(path, rows)
    return {**paths, "curve": f"{folder}/curve.json"}


def peer_curve(method: str, folder: Path, task: dict) -> list[tuple[float, float]]:
    """Train a peer in a process of its environment; return seconds and errors, of a failure none.

    Parameters
    ----------
    method : str
        A key of REQUIREMENTS.
    folder : Path
        Where the environments are.
    task : dict
        What `save_rows` returns, and "size", "seconds" and "target".
    """
    path = Path(task["curve"]).with_name("task.json")
    path.write_text(json.dumps({**task, "hidden": HIDDEN}))
    try:
        python = python_of(method, folder)
        run([python, str(Path(__file__).with_name("peers.py")), method, str(path)])
    except subprocess.CalledProcessError as error:
        why = (error.stderr.strip() or "no message").splitlines()[-1]
        print(f"{method} failed: {why}", flush=True)
        return []
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
        cells = []
        for seconds, own in zip(medians, ours, strict=True):
            times = f" ({seconds / own:.1f} x)" if np.isfinite(own) else ""
            cells.append(f"{seconds:.2f}{times}" if np.isfinite(seconds) else "-")
        last = f"{runs[0][-1][1] / pca:.2f} at {runs[0][-1][0]:.0f} s"
        print(f"{method:>19}" + "".join(f"{cell:>18}" for cell in [*cells, last]), flush=True)


def print_reached(curves: dict[str, list], fits: list, pca: float, times: float) -> None:
    """Print the share of PCA's error that each peer reached in so many times our seconds."""
    seconds, errors = np.transpose(fits)
    print(f"least share of PCA's error within {times:g} times the seconds of our default fit")
    ours = f"{median_and_range(errors / pca)} in {median_and_range(seconds)} s"
    print(f"{'our default fit':>19}  {ours}")
    for method, runs in curves.items():
        if method in OURS:
            continue
        # One epoch may end after the limit. A run that failed has no curve.
        reached = [
            min((error for end, error in run if end <= times * own), default=np.nan) / pca
            for run, own in zip(runs, seconds, strict=False)
        ]
        print(f"{method:>19}  {median_and_range(reached)}", flush=True)


def draw(tasks: dict[str, tuple[dict, float]], path: str) -> None:
    """Draw the held-out errors of the first repetition against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams["font.size"] = 11
    n_columns = min(len(tasks), 3)
    n_rows = -(-len(tasks) // n_columns)
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(max(3.5 * n_columns, 6) + 2.5, max(3.4 * n_rows, 4)),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for ax, (name, (curves, pca)) in zip(axes.flat, tasks.items(), strict=False):
        for i, (method, runs) in enumerate(curves.items()):
            seconds, errors = np.transpose(runs[0])
            ours = method in OURS
            ax.plot(
                seconds,
                errors / pca,
                "-" if ours else ("-", "--", "-.", ":")[i % 4],
                marker="o",
                markevery=[-1],  # the end, all there is of a peer whose first epoch is its last
                label=method,
                lw=2.8 if ours else 1.6,
                zorder=2 + ours,
            )
        ax.axhline(1, color="0.5", lw=1)
        ax.set(xscale="log", title=name, ylim=(0, 2))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
    for ax in axes.flat[len(tasks) :]:
        ax.remove()
    figure.supxlabel("seconds")
    figure.supylabel("held-out error, of PCA's")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, handlelength=3.5)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Train the methods on the tasks, and print what took how long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--peers", nargs="*", choices=REQUIREMENTS, default=list(REQUIREMENTS))
    parser.add_argument("--seconds", type=float, default=30, help="of training, each")
    parser.add_argument("--times", type=float, help="peers: of our default fit's, instead")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="folder for peers")
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
        fits = []
        with tempfile.TemporaryDirectory() as folder:
            task = {**save_rows(X, X_test, folder), "size": int(size), "target": 0}
            for _ in range(args.repetitions):
                task["seconds"] = args.seconds
                if args.times:
                    fits.append(default_fit(X, X_test, int(size)))
                    task["seconds"] = args.times * fits[-1][0]
                for method, init in OURS.items():
                    points = our_curve(X, X_test, int(size), init, args.seconds)
                    curves.setdefault(method, []).append(points)
                for method in args.peers:
                    if points := peer_curve(method, args.environments, task):
                        curves.setdefault(method, []).append(points)
        error = held_out_error(pca, X_test)
        print_task(name, curves, error, pca_seconds)
        if args.times:
            print_reached(curves, fits, error, args.times)
        drawn[name] = curves, error
    if args.figure:
        draw(drawn, args.figure)


if __name__ == "__main__":
    main()
