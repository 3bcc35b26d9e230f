"""Noise for denoising autoencoders."""

import functools

import pytest
import torch

from sklearn_ae.corruption import Gaussian, Masking, SaltAndPepper, Swap

N_ROWS, N_COLUMNS = 4_000, 5
SCALE = torch.tensor([0.1, 1.0, 5.0, 0.0, 100.0])
LEVELS = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# No two cells of a column are equal, so that it shows where a value came from.
ROWS = torch.arange(N_ROWS * N_COLUMNS, dtype=torch.float32).reshape(N_ROWS, N_COLUMNS)
MEAN = ROWS.mean(0)
LOW, HIGH = ROWS.amin(0) - 1, ROWS.amax(0) + 1

NOISES = {
    "gaussian": lambda level: Gaussian(level, SCALE),
    "masking": lambda level: Masking(level, MEAN),
    "salt_and_pepper": lambda level: SaltAndPepper(level, LOW, HIGH),
    "swap": Swap,
}
CELLWISE = ["masking", "salt_and_pepper", "swap"]
every_noise = pytest.mark.parametrize("name", NOISES)
every_cellwise = pytest.mark.parametrize("name", CELLWISE)


def corrupt(name, level, x=ROWS, seed=0):
    return NOISES[name](torch.as_tensor(level))(x, generator(seed))


@every_noise
def test_input_is_not_modified(name):
    x = ROWS.clone()
    result = corrupt(name, 0.5, x)
    assert torch.equal(x, ROWS)
    assert not torch.equal(result, x)


@every_noise
def test_level_zero_changes_nothing(name):
    assert torch.equal(corrupt(name, 0.0), ROWS)


@every_noise
def test_keeps_shape_and_dtype(name):
    for dtype in (torch.float32, torch.float64):
        noise = NOISES[name](torch.tensor(0.3))
        result = noise(ROWS.to(dtype), generator())
        assert result.shape == ROWS.shape
        assert result.dtype == dtype


@every_noise
def test_generator_alone_decides(name):
    before = torch.get_rng_state()
    assert torch.equal(corrupt(name, 0.5, seed=3), corrupt(name, 0.5, seed=3))
    assert not torch.equal(corrupt(name, 0.5, seed=3), corrupt(name, 0.5, seed=4))
    assert torch.equal(torch.get_rng_state(), before)


@every_noise
def test_is_fresh_for_every_batch(name):
    noise, one = NOISES[name](torch.tensor(0.5)), generator()
    assert not torch.equal(noise(ROWS, one), noise(ROWS, one))


@every_noise
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_batch_of_one_row(name, level):
    result = corrupt(name, level, ROWS[:1])
    assert result.shape == (1, N_COLUMNS)
    assert torch.isfinite(result).all()


@every_cellwise
@pytest.mark.parametrize("level", [0.05, 0.15, 0.8])
def test_share_of_corrupted_cells(name, level):
    changed = (corrupt(name, level) != ROWS).float().mean()
    sampling_error = (level * (1 - level) / ROWS.numel()) ** 0.5
    assert abs(float(changed) - level) < 5 * sampling_error


@every_cellwise
def test_level_per_column(name):
    changed = (corrupt(name, LEVELS) != ROWS).float().mean(0)
    assert changed[0] == 0
    assert changed[-1] == 1
    torch.testing.assert_close(changed, LEVELS, rtol=0, atol=0.05)


@every_cellwise
def test_cells_are_corrupted_independently(name):
    changed = (corrupt(name, 0.5) != ROWS).double()
    correlation = torch.corrcoef(changed.T) - torch.eye(N_COLUMNS, dtype=torch.float64)
    assert correlation.abs().max() < 5 / N_ROWS**0.5


@pytest.mark.parametrize("level", [0.5, LEVELS])
def test_gaussian_is_in_units_of_the_deviation(level):
    noise = corrupt("gaussian", level, torch.zeros(20_000, N_COLUMNS))
    torch.testing.assert_close(noise.std(0), torch.as_tensor(level) * SCALE, rtol=0.05, atol=0)
    assert (noise.mean(0).abs() <= 5 * torch.as_tensor(level) * SCALE / 20_000**0.5).all()


def test_masking_gives_the_mean():
    result = corrupt("masking", 0.3)
    changed = result != ROWS
    assert torch.equal(result[changed], MEAN.expand_as(ROWS)[changed])


def test_salt_and_pepper_gives_low_and_high_half_and_half():
    result = corrupt("salt_and_pepper", 0.6)
    low, high = result == LOW, result == HIGH
    assert torch.equal(low | high, result != ROWS)
    sampling_error = (0.3 * 0.7 / N_ROWS) ** 0.5
    for share in (low, high):
        assert ((share.float().mean(0) - 0.3).abs() < 5 * sampling_error).all()


def test_swap_takes_the_same_column_of_another_row():
    """With every cell replaced, none is its own, and each is a value of its column."""
    result = corrupt("swap", 1.0)
    assert (result != ROWS).all()
    for column in range(N_COLUMNS):
        assert torch.isin(result[:, column], ROWS[:, column]).all()


def test_swap_draws_donors_cell_by_cell_and_evenly():
    x = ROWS[:4]
    swap = functools.partial(Swap(torch.tensor(1.0)), generator=generator())
    donors = torch.stack([swap(x) // N_COLUMNS for _ in range(3_000)])
    for row in range(4):
        shares = [(donors[:, row] == donor).float().mean(0) for donor in range(4)]
        assert (shares.pop(row) == 0).all()
        for share in shares:
            assert ((share - 1 / 3).abs() < 5 * (2 / 9 / 3_000) ** 0.5).all()
    # Cells of one row have donors of their own.
    assert (donors.std(dim=2) > 0).any()


def test_swap_in_a_batch_of_two_is_the_other_row():
    assert torch.equal(corrupt("swap", 1.0, ROWS[:2]), ROWS[:2].flip(0))


def test_swap_leaves_a_lone_row_alone():
    assert torch.equal(corrupt("swap", 1.0, ROWS[:1]), ROWS[:1])
