"""What codes of each size are worth, and which of them are PCA."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae import _fitting as fitting
from sklearn_ae._fitting import ordered, steps
from sklearn_ae._fitting import sizes as sizes_module
from sklearn_ae._fitting.errors import explained, mean_square, measure_errors
from sklearn_ae._fitting.network import build_network, build_pca
from sklearn_ae._fitting.ordered import (
    MeasuredPCA,
    choose_prefixes,
    losses_of_pca,
    sizes_of_pca,
    solve_prefixes,
    watched_rows,
)
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.sizes import coarse_sizes, left_by_pca, solved_sizes
from sklearn_ae._fitting.start import find_start, principal_components
from sklearn_ae._parameters import read_parameters
from sklearn_ae._rows import sum_up
from sklearn_ae.modules import Nested

CPU = torch.device("cpu")
K = 6
SIZES = solved_sizes(K, 8)
LOSS = nn.MSELoss()


def rows_of(curved, *, hold_out=True):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(600, 2))
    X = (
        np.hstack([np.cos(3 * t), np.sin(3 * t), t**3, t**2])
        if curved
        else rng.normal(size=(600, 8))
    )
    X = X + 0.05 * rng.normal(size=X.shape)
    sums = sum_up(X, torch.float64, CPU)
    chosen = draw_rows(len(X), 0.2, 0)
    return split_rows(X, sums, sums.scaling(), chosen, CPU, hold_out=hold_out)


class Case:
    """A fit before its training: hidden layers as drawn, in units of what PCA leaves."""

    def __init__(self, *, curved=True, hold_out=True):
        params = AutoencoderTransformer(K, hidden_layer_sizes=(64,)).get_params(deep=False)
        spec, _ = read_parameters(params, "A")
        self.rows = rows_of(curved, hold_out=hold_out)
        self.pca = principal_components(self.rows.train, K, 0)
        start = find_start(self.rows, self.pca)
        parts = make_parts(spec, 8, K, torch.Generator("cpu").manual_seed(0))
        network = build_network(spec, parts, self.rows.scaling, start).eval()
        self.nested = Nested(network, start.pca.residuals()[1:] / start.residual)
        self.linear = functools.cache(
            lambda n: build_pca(spec, self.pca.first(n), self.rows.scaling)
        )
        train = self.rows.train.rows
        left = left_by_pca(self.pca, train)[1:]
        self.trained = losses_of_pca(left, MeasuredPCA(self.linear, train, LOSS))
        self.measured = self.measured_with(LOSS)
        self.sizes = sizes_of_pca(self.pca, self.measured, self.rows)

    def measured_with(self, loss):
        return MeasuredPCA(self.linear, watched_rows(self.rows), loss)

    def error(self, n):
        some = self.rows.held_out or self.rows.train.rows
        return measure_errors(self.nested.prefix(n), some, LOSS)

    def choose(self):
        choose_prefixes(
            self.sizes, self.nested, self.measured, self.rows, LOSS, self.trained, n_steps=0
        )
        return self.sizes


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("max_iter", [0, 10])
def test_what_is_explained_of_probabilities_is_in_units_of_pca_as_it_is(
    monkeypatch, init, max_iter
):
    """Whose rows are not clipped, as they are where it is kept."""
    X = (rows_of(True).all.X > 0).astype(float)
    chosen = draw_rows(len(X), 0.2, 0)
    monkeypatch.setattr(fitting, "draw_rows", lambda *of: chosen)
    model = AutoencoderTransformer(
        K, loss="binary_log_loss", hidden_layer_sizes=(64,), init=init, max_iter=max_iter,
        random_state=0, transform_max_iter=0, device="cpu",
    ).fit(X)  # fmt: skip
    train, held_out = np.delete(X, chosen, axis=0), X[chosen]

    def explained_by(rebuilt):
        return 1 - np.square(held_out - rebuilt).mean() / np.square(held_out - X.mean(0)).mean()

    found = set()
    for n in (1, 2, 3, 4, 6) if init == "pca" else [6]:
        part, pca = model.truncated(n) if n < K else model, PCA(n).fit(train)
        by_pca = pca.inverse_transform(pca.transform(held_out))
        by_model = by_pca if part.is_pca_ else part.inverse_transform(part.transform(held_out))
        assert part.pca_score_ == pytest.approx(explained_by(by_pca), abs=1e-5)
        assert part.score_ == pytest.approx(explained_by(by_model), abs=1e-5)
        found.add(part.is_pca_)
    assert (False in found) == (max_iter > 0 or init == "random")


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
def test_what_pca_loses_between_sizes_that_are_measured(rounding):
    """Also where it leaves nothing: what rounding leaves says nothing of the loss."""
    left = np.append(1 / np.arange(1, 14) - 1 / 14, rounding)
    losses = 0.01 + left
    found = losses_of_pca(left, lambda n: SimpleNamespace(loss=losses[n - 1]))
    np.testing.assert_allclose(found, losses)


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


def test_each_size_of_pca_is_measured_once(monkeypatch):
    """For what PCA is worth, and then for what it is held against."""
    case, measured = Case(), []
    case.sizes.is_pca[K - 1] = False
    of = ordered.measure_errors

    def measure(network, rows, criterion):
        measured.append(network)
        return of(network, rows, criterion)

    monkeypatch.setattr(ordered, "measure_errors", measure)
    case.choose()
    # Prefixes alone: PCA of these sizes is known. One of them is PCA, and with it the middle.
    assert case.sizes.is_pca[3:5].all()
    assert len(measured) == len(coarse_sizes(K))


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


def forget(nested, n):
    """Drop the layer of a size."""
    at = nested.sizes.index(n)
    del nested.sizes[at], nested.layers[at]


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


def test_sizes_that_beat_pca_are_kept():
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    case.sizes.is_pca[K - 1] = False
    sizes = case.choose()
    for n in range(2, K):
        assert not sizes.is_pca[n - 1]
        errors = case.error(n)
        assert sizes.loss[n - 1] == pytest.approx(errors.loss, rel=1e-4)
        total = mean_square(case.rows.held_out)
        assert sizes.score[n - 1] == pytest.approx(explained(errors.square, total), abs=1e-4)


@pytest.mark.parametrize("n_few", [40, 1000])
def test_middles_without_a_layer_are_measured_on_a_share_of_the_rows(monkeypatch, n_few):
    monkeypatch.setattr(ordered, "FEW_ROWS", n_few)
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    forget(case.nested, 5)
    case.sizes.is_pca[K - 1] = False
    few = case.rows.held_out.sample(n_few)
    ours, pca = (measure_errors(part(5), few, LOSS) for part in (case.nested.prefix, case.linear))
    # In units of PCA's.
    sizes = case.choose()
    assert sizes.loss[4] == pytest.approx(ours.loss / pca.loss * sizes.pca_loss[4], rel=1e-6)
    left = ours.square / pca.square * (1 - sizes.pca_score[4])
    assert sizes.score[4] == pytest.approx(1 - left, rel=1e-6)


def test_losses_of_a_middle_are_exact_where_the_share_is_all_rows():
    """Whatever the loss."""
    case, loss = Case(), nn.L1Loss()
    solve_prefixes(case.nested, case.rows, loss, 0, SIZES)
    forget(case.nested, 5)
    case.sizes.is_pca[K - 1] = False
    measured = case.measured_with(loss)
    choose_prefixes(case.sizes, case.nested, measured, case.rows, loss, case.trained, n_steps=0)
    ours, pca = (
        measure_errors(part(5), case.rows.held_out, loss)
        for part in (case.nested.prefix, case.linear)
    )
    assert not case.sizes.is_pca[4]
    assert case.sizes.pca_loss[4] == pytest.approx(pca.loss, rel=1e-6)
    assert case.sizes.loss[4] == pytest.approx(ours.loss, rel=1e-6)


def test_what_is_not_measured_lies_between_its_neighbours(monkeypatch):
    """In units of PCA's, in the logarithm of the size."""
    monkeypatch.setattr(ordered, "pairwise", lambda sizes: [])
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    forget(case.nested, 5)
    case.sizes.is_pca[K - 1] = False
    sizes = case.choose()
    ratios = sizes.loss / sizes.pca_loss
    share = np.log(5 / 4) / np.log(6 / 4)
    assert ratios[4] == pytest.approx((1 - share) * ratios[3] + share * ratios[5], rel=1e-6)


def test_sizes_that_do_not_are_pca():
    """On noise: the last layers are as drawn, and make it worse."""
    case = Case(curved=False)
    last = case.nested.network.decoder.correction[-1]
    nn.init.normal_(last.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    sizes = case.choose()
    assert sizes.is_pca.all()
    np.testing.assert_array_equal(sizes.loss, sizes.pca_loss)
    np.testing.assert_array_equal(sizes.score, sizes.pca_score)


def test_losses_of_sizes_that_are_measured_are_not_interpolated():
    """Of no loss, whether PCA's is a power of what it leaves or not."""
    case, loss = Case(), nn.L1Loss()
    solve_prefixes(case.nested, case.rows, loss, 0, SIZES)
    case.sizes.is_pca[K - 1] = False
    measured = case.measured_with(loss)
    choose_prefixes(case.sizes, case.nested, measured, case.rows, loss, case.trained, n_steps=0)
    for n in case.nested.sizes:
        assert case.sizes.pca_loss[n - 1] == pytest.approx(measured(n).loss, rel=1e-6)
        if not case.sizes.is_pca[n - 1]:
            ours = measure_errors(case.nested.prefix(n), watched_rows(case.rows), loss)
            assert case.sizes.loss[n - 1] == pytest.approx(ours.loss, rel=1e-6)


@pytest.mark.parametrize("whole_is_pca", [True, False])
def test_between_two_sizes_both_must_be_better(whole_is_pca):
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    forget(case.nested, K - 1)
    case.sizes.is_pca[K - 1] = whole_is_pca
    assert case.choose().is_pca[K - 2] == whole_is_pca


def test_a_middle_must_beat_pca_itself():
    case = Case()
    solve_prefixes(case.nested, case.rows, LOSS, 0, SIZES)
    forget(case.nested, 5)
    case.sizes.is_pca[K - 1] = False
    assert not case.choose().is_pca[3:].any()
    # Of this size alone.
    case.trained[4] = 1e6
    assert case.choose().is_pca[3:].tolist() == [False, True, False]


def test_without_rows_that_are_held_out_all_are_kept():
    case = Case(curved=False, hold_out=False)
    case.sizes.is_pca[K - 1] = False
    assert not case.choose().is_pca.any()


def test_falling_back():
    sizes = Case().sizes
    sizes.is_pca[:], sizes.loss[:], sizes.score[:] = False, -1.0, -1.0
    sizes.fall_back(2)
    assert sizes.is_pca.tolist() == [False, True, False, False, False, False]
    assert (sizes.loss[1], sizes.score[1]) == (sizes.pca_loss[1], sizes.pca_score[1])
    assert sizes.loss[0] == -1


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
