"""The rows of one process among many, and what has to be the same in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from scipy import sparse

from sklearn_ae._array_api import on_host
from sklearn_ae._callbacks import is_checkpoint
from sklearn_ae._processes import Processes
from sklearn_ae._rows import Spread

# So many characters show a value.
SHOWN = 80


@dataclass(frozen=True)
class Part:
    """What `fit` is given in each of many processes.

    Attributes
    ----------
    rows : {array-like, sparse matrix} of shape (n_rows_here, n_columns)
        The rows that are there.
    processes : Processes
        All of them.
    """

    rows: Any
    processes: Processes


def spread(
    rows: Any, processes: Processes, estimator: Any, decided_by: dict[str, Any], previous: Any
) -> Spread:
    """Return the rows of all processes, once they are found to be for the same fit.

    Parameters
    ----------
    rows : ndarray, CSR matrix or Source of shape (n_rows_here, n_columns)
        Those of this process, validated.
    processes : Processes
        All of them.
    estimator : estimator
        Its names of the columns become those of the first process that has rows.
    decided_by : dict
        All else that decides the fit.
    previous : Previous or None
        The fit to go on from.

    Raises
    ------
    ValueError
        If the processes have other parameters, columns or kinds of rows, a parameter is only for
        one process, or there are no two rows.
    """
    for name in ("memory", "pretraining"):
        value = getattr(estimator, name)
        if value is not None:
            raise ValueError(
                f"{name}={value!r} is for a fit in one process. Set {name}=None in many."
            )
    told = {name: (_hash(value), _shown(value)) for name, value in decided_by.items()}
    # Each process has one of its own.
    del told["device"]
    told["the number of columns"] = _simple(rows.shape[1])
    told["a FitCheckpoint among the callbacks"] = _simple(
        any(map(is_checkpoint, estimator.callbacks or []))
    )
    told["n_components"] = _simple(estimator.n_components)
    told["the last fit"] = "", "none to go on from"
    if previous is not None:
        weights = [on_host(value) for value in previous.nested.state_dict().values()]
        last = (weights, vars(previous.scaling), previous.seed)
        told["the last fit"] = _hash(last), "one of other weights or rows"
    # What no rows are like says nothing.
    like = None
    if rows.shape[0]:
        like = getattr(estimator, "feature_names_in_", None), rows.dtype, sparse.issparse(rows)
        names, dtype, is_sparse = like
        told["the names of the columns"] = _simple(None if names is None else names.tolist())
        told["the dtype of X"] = _simple(str(dtype))
        told["whether X is sparse"] = _simple(is_sparse)
    all_told, likes = zip(*processes.gathered((told, like)), strict=True)
    _check_same(all_told)
    if like is None and any(likes):
        names, dtype, is_sparse = next(filter(None, likes))
        shape = 0, rows.shape[1]
        rows = sparse.csr_matrix(shape, dtype=dtype) if is_sparse else np.empty(shape, dtype)
        if names is not None:
            estimator.feature_names_in_ = names
    X = Spread(rows, processes)
    if X.shape[0] < 2:
        raise ValueError(f"X has {X.shape[0]} rows in all processes: a fit needs two or more.")
    return X


def _check_same(all_told: Sequence[dict[str, tuple[str, str]]]) -> None:
    """Check that what each process says is the same; a process without rows says less."""
    for name in {name: None for told in all_told for name in told}:
        found = [(rank, *told[name]) for rank, told in enumerate(all_told) if name in told]
        first, wanted, shown = found[0]
        for rank, other, other_shown in found:
            if other != wanted:
                raise ValueError(
                    f"All processes must be given the same, but {name} is {shown} in process "
                    f"{first}, and {other_shown} in process {rank}."
                )


def _simple(value: Any) -> tuple[str, str]:
    return repr(value), _shown(value)


def _hash(value: Any) -> str:
    """Return what tells a value from others; nothing of one that cannot be told."""
    try:
        return joblib.hash(value)
    except Exception:  # a lambda, for one
        return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
