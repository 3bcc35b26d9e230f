"""The same rows of every kind, for the tests that go through all of them."""

import numpy as np
import torch
from scipy import sparse
from stand_in import StandIn

from sklearn_ae._rows import DenseRows, KeptRows, ScaledRows, Source, SparseRows, StreamedRows

KINDS = ["dense", "scaled", "kept", "sparse", "streamed"]
SHIFT, SCALE = np.array([0.5, 0.0, -1.0, 2.0]), 4.0


def make_matrix(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, 4)) * (rng.random((n_rows, 4)) < 0.5)


def make_rows(kind, n_rows, device="cpu"):
    """Return rows and what they should be, as a tensor."""
    matrix = make_matrix(n_rows)
    if not isinstance(device, StandIn):
        device = torch.device(device)
    expected = torch.from_numpy(((matrix - SHIFT) / SCALE).astype(np.float32)).to(device)
    if kind == "dense":
        return DenseRows(expected.clone()), expected
    if kind == "streamed":
        source = Source(lambda start, stop: matrix[start:stop], matrix.shape, matrix.dtype)
        source.edges = np.append(np.arange(0, n_rows, 3), n_rows)
        return StreamedRows(source, np.arange(n_rows), SHIFT, SCALE, device), expected
    backwards = np.arange(n_rows)[::-1]
    if kind == "sparse":
        matrix = sparse.csr_matrix(matrix[::-1])
        return SparseRows(matrix, backwards, SHIFT, SCALE, device), expected
    rows = ScaledRows(matrix[::-1], backwards, SHIFT, SCALE, device)
    return KeptRows(rows) if kind == "kept" else rows, expected
