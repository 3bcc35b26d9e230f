"""Seconds of a search over the size of the code, ours and peers'.

    python benchmarks/search_peers.py DATA_DIR [--sets digits ...] [--peers torch ...]

Sizes are 2, 4, 8, 16 and 32, as far as they are below three quarters of the columns. Ours trains
the largest once, in default parameters with `max_components` and an empty `memory`, and fits each
size from there: its seconds are those of all these fits. A peer, of the same widths, is trained for
each size, until held-out rows are rebuilt as well as ours of that size rebuilds them; or, so that
the search ends, for ten times the seconds of our whole search, shared out evenly among the sizes,
and at least one epoch. It is told when to stop by rows that a user does not have, and the clock
stands still meanwhile.

Seconds and errors are medians of the repetitions, in turn on the same threads; errors are those
where each ended, as shares of the error of PCA of the same size. `time_to_quality.py` says what
peers are and where they are installed.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from report import median_and_range, print_versions, warm_up
from sklearn.decomposition import PCA
from time_to_quality import (
    ENVIRONMENTS,
    REQUIREMENTS,
    TASKS,
    held_out_error,
    load_rows,
    peer_curve,
    save_rows,
)

from sklearn_ae import AutoencoderTransformer

SIZES = (2, 4, 8, 16, 32)
SETS = list(dict.fromkeys(task.split()[0] for task in TASKS))
# What a peer's search may take, of our seconds.
TIMES = 10


def our_search(X, X_test, sizes: list[int]) -> tuple[float, list[float]]:
    """Fit every size from one training; return the seconds and the errors."""
    warm_up()
    with tempfile.TemporaryDirectory() as memory:
        models = [
            AutoencoderTransformer(size, max_components=max(sizes), memory=memory, random_state=0)
            for size in sizes
        ]
        start = time.perf_counter()
        for model in models:
            model.fit(X)
        seconds = time.perf_counter() - start
    return seconds, [held_out_error(model, X_test) for model in models]


def peer_search(
    method: str, environments: Path, task: dict, sizes: list[int], targets: list[float]
) -> tuple[float, list[float]] | None:
    """Train a peer for each size; return the seconds and the errors, or None where it failed."""
    ends = []
    for size, target in zip(sizes, targets, strict=True):
        points = peer_curve(method, environments, {**task, "size": size, "target": target})
        if not points:
            return None
        ends.append(points[-1])
    seconds, errors = zip(*ends, strict=True)
    return sum(seconds), list(errors)


def print_set(name: str, found: dict[str, list], sizes: list[int], pca: list[float]) -> None:
    """Print seconds, how many times ours, at how many sizes ours was reached, and the errors."""
    print(
        f"\n{name:<19}{'seconds':>26}{'times ours':>12}{'reached':>9}  "
        + "".join(f"{size:>7}" for size in sizes)
    )
    ours = found["sklearn_ae"]
    for method, runs in found.items():
        seconds = [run[0] for run in runs]
        times = np.median(seconds) / np.median([run[0] for run in ours])
        errors = np.median([run[1] for run in runs], axis=0)
        n_reached = sum(errors <= np.median([run[1] for run in ours], axis=0))
        reached = f"{n_reached} of {len(sizes)}"
        print(
            f"{method:<19}{median_and_range(seconds, 1):>26}{times:>12.1f}{reached:>9}  "
            + "".join(f"{ratio:>7.3f}" for ratio in errors / pca),
            flush=True,
        )


def main() -> None:
    """Search on every set, and print what took how long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--peers", nargs="*", choices=REQUIREMENTS, default=list(REQUIREMENTS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="folder for peers")
    args = parser.parse_args()
    print_versions()
    for name in args.sets:
        X, X_test = load_rows(name, args.data_dir)
        sizes = [size for size in SIZES if size < 0.75 * X.shape[1]]
        found: dict[str, list] = {}
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(args.repetitions):
                seconds, targets = our_search(X, X_test, sizes)
                found.setdefault("sklearn_ae", []).append((seconds, targets))
                task = {**save_rows(X, X_test, folder), "seconds": TIMES * seconds / len(sizes)}
                for method in args.peers:
                    search = peer_search(method, args.environments, task, sizes, targets)
                    if search is not None:
                        found.setdefault(method, []).append(search)
        pca = [held_out_error(PCA(size, random_state=0).fit(X), X_test) for size in sizes]
        print_set(name, found, sizes, pca)


if __name__ == "__main__":
    main()
