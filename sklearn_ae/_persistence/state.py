"""The state of an estimator as a file holds it: its parameters, text and arrays."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._persistence.checks import (
    check_attributes,
    check_devices,
    check_history,
    check_layers,
    check_names,
    check_scaling,
    check_sizes,
)
from sklearn_ae._persistence.first import PARAMETERS, upgraded
from sklearn_ae._persistence.going import check_going
from sklearn_ae._persistence.modules import RefusedError, damaged, freeze, thaw
from sklearn_ae._persistence.plain import from_text, is_plain, to_text
from sklearn_ae._version import __version__

# The types that files name where no parameter is an object of the user's. Made from a file, each
# keeps what `check_names` and `unpack` let pass, and runs nothing.
SKOPS_TYPES = (
    "sklearn_ae._autoencoder.AutoencoderTransformer",
    "sklearn_ae._denoising.DenoisingAutoencoderTransformer",
    "sklearn_ae.pretraining.rbm.RBMPretraining",
    "sklearn_ae.pretraining.stacked.StackedDenoisingPretraining",
)
# What this version writes; it reads this and those before.
FORMAT = 2


@dataclass
class Saved:
    """What was read.

    Attributes
    ----------
    attributes : dict
        Of the estimator, as they are.
    nested, pca, learner, loss : nn.Module or None
        None where the estimator was not fitted; all but the loss may be, and the first two not
        both.
    device : torch.device or None
        Where they are.
    scaling : object
        The units of the network.
    net : dict or None
        What else the net was made of.
    """

    attributes: dict[str, Any]
    nested: Any = None
    pca: Any = None
    learner: Any = None
    loss: Any = None
    device: Any = None
    scaling: Any = None
    net: Any = None


def pack(
    estimator: Any, state: dict[str, Any], modules: dict[str, nn.Module | None], net: dict
) -> dict:
    """Return the state of a fitted estimator, with what is not the user's as text and arrays.

    Parameters
    ----------
    estimator : estimator
        Its parameters stay as they are.
    state : dict
        Its attributes, but those that are made anew.
    modules : dict of str to nn.Module or None
        Networks and their loss: together, because they may share weights.
    net : dict
        What else the net is made of.
    """
    state = state | {"_net": net}
    scaling, going = vars(state.pop("_scaling")), state.pop("_going")
    own = state.keys() - set(estimator._get_param_names())
    # In one piece: skops takes 200 bytes for a number of a list.
    fitted = {name: value for name, value in state.items() if name in own and is_plain(value)}
    known = {name: part for name, part in modules.items() if part is not None}
    network, arrays, objects = freeze(nn.ModuleDict(known))
    saved = {
        "network": network, "fitted": to_text(fitted), "arrays": arrays, "scaling": scaling,
        "going": going,
    }  # fmt: skip
    saved |= {"checksum": checksum(saved), "objects": objects}
    rest = {name: value for name, value in state.items() if name not in fitted}
    return rest | {"_saved_by": (FORMAT, __version__), "_saved": saved}


def unpack(
    cls: Any,
    state: Any,
    scaling: type,
    nearest_device: Callable[[str], torch.device],
    *,
    trusted: bool = False,
) -> Saved:
    """Read what `pack` made, or the state of an estimator that is not fitted.

    It may come from anybody: nothing that it holds is called, but modules of classes of the user.

    Parameters
    ----------
    cls : type
        Of the estimator.
    state : dict
        Is left as it is.
    scaling : type
        A dataclass.
    nearest_device : callable
        ``str -> torch.device``: where that of a fit is here.
    trusted : bool, default=False
        Whether it is known to come from `pack`: its layers are then not tried out.

    Raises
    ------
    ValueError
        If it is damaged, names what is not read from a file, or is of another format.
    """
    check_names(cls, state)
    attributes = PARAMETERS | {n: state[n] for n in state if n not in ("_saved_by", "_saved")}
    missing = set(cls._get_param_names()) - attributes.keys()
    if missing:
        raise damaged(f"it has no {', '.join(sorted(missing))}")
    if not {"_saved_by", "_saved"} & state.keys():
        return Saved(attributes)
    number = check_format(state.get("_saved_by"))
    try:
        saved = state["_saved"]
        fitted = from_text(saved["fitted"])
        check_names(cls, fitted)
        attributes = attributes | fitted
        net = attributes.pop("_net")
        objects = saved["objects"]
        check_scaling(saved["scaling"], attributes["n_features_in_"])
        units = scaling(**saved["scaling"])
        check_devices(attributes)
        device = nearest_device(attributes["device_"])
        modules = thaw((saved["network"], saved["arrays"], objects), device)
        if number == 1:
            attributes, found = upgraded(attributes, saved["scaling"], modules)
        elif isinstance(modules, nn.ModuleDict):
            found = dict(modules.items())
        else:
            raise damaged("it is no dict of modules")
        attributes = {"n_samples_seen_": attributes.get("n_samples_")} | attributes
        # Files of before rows could come in pieces have neither.
        attributes["_going"] = saved.get("going")
        check_attributes(attributes)
        check_history(net)
        nested, pca, learner, loss = (
            found.pop(name, None) for name in ("nested", "pca", "learner", "loss")
        )
        if found or loss is None:
            raise damaged("it is not a network, PCA and a loss")
        if saved["checksum"] != checksum(saved):
            raise damaged("its checksum is another")
        check_sizes(attributes, nested, pca)
        check_going(attributes, learner)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(repr(error)) from error
    for part in (nested, pca, learner):
        if part is not None and not trusted:
            check_layers(part, attributes, run=not objects)
    return Saved(attributes, nested, pca, learner, loss, device, units, net)


def check_format(written: Any) -> int:
    """Return the format of a saved estimator, if it can be read.

    Parameters
    ----------
    written : tuple of (int, str) or None
        The format, and the version that wrote it; None where it says nothing.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        number, version = written or (0, "before 0.1")
    except (TypeError, ValueError) as error:
        raise damaged(f"{written!r} is no format") from error
    if number not in range(1, FORMAT + 1):
        raise RefusedError(
            f"This autoencoder was saved by sklearn_ae {version} in format {number}; sklearn_ae "
            f"{__version__} reads formats up to {FORMAT}. Load it with the version that saved it."
        )
    return number


def checksum(saved: dict[str, Any]) -> int:
    """Tell what was changed by accident: an array of another file, a number in the text."""
    texts, arrays = [saved["network"], saved["fitted"]], dict(saved["scaling"])
    going = saved.get("going")
    if going is not None:
        texts.append(going["text"])
        arrays |= going["arrays"]
    total = zlib.crc32(repr(tuple(texts)).encode())
    for name, value in [*enumerate(saved["arrays"]), *sorted(arrays.items())]:
        array = np.ascontiguousarray(value)
        total = zlib.crc32(repr((name, array.dtype.str, array.shape)).encode(), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return total
