"""Error of simple classifiers on MNIST with few labels, on pixels, on PCA's codes and on ours.

    python benchmarks/few_labels.py DATA_DIR [--size 32] [--draws 10]

PCA and the autoencoders see the 60,000 training images without labels, once. Then, for each draw of
as many labels a class, a classifier is fitted to the codes of the labelled images and counts its
errors on the 10,000 test images. Label spreading also sees the codes of the first 20,000 training
images without their labels. Pixels lie in [0, 1].
"""

import argparse
import time

import numpy as np
from report import mean_and_spread, print_versions
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC
from tables import import_loader

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

LABELS = (100, 600, 1_000, 3_000)
# The labels are drawn among these.
ROWS = 20_000
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


def label_spreading(Z: np.ndarray, Z_test: np.ndarray) -> LabelSpreading:
    """Make the classifier on a graph of neighbours that is computed once for all draws."""
    nearest = NearestNeighbors(n_neighbors=10).fit(Z)
    graph = nearest.kneighbors_graph()
    graph, of_test = graph.maximum(graph.T), nearest.kneighbors_graph(Z_test).T
    return LabelSpreading(kernel=lambda A, B: graph if B is A else of_test, alpha=0.9, max_iter=200)


def main() -> None:
    """Fit the reducers, and print a table a classifier."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", help="folder with load.py that loads mnist")
    parser.add_argument("--size", type=int, default=32, help="numbers a code")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--max-iter", type=int, default=20, help="epochs")
    parser.add_argument("--steps", type=int, default=0, help="that refine a code")
    args = parser.parse_args()
    print_versions()
    data = import_loader(args.data_dir).load("mnist")
    X, X_test = (np.asarray(data[key], np.float32) / 255 for key in ("X", "X_test"))
    y, y_test = data["y"], data["y_test"]
    shared = {
        "random_state": 0,
        "max_iter": args.max_iter,
        "batch_size": 256,
        "transform_max_iter": args.steps,
    }
    conv = {"encoder": "conv", "image_shape": (1, 28, 28)}
    reducers = {
        "PCA": PCA(args.size, random_state=0),
        "AE": AutoencoderTransformer(args.size, **shared),
        "DAE": DenoisingAutoencoderTransformer(args.size, **shared),
        "conv AE": AutoencoderTransformer(args.size, **shared, **conv),
    }
    codes = {"pixels": (X[:ROWS], X_test)}
    for name, reducer in reducers.items():
        start = time.perf_counter()
        codes[name] = reducer.fit(X).transform(X[:ROWS]), reducer.transform(X_test)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    y = y[:ROWS]
    draws = {
        n: [draw_labels(y, n, np.random.default_rng(draw)) for draw in range(args.draws)]
        for n in LABELS
    }
    errors: dict[tuple, list] = {}
    for reducer, (Z, Z_test) in codes.items():
        spreading = label_spreading(Z, Z_test)
        for n_labels, drawn in draws.items():
            for rows in drawn:
                for name, classifier in CLASSIFIERS.items():
                    score = classifier.fit(Z[rows], y[rows]).score(Z_test, y_test)
                    errors.setdefault((name, n_labels, reducer), []).append(1 - score)
                labels = np.full(ROWS, -1)
                labels[rows] = y[rows]
                score = spreading.fit(Z, labels).score(Z_test, y_test)
                errors.setdefault(("label spreading", n_labels, reducer), []).append(1 - score)
    for classifier in [*CLASSIFIERS, "label spreading"]:
        print(f"\n{classifier}: test error in percent, mean and deviation of {args.draws} draws")
        print("labels" + "".join(f" {name:>14}" for name in codes))
        for n_labels in LABELS:
            found = [errors[classifier, n_labels, reducer] for reducer in codes]
            cells = mean_and_spread(100 * np.transpose(found))
            print(f"{n_labels:>6}" + "".join(f" {cell:>14}" for cell in cells))


if __name__ == "__main__":
    main()
