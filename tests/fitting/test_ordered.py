"""Codes of every size: PCA's losses, and the layers of prefixes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from prefixes import LOSS, SIZES, Case, K, forget, rows_of
from sklearn.base import clone
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting import ordered, steps
from sklearn_ae._fitting import sizes as sizes_module
from sklearn_ae._fitting.errors import explained, mean_square, measure_errors
from sklearn_ae._fitting.ordered import (
    MeasuredPCA,
    losses_of_pca,
    sizes_of_pca,
    solve_prefixes,
)
from sklearn_ae._fitting.sizes import coarse_sizes


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_what_pca_loses_between_sizes_that_are_measured(power, rounding):
    """A power of what it leaves, and a line to all columns, of which rounding says nothing."""
    left = np.append(1 / np.arange(1, 16), rounding)
    losses = left**power
    found = losses_of_pca(left, lambda n: SimpleNamespace(loss=losses[n - 1]))
    np.testing.assert_allclose(found[:12], losses[:12])
    np.testing.assert_allclose(found[12:], losses[11] * left[12:] / left[11], atol=1e-4)


def test_losses_of_pca_are_those_of_the_rows_that_are_measured(monkeypatch):
    for name in ("FEWEST_ROWS", "SOME_ROWS"):
        monkeypatch.setattr(ordered, name, 40)
    case = Case()
    some = ordered.some_rows(case.rows.held_out)
    assert len(some) == 40
    sizes = sizes_of_pca(case.pca, MeasuredPCA(case.linear, some, LOSS), case.rows)
    for n in range(1, K + 1):
        assert sizes.loss[n - 1] == pytest.approx(
            measure_errors(case.linear(n), some, LOSS).loss, rel=1e-4
        )


def test_a_loss_that_is_zero_stays_zero():
    """Tiny losses in its place would give their sizes all of the weight in training."""
    left = 1 / np.arange(1, 16)
    losses = np.where(np.arange(1, 16) < 7, left, 0.0)
    found = losses_of_pca(left, lambda n: SimpleNamespace(loss=losses[n - 1]))
    np.testing.assert_allclose(found[:6], losses[:6])
    assert 0 < found[6] < losses[5]
    assert (found[7:] == 0).all()
    assert losses_of_pca(left[:1], lambda n: SimpleNamespace(loss=0.0)).tolist() == [0]


def test_a_loss_of_any_sign_lies_on_lines_between_sizes_that_are_measured():
    left = 1 / np.arange(1, 16)
    found = losses_of_pca(left, lambda n: SimpleNamespace(loss=left[n - 1] - 0.5))
    np.testing.assert_allclose(found, left - 0.5)


@pytest.mark.parametrize("hold_out", [True, False])
@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss()], ids=["square", "absolute"])
def test_worth_of_pca(loss, hold_out):
    case = Case(hold_out=hold_out)
    rows = case.rows.held_out if hold_out else case.rows.train.rows
    sizes = sizes_of_pca(case.pca, case.measured_with(loss), case.rows)
    assert sizes.is_pca.all()
    for n in range(1, K + 1):
        errors = measure_errors(case.linear(n), rows, loss)
        assert sizes.score[n - 1] == pytest.approx(
            explained(errors.square, mean_square(rows)), abs=1e-5
        )
        # Between sizes that are measured it is found from what PCA leaves.
        rtol = 1e-4 if n != 5 or isinstance(loss, nn.MSELoss) else 0.25
        assert sizes.loss[n - 1] == pytest.approx(errors.loss, rel=rtol)
    np.testing.assert_array_equal(sizes.loss, sizes.pca_loss)
    np.testing.assert_array_equal(sizes.score, sizes.pca_score)


def test_prefixes_are_solved():
    case = Case()
    before = {n: case.error(n).loss for n in range(1, K)}
    whole = [weight.clone() for weight in case.nested.network.parameters()]
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    assert case.nested.sizes == [1, 2, 3, 4, 5]
    for n, loss in before.items():
        # One number explains nothing of a plane that is drawn evenly.
        assert case.error(n).loss < (0.97 if n > 1 else 1 + 1e-6) * loss
    for weight, expected in zip(case.nested.network.parameters(), whole, strict=True):
        assert torch.equal(weight, expected)


def test_a_size_between_the_coarse_ones_beats_what_lies_between_them():
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    own = case.error(5).loss
    forget(case.nested, 5)
    assert own < 0.99 * case.error(5).loss


@pytest.mark.parametrize("n", [4, 5])
def test_a_size_whose_layer_is_worse_has_none_unless_it_is_a_coarse_one(monkeypatch, n):
    solved = ordered.solve

    def spoil(prefix, rows, criterion, n_steps):
        errors = solved(prefix, rows, criterion, n_steps)
        if prefix.decoder.linear.in_features == n:
            nn.init.constant_(prefix.decoder.correction[-1].bias, 10.0)
            errors = measure_errors(prefix, rows.choosing, criterion)
        return errors

    monkeypatch.setattr(ordered, "solve", spoil)
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    assert case.nested.sizes == [size for size in SIZES if size != 5 or n != 5]


def test_a_start_and_wide_rows_have_fewer_layers(monkeypatch):
    X = rows_of(True).all.X
    fit = AutoencoderTransformer(K, hidden_layer_sizes=(64,), max_iter=1, random_state=0).fit
    assert fit(X)._nested.sizes == SIZES == [1, 2, 3, 4, 5]
    monkeypatch.setattr(sizes_module, "WIDE", 7)
    assert fit(X)._nested.sizes == coarse_sizes(K) == [1, 2, 3, 4]
    monkeypatch.undo()
    start = clone(fit.__self__).set_params(max_iter=0)
    assert start.fit(X)._nested.sizes == coarse_sizes(K)
    assert start.partial_fit(X).partial_fit(X)._nested.sizes == coarse_sizes(K)


def test_a_second_round_is_for_small_codes_that_were_refined_anew(monkeypatch):
    first, second = Case(), Case()
    monkeypatch.setattr(ordered, "FEW_NUMBERS", 0)
    solve_prefixes(first.nested, first.rows, LOSS, 3, SIZES)
    monkeypatch.undo()
    solve_prefixes(second.nested, second.rows, LOSS, 3, SIZES)
    assert second.nested.sizes == first.nested.sizes == [1, 2, 3, 4, 5]
    layers = zip(first.nested.layers, second.nested.layers, strict=True)
    same = [torch.equal(a.weight, b.weight) for a, b in layers]
    assert all(same[3:])
    assert not all(same[:3])


def test_what_cannot_be_solved_is_left_alone():
    case = Case()
    case.nested.network.decoder = case.nested.network.decoder.linear
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    assert case.nested.sizes == []


@pytest.mark.parametrize("rate", [1e-12, 1e-3])
def test_prefixes_of_a_training_without_progress_are_no_better_than_the_whole(monkeypatch, rate):
    """Where the whole code is PCA, prefixes are something else only if there was a training."""
    t = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
    X = np.hstack([np.cos(3 * t), np.sin(3 * t), t**3, t**2])
    monkeypatch.setattr(steps, "beats_pca", lambda *args: False)
    monkeypatch.setattr(ordered, "beats_pca", lambda *args: True)
    model = AutoencoderTransformer(
        4, hidden_layer_sizes=(16,), max_iter=5, learning_rate_init=rate, random_state=0,
        device="cpu",
    ).fit(X)  # fmt: skip
    assert model.is_pca_
    assert (model.best_iter_ == 0) == (rate == 1e-12)
    assert [model.truncated(n).is_pca_ for n in (1, 2, 3)] == 3 * [model.best_iter_ == 0]
    if model.best_iter_ == 0:
        assert model.best_loss_ == model.pca_loss_


def test_prefixes_that_were_trained_before_stay(monkeypatch):
    """An epoch that was no better than the weights that were gone on from is no reason."""
    t = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
    X = np.hstack([np.cos(3 * t), np.sin(3 * t), t**3, t**2])
    model = AutoencoderTransformer(
        4, hidden_layer_sizes=(16,), max_iter=20, random_state=0, device="cpu", warm_start=True
    ).fit(X)
    assert not model.is_pca_
    monkeypatch.setattr(steps, "beats_pca", lambda *args: False)
    monkeypatch.setattr(ordered, "beats_pca", lambda *args: True)
    model.set_params(learning_rate_init=1e-12, max_iter=2).fit(X)
    assert model.best_iter_ == 0
    assert model.is_pca_
    assert not any(model.truncated(n).is_pca_ for n in (1, 2, 3))
