"""Warnings that point to the line of the user, however deep the code that gives them."""

import sys
import warnings

# Whose frames are not the user's.
PACKAGES = ("sklearn_ae", "sklearn", "skorch", "torch", "contextlib", "joblib")


def warn(message: str, category: type[Warning]) -> None:
    """Warn of what happened, at the innermost line that is neither ours nor of what we call.

    Parameters
    ----------
    message : str
        What happened, and what to do.
    category : type
        Of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back and str(frame.f_globals.get("__name__")).split(".")[0] in PACKAGES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
