"""Modules as text and arrays, for files; of a class of the user's, as objects without tensors."""

import copy
import itertools
import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._persistence.plain import from_text, is_plain, to_text

# The description of a module, the values of its tensors, and parts of it that are kept as objects.
Frozen = tuple[str, list[np.ndarray], list[nn.Module]]

# torch's classes that a file may name, beside ours. A list, so that no other version of torch adds
# to it: plain attributes make none of these run code, and all take a batch of no rows, on which
# `checks.py` tries them. What is not listed is saved as an object, whose class skops then names.
# fmt: off
LAYERS: dict[str, type[nn.Module]] = {
    f"{cls.__module__}:{cls.__qualname__}": cls
    for cls in (
        nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity, nn.Flatten, nn.Unflatten,
        nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear,
        nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ZeroPad1d, nn.ZeroPad2d,
        nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d, nn.Upsample,
        nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
        nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
        nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout,
        nn.MultiheadAttention, nn.TransformerEncoderLayer,
        nn.CELU, nn.ELU, nn.GELU, nn.GLU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
        nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
        nn.Softmax, nn.Softplus, nn.Softsign, nn.Tanh, nn.Tanhshrink,
        nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss, nn.HuberLoss,
    )
}
# fmt: on
OURS = ("sklearn_ae.modules.", "sklearn_ae.losses.")
EMPTY = vars(nn.Module())
# numpy has no such numbers: their bits, under their name.
BFLOAT16 = np.dtype([("bfloat16", np.int16)])
# More parts in one another, or in all where those that are used twice count twice, are no network:
# a few that hold each other twice would take ages to go through.
MOST_DEEP, MOST_PARTS = 100, 10_000


def freeze(module: nn.Module) -> Frozen:
    """Describe a module, with numbers in place of tensors, and copy their values.

    A tensor that is found twice has one number, and so stays one tensor; joblib would save an array
    that is found twice as two. A module of a class that is not in `LAYERS` and not ours, or that
    has attributes that are no plain data, is kept as an object, with all that is inside of it.
    """
    tensors = {id(t): t for t in itertools.chain(module.parameters(), module.buffers())}
    numbers = {key: number for number, key in enumerate(tensors)}
    arrays = [_array(tensor.detach().cpu()) for tensor in tensors.values()]
    foreign = [part for part in module.modules() if not _is_plain_module(part)]
    kept = {id(part) for top in foreign for part in top.modules()}
    writer = _Writer(numbers, kept)
    described = writer.describe(module)
    still = [numbers[id(p)] for p in module.parameters() if not p.requires_grad]
    if still:
        described["frozen"] = still
    text = to_text(described)
    # Together: what they share stays shared. Copying finds numbers where it looks for tensors.
    memo: dict[int, Any] = dict(numbers)
    return text, arrays, copy.deepcopy(writer.objects, memo)


def thaw(frozen: Frozen, device: torch.device) -> nn.Module:
    """Turn a frozen module back into one that computes on `device`.

    Raises
    ------
    ValueError
        If it names what is not read from files, or parts of it are missing or wrong.
    """
    text, arrays, objects = frozen
    with torch.inference_mode(False):
        tensors = [_tensor(array, device) for array in arrays]
        try:
            described = from_text(text)
            reader = _Reader(tensors, _check_objects(objects), described.pop("frozen", []))
            return reader.build(described).eval()
        except RefusedError:
            raise
        # Whatever a damaged description leads to.
        except Exception as error:
            raise damaged(repr(error)) from error


class RefusedError(ValueError):
    """Says why a file is not read."""


def damaged(reason: str) -> RefusedError:
    """Make the error that says what is wrong with a file."""
    return RefusedError(f"The saved network is damaged: {reason}.")


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return what a module has beside the attributes that all modules have."""
    return {name: value for name, value in vars(module).items() if name not in EMPTY}


def _is_plain_module(module: nn.Module) -> bool:
    """Tell whether text describes a module: no hooks, and a class that is known."""
    own = ("training", "_parameters", "_buffers", "_modules")
    usual = all(vars(module)[name] == value for name, value in EMPTY.items() if name not in own)
    known = _find(_name(type(module))) is type(module)
    return usual and known and is_plain(_attributes(module))


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _find(name: str) -> type[nn.Module] | None:
    """Return the class of this name, if a file may name it."""
    if name in LAYERS:
        return LAYERS[name]
    path, _, kind = name.partition(":")
    if not f"{path}.".startswith(OURS):
        return None
    found = getattr(sys.modules.get(path), kind, None)
    # Not what a file of ours has but imported.
    own = isinstance(found, type) and issubclass(found, nn.Module) and _name(found) == name
    return found if own else None


def _array(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().copy().view(BFLOAT16)
    return tensor.numpy().copy()


def _tensor(array: Any, device: torch.device) -> torch.Tensor:
    if not isinstance(array, np.ndarray):
        raise damaged(f"{type(array).__name__} in place of an array")
    if array.dtype == BFLOAT16:
        return torch.tensor(array.view(np.int16), device=device).view(torch.bfloat16)
    try:
        return torch.tensor(array, device=device)
    except (TypeError, ValueError) as error:
        raise damaged(f"an array of {array.dtype}") from error


def _check_objects(objects: Any) -> list[nn.Module]:
    """Check modules of the user, and copy them."""
    for top in objects:
        if not isinstance(top, nn.Module):
            raise damaged(f"{type(top).__name__} in place of a torch.nn.Module")
        for part in nn.Module.modules(top):
            # Copying would call it.
            if any(name.startswith("__") for name in vars(part)):
                raise damaged(f"{type(part).__name__} has attributes that are methods")
    return copy.deepcopy(objects)


class _Writer:
    """Describes modules.

    Parameters
    ----------
    numbers : dict of int to int
        Number of each tensor, by its id.
    kept : set of int
        Ids of the modules that are kept as objects.
    """

    def __init__(self, numbers: dict[int, int], kept: set[int]):
        self.numbers = numbers
        self.kept = kept
        self.seen: dict[int, int] = {}
        self.objects: list[nn.Module] = []
        self.places: dict[int, int] = {}

    def describe(self, module: nn.Module) -> dict:
        """Return the description of a module; one that was seen before is only named."""
        key = id(module)
        if key in self.kept:
            if key not in self.places:
                self.places[key] = len(self.objects)
                self.objects.append(module)
            return {"object": self.places[key]}
        if key in self.seen:
            return {"again": self.seen[key]}
        self.seen[key] = len(self.seen)
        described: dict[str, Any] = {
            "class": _name(type(module)),
            "attributes": _attributes(module),
        }
        for kind, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
            described[kind] = {
                name: None if tensor is None else self.numbers[id(tensor)]
                for name, tensor in tensors.items()
            }
        described["modules"] = {
            name: None if part is None else self.describe(part)
            for name, part in module._modules.items()
        }
        return described


class _Reader:
    """Makes modules of their descriptions.

    Parameters
    ----------
    tensors : list of Tensor
        What the numbers stand for.
    objects : list of nn.Module
        Modules of the user, with numbers in place of tensors.
    frozen : list of int
        Numbers of the parameters that are not trained.
    """

    def __init__(self, tensors: list[torch.Tensor], objects: list[nn.Module], frozen: list[int]):
        self.tensors = tensors
        self.objects = objects
        self.frozen = frozen
        self.parameters: dict[int, nn.Parameter] = {}
        # None as long as its parts are made: nothing is a part of itself.
        self.seen: list[tuple[nn.Module, int] | None] = []
        self.n_parts = 0
        for top in objects:
            for part in nn.Module.modules(top):
                self._fill(part)

    def build(self, described: dict, depth: int = 0) -> nn.Module:
        """Make the module of a description."""
        before = self.n_parts
        self.n_parts += 1
        if depth > MOST_DEEP or self.n_parts > MOST_PARTS:
            raise damaged("it has too many parts")
        if "object" in described:
            return self.objects[_number(described["object"])]
        if "again" in described:
            again = self.seen[_number(described["again"])]
            if again is None:
                raise damaged("a part of it contains itself")
            module, size = again
            self.n_parts += size - 1
            return module
        number = len(self.seen)
        self.seen.append(None)
        cls = _find(described["class"])
        if cls is None:
            raise RefusedError(
                f"The saved network names {described['class']!r}, which is not read from a file."
            )
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        attributes = described["attributes"]
        # A file must replace neither methods nor hooks.
        if any(name in EMPTY or name[:2] == "__" or hasattr(cls, name) for name in attributes):
            raise RefusedError(f"The saved network has attributes that {cls.__name__} cannot have.")
        vars(module).update(attributes)
        # These check names: of the class, of attributes, and of each other.
        for name, index in described["parameters"].items():
            module.register_parameter(name, None if index is None else self._parameter(index))
        for name, index in described["buffers"].items():
            module.register_buffer(name, None if index is None else self.tensors[_number(index)])
        for name, part in described["modules"].items():
            module.add_module(name, None if part is None else self.build(part, depth + 1))
        self.seen[number] = module, self.n_parts - before
        return module

    def _parameter(self, index: Any) -> nn.Parameter:
        number = _number(index)
        if number not in self.parameters:
            trained = number not in self.frozen
            self.parameters[number] = nn.Parameter(self.tensors[number], requires_grad=trained)
        return self.parameters[number]

    def _fill(self, module: Any) -> None:
        """Put tensors where the numbers of a user's module are."""
        for name, index in module._parameters.items():
            if type(index) is int:
                module._parameters[name] = self._parameter(index)
        for name, index in module._buffers.items():
            if type(index) is int:
                module._buffers[name] = self.tensors[_number(index)]


def _number(index: Any) -> int:
    """Check that a place in a list is one."""
    if type(index) is not int or index < 0:
        raise damaged(f"{index!r} is no number of a part")
    return index
