"""What is private in scikit-learn, or not in all versions, and yet needed, in one place."""

import functools
from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.utils._array_api import get_namespace
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Has no `set_callbacks`."""

    def with_callbacks(method: Any) -> Any:
        """Call the method, from one frame more, as from 1.9 on: warnings count them."""

        @functools.wraps(method)
        def called(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return called


try:
    from sklearn.utils._array_api import check_same_namespace
except ImportError:  # before 1.9

    def check_same_namespace(X: Any, estimator: Any, *, attribute: str, method: str) -> None:
        """Let rows be of another namespace than those of the fit."""


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "check_same_namespace",
    "fit_context",
    "get_namespace",
    "with_callbacks",
]
