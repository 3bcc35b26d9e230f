"""Modules without tensors, for pickles: numbers stand where the tensors stood, arrays apart."""

import copy
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

# A module whose tensors are slots, and what belongs into them.
Frozen = tuple[nn.Module, list[np.ndarray]]


@dataclass(frozen=True)
class Slot:
    """Stands for the tensor of this number."""

    index: int


def freeze(module: nn.Module) -> Frozen:
    """Copy a module, with slots in place of its parameters and buffers, and their values apart.

    Apart, because joblib saves an array that is found twice as two arrays; a slot that is found
    twice stays one tensor.
    """
    tensors = {id(t): t for t in itertools.chain(module.parameters(), module.buffers())}
    memo: dict[int, Any] = {key: Slot(index) for index, key in enumerate(tensors)}
    arrays = [tensor.detach().cpu().numpy().copy() for tensor in tensors.values()]
    return copy.deepcopy(module, memo), arrays


def thaw(frozen: Frozen, device: torch.device) -> nn.Module:
    """Turn a frozen module back into one that computes on `device`."""
    skeleton, arrays = frozen
    module = copy.deepcopy(skeleton)
    tensors = [torch.tensor(array, device=device) for array in arrays]
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
    return module.eval()
