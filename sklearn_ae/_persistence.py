"""Modules without tensors, for pickles: numpy arrays stand where the parameters stood."""

import copy
import itertools

import numpy as np
import torch
from torch import nn


def freeze(module: nn.Module) -> nn.Module:
    """Copy a module, with numpy arrays in place of its parameters and buffers.

    Shared parameters become one shared array. The result cannot compute; `thaw` turns it back.
    """
    memo = {}
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        memo[id(tensor)] = tensor.detach().cpu().numpy().copy()
    return copy.deepcopy(module, memo)


def thaw(module: nn.Module, device: torch.device) -> nn.Module:
    """Turn a frozen module back, in place, into one that computes on `device`."""
    parameters: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, array in part._parameters.items():
            if isinstance(array, np.ndarray):
                if id(array) not in parameters:
                    parameters[id(array)] = nn.Parameter(torch.tensor(array, device=device))
                part._parameters[name] = parameters[id(array)]
        for name, buffer in part._buffers.items():
            if isinstance(buffer, np.ndarray):
                part._buffers[name] = torch.tensor(buffer, device=device)
    return module.eval()
