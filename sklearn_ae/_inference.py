"""Fitted networks in the units of the user, and rows through them, a block at a time."""

import copy
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from sklearn_ae._device import own_settings
from sklearn_ae._rows import Scaling, dense, row_blocks
from sklearn_ae.modules import Autoencoder, Rescaled, settled
from sklearn_ae.modules.hidden import hidden_layers
from sklearn_ae.modules.refined import refined

# Of the spread of a number: how far a derivative looks to both sides.
STEP = 1e-4
# Rows that lie so many scales away are computed in float64: their squares would leave float32.
FAR = 1e12
# Copies in float32 of what float32 rows were given to.
_singles: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()


def in_user_units(
    network: Autoencoder,
    scaling: Scaling,
    n_steps: int,
    code_layer: int | None,
    whitening: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[Autoencoder, nn.Module]:
    """Copy a network for rows and codes in the units of the user, in float64.

    Parameters
    ----------
    network : Autoencoder
        For scaled rows.
    scaling : Scaling
        How they were scaled.
    n_steps : int
        Steps that improve each code.
    code_layer : int or None
        Hidden layer whose activations are the codes.
    whitening : tuple of two ndarrays of shape (n_components,) or None
        Mean and deviation of the codes, to be taken out of them.

    Returns
    -------
    module : Autoencoder
        Encodes, its steps included, and decodes.
    coder : nn.Module
        What gives the codes: the encoder, or the layer.
    """
    device = next(network.parameters()).device
    network = copy.deepcopy(network).double()
    settled(network)
    network, scale = refined(network, n_steps), scaling.scale
    shift = torch.tensor(scaling.shift, dtype=torch.float64, device=device)
    origin = torch.zeros((), dtype=shift.dtype, device=device)
    code_shift, code_scale = origin, torch.full_like(origin, scale)
    if whitening is not None:
        mean, deviation = (torch.tensor(w, dtype=shift.dtype, device=device) for w in whitening)
        code_shift, code_scale = -mean / deviation, scale / deviation
    module = Autoencoder(
        Rescaled(network.encoder, shift, scale, code_shift, code_scale),
        Rescaled(network.decoder, code_shift, code_scale, shift, scale),
    ).eval()
    if code_layer is None:
        return module, module.encoder
    layer = hidden_layers(network)[code_layer]
    return module, Rescaled(layer, shift, scale, origin, 1.0).eval()


def count_outputs(module: nn.Module, n_inputs: int, device: torch.device) -> int:
    """Return how many columns a module gives."""
    with torch.inference_mode():
        row = torch.zeros(1, n_inputs, dtype=torch.float64, device=device)
        return module(row).shape[1]


def mean_jacobian(decoder: nn.Module, codes: np.ndarray, device: str) -> np.ndarray:
    """Return how the mean reconstruction of some codes changes with each of their numbers.

    Parameters
    ----------
    decoder : nn.Module
        Any: it is asked on both sides of the codes.
    codes : ndarray of shape (n_codes, n_components)
        Codes.
    device : str
        Where the decoder is.

    Returns
    -------
    jacobian : ndarray of shape (n_components, n_features)
        A row a number.
    """
    found = []
    unit = np.abs(codes).max() or 1.0  # squares of extreme codes would leave float64
    spread = (codes / unit).std(axis=0) * unit
    steps = STEP * np.where(spread > 0, spread, max(spread.max(), 1.0))
    with torch.inference_mode():
        some = torch.from_numpy(codes).to(device)
        for number, step in enumerate(steps):
            ahead, behind = some.clone(), some.clone()
            ahead[:, number] += step
            behind[:, number] -= step
            change = decoder(ahead).mean(0) - decoder(behind).mean(0)
            found.append((change / (2 * step)).cpu().numpy())
    return np.stack(found)


def apply(module: nn.Module, X: Any, n_outputs: int, device: str) -> np.ndarray:
    """Run rows through a module.

    Parameters
    ----------
    module : Autoencoder or Rescaled
        In the units of the user and in float64. float32 rows are given to a copy of it in float32,
        but for blocks of rows that lie very far out.
    X : ndarray or CSR matrix of shape (n_rows, n_inputs)
        Rows.
    n_outputs : int
        What the module makes of a row.
    device : str
        Where the module is.

    Returns
    -------
    result : ndarray of shape (n_rows, n_outputs)
        In the dtype of `X`.
    """
    result = np.empty((X.shape[0], n_outputs), dtype=X.dtype)
    near, limit = _in_single(module) if X.dtype == np.float32 else (module, np.inf)
    with own_settings(torch.device(device)), torch.inference_mode():
        for start, stop in row_blocks(len(result), max(X.shape[1], n_outputs), X.dtype.itemsize):
            # torch takes no read-only arrays.
            rows = np.require(dense(X[start:stop]), requirements=["C", "W"])
            is_far = limit < np.inf and float(max(rows.max(), -rows.min())) > limit
            outputs = (module if is_far else near)(torch.from_numpy(rows).to(device))
            result[start:stop] = outputs.cpu().numpy()
    return result


def _in_single(module: nn.Module) -> tuple[nn.Module, float]:
    """Return a copy of a module that computes in float32, and how far out rows may lie for it."""
    if module not in _singles:
        single = copy.deepcopy(module)
        for part in single.modules():
            if isinstance(part, Rescaled):
                part.module.float()
        _singles[module] = single
    entry: Any = module.encoder if isinstance(module, Autoencoder) else module
    return _singles[module], FAR * float(entry.scale_in.min()) + float(entry.shift_in.abs().max())


def squared_errors(module: Autoencoder, X: Any, unit: float, device: str) -> np.ndarray:
    """Return the squared distance of each row to its reconstruction, in units of `unit`."""
    errors = np.empty(X.shape[0])
    for start, stop in row_blocks(*X.shape):
        rows = dense(X[start:stop])
        missed = (rows.astype(np.float64) - apply(module, rows, X.shape[1], device)) / unit
        errors[start:stop] = np.einsum("ij,ij->i", missed, missed)
    return errors


def farthest_from(shift: np.ndarray, X: Any) -> float:
    """Return the largest distance of a cell to that of a point."""
    blocks = (dense(X[start:stop]) for start, stop in row_blocks(*X.shape))
    return float(max(np.abs(rows - shift).max() for rows in blocks))


def sum_of_squares_about(shift: np.ndarray, X: Any, unit: float) -> float:
    """Return the sum of the squared distances of rows to a point, in units of `unit`."""
    total = 0.0
    for start, stop in row_blocks(*X.shape):
        rows = (dense(X[start:stop]) - shift) / unit
        total += float(np.einsum("ij,ij->", rows, rows))
    return total
