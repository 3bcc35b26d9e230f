"""Plain data as text: what is read back is plain data, whoever wrote the text."""

import json
from typing import Any

import numpy as np

# Types that JSON has; numbers of numpy are written as Python's.
PLAIN = (type(None), bool, int, float, str)
# JSON has no tuples: one is an object with this key alone.
TUPLE = "()"


def to_text(value: Any) -> str:
    """Write plain data as text.

    Raises
    ------
    TypeError
        If it is not plain.
    """
    return json.dumps(_encode(value), separators=(",", ":"))


def from_text(text: str) -> Any:
    """Read what `to_text` wrote.

    Raises
    ------
    TypeError, RecursionError
        If it is something else.
    """
    try:
        return json.loads(text, object_hook=_decode)
    except ValueError as error:
        raise TypeError(f"no text of plain data: {error}") from error


def is_plain(value: Any) -> bool:
    """Tell whether `to_text` can write this."""
    try:
        _encode(value)
    except (TypeError, RecursionError):
        return False
    return True


def _encode(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in PLAIN:
        return value
    if type(value) is list:
        return [_encode(item) for item in value]
    if type(value) is tuple:
        return {TUPLE: [_encode(item) for item in value]}
    if type(value) is dict and all(type(key) is str and key != TUPLE for key in value):
        return {key: _encode(item) for key, item in value.items()}
    raise TypeError(f"{value!r} is no plain data")


def _decode(found: dict) -> Any:
    return tuple(found[TUPLE]) if found.keys() == {TUPLE} else found
