"""Reconstruction losses against formulas written in numpy."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from sklearn_ae.losses import LOSSES, BinaryLogLoss, OriginalUnits

rng = np.random.default_rng(0)
PREDICTION = rng.normal(size=(40, 6))
TARGET = rng.normal(size=(40, 6))


def huber(residual):
    delta = 1.345
    size = np.abs(residual)
    return np.where(size <= delta, residual**2 / 2, delta * (size - delta / 2))


FORMULAS = {"squared_error": np.square, "absolute_error": np.abs, "huber": huber}


def value(loss, prediction=PREDICTION, target=TARGET):
    return loss(torch.from_numpy(prediction), torch.from_numpy(target))


def test_every_loss_has_a_formula_here():
    assert LOSSES.keys() == FORMULAS.keys()


@pytest.mark.parametrize("unit", [1e-5, 0.3, 1.0, 20.0])
@pytest.mark.parametrize("name", LOSSES)
def test_formula(name, unit):
    """The loss is the mean of a function of the residual in units of `unit`."""
    result = value(LOSSES[name](unit))
    assert result.shape == ()
    expected = FORMULAS[name]((PREDICTION - TARGET) / unit).mean()
    assert float(result) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_does_not_depend_on_the_unit_that_both_are_given_in(name):
    one = float(value(LOSSES[name](0.5)))
    other = float(value(LOSSES[name](500.0), PREDICTION * 1000, TARGET * 1000))
    assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_prediction_costs_nothing(name):
    assert float(value(LOSSES[name](0.5), TARGET, TARGET)) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name):
    """Against finite differences of the numpy formula."""
    prediction = torch.from_numpy(PREDICTION.copy()).requires_grad_()
    LOSSES[name](0.7)(prediction, torch.from_numpy(TARGET)).backward()
    step = 1e-6
    for i, j in [(0, 0), (3, 2), (39, 5)]:
        moved = PREDICTION.copy()
        moved[i, j] += step
        after, before = (FORMULAS[name]((p - TARGET) / 0.7).mean() for p in (moved, PREDICTION))
        assert float(prediction.grad[i, j]) == pytest.approx((after - before) / step, rel=1e-3)


def test_squared_error_of_the_unit_is_one():
    residual = np.full((5, 3), 0.25)
    assert float(value(LOSSES["squared_error"](0.25), residual, 0 * residual)) == pytest.approx(1)


class Spy(nn.Module):
    """Keeps what it is given."""

    def forward(self, prediction, target):
        self.seen = prediction, target
        return (prediction - target).abs().max()


def test_original_units_hands_over_rows_as_they_were():
    spy, shift, scale = Spy(), torch.tensor([1.0, -2.0, 3.0]), 4.0
    original = torch.from_numpy(rng.normal(size=(2, 8, 3)))
    prediction, target = (original - shift) / scale
    result = OriginalUnits(spy, shift, scale)(prediction, target)
    torch.testing.assert_close(spy.seen[0], original[0])
    torch.testing.assert_close(spy.seen[1], original[1])
    assert float(result) == pytest.approx(float((original[0] - original[1]).abs().max()))


def test_original_units_moves_with_its_loss():
    module = OriginalUnits(nn.MSELoss(), torch.zeros(3), 1.0)
    assert module.to(torch.float64).shift.dtype == torch.float64
    assert module.loss in list(module.modules())


def test_binary_log_loss_is_sklearns():
    shift, scale = np.array([0.5, 0.2, 0.9, 0.1, 0.4, 0.6]), 0.3
    p, t = rng.uniform(0.01, 0.99, size=(40, 6)), rng.integers(2, size=(40, 6)).astype(float)
    loss = BinaryLogLoss(torch.from_numpy(shift), scale)
    found = value(loss, (p - shift) / scale, (t - shift) / scale)
    assert float(found) == pytest.approx(log_loss(t.ravel(), p.ravel()), rel=1e-9)
    cells = loss.compare(torch.from_numpy((p - shift) / scale), torch.from_numpy(t), "none")
    assert cells.shape == p.shape


def test_binary_log_loss_is_finite_at_the_ends_and_passes_on_what_is_not():
    loss = BinaryLogLoss(torch.zeros(1), 1.0)
    ends = torch.tensor([[0.0], [1.0]])
    assert float(loss(ends, 1 - ends)) == pytest.approx(-np.log(1e-6), rel=1e-2)
    assert float(loss(ends, ends)) == pytest.approx(0, abs=1e-5)
    assert torch.isnan(loss(ends * torch.nan, ends))


@pytest.mark.parametrize("name", LOSSES)
def test_weights_of_cells(name):
    loss, weight = LOSSES[name](0.7), rng.uniform(size=(40, 6))
    found = loss(*map(torch.from_numpy, (PREDICTION, TARGET, weight)))
    expected = (weight * FORMULAS[name]((PREDICTION - TARGET) / 0.7)).mean()
    assert float(found) == pytest.approx(expected, rel=1e-9)
