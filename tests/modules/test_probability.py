import pytest
import torch
from torch import nn

from sklearn_ae.modules import (
    ClippedProbabilities,
    CorrectedProbabilities,
    Fade,
    Probabilities,
)

SHIFT, SCALE = torch.tensor([0.5, 0.2, 0.9]), 0.3


def to_probability(rows):
    return rows * SCALE + SHIFT


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(2, 3)


def corrected(correction, path=None):
    ones = torch.ones(2)
    return CorrectedProbabilities(
        *(path or linear(), correction, ones, torch.ones(3), -9 * ones, 9 * ones),
        Fade(torch.zeros(2), torch.tensor(torch.inf)),
        shift=SHIFT,
        scale=SCALE,
    )


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value.expand(len(x), -1)


def test_logits_become_probabilities_in_scaled_units():
    z = torch.randn(20, 2)
    decoder = linear()
    found = to_probability(Probabilities(decoder, SHIFT, SCALE)(z))
    torch.testing.assert_close(found, torch.sigmoid(decoder(z)))


def test_starts_as_the_clipped_linear_map():
    z = 3 * torch.randn(200, 2)
    path = linear()
    start = corrected(Constant(torch.zeros(3)), path)(z)
    clipped = ClippedProbabilities(path, SHIFT, SCALE)(z)
    torch.testing.assert_close(start, clipped)
    inside = to_probability(path(z))
    expected = inside.clamp(0.01, 0.99)
    torch.testing.assert_close(to_probability(clipped), expected)
    assert bool((inside != expected).any())


@pytest.mark.parametrize("logit", [-3.0, 0.5, 4.0])
def test_the_correction_adds_to_the_logits(logit):
    z = torch.zeros(1, 2)
    start = to_probability(corrected(Constant(torch.zeros(3)))(z))
    moved = to_probability(corrected(Constant(torch.full((3,), logit)))(z))
    torch.testing.assert_close(torch.logit(moved), torch.logit(start) + logit, rtol=0, atol=1e-3)


def test_has_no_closed_form():
    assert not corrected(nn.Sequential(nn.Linear(2, 3))).is_solvable
