"""Modules as plain data and arrays, for files: no torch object is left inside."""

import copy
import importlib
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._version import __version__

# What this version writes, and reads.
FORMAT = 1
# A module's data, or a module whose tensors are slots; and what belongs into them.
Frozen = tuple[dict | nn.Module, list[np.ndarray]]
# Where classes may come from that a file names. Nothing of them is called when it is read.
KNOWN = ("torch.nn.modules.", "sklearn_ae.modules.", "sklearn_ae.losses.")
PLAIN = (type(None), bool, int, float, str)
EMPTY = vars(nn.Module())


@dataclass(frozen=True)
class Slot:
    """Stands for the tensor of this number."""

    index: int


def freeze(module: nn.Module) -> Frozen:
    """Copy a module as plain data, with numbers in place of tensors, and their values apart.

    A tensor that is found twice has one number, and so stays one tensor; joblib would save an array
    that is found twice as two. A module of a class that is neither torch's nor ours, or that has
    attributes that are no plain data, is kept as an object, with slots in place of its tensors.
    """
    tensors = {id(t): t for t in itertools.chain(module.parameters(), module.buffers())}
    slots = {key: Slot(index) for index, key in enumerate(tensors)}
    arrays = [tensor.detach().cpu().numpy().copy() for tensor in tensors.values()]
    if all(_is_plain_module(part) for part in module.modules()):
        return _describe(module, slots, {}), arrays
    memo: dict[int, Any] = dict(slots)
    return copy.deepcopy(module, memo), arrays


def thaw(frozen: Frozen, device: torch.device) -> nn.Module:
    """Turn a frozen module back into one that computes on `device`.

    Raises
    ------
    ValueError
        If it names what is not read from files, or parts of it are missing.
    """
    try:
        skeleton, arrays = frozen
        if isinstance(skeleton, dict):
            module = _rebuild(skeleton, [])
        else:
            module = copy.deepcopy(skeleton)
        tensors = [torch.tensor(array, device=device) for array in arrays]
        _fill(module, tensors)
    except (LookupError, AttributeError, TypeError, ImportError, RecursionError) as error:
        raise ValueError(f"The saved network is damaged: {error!r}.") from error
    return module.eval()


def check_format(written: Any) -> None:
    """Check that a saved estimator is in a format that can be read.

    Parameters
    ----------
    written : tuple of (int, str) or None
        The format, and the version that wrote it; None where it says nothing.

    Raises
    ------
    ValueError
        If it cannot.
    """
    number, version = written or (0, "before 0.1")
    if number != FORMAT:
        raise ValueError(
            f"This autoencoder was saved by sklearn_ae {version} in format {number}; sklearn_ae "
            f"{__version__} reads format {FORMAT}. Load it with the version that saved it."
        )


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) in (tuple, list):
        return all(_is_plain(item) for item in value)
    return type(value) in PLAIN


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return what a module has beside the attributes that all modules have."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in vars(module).items()
        if name not in EMPTY
    }


def _is_plain_module(module: nn.Module) -> bool:
    """Tell whether plain data describe a module: no hooks, and a class that is known."""
    own = ("training", "_parameters", "_buffers", "_modules")
    usual = all(vars(module)[name] == value for name, value in EMPTY.items() if name not in own)
    known = f"{type(module).__module__}.".startswith(KNOWN)
    return usual and known and _is_plain(_attributes(module))


def _describe(module: nn.Module, slots: dict[int, Slot], seen: dict[int, int]) -> dict:
    """Return the data of a module; one that was seen before is only named."""
    if id(module) in seen:
        return {"again": seen[id(module)]}
    seen[id(module)] = len(seen)
    described: dict[str, Any] = {
        "class": f"{type(module).__module__}:{type(module).__name__}",
        "attributes": _attributes(module),
    }
    for kind, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
        described[kind] = {
            name: None if tensor is None else slots[id(tensor)].index
            for name, tensor in tensors.items()
        }
    described["modules"] = {
        name: None if part is None else _describe(part, slots, seen)
        for name, part in module._modules.items()
    }
    return described


def _rebuild(described: dict, seen: list[nn.Module]) -> nn.Module:
    """Make a module of its data, with slots in place of its tensors."""
    if "again" in described:
        return seen[_number(described["again"])]
    path, _, name = described["class"].partition(":")
    if not f"{path}.".startswith(KNOWN):
        raise ValueError(f"The saved network names {path}.{name}, which is not read from a file.")
    cls = getattr(importlib.import_module(path), name)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"The saved network names {path}.{name}, which is no torch.nn.Module.")
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    seen.append(module)
    attributes = copy.deepcopy(described["attributes"])
    # A file must replace neither methods nor hooks.
    if not _is_plain(attributes) or any(key in EMPTY or hasattr(cls, key) for key in attributes):
        raise ValueError(f"The saved network has attributes that {path}.{name} cannot have.")
    vars(module).update(attributes)
    for kind in ("parameters", "buffers"):
        tensors: dict[str, Any] = vars(module)[f"_{kind}"]
        for key, index in described[kind].items():
            tensors[key] = None if index is None else Slot(_number(index))
    for key, part in described["modules"].items():
        module._modules[key] = None if part is None else _rebuild(part, seen)
    return module


def _number(index: Any) -> int:
    """Check that a place in a list is one."""
    if type(index) is not int or index < 0:
        raise ValueError(f"The saved network is damaged: {index!r} is no number of a part.")
    return index


def _fill(module: nn.Module, tensors: list[torch.Tensor]) -> None:
    """Put tensors into the slots of a module."""
    parameters: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, slot in part._parameters.items():
            if isinstance(slot, Slot):
                if slot.index not in parameters:
                    parameters[slot.index] = nn.Parameter(tensors[slot.index])
                part._parameters[name] = parameters[slot.index]
        for name, buffer in part._buffers.items():
            if isinstance(buffer, Slot):
                part._buffers[name] = tensors[buffer.index]
