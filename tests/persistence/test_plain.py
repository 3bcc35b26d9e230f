"""Plain data comes back from text as it was; what is not plain is not written."""

import math

import numpy as np
import pytest

from sklearn_ae._persistence.plain import from_text, is_plain, to_text


def test_comes_back_with_its_types():
    value = {
        "numbers": [0, -1, 10**30, 0.1, 1e-300, math.inf, True, None],
        "tuples": ((1, (2.0, "\n")), (), [(), {}]),
        "texts": {"": "()", "[]": "é"},
    }
    assert repr(from_text(to_text(value))) == repr(value)
    assert math.isnan(from_text(to_text(math.nan)))


@pytest.mark.parametrize("value", [np.int64(3), np.float32(0.1), np.bool_(True), np.str_("a")])
def test_numbers_of_numpy_become_pythons(value):
    found = from_text(to_text([value]))
    assert found == [value]
    assert type(found[0]) is type(value.item())


class Text(str):
    """Not plain: it may do what text does not."""


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [{1}, b"a", 1j, object(), print, np.ones(2), Text("a"), {1: 2}, {"()": 3}, nested(10**5)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain(value):
    assert not is_plain(value)
    assert not is_plain([{"a": (value,)}])
    with pytest.raises((TypeError, RecursionError)):
        to_text(value)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "None", "[" * 10**5, None, 3, ["[]"]])
def test_what_is_no_text(text):
    with pytest.raises((TypeError, RecursionError)):
        from_text(text)
