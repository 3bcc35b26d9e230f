"""Seconds of a search over the size of the code: PCA, and ours with trainings in memory.

    python benchmarks/search.py [--jobs 1] [--repetitions 3]

GridSearchCV over five sizes and three folds of scikit-learn's digits: StandardScaler, reduction,
logistic regression; no refit. Ours in three ways: one training a fold for all sizes, kept in
memory; the same without memory, which must find the same scores; and a fit of its own for each
size. The trainings that memory keeps are timed alone, too, and what the search takes beyond them is
compared with PCA's search; so is the same search again, which trains nothing. All in turn, medians
of the repetitions, each with an empty folder; the number of a repetition is the seed.
"""

import argparse
import tempfile
import time
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from report import print_versions, warm_up
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer

SIZES = [2, 4, 8, 16, 32]
FOLDS = StratifiedKFold(3)


def search(reducer: Any, X: np.ndarray, y: np.ndarray, jobs: int) -> tuple[float, np.ndarray]:
    """Search over the sizes; return the seconds and the score of each size in each fold."""
    pipeline = make_pipeline(StandardScaler(), reducer, LogisticRegression(max_iter=1000))
    grid = {f"{pipeline.steps[1][0]}__n_components": SIZES}
    # A fold that fails must not pass as a fast one.
    found = GridSearchCV(pipeline, grid, cv=FOLDS, n_jobs=jobs, refit=False, error_score="raise")
    start = time.perf_counter()
    found.fit(X, y)
    seconds = time.perf_counter() - start
    folds = [found.cv_results_[f"split{i}_test_score"] for i in range(FOLDS.get_n_splits())]
    return seconds, np.transpose(folds)


def train(reducer: Any, X: np.ndarray) -> None:
    """Train on the scaled rows of a fold."""
    clone(reducer).fit(StandardScaler().fit_transform(X))


def seconds_of_trainings(reducer: Any, X: np.ndarray, y: np.ndarray, jobs: int) -> float:
    """Return the seconds of one training a fold."""
    folds = [X[rows] for rows, _ in FOLDS.split(X, y)]
    start = time.perf_counter()
    Parallel(n_jobs=jobs)(delayed(train)(reducer, fold) for fold in folds)
    return time.perf_counter() - start


def repetition(X: np.ndarray, y: np.ndarray, seed: int, jobs: int) -> tuple[dict, dict]:
    """Run all once; return seconds and scores by method.

    Raises
    ------
    AssertionError
        If the scores with memory differ from those without.
    """
    largest = SIZES[-1]
    whole = AutoencoderTransformer(max_components=largest, random_state=seed)
    seconds, scores = {}, {}
    seconds["PCA"], scores["PCA"] = search(PCA(random_state=seed), X, y, jobs)
    seconds["trainings alone"] = seconds_of_trainings(whole, X, y, jobs)
    with tempfile.TemporaryDirectory() as folder:
        remembering = clone(whole).set_params(memory=folder)
        seconds["memory"], scores["memory"] = search(remembering, X, y, jobs)
        seconds["memory, again"], scores["memory, again"] = search(remembering, X, y, jobs)
    seconds["no memory"], scores["no memory"] = search(whole, X, y, jobs)
    for name in ("memory", "memory, again"):
        np.testing.assert_allclose(scores[name], scores["no memory"], rtol=0, atol=1e-12)
    own = AutoencoderTransformer(random_state=seed)
    seconds["separate fits"], scores["separate fits"] = search(own, X, y, jobs)
    return seconds, scores


def main() -> None:
    """Run the repetitions and print seconds and scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="n_jobs of the search")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    print_versions()
    X, y = load_digits(return_X_y=True)
    print(f"digits, {len(SIZES)} sizes, {FOLDS.get_n_splits()} folds, n_jobs={args.jobs}")
    # The processes of a search are those of a search before it.
    Parallel(n_jobs=args.jobs, batch_size=1)(delayed(warm_up)() for _ in range(4 * args.jobs))
    search(PCA(), X, y, args.jobs)
    runs = [repetition(X, y, seed, args.jobs) for seed in range(args.repetitions)]
    seconds = {name: np.array([run[name] for run, _ in runs]) for name in runs[0][0]}
    for name, values in seconds.items():
        times = np.median(values) / np.median(seconds["PCA"])
        print(
            f"{name:>16}: {np.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f}), "
            f"{times:6.1f} times PCA's"
        )
    beyond = (seconds["memory"] - seconds["trainings alone"]) / seconds["PCA"]
    print(
        f"with memory, less the trainings alone, over PCA's: {np.median(beyond):.1f} times "
        f"({min(beyond):.1f} to {max(beyond):.1f})"
    )
    print("with and without memory the scores are the same, within 1e-12")
    print("mean accuracy over folds and seeds" + "".join(f" {size:>6}" for size in SIZES))
    for name in ("PCA", "memory", "separate fits"):
        accuracy = np.mean([scores[name] for _, scores in runs], axis=(0, 2))
        print(f"{name:>34}" + "".join(f" {value:6.3f}" for value in accuracy))


if __name__ == "__main__":
    main()
