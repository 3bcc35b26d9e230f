"""Rows that repeat, that drift, and that come again: what is held out, and the guarantee."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting import partial as partial_module
from sklearn_ae._fitting import pieces as pieces_module
from sklearn_ae._fitting.pieces import _with_copies
from sklearn_ae._rows import Seen
from sklearn_ae._rows import seen as seen_module
from sklearn_ae._rows.seen import row_hashes

CURVE = np.random.default_rng(9).normal(size=(4, 8))


def curve(n, rng):
    """Rows along a curve."""
    t = rng.uniform(-1, 1, (n, 1))
    return np.c_[t, t**2, np.sin(3 * t), t**3] @ CURVE + 0.03 * rng.normal(size=(n, 8))


def to_pca(model, seen, rows):
    """Return the squared error on rows, to that of PCA of all rows seen."""
    pca = PCA(model.n_components_).fit(seen)
    ours, theirs = (
        np.square(rows - m.inverse_transform(m.transform(rows))).sum() for m in (model, pca)
    )
    return ours / theirs


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_that_repeat(seed):
    """Most rows are one and the same, held out or not: PCA of all has to be beaten with these."""
    rng = np.random.default_rng(seed)

    def draw(n):
        rows = curve(n, rng)
        rows[rng.random(n) < 0.8] = 3 * np.eye(8)[seed]
        return rows

    rows = draw(3000)
    model = AutoencoderTransformer(1, random_state=seed)
    for piece in np.array_split(rows, 6):
        model.partial_fit(piece)
    assert to_pca(model, rows, draw(3000)) < 1.01


@pytest.mark.parametrize("far", [10, 100])
def test_rows_that_drift(far):
    """A few rows from elsewhere, too few to judge by their number."""
    rng = np.random.default_rng(0)

    def away(n):
        return far * np.eye(8)[2] + rng.normal(size=(n, 8)) * far / 3

    rows, more = curve(2000, rng), away(150)
    model = AutoencoderTransformer(1, random_state=0).partial_fit(rows)
    assert not model.is_pca_
    model.partial_fit(more)
    assert to_pca(model, np.r_[rows, more], np.r_[curve(2000, rng), away(150)]) < 1.01


@pytest.mark.parametrize("surely", [True, False])
def test_a_network_that_is_not_surely_better_is_judged(surely, monkeypatch):
    rng = np.random.default_rng(0)
    model = AutoencoderTransformer(1, random_state=0).partial_fit(curve(2000, rng))
    judged = []

    def is_due(*args):
        judged.append(pieces_module.is_due(*args))
        return judged[-1]

    monkeypatch.setattr(partial_module, "is_due", is_due)
    monkeypatch.setattr(pieces_module, "is_surely_lower", lambda ours, theirs: surely)
    model.partial_fit(curve(20, rng))
    assert judged == [not surely]


def seen_of(*pieces):
    seen = Seen.nothing(0, 0.1)
    for piece in pieces:
        seen, _ = seen.with_rows(piece, lambda n: n, torch.device("cpu"))
    return seen


def test_copies():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 3))
    train, held = seen_of(rows, rows, rows[:100]).copies()
    # In other passes, a row is still one.
    assert set(train) == set(held) == {0, 1}
    np.testing.assert_array_equal(train + held, 1)
    # Of one that comes a hundred times in a piece, a tenth of the copies are held out.
    train, held = seen_of(np.r_[rows, np.tile(rows[:1], (99, 1))]).copies()
    assert sorted(train + held)[-2:] == [1, 100]
    assert held[(train + held).argmax()] == pytest.approx(10, abs=1)


@pytest.mark.parametrize(("shift", "scale"), [(1e9, 1), (0, 1e40), (0, 1e-48)])
def test_what_differs_little_is_different(shift, scale):
    rows = np.random.default_rng(0).normal(size=(300, 4)) * scale + shift
    assert len(np.unique(row_hashes(rows, 0))) == 300


def test_the_same_numbers_in_float32():
    rows = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    seen = seen_of(rows, rows.astype(np.float64))
    assert len(seen.held) + len(seen.kept) == 300


def test_rows_drawn_with_replacement():
    """Here and there one repeats: of those that are held out, none trains."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 5))
    seen = seen_of(*(rows[rng.integers(0, 2000, 400)] for _ in range(12)))
    assert len(seen.held) > 100
    assert not seen.copies()[0][len(seen.kept) :].any()


def test_a_part_that_comes_more_often():
    rows = np.random.default_rng(0).normal(size=(1000, 5))
    seen = seen_of(np.r_[rows, rows[:1]], *[rows[:100]] * 20)
    train, held = seen.copies()
    assert (train + held).max() == 2


def test_sums_of_what_trains():
    """As many rows as copies, of repeated ones too."""
    rows = np.random.default_rng(0).normal(size=(1000, 5))
    rows[:500] = rows[0] + 3
    seen = seen_of(rows)
    assert seen.train_sums().count == seen.copies()[0].sum()


def test_many_columns_of_a_row_that_is_held_out():
    rng = np.random.default_rng(0)
    rows = np.r_[rng.normal(size=(60, 1100)), np.full((60, 1100), 3.0)]
    for seed in range(30):
        seen = Seen.nothing(seed, 0.2)
        for piece in np.split(rows[rng.permutation(120)], 3):
            seen, _ = seen.with_rows(piece, lambda n: 5, torch.device("cpu"))
        if seen.held.repeats.any():
            break
    assert seen.held.repeats.any()
    assert seen.train_merged.mean.mean() > 1


def test_copies_are_not_listed():
    """However often a row repeats, no more are looked at than are kept."""
    seen = seen_of(np.random.default_rng(0).normal(size=(300, 4)))
    counts = seen.kept.counts.copy()
    counts[0] = 10**12
    kept = replace(seen.kept, counts=counts, repeats=counts - 1)
    order, n_train = _with_copies(replace(seen, kept=kept))
    assert n_train <= 50_000
    assert len(order) <= 70_000


def test_evicted_rows_count_once(monkeypatch):
    monkeypatch.setattr(seen_module, "MOST_HELD", 20)
    seen = seen_of(np.random.default_rng(0).normal(size=(1000, 4)))
    assert seen.kept.counts.sum() + seen.held.counts.sum() == 1000


def test_a_share_of_wide_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 1100))
    model = AutoencoderTransformer(0.9, max_iter=0, random_state=0)
    for piece in np.split(rows, [1, 20]):
        model.partial_fit(piece)
    assert 3 <= model.n_components_ <= 5


def test_warm_start_after_pieces():
    """Rows that were trained on are not held out: a fit begins anew."""
    rows = curve(300, np.random.default_rng(0))
    model = AutoencoderTransformer(1, max_iter=2, warm_start=True, random_state=0)
    found = model.partial_fit(rows).fit(rows)
    expected = AutoencoderTransformer(1, max_iter=2, random_state=0).fit(rows)
    np.testing.assert_array_equal(found.transform(rows), expected.transform(rows))
