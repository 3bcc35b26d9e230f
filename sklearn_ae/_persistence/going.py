"""What is checked of what `partial_fit` goes on from, before anything of it is used."""

import re
from typing import Any

import numpy as np

from sklearn_ae._persistence.modules import damaged
from sklearn_ae._persistence.plain import from_text
from sklearn_ae.modules import Nested

# Whole numbers of the text, and the largest that each may be.
WHOLE = {"seed": 2**32, "bound": 2**64, "n_before": 2**63, "n_calls": 2**63, "n_judged": 2**63}
# Arrays by name: kinds of their numbers, and their shape; d is the number of columns, other letters
# are numbers of their own.
ARRAYS = {
    r"sums\.(centre|low|high|total)": ("f", "d"),
    r"sums\.(count|unit)": ("fi", ""),
    r"sums\.products": ("f", "p"),
    r"(held|kept)\.hashes": ("u", "n"),
    r"(held|kept)\.(counts|repeats)": ("i", "n"),
    r"(held|kept|waiting)\.rows": ("f", "nd"),
    r"(held|kept|waiting)\.data": ("f", "c"),
    r"(held|kept|waiting)\.indices": ("i", "c"),
    r"(held|kept|waiting)\.indptr": ("i", "l"),
    r"(held|kept|waiting)\.shape": ("i", "2"),
    r"(train_)?merged\.count": ("i", ""),
    r"(train_)?merged\.mean": ("f", "d"),
    r"(train_)?merged\.components": ("f", "kd"),
    r"(train_)?merged\.singular": ("f", "k"),
    r"losses": ("f", "m"),
    r"optimizer\.\d+": ("fiub", None),
}


def check_going(attributes: dict[str, Any], learner: Any) -> None:
    """Check what `partial_fit` goes on from: text of numbers, and arrays that fit together.

    Parameters
    ----------
    attributes : dict
        Of a fitted estimator.
    learner : Nested or None
        The network under training.

    Raises
    ------
    ValueError, LookupError, TypeError
        If something is missing, or something else.
    """
    going, n_features = attributes["_going"], attributes["n_features_in_"]
    if learner is not None and type(learner) is not Nested:
        raise damaged(f"{type(learner).__name__} in place of the network under training")
    if going is None:
        if learner is not None:
            raise damaged("its network under training has no rows to go on from")
        return
    if not (isinstance(going, dict) and going.keys() == {"text", "arrays"}):
        raise damaged("its _going is not a text and arrays")
    known, arrays = from_text(going["text"]), going["arrays"]
    for name, most in WHOLE.items():
        if not (type(known[name]) is int and 0 <= known[name] <= most):
            raise damaged(f"its {name} is {known[name]!r}")
    if not (type(known["share"]) is float and 0 <= known["share"] < 1):
        raise damaged(f"its share of rows that are held out is {known['share']!r}")
    if learner is not None:
        for name in ("unit", "n_different"):
            if not (type(known[name]) is float and 0 < known[name] < np.inf):
                raise damaged(f"its {name} is {known[name]!r}")
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        _check_array(name, array, n_features, sizes)
    for name in ("centre", "low", "high", "total", "count", "unit", "products"):
        if f"sums.{name}" not in arrays:
            raise damaged(f"its sums have no {name}")
    for name in ("held", "kept"):
        there = {part for part in arrays if part.startswith(f"{name}.")}
        needed = {f"{name}.{part}" for part in ("hashes", "counts", "repeats")}
        rows = there - needed
        is_sparse = rows == {f"{name}.{part}" for part in ("data", "indices", "indptr", "shape")}
        if there and not (needed <= there and (is_sparse or rows == {f"{name}.rows"})):
            raise damaged(f"its rows that are {name} are not whole")
    n = sizes["sums.p"]
    if n not in (n_features, n_features * (n_features + 1) // 2):
        raise damaged("its products are not those of its columns")


def _check_array(name: Any, array: Any, n_features: int, sizes: dict[str, int]) -> None:
    """Check type and shape of an array, and that it is as long as those that belong to it."""
    kinds = letters = None
    for pattern, what in ARRAYS.items():
        if type(name) is str and re.fullmatch(pattern, name):
            kinds, letters = what
    if kinds is None or not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        raise damaged(f"its {name!r} is no array that is known")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise damaged(f"its {name} has numbers that are not finite")
    if letters is None:
        return
    if array.ndim != len(letters):
        raise damaged(f"its {name} has shape {array.shape}")
    for letter, length in zip(letters, array.shape, strict=True):
        key = f"{name.partition('.')[0]}.{letter}"
        expected = {"d": n_features, "2": 2}.get(letter, sizes.setdefault(key, length))
        if length != expected:
            raise damaged(f"its {name} has shape {array.shape}")
