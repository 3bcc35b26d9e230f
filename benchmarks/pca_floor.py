"""Held-out reconstruction error against PCA's, on every table, with default parameters.

    python benchmarks/pca_floor.py DATA_DIR [--downstream] [--seeds 3] [--jobs 1]

For each table and number of components: the ratio of the held-out squared error to that of PCA with
as many components (below 1 is better than PCA), mean over the seeds, and seconds a fit: of one that
takes less than a second, PCA's too, the best of three. A seed draws the rows, the split and the
network. With --downstream also the held-out accuracy of 5-nearest-neighbours and logistic
regression on the codes of the labelled tables.
"""

import argparse
import warnings

import numpy as np
from joblib import Parallel, delayed
from report import fit_seconds, print_versions, warm_up
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import REGRESSION, Split, load_tables, split_table

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

METHODS = {
    "AE": AutoencoderTransformer,
    "DAE": DenoisingAutoencoderTransformer,
    "AE max_iter=0": lambda k, random_state: AutoencoderTransformer(
        k, max_iter=0, random_state=random_state
    ),
}
CLASSIFIERS = {
    "5-NN": KNeighborsClassifier(5),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}


def _accuracies(split: Split, codes_train: np.ndarray, codes_test: np.ndarray) -> list[float]:
    """Return the held-out accuracy of each classifier on the codes."""
    with warnings.catch_warnings():
        # On PCA's and on our codes alike, logistic regression may want more than 1,000 steps.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            c.fit(codes_train, split.y_train).score(codes_test, split.y_test)
            for c in CLASSIFIERS.values()
        ]


def run_case(split: Split, k: int, seed: int, methods: list[str], labelled: bool) -> dict:
    """Fit PCA and the methods on one split; return error ratios, seconds and accuracies."""
    warm_up()
    reducers = {"PCA": PCA(k, random_state=seed)}
    reducers |= {name: METHODS[name](k, random_state=seed) for name in methods}
    result = {}
    for name, reducer in reducers.items():
        seconds = fit_seconds(reducer, split.X_train)
        codes = reducer.transform(split.X_test)
        error = float(np.sum((split.X_test - reducer.inverse_transform(codes)) ** 2))
        accuracy = _accuracies(split, reducer.transform(split.X_train), codes) if labelled else None
        result[name] = (error, seconds, accuracy, getattr(reducer, "is_pca_", True))
    return result


def print_ratios(cases: dict, methods: list[str]) -> None:
    """Print a line a case and the geometric mean of the ratios."""
    print(f"{'table':>14} {'k':>3}" + "".join(f" | {m:>13}   sec pca" for m in methods))
    ratios = {m: [] for m in methods}
    for (name, k), runs in cases.items():
        line = f"{name:>14} {k:>3}"
        for m in methods:
            ratio = np.mean([run[m][0] / run["PCA"][0] for run in runs])
            ratios[m].append(ratio)
            seconds = np.mean([run[m][1] for run in runs])
            fell = sum(run[m][3] for run in runs)
            line += f" | {ratio:13.3f} {seconds:5.2f} {fell:3d}"
        print(line)
    for m in methods:
        r = np.array(ratios[m])
        singles = [run[m][0] / run["PCA"][0] for runs in cases.values() for run in runs]
        seconds = [run[m][1] for runs in cases.values() for run in runs]
        excess = [run[m][1] - 10 * run["PCA"][1] for runs in cases.values() for run in runs]
        print(
            f"{m}: {len(r)} cases, geometric mean {np.exp(np.log(r).mean()):.3f}, worst "
            f"{r.max():.3f} (of a single seed {max(singles):.3f}), {np.sum(r > 1.01)} above 1.01 "
            f"({np.sum(np.array(singles) > 1.01)} of {len(singles)} single fits); seconds "
            f"a fit: median {np.median(seconds):.2f}, longest {max(seconds):.1f}, all "
            f"{sum(seconds):.0f}; at most 10 times PCA's plus {max(excess):.2f}"
        )


def print_accuracies(cases: dict, methods: list[str], labelled: set[str]) -> None:
    """Print mean accuracies by number of components, and where PCA's is higher."""
    everyone = ["PCA", *methods]
    for i, classifier in enumerate(CLASSIFIERS):
        print(f"\n{classifier}: mean held-out accuracy on the codes")
        print(f"{'k':>3} {'tables':>6}" + "".join(f" {m:>13}" for m in everyone))
        for k in sorted({k for _, k in cases}):
            chosen = {n: runs for (n, kk), runs in cases.items() if kk == k and n in labelled}
            means = {
                n: [np.mean([run[m][2][i] for run in runs]) for m in everyone]
                for n, runs in chosen.items()
            }
            table = np.array(list(means.values()))
            print(f"{k:>3} {len(means):>6}" + "".join(f" {v:13.4f}" for v in table.mean(axis=0)))
            for j, m in enumerate(methods, start=1):
                lost = [
                    f"{n} ({values[j]:.3f}, PCA {values[0]:.3f})"
                    for n, values in means.items()
                    if values[j] < values[0]
                ]
                print(f"      {m} below PCA on: {', '.join(lost) or 'none'}")


def main() -> None:
    """Run the cases that the arguments choose and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", nargs="?", help="folder with load.py; without, bundled tables")
    parser.add_argument("--tables", nargs="+", help="names of tables; all without")
    parser.add_argument("--downstream", action="store_true", help="accuracy on the codes, too")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cases at once; 1 for honest seconds")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    print_versions()
    jobs, labelled = [], set()
    for name, X, y in load_tables(args.data_dir):
        if args.tables and name not in args.tables:
            continue
        labels = args.downstream and y is not None and name not in REGRESSION
        if labels:
            y = np.unique(np.asarray(y).astype(str), return_inverse=True)[1]
            labelled.add(name)
        for seed in range(args.seeds):
            split = split_table(X, y, seed)
            jobs += [(name, k, seed, split, labels) for k in split.sizes()]
    runs = Parallel(n_jobs=args.jobs, batch_size=1)(
        delayed(run_case)(split, k, seed, args.methods, labels)
        for _, k, seed, split, labels in jobs
    )
    cases: dict = {}
    for (name, k, *_), run in zip(jobs, runs, strict=True):
        cases.setdefault((name, k), []).append(run)
    print_ratios(cases, args.methods)
    if args.downstream:
        print_accuracies(cases, args.methods, labelled)


if __name__ == "__main__":
    main()
