"""Trainings that are kept on disk, by all that decides them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import scipy
import sklearn
import skorch
import torch
from sklearn.utils.validation import check_memory
from torch import nn

from sklearn_ae._version import __version__

LIBRARIES = (torch, skorch, sklearn, scipy, np)


def remembered(
    memory: Any,
    decided_by: dict[str, Any],
    params: dict[str, Any],
    X: Any,
    train: Callable[[], dict],
) -> dict:
    """Return what a training gave that was decided by the same; train where there was none.

    Parameters
    ----------
    memory : str or object with the joblib.Memory interface
        The folder.
    decided_by : dict
        All that decides the training but its rows and the code that it runs.
    params : dict
        Where users' code is: functions and classes, of which joblib looks at the names alone.
    X : ndarray or CSR matrix of shape (n_rows, n_columns), or list of str
        The rows, or what other rows would not give.
    train : callable
        ``() -> result``, to be kept if it returns.

    Raises
    ------
    ValueError
        If the folder cannot be written, or what decides the training has no fixed content.
    """
    try:
        cache = check_memory(memory).cache(_train, ignore=["train"])
    except OSError as error:
        raise ValueError(
            f"memory={memory!r} must be a folder that can be written: {error}"
        ) from error
    decided_by = all_that_decides(decided_by, params)
    hashes(decided_by, f"memory={memory!r}", "memory=None")
    return cache(decided_by, X, train)


def all_that_decides(decided_by: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return what decides a training, with the versions and the users' code that it runs."""
    return decided_by | {
        "versions": (__version__, *(library.__version__ for library in LIBRARIES)),
        # Not that of the memory itself.
        "the code of your own functions and classes": {
            name: _sources(params[name]) for name in params.keys() - {"memory"}
        },
    }


def hashes(decided_by: dict[str, Any], who: str, without: str) -> dict[str, str]:
    """Return what tells each of these from others.

    Raises
    ------
    ValueError
        If one has no fixed content, of which it says `who` needs that, and how to do `without`.
    """
    found = {}
    for name, value in decided_by.items():
        try:
            found[name] = joblib.hash(value)
        except Exception as error:
            raise ValueError(
                f"{who} finds a training by its parameters, and {name} cannot be told from others: "
                f"{next(iter(error.args), error)} Give functions and classes of a module in place "
                f"of lambdas, or {without}."
            ) from error
    return found


def _sources(value: Any) -> list[str]:
    """Return the code of a user's functions and classes, as far as it is in sight."""
    if isinstance(value, list | tuple):
        return [source for part in value for source in _sources(part)]
    if isinstance(value, functools.partial):
        return _sources(value.func)
    if isinstance(value, nn.Module):
        kinds = {type(part) for part in value.modules()}
        return sorted(source for kind in kinds for source in _sources(kind))
    if not (inspect.isfunction(value) or isinstance(value, type)):
        value = type(value)
    if value.__module__.partition(".")[0] in ("builtins", "torch", "skorch", "sklearn_ae", "numpy"):
        return []  # their versions say it
    try:
        return [inspect.getsource(value)]
    except (OSError, TypeError):
        return [repr(value)]


def _train(decided_by: dict[str, Any], X: Any, train: Callable[[], dict]) -> dict:
    """Train; what decides the training is what the result is found by."""
    return train()
