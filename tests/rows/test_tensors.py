"""Rows of a tensor on a device, beside those of the array that it was made of."""

import numpy as np
import pytest
import torch

from sklearn_ae._rows import KeptRows, TensorMatrix, scaled_rows, sum_up
from sklearn_ae._rows import scaling as scaling_module
from sklearn_ae._rows.sources import fingerprint

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(3, 2, size=(60, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrix(dtype):
    rows = X.astype(dtype)
    for tensor in (torch.from_numpy(rows), torch.from_numpy(np.asfortranarray(rows))):
        matrix = TensorMatrix(tensor)
        assert (matrix.shape, matrix.dtype) == (rows.shape, rows.dtype)
        assert torch.equal(matrix[7:20], tensor[7:20])
        index = np.array([3, 59, 0, 3])
        np.testing.assert_array_equal(matrix[index], rows[index])
        np.testing.assert_array_equal(fingerprint(matrix), rows)
        assert matrix[index].dtype == fingerprint(matrix).dtype == dtype
        assert fingerprint(matrix).flags.c_contiguous


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_fit_makes_of_it(dtype, kept, stand_in, monkeypatch):
    monkeypatch.setattr(scaling_module, "_free_bytes", lambda device: 10**9 * kept)
    rows = X.astype(dtype)
    matrix = TensorMatrix(torch.from_numpy(rows))
    here, there = sum_up(rows, torch.float64, CPU), sum_up(matrix, torch.float64, stand_in)
    for name, value in here.arrays().items():
        np.testing.assert_allclose(there.arrays()[name], value, rtol=1e-12, atol=1e-12)
    order, scaling = np.random.default_rng(1).permutation(60), here.scaling()
    expected = scaled_rows(rows, order, scaling, CPU)
    found = scaled_rows(matrix, order, scaling, stand_in)
    assert isinstance(found, KeptRows) == kept
    for part in (lambda rows: rows, lambda rows: rows.part(10, 30)):
        torch.testing.assert_close(part(found).slice(3, 9), part(expected).slice(3, 9))
        index = torch.tensor([5, 2, 19, 2])
        torch.testing.assert_close(part(found).take(index), part(expected).take(index))
    assert torch.equal(matrix.tensor, torch.from_numpy(X.astype(dtype)))


def test_memory_that_torch_holds_and_does_not_use_is_free(monkeypatch):
    for name, value in (
        ("mem_get_info", (50, 100)), ("memory_reserved", 30), ("memory_allocated", 10),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda device, found=value: found)
    assert scaling_module._free_bytes(torch.device("cuda", 0)) == 70

    def fail(device):
        raise RuntimeError("does not yet support getDeviceStats")

    monkeypatch.setattr(torch.cuda, "memory_allocated", fail)
    assert scaling_module._free_bytes(torch.device("cuda", 0)) == 50
