"""What a fit that fails must leave alone."""

import pytest


def check_nothing_changes(estimator, rows, message):
    """Check that a fit that fails leaves the estimator as it was."""
    before = vars(estimator).copy()
    with pytest.raises((ValueError, RuntimeError), match=message):
        estimator.fit(rows)
    assert list(vars(estimator)) == list(before)
    assert all(vars(estimator)[name] is value for name, value in before.items())
