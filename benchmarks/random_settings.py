"""Random parameter settings and inputs: each ends in a finite result or in a documented error.

    python benchmarks/random_settings.py [--cases 5000] [--seed 0] [--jobs 1] [--max-seconds 900]

Every case draws an estimator, its parameters (valid and invalid ones of every kind) and rows (of
any shape, dtype, container and scale), and goes through fit, transform, inverse_transform and the
scores. What is neither finite and of the right shape and dtype nor a documented error is printed
with the number of its case, which ``--seed NUMBER --cases 1`` repeats; then the exit status is 1.
"""

import argparse
import functools
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer


@dataclass
class Case:
    """One estimator and its rows."""

    estimator: Any
    X: Any
    more: Any  # further rows, up to 1,000 times as far from the mean
    y: Any
    faults: list[str] = field(default_factory=list)  # what makes an error the only right end


class Problem(AssertionError):
    """What must not happen, and happened."""


# -- Parameters ----------------------------------------------------------------------------------


def _mlp(n_in, n_out, hidden=5):
    return nn.Sequential(nn.Linear(n_in, hidden), nn.Tanh(), nn.Linear(hidden, n_out))


def _norm_and_dropout(n_in, n_out):
    return nn.Sequential(nn.LayerNorm(n_in), nn.Dropout(0.2), nn.Linear(n_in, n_out))


def _add_noise(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator, device=x.device)


def _in_place(x, generator):
    return x.mul_(0.5)


def _levels(rng, n_columns):
    return rng.uniform(0, 1, n_columns)


# For each parameter: what is valid, and what is not. A function draws a value for the width.
VALID = {
    "n_components": [lambda rng, columns: int(rng.integers(1, 2 * columns + 3)), 1, 2, 50],
    "hidden_layer_sizes": [(), 3, (8,), [4, 6], np.array([5]), (2, 2, 2), (1,)],
    "activation": ["identity", "logistic", "tanh", "relu", "elu", "gelu", "silu", nn.PReLU],
    "init": ["pca", "random"],
    "encoder": ["dense"] * 4 + [_mlp, _norm_and_dropout],
    "decoder": [None] * 4 + [_mlp, _norm_and_dropout],
    "loss": ["squared_error", "absolute_error", "huber"],
    "optimizer": ["adam", "adamw", "sgd", functools.partial(torch.optim.RMSprop, lr=1e-3)],
    "learning_rate_init": [1e-12, 1e-3, 0.1, 1.0, 1e3, 1e10, np.float32(0.01), 1],
    "weight_decay": [0.0, 0, 1e-4, 0.5, 10.0],
    "batch_size": ["auto", 1, 3, 16, 1_000, np.int64(5)],
    "shuffle": [True, False],
    "max_iter": [0, 1, 2, 4],
    "early_stopping": [True, False],
    "validation_fraction": [1e-6, 0.1, 0.5, 0.999],
    "n_iter_no_change": [1, 2, 10],
    "tol": [0, 0.0, 1e-4, 1.0, 100.0],
    "callbacks": [None, []],
    "random_state": [0, 1, 12345, lambda rng, columns: np.random.RandomState(3)],
    "device": ["cpu"],
    "warm_start": [False, True],
    "corruption": [
        "gaussian", "masking", "salt_and_pepper", "swap", _add_noise, _in_place,
    ],
    "corruption_level": [0, 0.15, 1.0, _levels, lambda rng, columns: [0.5] * columns],
}  # fmt: skip
INVALID = {
    "n_components": [0, -1, 1.5, "two", None, np.nan],
    "hidden_layer_sizes": [0, -3, (0,), (4, -1), (2.5,), "ten", ("a",), None],
    "activation": ["swish", 3, None, ""],
    "init": ["svd", None, 0],
    "encoder": ["conv2", 3, None, nn.Linear(977, 3), lambda n_in, n_out: "module"],
    "decoder": ["dense", 3, nn.Linear(977, 3), lambda n_in, n_out: nn.Linear(n_in, n_out + 1)],
    "loss": ["mse", None, 1.0],
    "optimizer": ["lbfgs2", None, 3],
    "learning_rate_init": [0, -1e-3, "fast", None],
    "weight_decay": [-0.1, "none", None],
    "batch_size": [0, -5, 2.5, "all", None],
    "shuffle": ["yes", 3, None],
    "max_iter": [-1, 1.5, "many", None],
    "early_stopping": ["yes", None, 5],
    "validation_fraction": [0, 1, 0.0, 1.0, -0.5, 3, "some", None],
    "n_iter_no_change": [0, -1, 2.5, None],
    "tol": [-1e-9, "small", None],
    "callbacks": ["log", 3],
    "random_state": [-1, "seed", 0.5],
    "device": ["gpu", "cuda:99", None, 0, ""],
    "verbose": [-1, "loud", None],
    "warm_start": ["yes", None, 3],
}
INVALID_CORRUPTION = {
    "corruption": ["blur", None, 3],
    "corruption_level": [-0.1, 1.5, np.nan, [0.1] * 41, "much", None, lambda rng, columns: [[0.1]]],
}


def _pick(rng, options, n_columns):
    value = options[rng.integers(len(options))]
    # Those that draw take (rng, columns), and no other function here has these names.
    code = getattr(value, "__code__", None)
    draws = code is not None and code.co_varnames[:1] == ("rng",)
    return value(rng, n_columns) if draws else value


def draw_parameters(rng, cls, n_columns) -> tuple[dict, list[str]]:
    """Draw a setting, and what is wrong with it."""
    params = {"device": "cpu", "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    names = set(cls().get_params())
    for name, options in VALID.items():
        if name in names and rng.random() < 0.4:
            params[name] = _pick(rng, options, n_columns)
    faults = []
    if rng.random() < 0.15:
        invalid = INVALID | (INVALID_CORRUPTION if "corruption" in names else {})
        name = sorted(invalid)[rng.integers(len(invalid))]
        params[name] = _pick(rng, invalid[name], n_columns)
        if name == "corruption_level":
            params["corruption"] = "swap"  # a callable does not use the level
        faults.append(f"{name}={params[name]!r}")
    return params, faults


# -- Rows ----------------------------------------------------------------------------------------


def draw_values(rng, n_rows, n_columns) -> np.ndarray:
    """Draw float64 rows of one kind or another."""
    kind = rng.choice(["normal", "low rank", "curve", "heavy", "counts", "constant", "binary"])
    if kind == "low rank":
        rank = int(rng.integers(1, 4))
        X = rng.normal(size=(n_rows, rank)) @ rng.normal(size=(rank, n_columns))
    elif kind == "curve":
        X = np.sin(rng.uniform(-2, 2, size=(n_rows, 1)) * np.arange(1, n_columns + 1))
    elif kind == "heavy":
        X = rng.standard_cauchy(size=(n_rows, n_columns))
    elif kind == "counts":
        X = rng.poisson(0.3, size=(n_rows, n_columns)).astype(float)
    elif kind == "constant":
        X = np.full((n_rows, n_columns), rng.choice([0.0, 0.1, -3.0, 1e9]))
    elif kind == "binary":
        X = (rng.random((n_rows, n_columns)) < 0.3).astype(float)
    else:
        X = rng.normal(size=(n_rows, n_columns))
    if rng.random() < 0.2:
        X[:, rng.random(n_columns) < 0.3] = rng.choice([0.0, 0.1, -3.0, 1e9])
    if rng.random() < 0.15:
        X = X[rng.integers(n_rows, size=n_rows)]
    if rng.random() < 0.2:
        X = X * 10.0 ** rng.uniform(-12, 12, size=n_columns)
    if rng.random() < 0.2:
        X = X * 10.0 ** rng.choice([-30, -20, -6, 6, 20, 30])
    if rng.random() < 0.1:
        X = X + rng.choice([-100.0, 1e3, 1e9])
    if rng.random() < 0.1:
        X[rng.integers(n_rows)] *= 10.0 ** rng.uniform(0, 6)
    return np.clip(X, -1e32, 1e32)


def _in_container(rng, X):
    """Give the rows another dtype, container or memory layout."""
    dtype = rng.choice(["float64", "float64", "float32", "int64", "int32", "uint8", "bool"])
    if dtype == "uint8":
        X = np.clip(X, 0, 255)
    elif dtype.startswith("int"):
        X = np.clip(X, -(2**31), 2**31 - 1)
    with np.errstate(under="ignore"):
        X = X.astype(dtype)
    container = rng.choice(["array", "array", "fortran", "read-only", "strided", "list", "csr",
                            "csc", "coo", "csr_array"])  # fmt: skip
    if container in ("csr", "csc", "coo", "csr_array"):
        return getattr(sparse, container if "_" in container else f"{container}_matrix")(X)
    if container == "list":
        return X.tolist()
    if container == "fortran":
        return np.asfortranarray(X)
    if container == "strided":
        return np.repeat(X, 2, axis=0)[::2]
    X = np.array(X)
    X.flags.writeable = container != "read-only"
    return X


def draw_case(seed: int) -> Case:
    """Draw everything of one case."""
    rng = np.random.default_rng(seed)
    cls = [AutoencoderTransformer, DenoisingAutoencoderTransformer][rng.integers(2)]
    n_rows, n_columns = int(rng.integers(1, 61)), int(rng.integers(1, 41))
    X = draw_values(rng, n_rows, n_columns)
    params, faults = draw_parameters(rng, cls, n_columns)
    if n_rows == 1:
        faults.append("one row")
    u = rng.random()
    if u < 0.04:
        X[rng.integers(n_rows), rng.integers(n_columns)] = rng.choice([np.nan, np.inf, -np.inf])
        faults.append("not finite")
    elif u < 0.05:
        X = X[:, 0]
        faults.append("1-D")
    elif u < 0.06:
        X = X[:0] if rng.random() < 0.5 else X[:, :0]
        faults.append("empty")
    X = _in_container(rng, X) if u >= 0.06 else X
    more = _as_dense(X).astype(np.float64)
    if u >= 0.06:
        mean = more.mean(axis=0)
        more = mean + (more[rng.integers(n_rows, size=7)] - mean) * 10.0 ** rng.uniform(-3, 3)
    y = [None, list("ab") * 30, np.arange(n_rows)][rng.integers(3)]
    return Case(cls(**params), X, more, y, faults)


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
    _check_array("transform", codes, (n_rows, estimator.n_components), dtype)
    _check_array(
        "inverse_transform", estimator.inverse_transform(codes), (n_rows, n_columns), dtype
    )
    _check_array("reconstruct", estimator.reconstruct(rows), (n_rows, n_columns), dtype)
    _check_array("score_samples", estimator.score_samples(rows), (n_rows,), np.float64)
    if not np.isfinite(estimator.score(rows)):
        raise Problem(f"score is {estimator.score(rows)}")


def _as_dense(X) -> np.ndarray:
    return X.toarray() if sparse.issparse(X) else np.array(X)


def run_case(case: Case) -> str:
    """Run a case; return the kind of its end, or raise `Problem`."""
    estimator, before = case.estimator, _as_dense(case.X)
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
    if not np.array_equal(before, _as_dense(case.X), equal_nan=before.dtype.kind == "f"):
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
