"""The loss of whole codes and prefixes, against what is written out here."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._fitting.training.prefixes import MANY_PREFIXES, Prefixes, whole_loss
from sklearn_ae.modules import Corrected, Fade, dense

LOSSES = [8.0, 4.0, 1.0]
RATIOS = [np.sqrt(8.0), 2.0, 1.0]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_decoder():
    ones, inf = torch.ones(3), torch.full((3,), torch.inf)
    linear = dense(3, (), 5, nn.Tanh, generator())[0]
    correction = dense(3, (7,), 5, nn.Tanh, generator(1))
    return Corrected(linear, correction, ones, 0.3 * torch.ones(5), -inf, inf, Fade(ones, inf))


class Drawn:
    """Draws what it is told."""

    def __init__(self, *sizes):
        self.sizes = list(sizes)

    def integers(self, low, high):
        assert (low, high) == (1, 3)
        return self.sizes.pop(0)


def decoded(decoder, codes, size):
    z = codes * (torch.arange(3) < size)
    ratio = RATIOS[size - 1]
    return decoder.linear(z) + ratio * decoder.output_scale * decoder.correction(z)


@pytest.mark.parametrize("size", [1, 2])
def test_loss_is_the_mean_of_both_in_units_of_what_pca_leaves(size):
    decoder, criterion = make_decoder(), nn.MSELoss()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    loss, whole = Prefixes(RATIOS, LOSSES, [1, 2, 3], Drawn(size)).loss(
        decoder, criterion, codes, rows
    )
    prefix = criterion(decoded(decoder, codes, size), rows)
    share = 2 / MANY_PREFIXES
    weight = share * LOSSES[-1] / LOSSES[size - 1]
    expected = (criterion(decoder(codes), rows) + weight * prefix) / (1 + share)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(whole, decoder(codes))


def test_weights_of_cells_weigh_both():
    decoder = make_decoder()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    weight = torch.rand(8, 5, generator=generator(4))

    def criterion(found, expected, weight):
        return (weight * (found - expected).square()).mean()

    prefixes = Prefixes(RATIOS, LOSSES, [1, 2, 3], Drawn(2))
    loss, _ = prefixes.loss(decoder, criterion, codes, rows, weight)
    parts = (
        criterion(decoder(codes), rows, weight),
        criterion(decoded(decoder, codes, 2), rows, weight),
    )
    share = 2 / MANY_PREFIXES
    torch.testing.assert_close(loss, (parts[0] + share * parts[1] / 4) / (1 + share))


def test_what_is_watched_is_the_mean_over_sizes():
    decoder, criterion = make_decoder(), nn.L1Loss()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    loss, whole = Prefixes(RATIOS, LOSSES, [1, 3], Drawn()).watched(decoder, criterion, codes, rows)
    expected = (
        criterion(decoded(decoder, codes, 1), rows) / 8 + criterion(decoder(codes), rows)
    ) / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(whole, decoder(codes))


@pytest.mark.parametrize(
    "losses", [[-1.0, -2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, 2.0]]
)
def test_losses_that_say_nothing_weigh_nothing(losses):
    """A user's loss may have any values; those of a prefix that beats the whole, too."""
    decoder, criterion = make_decoder(), nn.MSELoss()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    prefixes = Prefixes([1.0, 1.0, 1.0], [losses[0], losses[0], losses[1]], [1, 3], Drawn(1))
    loss, _ = prefixes.loss(decoder, criterion, codes, rows)
    prefix = criterion(decoder(codes * (torch.arange(3) < 1)), rows)
    share = 2 / MANY_PREFIXES
    expected = (criterion(decoder(codes), rows) + share * prefix) / (1 + share)
    torch.testing.assert_close(loss, expected)


def test_many_prefixes_count_as_much_as_the_whole():
    decoder, criterion = nn.Linear(20, 5), nn.MSELoss()
    codes = torch.randn(8, 20, generator=generator(2))
    rows = torch.randn(8, 5, generator=generator(3))
    prefixes = Prefixes([1.0] * 20, [1.0] * 20, [1, 20], np.random.default_rng(0))
    size = int(np.random.default_rng(0).integers(1, 20))
    loss, _ = prefixes.loss(decoder, criterion, codes, rows)
    prefix = criterion(decoder(codes * (torch.arange(20) < size)), rows)
    torch.testing.assert_close(loss, (criterion(decoder(codes), rows) + prefix) / 2)


def test_any_decoder_will_do_where_all_sizes_have_one_unit():
    decoder, criterion = nn.Linear(3, 5), nn.MSELoss()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    loss, _ = Prefixes([1.0] * 3, LOSSES, [1, 3], Drawn(1)).loss(decoder, criterion, codes, rows)
    assert torch.isfinite(loss)


def test_without_prefixes_it_is_the_loss():
    decoder, criterion = make_decoder(), nn.MSELoss()
    codes, rows = (
        torch.randn(8, 3, generator=generator(2)),
        torch.randn(8, 5, generator=generator(3)),
    )
    loss, whole = whole_loss(decoder, criterion, codes, rows)
    assert torch.equal(loss, criterion(whole, rows))
