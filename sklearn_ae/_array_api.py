"""Arrays of other namespaces than numpy's, which scikit-learn's `array_api_dispatch` lets in.

Within the package they are tensors, in the same memory where DLPack can share it. What comes out is
in the namespace and on the device of what went in.
"""

from typing import Any

import numpy as np
import torch
from torch.utils.dlpack import from_dlpack

from sklearn_ae._sklearn import get_namespace


def float_types(X: Any) -> list:
    """Return float64 and float32 of the namespace of `X`: what rows are converted to."""
    if torch.is_tensor(X) and X.is_complex():
        # scikit-learn sees that of numpy's arrays alone.
        raise ValueError(f"Complex data not supported: X has dtype {X.dtype}.")
    xp, _ = get_namespace(X)
    return [xp.float64, xp.float32]


def _is_foreign(X: Any) -> bool:
    """Tell whether this is an array of another namespace than numpy's."""
    return hasattr(X, "__dlpack__") and not isinstance(X, np.ndarray)


def as_rows(X: Any) -> Any:
    """Return what is not an array of another namespace as it is, and that as a tensor.

    Raises
    ------
    ValueError
        If it is a sparse tensor.
    """
    if not _is_foreign(X):
        return X
    # Gradients are not computed through an estimator.
    tensor = (X if torch.is_tensor(X) else from_dlpack(X)).detach()
    if tensor.layout != torch.strided:
        raise ValueError(
            f"X is a tensor with layout {tensor.layout}, whose blocks of rows cannot be read. Give "
            "X.to_dense(), or a sparse matrix of SciPy."
        )
    return tensor


def on_host(X: Any) -> Any:
    """Return what is not an array of another namespace as it is, and that as an ndarray."""
    rows = as_rows(X)
    return rows.cpu().resolve_neg().numpy() if torch.is_tensor(rows) else rows


def like(values: np.ndarray | torch.Tensor, X: Any) -> Any:
    """Return values in the namespace and on the device of `X`; numpy's where it has none."""
    if not _is_foreign(X):
        return on_host(values)
    device = as_rows(X).device
    # A copy of numpy's, which may be read-only.
    tensor = values.to(device) if torch.is_tensor(values) else torch.tensor(values, device=device)
    if torch.is_tensor(X):
        return tensor
    if hasattr(X, "__array_namespace__"):
        return X.__array_namespace__().from_dlpack(tensor, device=X.device)
    # CuPy's do not name theirs, and lie where the tensor does.
    return get_namespace(X)[0].from_dlpack(tensor)
