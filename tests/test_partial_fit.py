"""Rows that come in pieces: PCA of all of them after each call, and no worse than it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from curves import gaussian, make, parabola
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.linear_model import SGDClassifier

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting import lessons, partial, steps
from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._rows import Scaling, Sums, seen

CURVE = parabola(600)
NEW = parabola(2_000, seed=1)


def in_pieces(model, X, n_pieces=10, n_passes=1):
    for _ in range(n_passes):
        for piece in np.array_split(X, n_pieces):
            model.partial_fit(piece)
    return model


def error(model, X):
    return float(np.sum((X - model.inverse_transform(model.transform(X))) ** 2))


def linear(n_components=None, **params):
    """Return what is PCA itself."""
    return make(n_components=n_components, hidden_layer_sizes=(), max_iter=0, **params)


# -- PCA of all rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[40, 1, 1, 20, 38], [1] * 12 + [88], [100]])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, np.float32])
def test_pca_of_all_rows_after_each_call(sizes, kind):
    X = gaussian(100, 6) * [1, 2, 3, 4, 5, 1e-2] + [5, 4, 3, 0, 0, 0]
    model, count = linear(whiten=True), 0
    tolerance = 1e-3 if kind is np.float32 else 1e-7
    for size in sizes:
        model.partial_fit(kind(X[count : count + size]))
        count += size
        assert model.n_samples_seen_ == model.n_samples_ == count
        np.testing.assert_allclose(model.mean_, X[:count].mean(axis=0), rtol=1e-4, atol=1e-6)
        if count < 2:
            continue
        n = min(count - 1, 6)
        pca = PCA(n).fit(X[:count])
        assert model.n_components_ == min(count, 6)
        for name in ("explained_variance_", "singular_values_", "explained_variance_ratio_"):
            np.testing.assert_allclose(getattr(model, name)[:n], getattr(pca, name), rtol=tolerance)
        rebuilt = pca.inverse_transform(pca.transform(X))
        np.testing.assert_allclose(
            model.inverse_transform(model.transform(X)), rebuilt, atol=20 * tolerance
        )
        np.testing.assert_allclose(model.score(X[:count]), 1, atol=tolerance)
        deviations = model.transform(X[:count]).std(axis=0, ddof=1)
        np.testing.assert_allclose(deviations[:n], 1, rtol=20 * tolerance)


def test_pca_is_of_all_rows_where_the_network_is_not_judged(monkeypatch):
    X = gaussian(400, 5)
    model = in_pieces(make(n_components=2, whiten=True), X[:300], 3)
    assert model.is_pca_
    monkeypatch.setattr(partial, "_judged", None)
    for stop in (301, 310, 311):
        n_seen = model.n_samples_seen_
        model.partial_fit(X[n_seen:stop])
        pca = PCA(2).fit(X[:stop])
        assert model.n_samples_seen_ == stop
        np.testing.assert_allclose(model.mean_, pca.mean_)
        np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_)
        np.testing.assert_allclose(model.score(X[:stop]), pca.explained_variance_ratio_.sum())
        np.testing.assert_allclose(np.std(model.transform(X[:stop]), axis=0, ddof=1), 1)


def test_wide_rows_as_incremental_pca():
    X = np.random.default_rng(0).normal(size=(90, 3)) @ np.random.default_rng(1).normal(
        size=(3, 1_100)
    )
    X += 0.1 * np.random.default_rng(2).normal(size=X.shape)
    ours, theirs = linear(5), IncrementalPCA(5)
    for piece in np.split(X, [20, 25, 60]):
        ours.partial_fit(piece)
        theirs.partial_fit(piece)
        np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_)
        dots = np.sum(ours.components_ * theirs.components_, axis=1)
        np.testing.assert_allclose(np.abs(dots), 1)
        np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)


@pytest.mark.parametrize(("n_columns", "sizes"), [(7, [2, 5, 7]), (1_100, [2, 5, 60])])
def test_all_components(n_columns, sizes):
    """As many as rows or columns; of many columns no more than 128."""
    X = gaussian(60, n_columns)
    model = linear(None)
    for start, stop, size in zip((0, 2, 5), (2, 5, 60), sizes, strict=True):
        assert model.partial_fit(X[start:stop]).transform(X).shape == (60, size)


def test_a_share_of_the_variance():
    X = gaussian(300, 6)
    model = in_pieces(linear(0.9), X)
    assert model.n_components_ == PCA(0.9).fit(X).n_components_


# -- What is held out -----------------------------------------------------------------------------


@pytest.mark.parametrize("capped", [False, True])
def test_rows_that_are_held_out_are_never_trained_on(capped, monkeypatch):
    """Seen by what the steps are given, in units that are those of the user."""
    if capped:
        monkeypatch.setattr(seen, "MOST_HELD", 15)
        monkeypatch.setattr(seen, "LEAST_HELD", 1)
    n, ones = 4, np.ones(4)
    monkeypatch.setattr(Sums, "scaling", lambda self: Scaling(0 * ones, 1.0, ones, -ones, ones))
    trained = set()
    step = ReconstructionNet.train_step_single

    def recorded(self, batch, **params):
        trained.update(row.tobytes() for row in batch[1].numpy())
        return step(self, batch, **params)

    monkeypatch.setattr(ReconstructionNet, "train_step_single", recorded)
    X = CURVE.astype(np.float32)
    assert X.shape[1] == n
    model = make()
    for n_pieces in (10, 4, 7):
        in_pieces(model, X, n_pieces)
        held = {row.tobytes() for row in model._going["arrays"]["held.rows"]}
        assert held
        assert not held & trained
    assert len(held) == (15 if capped else len(held))
    # All others did train, or wait for the rest of a batch.
    waiting = model._going["arrays"].get("waiting.rows", X[:0])
    assert {row.tobytes() for row in X} == held | trained | {row.tobytes() for row in waiting}


def test_without_early_stopping_all_rows_train():
    model = in_pieces(make(early_stopping=False), CURVE)
    assert len(model._going["arrays"]["held.rows"]) == 0
    assert model.validation_loss_curve_ is None
    assert model.pca_score_ is None
    assert not model.is_pca_


# -- How good it is -------------------------------------------------------------------------------


@pytest.mark.parametrize("X", [gaussian(700), CURVE], ids=["gaussian", "curve"])
def test_no_worse_than_pca_after_each_call(X, make_estimator):
    new = gaussian(3_000)[700:] if X.shape[1] == 8 else NEW
    model, sizes = make(make_estimator), [1, 9, 60, 130, 100, 100, 100, 100]
    for start, stop in zip(np.cumsum([0, *sizes]), np.cumsum(sizes), strict=False):
        model.partial_fit(X[start:stop])
        # PCA where there is no better; of one row there is a mean alone.
        expected = np.sum((new - X[0]) ** 2) if stop == 1 else error(PCA(1).fit(X[:stop]), new)
        assert error(model, new) < 1.02 * expected
    assert model.is_pca_ == (X.shape[1] == 8)


@pytest.mark.parametrize("n_passes", [1, 5])
@pytest.mark.parametrize("order", ["random", "sorted"])
def test_ten_pieces_are_about_as_good_as_one_fit(order, n_passes):
    X = parabola(1_500)
    fitted = make(max_iter=n_passes).fit(X)
    X = X[np.argsort(X[:, 0])] if order == "sorted" else X
    model = in_pieces(make(), X, n_passes=n_passes)
    assert not model.is_pca_
    # Sorted, half of each batch is of one end of the curve.
    most = 1.25 if order == "sorted" else 1.05
    assert error(model, NEW) < most * error(fitted, NEW)


def test_a_network_of_few_rows_is_started_anew_and_passes_over_the_same_do_not(monkeypatch):
    started = []
    start = partial._started

    def recorded(piece):
        found = start(piece)
        if found.learner is not None:
            started.append(piece.seen.sums.count)
        return found

    monkeypatch.setattr(partial, "_started", recorded)
    model = in_pieces(make(), CURVE, 20)
    assert len(started) > 5
    assert all(later >= 1.1 * count for count, later in pairwise(started))
    started.clear()
    in_pieces(model, CURVE, 20, n_passes=3)
    assert not started


def test_pieces_of_less_than_half_a_batch_wait(monkeypatch):
    monkeypatch.setattr(partial, "GROWTH", np.inf)
    model = in_pieces(make(batch_size=32), CURVE[:300], 2)
    n_passes = model.n_iter_
    trained = []
    learned = lessons.Replay.__init__

    def recorded(self, new, others):
        learned(self, new, others)
        trained.append(sum(map(len, new)))

    monkeypatch.setattr(lessons.Replay, "__init__", recorded)
    for row in CURVE[300:400]:
        model.partial_fit(row[None])
    assert set(trained) == {16}
    assert model.n_iter_ == n_passes + len(trained)
    assert len(model.loss_curve_) == len(model.validation_loss_curve_) == model.n_iter_


def test_the_closed_form_alone():
    model = in_pieces(make(max_iter=0), CURVE)
    assert model.n_iter_ == 1
    assert model.loss_curve_ == []
    assert error(model, NEW) < 1.1 * error(make(max_iter=0).fit(CURVE), NEW)


# -- After a fit, and before ----------------------------------------------------------------------


def test_after_fit_it_goes_on():
    model = make(max_iter=5).fit(CURVE[:300])
    codes = model.transform(NEW)
    assert model.n_samples_seen_ == 300
    # The verdict of the fit stands while few new rows are held out.
    model.partial_fit(CURVE[300:320])
    assert (model.n_samples_seen_, model.n_samples_) == (320, 320)
    np.testing.assert_allclose(model.mean_, CURVE[:320].mean(axis=0))
    np.testing.assert_array_equal(model.transform(NEW), codes)
    before = error(model, NEW)
    in_pieces(model, parabola(1_200, seed=2), 6)
    assert model.n_samples_seen_ == 1_520
    assert not model.is_pca_
    assert error(model, NEW) < before


def test_after_a_fit_that_is_pca_it_is_pca_of_all_rows():
    X = gaussian(400, 5)
    model = linear(2).fit(X[:200])
    assert model.is_pca_
    in_pieces(model, X[200:], 3)
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_)
    wide = gaussian(60, 1_100)
    model = in_pieces(linear(3).fit(wide[:30]), wide[30:], 2)
    assert model.n_samples_seen_ == 60
    assert error(model, wide) < 1.2 * error(PCA(3).fit(wide), wide)


def test_fit_starts_anew():
    model = in_pieces(make(), gaussian(200, 9)).fit(CURVE)
    np.testing.assert_array_equal(model.transform(NEW), make().fit(CURVE).transform(NEW))
    assert "held.rows" not in model._going["arrays"]


def test_a_clone_has_seen_nothing():
    assert not hasattr(clone(in_pieces(make(), CURVE)), "n_samples_seen_")


# -- Elsewhere ------------------------------------------------------------------------------------


def test_out_of_core_loop():
    """As in scikit-learn's example: what learns of the codes comes after, piece by piece."""
    t = np.random.default_rng(0).normal(size=(800, 1))
    X = np.hstack([t, t**2, np.sin(t)])
    y = (t[:, 0] > 0).astype(int)
    model, classifier = make(n_components=2), SGDClassifier(random_state=0)
    for rows, labels in zip(np.array_split(X, 8), np.array_split(y, 8), strict=True):
        codes = model.partial_fit(rows).transform(rows)
        classifier.partial_fit(codes, labels, classes=[0, 1])
    assert classifier.score(model.transform(X), y) > 0.8


def test_incremental_of_dask_ml():
    wrappers = pytest.importorskip("dask_ml.wrappers")
    array = pytest.importorskip("dask.array")
    model = wrappers.Incremental(make()).fit(array.from_array(CURVE, chunks=(100, 4)))
    expected = in_pieces(make(), CURVE, 6)
    np.testing.assert_array_equal(model.estimator_.transform(NEW), expected.transform(NEW))


def test_rows_in_a_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    expected = in_pieces(make(), CURVE, 3).transform(NEW)
    model = make()
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        for i, piece in enumerate(np.array_split(CURVE, 3)):
            model.partial_fit(file.create_dataset(f"X{i}", data=piece, chunks=(50, 4)))
    # The order of a pass is another: rows are read run by run.
    assert np.abs(model.transform(NEW) - expected).mean() < 0.1 * expected.std()
    assert (model.n_samples_seen_, model.is_pca_) == (600, False)


def test_tensors(dispatch):
    model = make()
    for piece in np.array_split(CURVE, 3):
        model.partial_fit(torch.from_numpy(piece))
    codes = model.transform(torch.from_numpy(NEW))
    assert torch.is_tensor(codes)
    assert torch.is_tensor(model.mean_)
    np.testing.assert_array_equal(codes.numpy(), in_pieces(make(), CURVE, 3).transform(NEW))


def test_steps_are_those_of_a_fit():
    """Where pieces and fits judge, the same functions do."""
    assert partial.choose is steps.choose
    assert AutoencoderTransformer.partial_fit.__doc__.startswith("Go on with more rows")
