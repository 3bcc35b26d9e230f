"""Leave-one-out error of the nearest neighbour among the codes, as van der Maaten et al. (2009).

    python benchmarks/nearest_neighbors.py DATA_DIR [--seeds 3]

The whole set is embedded without its labels, and each row gets the label of its nearest neighbour.
Beside PCA and the autoencoder of that report, with the sizes of its codes. A seed draws the rows or
the points, and the network.
"""

import argparse

import numpy as np
from manifolds import MANIFOLDS, make_manifold
from report import mean_and_spread, print_versions
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from tables import import_loader

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

# Errors in percent of the raw rows, of PCA and of the autoencoder: their table 3.
PUBLISHED = {
    "coil20": (0.14, 3.82, 51.11),
    "mnist": (5.11, 6.74, 7.18),
    "swiss roll": (3.68, 29.76, 49.00),
    "twin peaks": (0.40, 0.26, 49.06),
    "broken swiss roll": (2.14, 25.96, 87.86),
    "helix": (1.24, 35.50, 52.22),
}
SIZES = {"coil20": 5, "mnist": 20, "helix": 1}
METHODS = {"PCA": PCA, "AE": AutoencoderTransformer, "DAE": DenoisingAutoencoderTransformer}


def load_rows(name: str, data_dir: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y): 5,000 points or images, or all images of COIL20."""
    if name in MANIFOLDS:
        return make_manifold(name, 5_000, seed)
    table = import_loader(data_dir).load(name)
    X, y = np.asarray(table["X"], np.float32), np.asarray(table["y"])
    rows = np.random.default_rng(seed).permutation(len(X))[:5_000]
    return X[rows], y[rows]


def leave_one_out_error(Z: np.ndarray, y: np.ndarray) -> float:
    """Return in percent how often the nearest other row has another label."""
    nearest = NearestNeighbors(n_neighbors=1).fit(Z).kneighbors(return_distance=False)[:, 0]
    return 100 * float(np.mean(y[nearest] != y))


def main() -> None:
    """Run the sets, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads mnist and coil20")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    args = parser.parse_args()
    print_versions()
    names = ["raw", *METHODS, *(f"published {name}" for name in ("raw", "PCA", "AE"))]
    print(f"{'percent':>17}  k" + "".join(f" {name:>13}" for name in names))
    for name in args.sets:
        k = SIZES.get(name, 2)
        errors = []
        for seed in range(args.seeds):
            X, y = load_rows(name, args.data_dir, seed)
            codes = [m(k, random_state=seed).fit_transform(X) for m in METHODS.values()]
            errors.append([leave_one_out_error(Z, y) for Z in (X, *codes)])
        cells = [*mean_and_spread(errors), *(f"{value:.2f}" for value in PUBLISHED[name])]
        print(f"{name:>17} {k:>2}" + "".join(f" {cell:>13}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
