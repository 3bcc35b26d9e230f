"""Corrupted rows, as the denoising autoencoder makes them."""

import copy

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from sklearn_ae import DenoisingAutoencoderTransformer

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 5)) * [1, 10, 100, 1e-3, 1] + [0, 1000, 0, 0, 5]


FITTED = DenoisingAutoencoderTransformer(max_iter=1, random_state=0).fit(X)


@pytest.fixture
def model():
    """Return a copy for each test, which may set parameters."""
    return copy.deepcopy(FITTED)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [0.2, [0, 0.1, 0.2, 0.5, 1]])
@pytest.mark.parametrize("corruption", ["masking", "salt_and_pepper", "swap"])
def test_each_cell_is_corrupted_as_often_as_asked(model, corruption, level, dtype):
    model.set_params(corruption=corruption, corruption_level=level)
    rows = X.astype(dtype)
    corrupted = model.corrupt(rows, random_state=0)
    assert corrupted.dtype == dtype
    changed = corrupted != rows
    np.testing.assert_allclose(changed.mean(axis=0), np.broadcast_to(level, 5), atol=0.08)


def test_what_cells_become(model):
    model.set_params(corruption_level=1.0)
    values = {}
    for corruption in ("masking", "salt_and_pepper", "swap"):
        values[corruption] = model.set_params(corruption=corruption).corrupt(X, random_state=0)
    scale = X.std(axis=0)
    np.testing.assert_allclose(values["masking"], X.mean(axis=0) + 0 * X, atol=1e-4 * scale.max())
    ends = values["salt_and_pepper"]
    assert all(len(np.unique(column.round(3))) == 2 for column in ends.T[:3])
    np.testing.assert_allclose(ends.max(axis=0), X.max(axis=0), rtol=1e-5, atol=1e-4)
    # The numbers are rounded to float32 of the whole table.
    for mine, theirs in zip(values["swap"].T[:3], X.T[:3], strict=True):
        distance = np.abs(mine[:, None] - theirs).min(axis=1)
        assert distance.max() < 1e-4


def test_gaussian_noise_is_in_deviations(model):
    model.set_params(corruption="gaussian", corruption_level=0.5)
    noise = model.corrupt(X, random_state=0) - X
    np.testing.assert_allclose(noise[:, :3].std(axis=0), 0.5 * X[:, :3].std(axis=0), rtol=0.15)


def test_the_seed_decides(model):
    model.set_params(corruption="swap", corruption_level=0.3)
    one, same, other = (model.corrupt(X, random_state=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(model.corrupt(sparse.csr_array(X), random_state=1), one)


def test_users_corruption_draws_from_the_seed(model):
    model.set_params(corruption=lambda x, generator: x + torch.randn_like(x))
    before = torch.get_rng_state()
    one, same = (model.corrupt(X, random_state=0) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("params", "message"),
    [({"corruption": "bogus"}, "'corruption' parameter"), ({"corruption_level": 2}, "must lie in")],
)
def test_wrong_parameters(model, params, message):
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(corruption="swap").fit(X).set_params(**params).corrupt(X)
