"""Memory and speed on many rows: a fit of few epochs, and `transform` beside the bare encoder.

    python benchmarks/large.py [--rows 1000000] [--columns 100] [--components 16] [--epochs 1]
    python benchmarks/large.py --epochs 60 --fit-alone

Memory is the growth of the process's peak resident set over what it held with X alone. Codes are
taken as encoded, as the bare module gives them, and then refined, as `transform` does by default.
"""

import argparse
import copy
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from report import print_versions

from sklearn_ae import AutoencoderTransformer

BATCH_ROWS = 2_048
# So many rows train a network whose codes are taken as encoded.
TRAINED_ROWS = 50_000


def peak_megabytes() -> float:
    """Return the peak resident set of this process (Linux counts it in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best_of_three(call: Callable) -> float:
    """Return the least seconds of three calls."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Fit and transform, and print seconds and peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=1, help="0 for the start alone")
    parser.add_argument("--fit-alone", action="store_true", help="leave out transform")
    args = parser.parse_args()
    print_versions()
    rng = np.random.default_rng(0)
    X = rng.standard_normal((args.rows, args.columns), dtype=np.float32)
    # Ten circles in noise, more than the code has room for, and the angle of each of them.
    half = args.columns // 2
    X[:, :half] *= 0.1
    for j in range(half):
        X[:, j] += np.sin(2 * X[:, half + j % 10] + j)
    warm = AutoencoderTransformer(args.components, max_iter=1, random_state=0).fit(X[:1_000])
    warm.transform(X[:1_000])
    before = peak_megabytes()
    model = AutoencoderTransformer(args.components, max_iter=args.epochs, random_state=0)
    start = time.perf_counter()
    model.fit(X)
    seconds, growth = time.perf_counter() - start, peak_megabytes() - before
    print(
        f"{args.rows:,} x {args.columns}, float32, {X.nbytes / 2**20:.0f} MB: fit, "
        f"max_iter={args.epochs}, {seconds:.0f} s, {growth:.0f} MB above X; "
        f"{model.n_iter_} epochs, loss {model.best_loss_:.4f}; "
        f"variance explained {model.score_:.3f}, by PCA {model.pca_score_:.3f}"
    )
    if args.fit_alone:
        return
    refined = args.rows / best_of_three(lambda: model.transform(X))
    # Trained, as a start has no hidden layers in its encoder.
    model.set_params(transform_max_iter=0, max_iter=1).fit(X[:TRAINED_ROWS])
    before = peak_megabytes()
    ours = args.rows / best_of_three(lambda: model.transform(X))
    growth = peak_megabytes() - before
    exact = model.module_.encoder
    rows = torch.from_numpy(X)
    with torch.inference_mode():
        bare = {}
        for encoder in (exact, copy.deepcopy(exact).float()):
            dtype = next(encoder.parameters()).dtype
            bare[dtype] = args.rows / best_of_three(
                lambda e=encoder, d=dtype: [e(block.to(d)) for block in rows.split(BATCH_ROWS)]
            )
    print(f"transform: {ours:,.0f} rows a second, peak {growth:.0f} MB above what was held")
    for dtype, speed in bare.items():
        print(f"bare encoder in {dtype}: {speed:,.0f}; transform {ours / speed:.2f} of it")
    print(f"transform with codes refined: {refined:,.0f} rows a second")


if __name__ == "__main__":
    main()
