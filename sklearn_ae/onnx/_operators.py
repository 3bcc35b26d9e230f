"""Operators that onnxruntime has in float32 alone, of others that it has in float64.

The steps that improve a code take one path or another by comparing errors: what is rounded to
float32 on the way can end at another code.
"""

from math import prod
from typing import Any

import numpy as np
import torch
from scipy.special import erfcx
from torch._decomp import get_decompositions
from torch.nn import functional

aten = torch.ops.aten
# ``exp(x**2) * erfc(x)`` of ``x >= 0`` as a polynomial of ``(x - FOLD) / (x + FOLD)``, in [-1, 1]
# (M. M. Shepherd, J. G. Laframboise, "Chebyshev Approximation of (1 + 2x) exp(x**2) erfc x in
# 0 <= x < inf", Mathematics of Computation 36:249, 1981).
FOLD = 3.75
DEGREE = 26


def _scaled_erfc(t: np.ndarray) -> np.ndarray:
    x = FOLD * (1 + t) / (1 - t)
    return (1 + 2 * x) * erfcx(x)


ERFC = (
    np.polynomial.Chebyshev.interpolate(_scaled_erfc, DEGREE)
    .convert(kind=np.polynomial.Polynomial)
    .coef
)


def erf(x: torch.Tensor) -> torch.Tensor:
    """Return the error function of each cell."""
    size = x.abs()
    t = (size - FOLD) / (size + FOLD)
    # All powers at once: by Horner's rule an activation would be fifty operators.
    powers = torch.pow(t.unsqueeze(-1), torch.arange(DEGREE + 1, dtype=x.dtype))
    value = torch.matmul(powers, torch.from_numpy(ERFC).to(x.dtype))
    tail = torch.exp(-x * x) * value / (1 + 2 * size)
    return torch.where(x < 0, tail - 1, 1 - tail)


def _reached(
    inputs: list[int], outputs: list[int], kernel: list[int], geometry: Any, transposed: bool
) -> torch.Tensor:
    """Return which input cell each cell of the kernel reads for each output cell.

    Returns
    -------
    index : Tensor of shape (cells of the kernel, cells of the output)
        Into the flat input; the number of its cells where it reads beyond the border.
    """
    index, within = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=bool)
    for size, wide, width, stride, padding, dilation in zip(
        inputs, outputs, kernel, *geometry, strict=True
    ):
        cell, target = np.arange(width)[:, None] * dilation, np.arange(wide)
        if transposed:
            place, rest = np.divmod(target + padding - cell, stride)
        else:
            place = target * stride - padding + cell
            rest = np.zeros_like(place)
        known = (rest == 0) & (place >= 0) & (place < size)
        index = _product(index * size, np.where(known, place, 0), np.add)
        within = _product(within, known, np.logical_and)
    return torch.from_numpy(np.where(within, index, prod(inputs)))


def _product(a: np.ndarray, b: np.ndarray, combine: Any) -> np.ndarray:
    """Combine each row of `a` with each of `b`, and each column with each."""
    return combine(a[:, None, :, None], b[None, :, None, :]).reshape(
        a.shape[0] * b.shape[0], a.shape[1] * b.shape[1]
    )


def _transposed_sizes(
    inputs: list[int], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> list[int]:
    """Return how far a transposed convolution reaches, without padding of its output."""
    return [
        (size - 1) * step - 2 * pad + spread * (width - 1) + 1
        for size, width, step, pad, spread in zip(
            inputs, kernel, stride, padding, dilation, strict=True
        )
    ]


def convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> torch.Tensor:
    """Return a convolution, transposed or not: cells gathered, and a product of matrices."""
    inputs, kernel = list(x.shape[2:]), list(weight.shape[2:])
    if transposed:
        outputs = _transposed_sizes(inputs, kernel, stride, padding, dilation)
        outputs = [size + extra for size, extra in zip(outputs, output_padding, strict=True)]
    else:
        outputs = [
            (size + 2 * pad - spread * (width - 1) - 1) // step + 1
            for size, width, step, pad, spread in zip(
                inputs, kernel, stride, padding, dilation, strict=True
            )
        ]
    index = _reached(inputs, outputs, kernel, (stride, padding, dilation), transposed)
    # A zero at the end of each channel is what lies beyond the border.
    cells = functional.pad(x.flatten(2), (0, 1)).index_select(2, index.flatten())
    cells = cells.reshape(-1, groups, x.shape[1] // groups * len(index), prod(outputs))
    if transposed:  # to (groups, channels out, channels in, *kernel)
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2)
    else:
        weight = weight.unflatten(0, (groups, -1))
    n_channels = groups * weight.shape[1]
    result = torch.matmul(weight.flatten(2), cells).reshape(-1, n_channels, *outputs)
    if bias is not None:
        result = result + bias.reshape(-1, *[1] * len(outputs))
    return result


def convolution_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> tuple[torch.Tensor, None, None]:
    """Return the gradient of a convolution's input, itself a convolution; no other is needed."""
    extra = [0] * len(stride)
    if not transposed:
        reached = _transposed_sizes(
            list(gradient.shape[2:]), list(weight.shape[2:]), stride, padding, dilation
        )
        extra = [size - to for size, to in zip(x.shape[2:], reached, strict=True)]
    backward = convolution(
        gradient, weight, None, stride, padding, dilation, not transposed, extra, groups
    )
    return backward, None, None


def keep_scalars(traced: torch.fx.GraphModule) -> None:
    """Make the fractions in a traced graph tensors: torch.onnx rounds scalars to float32."""
    operators = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
    for i, node in enumerate(list(traced.graph.nodes)):
        if node.target not in operators or not isinstance(node.args[1], float):
            continue
        name = f"scalar_{i}"
        traced.register_buffer(name, torch.tensor(node.args[1], dtype=torch.float64))
        with traced.graph.inserting_before(node):
            scalar = traced.graph.get_attr(name)
        node.args = (node.args[0], scalar, *node.args[2:])
    traced.recompile()


DECOMPOSITIONS: dict[Any, Any] = {
    **get_decompositions([aten.elu, aten.elu_backward, aten.gelu, aten.gelu_backward]),
    aten.erf.default: erf,
    aten.convolution.default: convolution,
    aten.convolution_backward.default: convolution_backward,
}
