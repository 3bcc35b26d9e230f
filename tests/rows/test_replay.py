"""New rows take turns with rows of before."""

import numpy as np
import pytest
import torch

from sklearn_ae._rows import Batches, DenseRows, Replay, ScaledRows


def rows(start, stop):
    return DenseRows(torch.arange(start, stop, dtype=torch.float32)[:, None])


def others(start, stop):
    X = np.arange(start, stop, dtype=np.float64)[:, None]
    return ScaledRows(X, np.arange(stop - start), np.zeros(1), 1.0, torch.device("cpu"))


@pytest.mark.parametrize("batch_size", [2, 8, 64])
def test_each_batch_is_half_of_new_rows_each_of_which_comes_once(batch_size):
    replay = Replay([rows(0, 25), rows(25, 32)], others(100, 132))
    assert len(replay) == 64
    passes = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        batches = [batch.ravel() for batch, _ in Batches(replay, batch_size, generator)]
        assert all(int((batch < 100).sum()) == batch_size // 2 for batch in batches)
        passes.append(torch.cat(batches))
        assert sorted(passes[-1].tolist()) == [*range(32), *range(100, 132)]
    assert not torch.equal(*passes)
