"""One fit of ordered codes: its prefixes against PCA and against a fit for each size.

    python benchmarks/one_fit.py DATA_DIR [--seeds 3] [--jobs 1] [--tables NAME ...]
    python benchmarks/one_fit.py DATA_DIR --sizes 5 7 10 14 20 32
    python benchmarks/one_fit.py DATA_DIR --max-iter 25 50 60 100

For each table one fit of the largest size of 2, 4, 8, 16 and 32, or of others (--sizes), that is
under 3/4 of min(rows, columns). Of this code and its prefixes, and of a fit for each of these
sizes: the held-out squared error as a ratio to that of exact PCA with as many components (below 1
is better than PCA), mean and deviation over the seeds, and seconds. The fit of the largest size is
the one fit itself. Then whether explained_variance_ratio_ falls, and how many numbers explain a
share of the variance.

With --max-iter only the one fit, for each of these limits of epochs, and for all tables together.

Tables and split are those of pca_floor.py. A seed draws the rows, the split and the network. Fits
have one thread. Where a column says pca, it counts the seeds in which the prefix is PCA itself.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from report import fit_seconds, print_versions, warm_up
from sklearn.decomposition import PCA
from tables import Split, load_tables, split_table
from threadpoolctl import threadpool_limits

from sklearn_ae import AutoencoderTransformer

SIZES = (2, 4, 8, 16, 32)
SHARE = 0.9
# A rise of the ratios by less is no rise.
RISE = 0.01


def sizes_of(split: Split, sizes: Sequence[int]) -> list[int]:
    """Return the sizes under 3/4 of min(rows, columns); the last is that of the one fit."""
    return [k for k in sizes if k < 0.75 * min(split.X_train.shape)]


def squared_error(model: Any, X: np.ndarray) -> float:
    """Return the squared error, summed over rows and columns, of rebuilding the rows."""
    return float(np.sum((X - model.inverse_transform(model.transform(X))) ** 2))


def pca_error(pca: PCA, k: int, X: np.ndarray) -> float:
    """Return the squared error of the first `k` components; of 0 it is that of the mean."""
    centred, first = X - pca.mean_, pca.components_[:k]
    return float(np.sum((centred - centred @ first.T @ first) ** 2))


def needed_for_share(ratios: np.ndarray) -> int | None:
    """Return how many numbers explain the share of the variance, None where all explain less."""
    enough = np.flatnonzero(np.cumsum(ratios) >= SHARE)
    return int(enough[0]) + 1 if len(enough) else None


def compare(split: Split, sizes: list[int], seed: int) -> dict:
    """Fit once, and once for each size.

    Returns
    -------
    run : dict
        By size: errors of "PCA", "ordered" and "own", "is_pca" and "seconds". "rise", the largest
        rise of the ratios; "needed", how many numbers explain the share, None where more than the
        largest size, and "PCA needed"; and "explained" and "PCA explained", of the held-out rows by
        so many.
    """
    torch.set_num_threads(1)
    with threadpool_limits(1):
        warm_up()
        X = split.X_test
        run: dict = {"ordered": {}, "own": {}, "is_pca": {}, "seconds": {}}
        for k in sizes:
            model = AutoencoderTransformer(k, random_state=seed)
            run["seconds"][k] = fit_seconds(model, split.X_train)
            run["own"][k] = squared_error(model, X)
        # The last fit is the one that has codes of all sizes.
        for k in sizes:
            prefix = model.truncated(k)
            run["ordered"][k] = squared_error(prefix, X)
            run["is_pca"][k] = prefix.is_pca_
        pca = PCA(svd_solver="full").fit(split.X_train)
        run["PCA"] = {k: pca_error(pca, k, X) for k in sizes}
        variance = pca_error(pca, 0, X)
        ratios = model.explained_variance_ratio_
        run["rise"] = float(np.diff(ratios).max())
        run["needed"] = needed = needed_for_share(ratios)
        run["PCA needed"] = needed_for_share(pca.explained_variance_ratio_)
        run["explained"] = (
            1 - squared_error(model.truncated(needed), X) / variance if needed else None
        )
        run["PCA explained"] = 1 - pca_error(pca, run["PCA needed"], X) / variance
    return run


def trade_off(split: Split, sizes: list[int], seed: int, limits: list[int]) -> dict[int, dict]:
    """Fit once for each limit of epochs; return by limit ratios to PCA by size, and seconds."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        warm_up()
        pca = PCA(svd_solver="full").fit(split.X_train)
        errors = {k: pca_error(pca, k, split.X_test) for k in sizes}
        found = {}
        for limit in limits:
            model = AutoencoderTransformer(sizes[-1], max_iter=limit, random_state=seed)
            seconds = fit_seconds(model, split.X_train)
            ratios = {k: squared_error(model.truncated(k), split.X_test) / errors[k] for k in sizes}
            found[limit] = {"ratios": ratios, "seconds": seconds, "n_iter": model.n_iter_}
    return found


def mean(ratios: list) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def print_table(name: str, runs: list[dict]) -> None:
    """Print a line for each size of a table."""
    *_, largest = sizes = list(runs[0]["PCA"])
    for k in sizes:
        line = f"{name:>14} {k:>4}"
        for method in ("ordered", "own"):
            ratios = [run[method][k] / run["PCA"][k] for run in runs]
            line += f" | {np.mean(ratios):7.3f} ± {np.std(ratios):.3f}"
        line += f" | {sum(run['is_pca'][k] for run in runs):>3}"
        line += f" | {np.mean([run['seconds'][k] for run in runs]):7.2f}"
        if k == largest:
            one = np.mean([run["seconds"][k] for run in runs])
            every = np.mean([sum(run["seconds"].values()) for run in runs])
            line += f" the one fit; all {every:.2f}, {every / one:.2f} times"
        print(line, flush=True)


def print_summary(tables: dict[str, list[dict]]) -> None:
    """Print means over all tables: errors by size, the worst of them, and seconds."""
    runs = [run for group in tables.values() for run in group]
    print(f"\n{len(tables)} tables, {len(runs)} runs; geometric means of the ratios of errors")
    print(f"{'code':>12} {'runs':>4} {'ordered/PCA':>11} {'own/PCA':>11} {'ordered/own':>11}")
    prefixes = [(run, k) for run in runs for k in list(run["PCA"])[:-1]]
    sizes = sorted({k for _, k in prefixes})
    groups = {f"first {size}": [(run, k) for run, k in prefixes if k == size] for size in sizes}
    groups["all prefixes"] = prefixes
    groups["the whole"] = [(run, max(run["PCA"])) for run in runs]
    for label, cases in groups.items():
        if cases:
            means = [
                mean([run[method][k] / run[to][k] for run, k in cases])
                for method, to in (("ordered", "PCA"), ("own", "PCA"), ("ordered", "own"))
            ]
            print(f"{label:>12} {len(cases):>4}" + "".join(f" {value:11.3f}" for value in means))
    for method in ("ordered", "own"):
        singles = [
            (run[method][k] / run["PCA"][k], name, k)
            for name, group in tables.items()
            for run in group
            for k in run["PCA"]
        ]
        worst, name, k = max(singles)
        above = sum(ratio > 1.01 for ratio, *_ in singles)
        print(
            f"{method}/PCA: worst {worst:.3f} ({name}, {k}), {above} of {len(singles)} above 1.01"
        )
    one = [run["seconds"][max(run["seconds"])] for run in runs]
    every = [sum(run["seconds"].values()) for run in runs]
    times = np.array(every) / one
    print(
        f"seconds: one fit {sum(one):.1f}, a fit for each size {sum(every):.1f}, "
        f"{sum(every) / sum(one):.2f} times (of a run {min(times):.2f} to {max(times):.2f})"
    )


def print_shares(tables: dict[str, list[dict]]) -> None:
    """Print whether the ratios fall, and how many numbers explain the share."""
    runs = [run for group in tables.values() for run in group]
    falling = sum(run["rise"] <= RISE for run in runs)
    print(
        f"explained_variance_ratio_ falls, but for rises up to {RISE}, in {falling} of {len(runs)} "
        f"runs; largest rise {max(run['rise'] for run in runs):.3f}"
    )
    print(f"\nnumbers that explain {SHARE} of the variance, and what they do of held-out rows")
    print(f"{'table':>14} seed {'ours':>4}       {'PCA':>4}")
    for name, group in tables.items():
        for seed, run in enumerate(group):
            ours = f"{run['needed']:>4} {run['explained']:.3f}" if run["needed"] else "   -     -"
            pca = f"{run['PCA needed']:>4} {run['PCA explained']:.3f}"
            print(f"{name:>14} {seed:>4} {ours:>10} {pca}")
    both = [run for run in runs if run["needed"]]
    if both:
        times = mean([run["needed"] / run["PCA needed"] for run in both])
        more = sum(run["needed"] > run["PCA needed"] for run in both)
        print(
            f"{len(both)} of {len(runs)} runs reach it with the size that was fitted: geometric "
            f"mean of ours/PCA {times:.3f}, more than PCA in {more}; of held-out rows they explain "
            f"{np.mean([run['explained'] for run in both]):.3f}, those of PCA "
            f"{np.mean([run['PCA explained'] for run in both]):.3f} on average"
        )


def print_trade_off(tables: dict[str, list[dict]], limits: list[int]) -> None:
    """Print a line for each limit of epochs, over all tables."""
    runs = [run for group in tables.values() for run in group]
    sizes = sorted({k for run in runs for k in list(run[limits[0]]["ratios"])[:-1]})
    print(f"{len(tables)} tables, {len(runs)} runs; geometric means of the errors, to PCA's")
    head = "".join(f" {f'first {k}':>8}" for k in sizes)
    print(f"{'max_iter':>8} {'seconds':>7} {'times':>5} {'whole':>6}{head}  worst >1.01 at limit")
    first = sum(run[limits[0]]["seconds"] for run in runs)
    for limit in limits:
        fits = [run[limit] for run in runs]
        seconds = sum(fit["seconds"] for fit in fits)
        whole = mean([fit["ratios"][max(fit["ratios"])] for fit in fits])
        line = f"{limit:>8} {seconds:7.1f} {seconds / first:5.2f} {whole:6.3f}"
        for k in sizes:
            found = [f["ratios"][k] for f in fits if k in f["ratios"] and k < max(f["ratios"])]
            line += f" {mean(found):8.3f}" if found else f" {'-':>8}"
        every = [ratio for fit in fits for ratio in fit["ratios"].values()]
        ended = sum(fit["n_iter"] >= limit for fit in fits)
        print(f"{line} {max(every):6.3f} {sum(r > 1.01 for r in every):>5} {ended:>8}")


def run_tables(
    args: argparse.Namespace, case: Callable[..., dict]
) -> Iterator[tuple[str, list[dict]]]:
    """Yield the name of each table and what the case returns for each seed."""
    with Parallel(n_jobs=args.jobs, batch_size=1) as workers:
        for name, X, y in load_tables(args.data_dir):
            if args.tables and name not in args.tables:
                continue
            splits = [split_table(X, y, seed) for seed in range(args.seeds)]
            if sizes := sizes_of(splits[0], args.sizes):
                cases = (delayed(case)(split, sizes, seed) for seed, split in enumerate(splits))
                yield name, workers(cases)


def main() -> None:
    """Run the tables that the arguments choose and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", nargs="?", help="folder with load.py; without, bundled tables")
    parser.add_argument("--tables", nargs="+", help="names of tables; all without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once; 1 for honest seconds")
    parser.add_argument("--max-iter", type=int, nargs="+", help="compare these, and nothing else")
    args = parser.parse_args()
    args.sizes = sorted(set(args.sizes))
    torch.set_num_threads(1)
    print_versions()
    print(f"seeds 0 to {args.seeds - 1}")
    if args.max_iter:

        def limited(split: Split, sizes: list[int], seed: int) -> dict:
            return trade_off(split, sizes, seed, args.max_iter)

        print_trade_off(dict(run_tables(args, limited)), args.max_iter)
        return
    print(f"{'table':>14} size | {'ordered/PCA':>15} | {'own/PCA':>15} | pca | seconds")
    tables = {}
    for name, runs in run_tables(args, compare):
        print_table(name, runs)
        tables[name] = runs
    print_summary(tables)
    print_shares(tables)


if __name__ == "__main__":
    main()
