"""Trainings that are kept on disk, by all that decides them."""

from collections.abc import Callable
from typing import Any

import joblib
import torch
from sklearn.utils.validation import check_memory

from sklearn_ae._version import __version__


def remembered(memory: Any, decided_by: dict[str, Any], X: Any, train: Callable[[], dict]) -> dict:
    """Return what a training gave that was decided by the same; train where there was none.

    Parameters
    ----------
    memory : str or object with the joblib.Memory interface
        The folder.
    decided_by : dict
        All that decides the training but its rows.
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        These.
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
    decided_by = decided_by | {"versions": (__version__, torch.__version__)}
    try:
        joblib.hash(decided_by)
    except Exception as error:
        raise ValueError(
            f"memory={memory!r} finds a training by its parameters, and one of them cannot be told "
            f"from others: {error} Give functions by name in place of lambdas, or memory=None."
        ) from error
    return cache(decided_by, X, train)


def _train(decided_by: dict[str, Any], X: Any, train: Callable[[], dict]) -> dict:
    """Train; what decides the training is what the result is found by."""
    return train()
