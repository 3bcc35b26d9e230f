"""What codes of each size are worth, and which of them are PCA."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from prefixes import LOSS, Case, K, rows_of
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae import _fitting as fitting
from sklearn_ae._fitting import ordered
from sklearn_ae._fitting.errors import explained, mean_square, measure_errors
from sklearn_ae._fitting.ordered import MeasuredPCA, watched_rows
from sklearn_ae._fitting.rows import draw_rows
from sklearn_ae._fitting.sizes import coarse_sizes


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


def test_sizes_that_beat_pca_are_kept():
    case = Case.solved()
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
    case = Case.solved(without=5)
    few = case.rows.held_out.sample(n_few)
    ours, pca = (measure_errors(part(5), few, LOSS) for part in (case.nested.prefix, case.linear))
    # In units of PCA's.
    sizes = case.choose()
    assert sizes.loss[4] == pytest.approx(ours.loss / pca.loss * sizes.pca_loss[4], rel=1e-6)
    left = ours.square / pca.square * (1 - sizes.pca_score[4])
    assert sizes.score[4] == pytest.approx(1 - left, rel=1e-6)


def test_losses_of_a_middle_are_exact_where_the_share_is_all_rows():
    """Whatever the loss."""
    loss = nn.L1Loss()
    case = Case.solved(loss, without=5)
    case.choose()
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
    case = Case.solved(without=5)
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
    loss = nn.L1Loss()
    case = Case.solved(loss)
    case.choose()
    for n in case.nested.sizes:
        assert case.sizes.pca_loss[n - 1] == pytest.approx(case.measured(n).loss, rel=1e-6)
        if not case.sizes.is_pca[n - 1]:
            ours = measure_errors(case.nested.prefix(n), watched_rows(case.rows), loss)
            assert case.sizes.loss[n - 1] == pytest.approx(ours.loss, rel=1e-6)


@pytest.mark.parametrize("whole_is_pca", [True, False])
def test_between_two_sizes_both_must_be_better(whole_is_pca):
    case = Case.solved(without=K - 1)
    case.sizes.is_pca[K - 1] = whole_is_pca
    assert case.choose().is_pca[K - 2] == whole_is_pca


def test_a_middle_must_beat_pca_itself():
    case = Case.solved(without=5)
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


def test_few_rows_say_nothing_of_sizes_that_are_measured_on_more(monkeypatch):
    for name in ("FEW_ROWS", "LEAST_FEW"):
        monkeypatch.setattr(ordered, name, 16)
    case = Case.solved(without=5)
    sizes = case.choose()
    assert len(case.measured.of_few().rows) == 16
    assert sizes.loss[4] != pytest.approx(case.error(5).loss, rel=1e-3)
    for n in (2, 3, 4):
        assert not sizes.is_pca[n - 1]
        assert sizes.loss[n - 1] == pytest.approx(case.error(n).loss, rel=1e-6)


def test_few_rows_are_drawn_only_for_middles(monkeypatch):
    monkeypatch.setattr(MeasuredPCA, "of_few", None)
    case = Case.solved()
    assert not case.choose().is_pca[1:].any()


def test_many_times_nearly_nothing_is_no_measure_for_smaller_sizes(monkeypatch):
    """As of columns of zeros and ones, all of which but a few PCA has."""
    monkeypatch.setattr(ordered, "pairwise", lambda sizes: [])
    case = Case.solved(without=5)
    case.sizes.pca_score[K - 1], case.sizes.score[K - 1] = 1 - 1e-6, 1 - 1e-3
    sizes = case.choose()
    assert not sizes.is_pca[3:].any()
    assert sizes.score[3] == pytest.approx(
        explained(case.error(4).square, mean_square(case.rows.held_out)), abs=1e-4
    )
    assert sizes.pca_score[4] < sizes.score[4] < 1


def test_squares_that_are_measured_stand(monkeypatch):
    """Where another loss is lower they may be larger than PCA's, and so may those between."""
    monkeypatch.setattr(ordered, "pairwise", lambda sizes: [])
    case = Case.solved(without=5)
    case.sizes.score[K - 1] = 1 - 2 * (1 - case.sizes.pca_score[K - 1])
    square = 2 * case.measured(4).square

    def measure(network, rows, criterion):
        errors = measure_errors(network, rows, criterion)
        is_ours = errors.codes.shape[1] == 4 and network is not case.linear(4)
        return replace(errors, square=square) if is_ours else errors

    monkeypatch.setattr(ordered, "measure_errors", measure)
    sizes = case.choose()
    assert not sizes.is_pca[3:].any()
    np.testing.assert_allclose(1 - sizes.score[3:], 2 * (1 - sizes.pca_score[3:]), rtol=1e-4)
    assert sizes.score[2] > sizes.pca_score[2]


@pytest.mark.parametrize("n_rows", [100, 4_000])
def test_the_whole_and_pca_are_measured_on_the_same_rows(n_rows):
    """Without any that are held out too."""
    X = np.random.default_rng(0).standard_t(3, size=(n_rows, 8))
    fit = AutoencoderTransformer(
        K, max_iter=0, early_stopping=False, hidden_layer_sizes=(16,), random_state=0, device="cpu"
    ).fit(X)
    assert fit._sizes["pca_loss"][-1] == pytest.approx(1, rel=1e-4)
    pca = PCA(K).fit(X)
    assert fit._sizes["pca_score"][-1] == pytest.approx(
        pca.explained_variance_ratio_.sum(), rel=1e-4
    )
