"""What a file of an estimator holds: text, arrays, and objects of the user's classes."""

from sklearn_ae._persistence.checks import check_names
from sklearn_ae._persistence.modules import freeze, thaw
from sklearn_ae._persistence.parameters import modules_given, pack_parameters, unpack_parameters
from sklearn_ae._persistence.plain import from_text, to_text
from sklearn_ae._persistence.state import SKOPS_TYPES, pack, unpack

__all__ = [
    "SKOPS_TYPES",
    "check_names",
    "freeze",
    "from_text",
    "modules_given",
    "pack",
    "pack_parameters",
    "thaw",
    "to_text",
    "unpack",
    "unpack_parameters",
]
