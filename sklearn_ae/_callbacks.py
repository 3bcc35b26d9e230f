"""The parameter `callbacks`: what it may hold, and copies of it."""

import copy
from typing import Any

from skorch.callbacks import Callback

from sklearn_ae.callbacks import FitCheckpoint

# Names of skorch's callbacks and of our own.
RESERVED = ("epoch_timer", "keep_best", "listener", "print_log", "train_loss", "valid_loss")


def check_callbacks(callbacks: list | None) -> None:
    """Check that all are skorch's.

    Raises
    ------
    ValueError
        If one is not, or has a name that is taken.
    """
    names = {*RESERVED}
    for callback in callbacks or []:
        named = isinstance(callback, tuple) and len(callback) == 2
        found = callback[1] if named else callback
        if not (
            isinstance(found, Callback) or (isinstance(found, type) and issubclass(found, Callback))
        ):
            raise ValueError(
                f"callbacks={callbacks!r} must contain instances or classes of "
                f"skorch.callbacks.Callback, or pairs (name, callback); got {callback!r}."
            )
        if named and (not isinstance(callback[0], str) or callback[0] in names):
            raise ValueError(
                f"callbacks={callbacks!r} gives a callback the name {callback[0]!r}, which is no "
                "string, or that of another. Give it another name, or none."
            )
        if named:
            names.add(callback[0])


def made_callbacks(callbacks: list | None) -> tuple[list, FitCheckpoint | None]:
    """Return copies of all, of which those that are given as a class are made, and the checkpoint.

    Raises
    ------
    ValueError
        If one is not skorch's, has a name that is taken, or is a class that needs arguments, or if
        there are two checkpoints.
    """
    check_callbacks(callbacks)
    made = [_made(callback) for callback in copy_callbacks(callbacks or [])]
    checkpoints = [c for c in made if is_checkpoint(c)]
    if len(checkpoints) > 1:
        raise ValueError(f"callbacks={callbacks!r} has two checkpoints. One is enough.")
    others = [c for c in made if not is_checkpoint(c)]
    for checkpoint in checkpoints:
        return others, checkpoint[1] if isinstance(checkpoint, tuple) else checkpoint
    return others, None


def is_checkpoint(callback: Any) -> bool:
    """Tell whether a callback, perhaps with a name, is a checkpoint."""
    return isinstance(callback[1] if isinstance(callback, tuple) else callback, FitCheckpoint)


def copy_callbacks(callbacks: Any) -> Any:
    """Copy the parameter `callbacks`, so that no fit shares one that can be copied."""
    if not isinstance(callbacks, list):
        return callbacks
    return [
        (c[0], _copied(c[1])) if isinstance(c, tuple) and len(c) == 2 else _copied(c)
        for c in callbacks
    ]


def _made(callback: Any) -> Any:
    """Make an instance where the class of a callback is given."""
    if isinstance(callback, tuple):
        return callback[0], _made(callback[1])
    if not isinstance(callback, type):
        return callback
    try:
        return callback()
    except TypeError as error:
        raise ValueError(
            f"callbacks has the class {callback.__name__}, which cannot be made without arguments: "
            f"{error}. Give an instance."
        ) from error


def _copied(callback: Any) -> Any:
    try:
        return copy.deepcopy(callback)
    except Exception:
        # Whatever its parts raise: a logger's open file or connection is to be shared.
        return copy.copy(callback)
