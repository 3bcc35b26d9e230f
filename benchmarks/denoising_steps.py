"""Whether codes of the denoising autoencoder are better refined or as encoded.

    python benchmarks/denoising_steps.py DATA_DIR [--seeds 2] [--tables letter digits ...]

Two jobs pull apart: rebuilding rows that are corrupted themselves, and codes of clean rows. For
each table and size: held-out squared error against PCA's, to the clean rows, of corrupted rows and
of clean ones, and accuracy of 5-nearest-neighbours and logistic regression on the codes of clean
rows. "refined" is `transform_max_iter=5`, "encoded" is `transform_max_iter=0`, and "as encoded"
takes the codes of the first as its encoder gives them.
"""

import argparse

import numpy as np
from pca_floor import CLASSIFIERS, _accuracies
from report import print_versions, warm_up
from sklearn.decomposition import PCA
from tables import REGRESSION, load_tables, split_table

from sklearn_ae import DenoisingAutoencoderTransformer

TABLES = ["digits", "letter", "satimage", "isolet", "spambase", "mice_protein", "mnist"]
SIZES = (8, 32)


def as_encoded(denoiser):
    """Return the autoencoder of a fit without the steps of its encoder."""
    denoiser.set_params(transform_max_iter=0)
    denoiser._n_steps = 0
    denoiser._wrap()
    return denoiser


def measure(model, split, corrupted, labels):
    """Return the errors on corrupted and on clean rows, and the accuracies."""
    codes = model.transform(split.X_test)
    errors = [
        np.sum((split.X_test - model.inverse_transform(model.transform(rows))) ** 2)
        for rows in (corrupted, split.X_test)
    ]
    return [*errors, *_accuracies(split, model.transform(split.X_train), codes)]


def main() -> None:
    """Run the tables and print a line a case, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", nargs="?", help="folder with load.py; without, bundled tables")
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    print_versions()
    warm_up()
    everything: dict = {}
    for name, X, y in load_tables(args.data_dir):
        if name not in args.tables or name in REGRESSION:
            continue
        y = np.unique(np.asarray(y).astype(str), return_inverse=True)[1]
        for seed in range(args.seeds):
            split = split_table(X, y, seed)
            for k in [k for k in split.sizes() if k in SIZES]:
                fits = {
                    "refined": DenoisingAutoencoderTransformer(k, random_state=seed),
                    "encoded": DenoisingAutoencoderTransformer(
                        k, transform_max_iter=0, random_state=seed
                    ),
                    "PCA": PCA(k, random_state=seed),
                }
                for model in fits.values():
                    model.fit(split.X_train)
                corrupted = fits["refined"].corrupt(split.X_test, random_state=seed)
                found = {m: measure(model, split, corrupted, y) for m, model in fits.items()}
                found["as encoded"] = measure(as_encoded(fits["refined"]), split, corrupted, y)
                least = found["PCA"][:2]  # a copy
                for method, values in found.items():
                    values[:2] = [v / p for v, p in zip(values, least, strict=False)]
                    everything.setdefault((k, method), []).append(values)
                    print(f"{name:>14} {k:>3} {seed} {method:>10}", np.round(values, 3), flush=True)
    print(f"\n{'k':>3} {'codes':>10} {'corrupted':>10} {'clean':>7}", *CLASSIFIERS)
    for (k, method), rows in sorted(everything.items()):
        table = np.array(rows)
        ratios = np.exp(np.log(table[:, :2]).mean(axis=0))
        print(
            f"{k:>3} {method:>10} {ratios[0]:>10.3f} {ratios[1]:>7.3f}",
            table[:, 2:].mean(0).round(4),
        )


if __name__ == "__main__":
    main()
