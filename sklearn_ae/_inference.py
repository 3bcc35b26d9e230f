"""Fitted networks in the units of the user, and rows through them, a block at a time."""

import copy
import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from sklearn_ae._array_api import as_rows, like
from sklearn_ae._device import own_settings
from sklearn_ae._rows import Scaling, as_tensor, row_blocks
from sklearn_ae.modules import (
    Autoencoder,
    ClippedProbabilities,
    CorrectedProbabilities,
    Probabilities,
    Rescaled,
    settled,
)
from sklearn_ae.modules.hidden import hidden_layers
from sklearn_ae.modules.idle import drop_idle_layers
from sklearn_ae.modules.light import is_light
from sklearn_ae.modules.refined import one_pass, refined

# Decoders that give probabilities, but for the rounding of their shift to float32.
PROBABILITIES = Probabilities, ClippedProbabilities, CorrectedProbabilities
# Of the spread of a number: how far a derivative looks to both sides.
STEP = 1e-4
# Rows that lie so many scales away are computed in float64: their squares would leave float32.
FAR = 1e12
# So are larger ones: what is summed up of many columns would.
LARGE = 1e30
# Copies in float32 of what float32 rows were given to, and how far out rows may lie for them.
_singles: WeakKeyDictionary[nn.Module, tuple[nn.Module, float]] = WeakKeyDictionary()


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
    if code_layer is None:
        drop_idle_layers(network)
    network, scale = refined(network, n_steps), scaling.scale
    shift = torch.tensor(scaling.shift, dtype=torch.float64, device=device)
    origin = torch.zeros((), dtype=shift.dtype, device=device)
    code_shift, code_scale = origin, torch.full_like(origin, scale)
    if whitening is not None:
        mean, deviation = (torch.tensor(w, dtype=shift.dtype, device=device) for w in whitening)
        code_shift, code_scale = -mean / deviation, scale / deviation
    are_probabilities = isinstance(network.decoder, PROBABILITIES)
    module = Autoencoder(
        Rescaled(network.encoder, shift, scale, code_shift, code_scale),
        Rescaled(
            network.decoder, code_shift, code_scale, shift, scale,
            are_probabilities=are_probabilities,
        ),
    ).eval()  # fmt: skip
    if code_layer is None:
        return module, module.encoder
    layer = hidden_layers(network)[code_layer]
    return module, Rescaled(layer, shift, scale, origin, 1.0).eval()


def count_outputs(module: nn.Module, n_inputs: int, device: torch.device) -> int:
    """Return how many columns a module gives."""
    with torch.inference_mode():
        row = torch.zeros(1, n_inputs, dtype=torch.float64, device=device)
        return module(row).shape[1]


def mean_jacobian(decoder: Rescaled, codes: np.ndarray, device: str) -> np.ndarray:
    """Return how the mean reconstruction of some codes changes with each of their numbers.

    Parameters
    ----------
    decoder : Rescaled
        The module in it may be any: it is asked on both sides of the codes, in its own units, in
        which no column lies far from zero.
    codes : ndarray of shape (n_codes, n_components)
        Codes, in the units of the user.
    device : str
        Where the decoder is.

    Returns
    -------
    jacobian : ndarray of shape (n_components, n_features)
        A row a number.
    """
    found = []
    with torch.inference_mode():
        some = (torch.from_numpy(codes).to(device) - decoder.shift_in) / decoder.scale_in
        spread = some.std(0, correction=0)
        steps = STEP * torch.where(spread > 0, spread, spread.max().clamp_min(1.0))
        for number, step in enumerate(steps):
            ahead, behind = some.clone(), some.clone()
            ahead[:, number] += step
            behind[:, number] -= step
            change = decoder.within(ahead).mean(0) - decoder.within(behind).mean(0)
            found.append(change / (2 * step))
        jacobian = torch.stack(found) * decoder.scale_out
        return (jacobian / decoder.scale_in.reshape(-1, 1)).cpu().numpy()


def apply(module: nn.Module, X: Any, n_outputs: int, device: str) -> Any:
    """Run rows through a module.

    Parameters
    ----------
    module : Autoencoder or Rescaled
        In the units of the user and in float64. float32 rows are given to a copy of it in float32,
        but for blocks of rows that lie very far out.
    X : array, CSR matrix or Source of shape (n_rows, n_inputs)
        Rows.
    n_outputs : int
        What the module makes of a row.
    device : str
        Where the module is.

    Returns
    -------
    result : array of shape (n_rows, n_outputs)
        In the dtype of `X`, in its namespace and on its device.
    """
    outputs = functools.partial(_outputs, module)
    return _by_blocks(outputs, X, (n_outputs,), None, device, module)


def squared_errors(module: Autoencoder, X: Any, unit: float, device: str) -> Any:
    """Return the squared distance of each row to its reconstruction, in units of `unit`."""

    def errors(rows: torch.Tensor) -> torch.Tensor:
        return _squares(rows.double() - _outputs(module, rows), unit)

    return _by_blocks(errors, X, (), torch.float64, device, module)


def farthest_from(shift: np.ndarray, X: Any, device: str) -> float:
    """Return the largest distance of a cell to that of a point."""
    centre = torch.tensor(shift, device=device)

    def distances(rows: torch.Tensor) -> torch.Tensor:
        return (rows - centre).abs().amax(1)

    return float(_by_blocks(distances, as_rows(X), (), torch.float64, device, None).max())


def sums_of_squares(
    module: Autoencoder, point: np.ndarray, X: Any, unit: float, device: str
) -> tuple[float, float]:
    """Sum up the squared distances of rows to their reconstructions and to a point, in one pass."""
    centre = torch.tensor(point, device=device)

    def both(rows: torch.Tensor) -> torch.Tensor:
        missed = rows.double() - _outputs(module, rows)
        return torch.stack([_squares(missed, unit), _squares(rows - centre, unit)], 1)

    found = _by_blocks(both, as_rows(X), (2,), torch.float64, device, module)
    with np.errstate(over="ignore"):
        error, total = found.sum(0).tolist()
    return error, total


def _squares(away: torch.Tensor, unit: float) -> torch.Tensor:
    return (away / unit).square().sum(1)


def _by_blocks(
    function: Callable[[torch.Tensor], torch.Tensor],
    X: Any,
    shape: tuple[int, ...],
    dtype: torch.dtype | None,
    device: str,
    module: nn.Module | None,
) -> Any:
    """Return what a function makes of each row, where the rows are.

    Parameters
    ----------
    function : callable
        Of a block of rows, as a tensor on the device.
    X : array, CSR matrix or Source of shape (n_rows, n_columns)
        Rows.
    shape : tuple of int
        Of what becomes of a row.
    dtype : torch.dtype or None
        Of the same; None for that of `X`.
    device : str
        Where to compute.
    module : nn.Module or None
        What the rows pass on the way, if anything.
    """
    given = as_rows(X)
    if dtype is None:
        dtype = torch.float32 if given.dtype.itemsize == 4 else torch.float64
    n_rows, n_columns = given.shape
    place = torch.device(device)
    with own_settings(place):
        # Not in inference mode: users may compute gradients of what they make of it.
        result = torch.empty((n_rows, *shape), dtype=dtype, device=getattr(given, "device", "cpu"))
        with torch.inference_mode(), one_pass(n_rows):
            widest, itemsize = max(n_columns, *shape, 1), given.dtype.itemsize
            light = place.type == "cuda" and (module is None or is_light(module))
            for start, stop in row_blocks(n_rows, widest, itemsize, place, light=light):
                result[start:stop] = function(as_tensor(given[start:stop], place))
    return like(result, X)


def _outputs(module: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Return what a module makes of rows, computed in their dtype where that is exact enough."""
    if rows.dtype == torch.float32:
        single, limit = _in_single(module)
        low, high = torch.aminmax(rows)
        if float(torch.maximum(-low, high)) <= limit:
            return single(rows)
        # The codes of a reconstruction may leave float32 where neither it nor the row does.
        rows = rows.double()
    return module(rows)


def _in_single(module: nn.Module) -> tuple[nn.Module, float]:
    """Return a copy of a module that computes in float32, and how far out rows may lie for it."""
    if module not in _singles:
        single = copy.deepcopy(module)
        for part in single.modules():
            if isinstance(part, Rescaled):
                part.module.float()
        entry: Any = module.encoder if isinstance(module, Autoencoder) else module
        limit = FAR * float(entry.scale_in.min()) + float(entry.shift_in.abs().max())
        limit = min(limit, LARGE)
        _singles[module] = single, limit
    return _singles[module]
