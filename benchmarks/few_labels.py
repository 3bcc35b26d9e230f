"""Error of simple classifiers on MNIST with few labels, on pixels, on PCA's codes and on ours.

    python benchmarks/few_labels.py DATA_DIR [--size 32] [--draws 10]

PCA and the autoencoders see the 60,000 training images without labels, once. Then, for each draw of
as many labels a class, a classifier is fitted to the codes of the labelled images and counts its
errors on the 10,000 test images. Label spreading also sees the codes of unlabelled training images,
as transductive classifiers do. Pixels lie in [0, 1].
"""

import argparse
import time

import numpy as np
from report import print_versions
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from tables import import_loader

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

LABELS = (100, 600, 1_000, 3_000)
UNLABELLED = 10_000
# The codes are in the units of the pixels, so that none of them needs a scaler.
CLASSIFIERS = {
    "1-NN": KNeighborsClassifier(1),
    "logistic": LogisticRegression(max_iter=1000),
    "SVM": SVC(C=10),
}


def draw_labels(y: np.ndarray, n_labels: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rows, as many of each class."""
    return np.concatenate(
        [rng.permutation(np.flatnonzero(y == c))[: n_labels // 10] for c in np.unique(y)]
    )


def spread_error(Z, y, Z_test, y_test, rows) -> float:
    """Return the error of labels that spread over the codes of labelled and unlabelled images."""
    others = np.setdiff1d(np.arange(UNLABELLED), rows)
    codes = np.vstack([Z[rows], Z[others]])
    labels = np.r_[y[rows], np.full(len(others), -1)]
    model = LabelSpreading(kernel="knn", n_neighbors=10, alpha=0.99, max_iter=100)
    return 1 - model.fit(codes, labels).score(Z_test, y_test)


def main() -> None:
    """Fit the reducers, and print a table a classifier."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads mnist")
    parser.add_argument("--size", type=int, default=32, help="numbers a code")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--max-iter", type=int, default=40, help="epochs")
    args = parser.parse_args()
    print_versions()
    data = import_loader(args.data_dir).load("mnist")
    X, X_test = (np.asarray(data[key], np.float32) / 255 for key in ("X", "X_test"))
    y, y_test = data["y"], data["y_test"]
    shared = {"random_state": 0, "max_iter": args.max_iter, "batch_size": 256}
    conv = {"encoder": "conv", "image_shape": (1, 28, 28)}
    reducers = {
        "PCA": PCA(args.size, random_state=0),
        "AE": AutoencoderTransformer(args.size, **shared),
        "DAE": DenoisingAutoencoderTransformer(args.size, **shared),
        "conv AE": AutoencoderTransformer(args.size, **shared, **conv),
    }
    codes = {"pixels": (X, X_test)}
    for name, reducer in reducers.items():
        start = time.perf_counter()
        codes[name] = reducer.fit(X).transform(X), reducer.transform(X_test)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    for classifier in [*CLASSIFIERS, "label spreading"]:
        print(f"\n{classifier}: test error in percent, mean and deviation of {args.draws} draws")
        print("labels" + "".join(f" {name:>14}" for name in codes))
        for n_labels in LABELS:
            line = f"{n_labels:>6}"
            for Z, Z_test in codes.values():
                errors = []
                for draw in range(args.draws):
                    rows = draw_labels(y, n_labels, np.random.default_rng(draw))
                    if classifier in CLASSIFIERS:
                        model = CLASSIFIERS[classifier].fit(Z[rows], y[rows])
                        errors.append(1 - model.score(Z_test, y_test))
                    else:
                        errors.append(spread_error(Z, y, Z_test, y_test, rows))
                line += f"   {100 * np.mean(errors):5.2f} ± {100 * np.std(errors):4.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
