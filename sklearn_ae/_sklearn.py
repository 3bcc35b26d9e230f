"""What is private in scikit-learn, or not in all versions, and yet needed, in one place."""

import functools
from typing import Any

from sklearn.base import _fit_context as fit_context
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


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "fit_context",
    "with_callbacks",
]
