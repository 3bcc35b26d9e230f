"""What is kept of rows that come in pieces: the same, whatever their order and the pieces."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_ae._rows import Seen, row_hashes, seen, sum_up

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)).round(2) @ np.diag([1, 2, 3, 1, 1]) + 7


def add(start, pieces):
    """Add pieces one after another; return what is known after each."""
    found = [start]
    for piece in pieces:
        found.append(found[-1].with_rows(piece, lambda n: 2, CPU)[0])
    return found[1:]


def few(monkeypatch, held=12, kept=40):
    """Let fewer rows be held out, and kept."""
    for kind, most in (("HELD", held), ("KEPT", kept)):
        monkeypatch.setattr(seen, f"MOST_{kind}", most)
        monkeypatch.setattr(seen, f"LEAST_{kind}", 1)


# -- Hashes ---------------------------------------------------------------------------------------


def test_a_hash_is_of_the_numbers_whatever_holds_them():
    rows = np.array([[0.0, 1.5, -2.0], [0, 0, 0], [-0.0, 1.5, -2.0]], np.float32)
    stored = sparse.csr_matrix(rows)
    stored.data[0] = 0.0  # a zero that is stored
    same = rows.copy()
    same[0, 1] = 0.0
    expected = row_hashes(rows.astype(np.float64), 3)
    np.testing.assert_array_equal(row_hashes(rows, 3), expected)
    np.testing.assert_array_equal(row_hashes(sparse.csr_matrix(rows), 3), expected)
    np.testing.assert_array_equal(row_hashes(stored, 3), row_hashes(same, 3))
    assert expected[0] == expected[2]
    assert not (row_hashes(rows, 4) == expected).any()


def test_rows_that_differ_in_a_cell_or_its_place_have_other_hashes():
    grid = np.stack(np.meshgrid(*[np.arange(12.0)] * 3), axis=-1).reshape(-1, 3)
    assert len(np.unique(row_hashes(grid, 0))) == len(grid)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_so_many_hashes_lie_below_a_share_of_all_numbers(share):
    """As of draws at random, of rows that are far from it: small whole numbers, zeros and ones."""
    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 3), axis=-1).reshape(-1, 3)
    ones = (np.arange(2**13)[:, None] >> np.arange(13) & 1).astype(float)
    for rows in (grid, ones):
        found = np.mean(row_hashes(rows, 0) < int(share * 2**64))
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(rows))


# -- Samples --------------------------------------------------------------------------------------


def orders():
    """Yield the rows in several orders and pieces, some of them twice."""
    rng = np.random.default_rng(1)
    yield [X]
    yield np.array_split(X[np.argsort(X[:, 0])], 7)
    yield [X[i : i + 1] for i in rng.permutation(len(X))]
    yield [*np.array_split(X[::-1], 3), X[:100], X]


@pytest.mark.parametrize("capped", [False, True])
def test_neither_order_nor_pieces_say_which_rows_are_kept(capped, monkeypatch):
    if capped:
        few(monkeypatch)
    found = [add(Seen.nothing(5, 0.2), pieces)[-1] for pieces in orders()]
    for other in found[1:]:
        assert other.bound == found[0].bound
        for name in ("held", "kept"):
            ours, theirs = getattr(other, name), getattr(found[0], name)
            np.testing.assert_array_equal(ours.hashes, theirs.hashes)
            np.testing.assert_array_equal(ours.rows, theirs.rows)
    n_different = len(np.unique(X, axis=0))
    if capped:
        assert (len(found[0].held), len(found[0].kept)) == (12, 40)
    else:
        assert len(found[0].held) + len(found[0].kept) == n_different


def test_what_is_held_out_always_was_and_its_like_never_trains(monkeypatch):
    few(monkeypatch)
    state, trained = Seen.nothing(5, 0.2), set()
    for piece in [*np.array_split(X, 30), *np.array_split(X, 4)]:
        state, index = state.with_rows(piece, lambda n: 2, CPU)
        trained |= {row.tobytes() for row in piece[index]}
        held = {row.tobytes() for row in state.held.rows}
        assert not held & trained
        assert not held & {row.tobytes() for row in state.kept.rows}
    # What is neither had been held out, and makes room.
    assert len(held) == 12
    rest = {row.tobytes() for row in X} - held - trained
    assert rest <= {row.tobytes() for row in state.kept.rows} | trained


def test_no_rows_are_held_out_without_a_share():
    state = add(Seen.nothing(0, None), np.array_split(X, 5))[-1]
    assert len(state.held) == 0
    assert state.train_sums() is state.sums


def test_sparse_rows_stay_sparse_and_are_the_same():
    rows = X * (X > 7)
    ours = add(Seen.nothing(0, 0.2), np.array_split(rows, 5))[-1]
    pieces = [sparse.csr_matrix(piece) for piece in np.array_split(rows, 5)]
    theirs = add(Seen.nothing(0, 0.2), pieces)[-1]
    assert sparse.issparse(theirs.held.rows)
    np.testing.assert_array_equal(theirs.held.rows.toarray(), ours.held.rows)
    mixed = add(Seen.nothing(0, 0.2), [pieces[0], *np.array_split(rows, 5)[1:]])[-1]
    np.testing.assert_array_equal(mixed.kept.rows, ours.kept.rows)


@pytest.mark.parametrize("capped", [False, True])
def test_how_many_rows_are_different(capped, monkeypatch):
    rows = np.random.default_rng(2).normal(size=(4_000, 2))
    if capped:
        few(monkeypatch, held=100, kept=400)
    after = [s.n_different for s in add(Seen.nothing(0, 0.1), np.array_split(rows, 4))]
    again = add(Seen.nothing(0, 0.1), [rows, rows, rows[::-1]])
    expected = 1_000 * np.arange(1, 5)
    # A sample of 400 knows it to a twentieth.
    np.testing.assert_allclose(after, expected, rtol=0.2 if capped else 0)
    assert len({s.n_different for s in again}) == 1


# -- Sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_sums_are_those_of_all_rows(scale, far):
    """Also where the first row alone says nothing of the unit, and where later rows lie far out."""
    rows = scale * X
    rows[200:] += far * scale
    for pieces in ([rows[:1], rows[1:2], rows[2:]], np.array_split(rows, 9)):
        found = add(Seen.nothing(0, 0.1), pieces)[-1].sums
        expected = sum_up(rows, torch.float64, CPU)
        assert found.count == expected.count == 300
        np.testing.assert_array_equal(found.low, rows.min(axis=0))
        np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
        unit = np.abs(rows).max()
        covariance = np.cov(rows.T / unit, bias=True) * 300
        np.testing.assert_allclose(
            found.products(unit), covariance, atol=1e-12 * np.abs(covariance).max()
        )


def test_sums_of_training_rows_leave_out_all_that_is_held_out(monkeypatch):
    """As often as it came, and not what makes room later."""
    few(monkeypatch)
    pieces = [*np.array_split(X, 8), X[:50], X[30:]]
    state = add(Seen.nothing(5, 0.2), pieces)[-1]
    rows = np.concatenate(pieces)
    held = {row.tobytes() for row in state.held.rows}
    train = np.array([row for row in rows if row.tobytes() not in held])
    found = state.train_sums()
    assert found.count == len(train)
    np.testing.assert_allclose(found.mean, train.mean(axis=0), rtol=1e-12)
    expected = np.cov(train.T, bias=True) * len(train)
    np.testing.assert_allclose(found.products(1.0), expected, atol=1e-9)


def test_sums_come_back_from_their_arrays():
    sums = sum_up(X, torch.float64, CPU)
    found = type(sums).of_arrays(sums.arrays(), CPU)
    np.testing.assert_array_equal(found.products(1.0), sums.products(1.0))
    np.testing.assert_array_equal(found.mean, sums.mean)


def test_rows_that_overflow_are_refused_and_change_nothing():
    far = np.array([[1.7e308, 0, 0, 0, 0]])
    state = add(Seen.nothing(0, 0.1), [far])[-1]
    with pytest.raises(ValueError, match="too large to compute a variance"):
        state.with_rows(-far, lambda n: 2, CPU)
    assert state.sums.count == len(state.held) + len(state.kept) == 1
    np.testing.assert_array_equal(state.sums.mean, far[0])
