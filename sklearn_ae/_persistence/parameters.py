"""Parameters that are modules of the user, for files: their weights as arrays."""

from typing import Any

import torch
from torch import nn

from sklearn_ae._persistence.modules import RefusedError, damaged, freeze, thaw

# Parameters that may be modules, with weights of their own or shared with each other.
MODULES = ("encoder", "decoder", "loss")


def modules_given(params: dict[str, Any]) -> dict[str, nn.Module]:
    """Return those parameters that are modules."""
    given = {name: params.get(name) for name in MODULES}
    return {name: value for name, value in given.items() if isinstance(value, nn.Module)}


def pack_parameters(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an estimator, with its parameters that are modules as text and arrays.

    Parameters
    ----------
    state : dict
        Is left as it is.
    """
    given = modules_given(state)
    # What was fitted, to be compared with what is given.
    fitted = modules_given(state.get("_structure", {}))
    state = state.copy()
    if given:
        state |= dict.fromkeys(given) | {"_given": freeze(nn.ModuleDict(given))}
    if fitted:
        same = {name: fitted[name] is given.get(name) for name in fitted}
        state["_structure"] = state["_structure"] | {
            name: None if same[name] else "another module" for name in fitted
        }
    return state


def unpack_parameters(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with the modules that `pack_parameters` took out of it.

    Raises
    ------
    ValueError
        If they are damaged, or name what is not read from a file.
    """
    if "_given" not in state:
        return state
    state = state.copy()
    try:
        modules = thaw(state.pop("_given"), torch.device("cpu"))
    except RefusedError:
        raise
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(f"its parameters that are modules: {error}") from error
    if not (isinstance(modules, nn.ModuleDict) and set(modules) <= set(MODULES)):
        raise damaged("its parameters that are modules are others")
    # No longer parts of one module: each is on its own.
    given = {name: modules[name].train() for name in modules}
    structure = state.get("_structure")
    if isinstance(structure, dict):
        same = {name: given[name] for name in given if structure.get(name, "") is None}
        state["_structure"] = structure | same
    return state | given
