"""Rows of a tensor that lies on a device, and is read there."""

from collections.abc import Iterator

import numpy as np
import torch

from sklearn_ae._rows.blocks import row_blocks
from sklearn_ae._rows.rows import ScaledRows

CUDA = torch.device("cuda")  # of any number


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
        """Return the rows of a slice, on the device; or those of some numbers, on the host."""
        if isinstance(index, slice):
            return self.tensor[index]
        found = np.empty((len(index), self.shape[1]), self.dtype)
        for start, rows in self.blocks(index):
            found[start : start + len(rows)] = rows.cpu().numpy()
        return found

    def blocks(self, index: np.ndarray) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield rows by number on the device, a block at a time, and where in `index` it begins."""
        numbers = torch.from_numpy(index).to(self.tensor.device)
        for start, stop in row_blocks(len(index), self.shape[1], device=CUDA, light=True):
            yield start, self.tensor.index_select(0, numbers[start:stop])

    def fingerprint(self) -> np.ndarray:
        """Return what other rows would not give: all of them, as an array in C order."""
        return np.ascontiguousarray(self.tensor.cpu().numpy())


class TensorRows(ScaledRows):
    """Rows of such a matrix; parameters as of rows of an array."""

    source: TensorMatrix

    def _read(self, order: np.ndarray) -> torch.Tensor:
        shift, scale = self._units
        shape = (len(order), self.n_columns)
        found = torch.empty(shape, dtype=torch.float32, device=self.device)
        for start, rows in self.source.blocks(order):
            found[start : start + len(rows)] = (rows - shift) / scale
        return found
