"""Seconds and memory of a fit against rows, columns and components.

    python benchmarks/growth.py [--figure PATH]

A case is the start (`max_iter=0`), a fit of one epoch, and `transform` of the same rows, by default
parameters, in a process of its own. Memory is the growth of its peak resident set over what it held
with the rows alone.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from report import print_versions
from scipy import sparse

from sklearn_ae import AutoencoderTransformer

# (rows, columns, components) of each series; what grows is the axis of its figures.
SERIES = {
    "rows": [(n, 50, 8) for n in (1_000, 10_000, 100_000, 1_000_000)],
    "columns": [(2_000, n, 8) for n in (10, 100, 1_000, 5_000, 20_000)],
    "columns, sparse": [(2_000, n, 8) for n in (100, 1_000, 5_000, 20_000)],
    "components": [(4_000, 600, n) for n in (2, 8, 32, 128, 512)],
}
AXES = {"rows": 0, "columns": 1, "columns, sparse": 1, "components": 2}
MEASURES = ("start", "epoch", "transform", "megabytes")
DENSITY = 0.01


def make_rows(n_rows: int, n_columns: int, is_sparse: bool):
    """Return rows near a curved surface, or sparse counts, as float32."""
    rng = np.random.default_rng(0)
    if is_sparse:
        X = sparse.random_array(
            (n_rows, n_columns), density=DENSITY, format="csr", dtype=np.float32, rng=rng
        )
        return X
    angles = rng.standard_normal((n_rows, 16), dtype=np.float32)
    weights = rng.standard_normal((16, n_columns), dtype=np.float32) / 4
    X = angles @ weights
    np.sin(X, out=X)
    for start in range(0, n_rows, 1_000):  # in parts: a peak here would hide the one of the fit
        X[start : start + 1_000] += 0.1 * rng.standard_normal(
            X[start : start + 1_000].shape, dtype=np.float32
        )
    return X


def measure(n_rows: int, n_columns: int, n_components: int, is_sparse: bool) -> dict:
    """Fit and transform; return seconds and megabytes."""
    from large import peak_megabytes  # needs a Unix

    X = make_rows(n_rows, n_columns, is_sparse)
    AutoencoderTransformer(2, max_iter=1).fit(X[:100, :10]).transform(X[:100, :10])
    before = peak_megabytes()
    found = {}
    for name, max_iter in (("start", 0), ("epoch", 1)):
        model = AutoencoderTransformer(n_components, max_iter=max_iter, random_state=0)
        start = time.perf_counter()
        model.fit(X)
        found[name] = time.perf_counter() - start
    start = time.perf_counter()
    model.transform(X)
    found["transform"] = time.perf_counter() - start
    found["megabytes"] = peak_megabytes() - before
    return found


def draw(results: dict[str, list[dict]], path: str) -> None:
    """Draw a column of two panels for each series: seconds, and memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import EngFormatter

    plt.rcParams["font.size"] = 12
    figure, axes = plt.subplots(
        2,
        len(SERIES),
        figsize=(3.2 * len(SERIES), 5.6),
        layout="constrained",
        sharex="col",
        sharey="row",
    )
    for (name, cases), column in zip(SERIES.items(), axes.T, strict=True):
        sizes = [case[AXES[name]] for case in cases]
        for key, style in (("start", "s--"), ("epoch", "o-"), ("transform", "^:")):
            column[0].plot(sizes, [found[key] for found in results[name]], style, label=key)
        memory = [max(found["megabytes"], 1) for found in results[name]]
        column[1].plot(sizes, memory, "o-", color="0.35")
        for ax in column:
            ax.set(xscale="log", yscale="log")
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
            ax.grid(color="0.9")
        column[0].set_title(name)
        column[1].set_xlabel(name.split(",")[0])
    axes[0][0].set_ylabel("seconds")
    axes[1][0].set_ylabel("megabytes above the rows")
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run each case, print what it took, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure")
    parser.add_argument("--case", nargs=4, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(*args.case[:3], bool(args.case[3]))))
        return
    print_versions()
    print(f"{'series':>15}{'rows':>11}{'columns':>9}{'components':>12}  " + "  ".join(MEASURES))
    results: dict[str, list[dict]] = {name: [] for name in SERIES}
    for name, cases in SERIES.items():
        for case in cases:
            options = [str(n) for n in (*case, int("sparse" in name))]
            command = [sys.executable, __file__, "--case", *options]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(printed)
            results[name].append(found)
            cells = "  ".join(
                f"{found[key]:{len(key)}.{1 + (key != 'megabytes')}f}" for key in MEASURES
            )
            print(f"{name:>15}{case[0]:>11,}{case[1]:>9,}{case[2]:>12}  {cells}", flush=True)
    if args.figure:
        draw(results, args.figure)


if __name__ == "__main__":
    main()
