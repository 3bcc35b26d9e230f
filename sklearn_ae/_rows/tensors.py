"""Rows of a tensor that lies on a device, and is read there."""

import numpy as np
import torch

from sklearn_ae._rows.rows import ScaledRows


class TensorMatrix:
    """A tensor on a device as a matrix that is indexed by rows, as far as a fit needs it.

    Parameters
    ----------
    tensor : Tensor of shape (n_rows, n_columns)
        float32 or float64; left as it is.
    """

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor
        self.shape = tuple(tensor.shape)
        self.dtype = np.dtype(np.float32 if tensor.dtype == torch.float32 else np.float64)

    def __getitem__(self, index: slice | np.ndarray) -> torch.Tensor | np.ndarray:
        """Return the rows of a slice, on the device; or those of some numbers, few, on the host."""
        if isinstance(index, slice):
            return self.tensor[index]
        return self.rows(index).cpu().numpy()

    def rows(self, index: np.ndarray) -> torch.Tensor:
        """Return the rows of some numbers on the device: a copy."""
        return self.tensor.index_select(0, torch.from_numpy(index).to(self.tensor.device))

    def fingerprint(self) -> np.ndarray:
        """Return what other rows would not give: all that an array of them would have."""
        return self.tensor.contiguous().cpu().numpy()


class TensorRows(ScaledRows):
    """Rows of such a matrix; parameters as of rows of an array."""

    source: TensorMatrix

    def _sent(self, index: np.ndarray) -> torch.Tensor:
        return self.source.rows(index)
