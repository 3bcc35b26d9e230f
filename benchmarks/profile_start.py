"""Where the time of the start goes: milliseconds of the parts of a fit with max_iter=0.

    python benchmarks/profile_start.py DATA_DIR [--task "fashion_mnist 32"]

Rows, sizes and threads are those of time_to_quality.py; the fastest of five fits, of PCA's too. A
part contains the parts that it calls.
"""

import argparse
import cProfile
import pstats
import time
from pathlib import Path

from report import print_versions, warm_up
from sklearn.decomposition import PCA
from time_to_quality import HIDDEN, TASKS, load_rows

import sklearn_ae

PARTS = {
    "fit": "the whole fit",
    "sum_up_for": "sums of the rows",
    "principal_components": "principal components",
    "find_start": "up to where rows and codes are ordinary",
    "sizes_of_pca": "what PCA of each size leaves",
    "widen_features": "choose the random features",
    "solve": "solve the last layer, for the code and its prefixes",
    "solve_prefixes": "of that, for the prefixes",
    "choose_prefixes": "refine and rebuild held-out rows from the prefixes",
}


def milliseconds(X, size: int) -> dict[str, float]:
    """Fit once under the profiler, and return the milliseconds of each part."""
    model = sklearn_ae.AutoencoderTransformer(
        size, hidden_layer_sizes=HIDDEN, max_iter=0, random_state=0
    )
    with cProfile.Profile() as profile:
        model.fit(X)
    found, package = dict.fromkeys(PARTS, 0.0), str(Path(sklearn_ae.__file__).parent)
    for (path, _, name), (*_, seconds, _) in pstats.Stats(profile).stats.items():
        if path.startswith(package) and name in found:
            found[name] += 1e3 * seconds
    if not all(found.values()):
        raise RuntimeError(f"Some parts have other names: {found}.")
    return found


def milliseconds_of_pca(X, size: int, solver: str) -> float:
    """Return those of a fit of PCA."""
    start = time.perf_counter()
    PCA(size, svd_solver=solver, random_state=0).fit(X)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Print the milliseconds of the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py")
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    args = parser.parse_args()
    print_versions()
    data, size = args.task.split()
    X, _ = load_rows(data, args.data_dir)
    warm_up()
    best = min((milliseconds(X, int(size)) for _ in range(5)), key=lambda found: found["fit"])
    for name, what in PARTS.items():
        print(f"{what:>55}: {best[name]:5.0f}")
    for solver in ("auto", "randomized"):
        theirs = min(milliseconds_of_pca(X, int(size), solver) for _ in range(5))
        times = best["fit"] / theirs
        print(
            f"{f'PCA, svd_solver={solver!r}':>55}: {theirs:5.0f}, the fit is {times:.1f} times it"
        )


if __name__ == "__main__":
    main()
