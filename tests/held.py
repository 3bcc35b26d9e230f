"""What a caller may have set in torch around whatever we do."""

import contextlib
import functools

import numpy as np
import torch


@contextlib.contextmanager
def setting(getter, setter, value):
    """Set something for a time."""
    before = getter()
    setter(value)
    try:
        yield
    finally:
        setter(before)


default_dtype = functools.partial(setting, torch.get_default_dtype, torch.set_default_dtype)
matmul_precision = functools.partial(
    setting, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
)


@contextlib.contextmanager
def precision_of(backend, precision):
    """Set that of one backend, with which torch's function for all does not go."""
    backend.fp32_precision = precision
    try:
        yield
    finally:
        backend.fp32_precision = "none"  # it goes with the others again


HELD = {
    "autocast": functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "high precision": functools.partial(matmul_precision, "high"),
    "medium precision": functools.partial(matmul_precision, "medium"),
    "tf32": functools.partial(precision_of, torch.backends.cuda.matmul, "tf32"),
    "bf16": functools.partial(precision_of, torch.backends.mkldnn.matmul, "bf16"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": functools.partial(default_dtype, torch.float64),
    "float16": functools.partial(default_dtype, torch.float16),
    # Whatever forgets to say where it wants its tensors gets some without values.
    "meta": functools.partial(torch.device, "meta"),
    "strict floating point": functools.partial(np.errstate, all="raise", under="ignore"),
}
