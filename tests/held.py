"""What a caller may have set in torch around whatever we do."""

import contextlib
import functools

import numpy as np
import torch


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def matmul_precision(precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def digits(backend, precision):
    """Set the precision of one backend, with which torch's function for all does not go."""
    before = backend.fp32_precision
    backend.fp32_precision = precision
    try:
        yield
    finally:
        backend.fp32_precision = before


HELD = {
    "autocast": functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "high precision": functools.partial(matmul_precision, "high"),
    "medium precision": functools.partial(matmul_precision, "medium"),
    "tf32": functools.partial(digits, torch.backends.cuda.matmul, "tf32"),
    "bf16": functools.partial(digits, torch.backends.mkldnn.matmul, "bf16"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": functools.partial(default_dtype, torch.float64),
    "float16": functools.partial(default_dtype, torch.float16),
    # Whatever forgets to say where it wants its tensors gets some without values.
    "meta": functools.partial(torch.device, "meta"),
    "strict floating point": functools.partial(np.errstate, all="raise", under="ignore"),
}
