"""Error of rows that come in pieces against that of one fit of all of them, on held-out rows.

    python benchmarks/partial_fit.py [DATA_DIR] [--tables NAME ...] [--seeds 3] [--pieces 10]

For each table, size of the code and order of the rows (at random; sorted by their first principal
component, so that each piece is of rows of its own kind): the held-out squared error of ten pieces
of one pass as a share of that of a fit of one epoch, and of five passes as a share of that of a fit
of five; both errors as a share of PCA's; and seconds. Each is a mean over the seeds, which draw
rows, split and network.
"""

import argparse
import time

import numpy as np
from report import print_versions, warm_up
from sklearn.decomposition import PCA
from tables import Split, load_tables, split_table

from sklearn_ae import AutoencoderTransformer

PASSES = 1, 5
ORDERS = "random", "sorted"


def _error(model, X: np.ndarray) -> float:
    """Return the squared error of rows that are rebuilt from their codes."""
    return float(np.sum((X - model.inverse_transform(model.transform(X))) ** 2))


def _in_pieces(model, X: np.ndarray, n_pieces: int, n_passes: int) -> float:
    """Fit rows in pieces, and return the seconds that it took."""
    start = time.perf_counter()
    for _ in range(n_passes):
        for piece in np.array_split(X, n_pieces):
            model.partial_fit(piece)
    return time.perf_counter() - start


def run_case(split: Split, k: int, seed: int, n_pieces: int) -> dict:
    """Return errors, in units of PCA's, and seconds: of fits, and of pieces in each order."""
    warm_up()
    pca = PCA(k, random_state=seed).fit(split.X_train)
    unit = _error(pca, split.X_test)
    orders = {
        "random": split.X_train,
        "sorted": split.X_train[np.argsort(pca.transform(split.X_train)[:, 0])],
    }
    found = {}
    for n_passes in PASSES:
        model = AutoencoderTransformer(k, max_iter=n_passes, random_state=seed)
        start = time.perf_counter()
        model.fit(split.X_train)
        seconds = time.perf_counter() - start
        found[n_passes, "fit"] = _error(model, split.X_test) / unit, seconds
        for order, X in orders.items():
            model = AutoencoderTransformer(k, random_state=seed)
            seconds = _in_pieces(model, X, n_pieces, n_passes)
            found[n_passes, order] = _error(model, split.X_test) / unit, seconds
    return found


def print_table(cases: dict) -> None:
    """Print a line a case, and the geometric means."""
    print(f"{'':>18} | {'one pass':^37} | {'five passes':^37}")
    heads = f"{'fit':>7} {'sec':>5} " + " ".join(f"{order:>7} {'sec':>5}" for order in ORDERS)
    print(f"{'table':>14} {'k':>3} | {heads} | {heads}")
    ratios: dict = {(n, order): [] for n in PASSES for order in ORDERS}
    for (name, k), runs in cases.items():
        line = f"{name:>14} {k:>3}"
        for n in PASSES:
            fits = np.mean([run[n, "fit"] for run in runs], axis=0)
            line += f" | {fits[0]:7.3f} {fits[1]:5.2f}"
            for order in ORDERS:
                ratio = np.mean([run[n, order][0] / run[n, "fit"][0] for run in runs])
                ratios[n, order].append(ratio)
                line += f" {ratio:7.3f} {np.mean([run[n, order][1] for run in runs]):5.2f}"
        print(line)
    for (n, order), found in ratios.items():
        r = np.array(found)
        against_pca = [run[n, order][0] for runs in cases.values() for run in runs]
        print(
            f"{order} order, passes {n}: geometric mean {np.exp(np.log(r).mean()):.3f} of a fit, "
            f"worst {r.max():.3f}, {np.sum(r > 1.05)} of {len(r)} above 1.05; of PCA's "
            f"error, worst single run {max(against_pca):.3f}"
        )


def main() -> None:
    """Run the cases that the arguments choose and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", nargs="?", help="folder with load.py; without, bundled tables")
    parser.add_argument("--tables", nargs="+", help="names of tables; all without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pieces", type=int, default=10)
    args = parser.parse_args()
    print_versions()
    cases: dict = {}
    for name, X, y in load_tables(args.data_dir):
        if args.tables and name not in args.tables:
            continue
        for seed in range(args.seeds):
            split = split_table(X, y, seed)
            for k in split.sizes():
                cases.setdefault((name, k), []).append(run_case(split, k, seed, args.pieces))
    print_table(cases)


if __name__ == "__main__":
    main()
