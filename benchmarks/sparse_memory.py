"""Peak memory of a fit on sparse word counts, against what the dense matrix would take.

    python benchmarks/sparse_memory.py DATA_DIR [--max-iter 3]

Memory is the growth of the process's peak resident set over what it held before the fit.
"""

import argparse
import resource
import time

from report import print_versions
from tables import import_loader

from sklearn_ae import AutoencoderTransformer


def peak_megabytes() -> float:
    """Return the peak resident set of this process (Linux counts it in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fit and transform, and print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads ng20")
    parser.add_argument("--max-iter", type=int, default=3)
    args = parser.parse_args()
    print_versions()
    X = import_loader(args.data_dir).load("ng20")["X"].astype("float32")
    # A first small fit loads what torch loads lazily.
    AutoencoderTransformer(2, max_iter=1, random_state=0).fit(X[:100])
    before = peak_megabytes()
    start = time.perf_counter()
    autoencoder = AutoencoderTransformer(32, max_iter=args.max_iter, random_state=0).fit(X)
    fitted, seconds = peak_megabytes(), time.perf_counter() - start
    autoencoder.transform(X)
    dense = X.shape[0] * X.shape[1] * 4 / 2**20
    print(f"{X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} stored; dense float32 {dense:.0f} MB")
    print(
        f"fit: {fitted - before:.0f} MB above the {before:.0f} MB before, {seconds:.0f} s; "
        f"with transform {peak_megabytes() - before:.0f} MB; PCA {autoencoder.pca_score_:.4f}, "
        f"autoencoder {autoencoder.score_:.4f} of held-out variance"
    )


if __name__ == "__main__":
    main()
