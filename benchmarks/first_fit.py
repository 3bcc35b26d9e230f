"""Seconds from `python` to a first fitted model, and of a first search, ours and PCA's.

    python benchmarks/first_fit.py [--repetitions 5] [--folds 3] [--skip-searches]

Each line is a fresh process, all in turn; medians, in brackets the fastest and the slowest. Seconds
are from its start to the end of the last statement, imports included, on scikit-learn's digits. A
first round of these, which nobody counts, writes the files of bytecode.

A search is `GridSearchCV` over three sizes with `refit=False`: of the reduction and a logistic
regression, with one process and with two. Its seconds are those of `fit` alone, for the first
search of a process, which starts the workers, and for the second, which finds them. What two can
gain is bounded, as they share out whole fits: nine take them as long as five take one.
"""

import argparse
import json
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from report import median_and_range, print_versions
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

SIZES = [2, 4, 8]
IMPORTS = {
    "PCA": "from sklearn.decomposition import PCA",
    "AutoencoderTransformer": "from sklearn_ae import AutoencoderTransformer",
}
FIT = """
from sklearn.datasets import load_digits
{imported}
X, y = load_digits(return_X_y=True)
{model}.fit(X)
"""
LOAD = """
import pickle
import numpy as np
with open({path!r}, "rb") as file:
    model = pickle.load(file)
model.transform(np.ones((1, 64)))
"""
SEARCH = """
import time
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
{imported}
X, y = load_digits(return_X_y=True)
pipeline = Pipeline([("reduce", {model}), ("classify", LogisticRegression(max_iter=1000))])
seconds = []
for _ in range(2):
    start = time.perf_counter()
    GridSearchCV(
        pipeline,
        {{"reduce__n_components": {sizes}}},
        cv={folds},
        n_jobs={jobs},
        refit=False,
        error_score="raise",
    ).fit(X, y)
    seconds.append(time.perf_counter() - start)
print(seconds)
"""


def run(code: str) -> str:
    """Run code in a fresh process, and return the last line that it prints."""
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return printed.splitlines()[-1]


def process_seconds(code: str) -> float:
    """Return the seconds from the start of a process to the end of its code."""
    # The one clock that processes share on every system.
    start = time.time()
    return float(run(f"{code}\nimport time\nprint(time.time())")) - start


def in_turn(cases: dict[str, str], measure: Callable, repetitions: int) -> dict[str, np.ndarray]:
    """Measure every case so many times, in turn."""
    rounds = [{name: measure(cases[name]) for name in cases} for _ in range(repetitions)]
    return {name: np.array([found[name] for found in rounds]) for name in cases}


def first_block() -> str:
    """Return the README's first block of Python."""
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)[1]


def fit_code(model: str) -> str:
    """Return code that fits a model, given as a call of its class."""
    return FIT.format(imported=IMPORTS[model.partition("(")[0]], model=model)


def print_processes(repetitions: int) -> None:
    """Print the seconds of imports, first fits and loaded models, and how many times PCA's."""
    autoencoders = [
        f"AutoencoderTransformer({parameters})"
        for parameters in ("8, max_iter=0", "8, max_iter=1", "8")
    ]
    groups = {
        "import": {
            "sklearn.decomposition": IMPORTS["PCA"],
            "sklearn_ae": IMPORTS["AutoencoderTransformer"],
            "torch": "import torch",
        },
        "first fit": {
            **{model: fit_code(model) for model in ("PCA(8)", *autoencoders)},
            "README's first block": first_block(),
        },
        "unpickle, transform a row": {},
    }
    X = load_digits().data
    with tempfile.TemporaryDirectory() as folder:
        for model in (PCA(8), AutoencoderTransformer(8, max_iter=1, random_state=0)):
            name = type(model).__name__
            path = Path(folder) / name
            path.write_bytes(pickle.dumps(model.fit(X)))
            groups["unpickle, transform a row"][f"{name} of 8"] = LOAD.format(path=str(path))
        for group, cases in groups.items():
            print(f"\n{group:<42}{'seconds':>24}{'times the first':>24}{'s more':>8}")
            in_turn(cases, process_seconds, 1)
            found = in_turn(cases, process_seconds, repetitions)
            first = next(iter(found.values()))
            for name, values in found.items():
                seconds, times = median_and_range(values), median_and_range(values / first, 1)
                more = np.median(values - first)
                print(f"  {name:<40}{seconds:>24}{times:>24}{more:>8.2f}", flush=True)


def print_searches(repetitions: int, folds: int) -> None:
    """Print the seconds of searches with one process and two, and how many times faster two are."""
    cases = {}
    models = (
        "PCA(whiten=True)",
        "AutoencoderTransformer(whiten=True, max_iter=10, random_state=0)",
    )
    for model in models:
        for jobs in (1, 2):
            cases[model, jobs] = SEARCH.format(
                imported=IMPORTS[model.partition("(")[0]],
                model=model,
                sizes=SIZES,
                folds=folds,
                jobs=jobs,
            )
    found = in_turn(cases, lambda code: json.loads(run(code)), repetitions)
    n_fits = len(SIZES) * folds
    bound = n_fits / -(-n_fits // 2)
    print(f"\nsearch of {n_fits} fits; two processes are at most {bound:.2f} times faster")
    print(f"{'':<32}{'n_jobs=1, seconds':>24}{'n_jobs=2, seconds':>24}{'times faster':>24}")
    for model in models:
        for i, which in enumerate(("first", "second")):
            one, two = (found[model, jobs][:, i] for jobs in (1, 2))
            name = f"{model.partition('(')[0]}, {which}"
            cells = [median_and_range(values) for values in (one, two, one / two)]
            print(f"{name:<32}" + "".join(f"{cell:>24}" for cell in cells))


def main() -> None:
    """Print the table of processes, then the one of searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folds", type=int, default=3, help="of the searches")
    parser.add_argument("--skip-searches", action="store_true", help="they want two processors")
    args = parser.parse_args()
    print_versions()
    print_processes(args.repetitions)
    if not args.skip_searches:
        print_searches(args.repetitions, args.folds)


if __name__ == "__main__":
    main()
