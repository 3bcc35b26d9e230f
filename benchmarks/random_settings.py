"""Random parameter settings and inputs: each ends in a finite result or in a documented error.

    python benchmarks/random_settings.py [--cases 5000] [--seed 0] [--jobs 1] [--max-seconds 900]

Every case draws an estimator, its parameters (valid and invalid ones of every kind) and rows (of
any shape, dtype, container and scale), and goes through fit, transform, inverse_transform and the
scores. What is neither finite and of the right shape and dtype nor a documented error is printed
with the number of its case, which ``--seed NUMBER --cases 1`` repeats; then the exit status is 1.
"""

import argparse
import re
import sys
import time
import traceback
import warnings
from collections import Counter

import numpy as np
import torch
from joblib import Parallel, delayed
from random_cases import Case, as_dense, draw_case
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError


class Problem(AssertionError):
    """What must not happen, and happened."""


# -- What may come of it -------------------------------------------------------------------------


def _check_error(error: Exception, case: Case) -> str:
    """Accept documented errors; return their kind."""
    frames = traceback.extract_tb(error.__traceback__)
    files = [frame.filename for frame in frames]
    ours = max(i for i, name in enumerate(files) if "sklearn_ae" in name or __file__ == name)
    by_sklearn = any("sklearn/utils" in name.replace("\\", "/") for name in files[ours:])
    if not case.faults:
        raise Problem(f"nothing is wrong, yet: {type(error).__name__}: {error}") from error
    if isinstance(error, NotFittedError):
        return "NotFittedError"
    named = "|".join([*case.estimator.get_params(), "X", "array", "sample", "feature", "column"])
    if isinstance(error, ValueError) and (by_sklearn or re.search(rf"\b({named})", str(error))):
        return type(error).__name__
    if isinstance(error, TypeError) and by_sklearn:
        return "TypeError of scikit-learn"
    raise Problem(f"undocumented error: {type(error).__name__}: {error}") from error


def _check_array(name, found, shape, dtype) -> None:
    if found.shape != shape:
        raise Problem(f"{name}: shape {found.shape}, expected {shape}")
    if found.dtype != dtype:
        raise Problem(f"{name}: dtype {found.dtype}, expected {dtype}")
    if not np.isfinite(found).all():
        raise Problem(f"{name}: {np.sum(~np.isfinite(found))} values are not finite")


def _check_outputs(estimator, rows) -> None:
    """Go through all methods of a fitted estimator."""
    n_rows, n_columns = np.shape(rows) if not sparse.issparse(rows) else rows.shape
    dtype = np.float32 if getattr(rows, "dtype", None) == np.float32 else np.float64
    codes = estimator.transform(rows)
    _check_array("transform", codes, (n_rows, len(estimator.get_feature_names_out())), dtype)
    if estimator.code_layer is None:
        _check_array(
            "inverse_transform", estimator.inverse_transform(codes), (n_rows, n_columns), dtype
        )
    _check_array("reconstruct", estimator.reconstruct(rows), (n_rows, n_columns), dtype)
    _check_array("score_samples", estimator.score_samples(rows), (n_rows,), np.float64)
    if not np.isfinite(estimator.score(rows)):
        raise Problem(f"score is {estimator.score(rows)}")


def run_case(case: Case) -> str:
    """Run a case; return the kind of its end, or raise `Problem`."""
    estimator, before = case.estimator, as_dense(case.X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(case.X, case.y)
            if estimator.warm_start and not case.faults:
                estimator.fit(case.X, case.y)
        except Exception as error:
            kind = _check_error(error, case)
            left = set(vars(estimator)) - set(estimator.get_params())
            if left:
                raise Problem(f"half fitted after an error: {sorted(left)}") from error
        else:
            if case.faults:
                raise Problem(f"no error, in spite of {case.faults}")
            _check_outputs(estimator, case.X)
            _check_outputs(estimator, case.more)
            kind = "PCA" if estimator.is_pca_ else "network"
    if not np.array_equal(before, as_dense(case.X), equal_nan=before.dtype.kind == "f"):
        raise Problem("X has been changed")
    other = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
    if other:
        w = other[0]
        raise Problem(f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})")
    return kind + " (ConvergenceWarning)" * bool(caught)


def try_case(seed: int) -> tuple[str, str | None]:
    """Draw and run a case; return the kind of its end, and a report of what went wrong."""
    torch.set_num_threads(1)
    case = None
    try:
        case = draw_case(seed)
        return run_case(case), None
    except Exception as error:
        shape = getattr(case.X, "shape", np.shape(case.X) if case else None) if case else None
        cause = error.__cause__ or error
        where = traceback.extract_tb(cause.__traceback__)[-1]
        kind = "PROBLEM" if isinstance(error, Problem) else f"PROBLEM ({type(error).__name__})"
        dtype = getattr(case.X, "dtype", "") if case else ""
        container = type(case.X).__name__ if case else ""
        text = (
            f"case {seed}: {error}\n    at {where.filename}:{where.lineno}\n"
            f"    {case and case.estimator}\n    X: {container} {dtype} {shape}"
        )
        return kind, text


def main() -> int:
    """Run the cases, print what went wrong and a count of all ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=900)
    args = parser.parse_args()
    start, ends = time.monotonic(), Counter()
    seeds = range(args.seed, args.seed + args.cases)
    with Parallel(n_jobs=args.jobs) as pool:
        for first in range(0, len(seeds), 50 * args.jobs):
            for kind, report in pool(map(delayed(try_case), seeds[first : first + 50 * args.jobs])):
                ends[kind] += 1
                if report:
                    print(report, flush=True)
            if time.monotonic() - start > args.max_seconds:
                break
    print(f"{sum(ends.values())} cases in {time.monotonic() - start:.0f} s")
    for kind, count in ends.most_common():
        print(f"{count:7d}  {kind}")
    return int(any(kind.startswith("PROBLEM") for kind in ends))


if __name__ == "__main__":
    sys.exit(main())
