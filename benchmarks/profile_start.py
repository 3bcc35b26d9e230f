"""Where the time of the start goes: milliseconds of the parts of a fit with max_iter=0.

    python benchmarks/profile_start.py DATA_DIR [--task "fashion_mnist 32"]

Rows, sizes and threads are those of time_to_quality.py; the fastest of five fits. A part contains
the parts that it calls.
"""

import argparse
import cProfile
import pstats
from pathlib import Path

from report import print_versions, warm_up
from time_to_quality import HIDDEN, TASKS, load_rows

import sklearn_ae

PARTS = {
    "fit": "the whole fit",
    "scale_rows": "measure, centre and scale the rows",
    "principal_components": "principal components",
    "_squared_error": "what PCA leaves",
    "ordinary_rows": "up to where rows are ordinary",
    "ordinary_codes": "up to where codes are ordinary",
    "widen_features": "choose the random features",
    "solve_decoder": "solve the last layer",
    "mean_loss": "losses before and after",
    "measure_errors": "encode held-out rows, refine their codes, rebuild them",
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
    return found


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


if __name__ == "__main__":
    main()
