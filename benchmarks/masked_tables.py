"""Codes of tables learned from masked and from swapped cells, and what few labels make of them.

    python benchmarks/masked_tables.py DATA_DIR [--labels 200] [--size 8] [--seeds 3]

Dense networks and attention over the cells as tokens see at most 4,000 rows without labels; then
a linear model is fitted to the codes of a few labelled rows, and scored on rows that nothing saw
(accuracy; R2 for uci_protein). Beside it the same model on the raw columns and on PCA's codes.
"""

import argparse
import time

import numpy as np
import pandas as pd
from report import print_versions
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from tables import import_loader

from sklearn_ae import DenoisingAutoencoderTransformer

MAX_ROWS = 5_000
DRAWS = 10
# A denoising autoencoder of BERT's kind hides 15 % of the cells.
NOISES = {"masking": 0.15, "swap": 0.15}


def load_tables(data_dir: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (X, y) of each table."""
    load = import_loader(data_dir).load
    adult, letter, protein = (load(name) for name in ("adult", "letter", "uci_protein"))
    # Rows that lack a number are left out.
    known = adult["X"].select_dtypes("number").notna().all(axis=1).to_numpy()
    people, earns = adult["X"][known], adult["y"][known]
    words = people.select_dtypes(exclude="number").columns
    # A missing word is a category of its own.
    people = people.assign(**people[words].astype(object).fillna("missing"))
    ordinal = people.assign(
        **dict(zip(words, OrdinalEncoder().fit_transform(people[words]).T, strict=True))
    )
    return {
        "adult one-hot": (pd.get_dummies(people).to_numpy(float), earns),
        "adult ordinal": (ordinal.to_numpy(float), earns),
        "letter": (letter["X"].to_numpy(float), np.asarray(letter["y"]).astype(str)),
        "uci_protein": (protein["X"], protein["y"]),
    }


def few_label_scores(Z, y, Z_test, y_test, n_labels: int) -> list[float]:
    """Return the scores of linear models, each of other labelled rows."""
    numeric = np.issubdtype(y.dtype, np.floating)
    model = RidgeCV(np.logspace(-2, 4, 13)) if numeric else LogisticRegression(max_iter=2000)
    scores = []
    for draw in range(DRAWS):
        rows = np.random.default_rng(draw).permutation(len(y))[:n_labels]
        fitted = make_pipeline(StandardScaler(), model).fit(Z[rows], y[rows])
        scores.append(fitted.score(Z_test, y_test))
    return scores


def main() -> None:
    """Run the tables, and print a line a method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads the tables")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--size", type=int, default=8, help="numbers a code")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-iter", type=int, default=20, help="epochs")
    args = parser.parse_args()
    print_versions()
    for name, (X, y) in load_tables(args.data_dir).items():
        found: dict[str, list] = {}
        for seed in range(args.seeds):
            rows = np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS]
            train, test = train_test_split(rows, test_size=0.2, random_state=seed)
            scaler = StandardScaler().fit(X[train])
            X_train, X_test = scaler.transform(X[train]), scaler.transform(X[test])
            # Not more numbers than PCA has, and fewer than columns.
            size = min(args.size, X.shape[1] - 1)
            reducers = {"PCA": PCA(size, random_state=seed)}
            for noise, level in NOISES.items():
                for encoder in ("dense", "attention"):
                    reducers[f"{encoder}, {noise}"] = DenoisingAutoencoderTransformer(
                        size, encoder=encoder, corruption=noise, corruption_level=level,
                        max_iter=args.max_iter, random_state=seed,
                    )  # fmt: skip
            codes = {"raw": (X_train, X_test, 0.0)}
            for method, reducer in reducers.items():
                start = time.perf_counter()
                Z = reducer.fit_transform(X_train)
                codes[method] = Z, reducer.transform(X_test), time.perf_counter() - start
            for method, (Z, Z_test, seconds) in codes.items():
                scores = few_label_scores(Z, y[train], Z_test, y[test], args.labels)
                found.setdefault(method, []).append((np.mean(scores), seconds))
        for method, results in found.items():
            scores, seconds = np.transpose(results)
            print(
                f"{name:>13} {method:>18}: {scores.mean():.4f} ± {scores.std():.4f}, "
                f"{seconds.mean():.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
