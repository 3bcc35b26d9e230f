"""What is kept of rows that come in pieces: sums of all, and samples that their content draws.

Whether a row is held out, and whether it is kept, is decided by a hash of its cells: the order of
the rows and how they are cut into pieces have no say, and a row that comes again has the same lot.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_ae._rows.blocks import dense, row_blocks
from sklearn_ae._rows.merged import MergedPCA
from sklearn_ae._rows.sums import MANY_COLUMNS, Sums, sum_up

# Hashes are numbers below this.
N_HASHES = 2**64
# Most rows that are held out, and most that are kept of those that train: of wide rows fewer.
MOST_HELD, LEAST_HELD, HELD_CELLS = 20_000, 1024, 2**23
MOST_KEPT, LEAST_KEPT, KEPT_CELLS = 50_000, 2048, 2**24
# Odd numbers that spread the bits of a number over all of them (Stafford's and Steele's mixes of
# MurmurHash3's).
MIX = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@functools.lru_cache(maxsize=8)
def _multipliers(seed: int, n_columns: int) -> np.ndarray:
    """Return an odd number for each column."""
    draw = np.random.default_rng(seed).integers(0, N_HASHES, n_columns, np.uint64, endpoint=False)
    return draw | np.uint64(1)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Spread the bits of numbers; 0 stays 0."""
    bits = (bits ^ (bits >> np.uint64(32))) * MIX[0]
    bits = (bits ^ (bits >> np.uint64(29))) * MIX[1]
    return bits ^ (bits >> np.uint64(31))


def row_hashes(X: Any, seed: int) -> np.ndarray:
    """Return a number for each row that only its cells decide, whatever the type of the matrix.

    Parameters
    ----------
    X : ndarray, CSR matrix or Source of shape (n_rows, n_columns)
        float32 or float64; the same numbers have the same hash in both, but a row that was rounded
        to float32 is another one.
    seed : int
        Another one gives other hashes.

    Returns
    -------
    hashes : ndarray of uint64 of shape (n_rows,)
        As good as drawn at random from all numbers below 2**64.
    """
    multipliers = _multipliers(seed, X.shape[1])
    found = np.empty(X.shape[0], np.uint64)
    for start, stop in row_blocks(*X.shape):
        block = X[start:stop]
        cells = block.data if sparse.issparse(block) else dense(block)
        # One zero of the two; a cell of zero adds nothing, so that it need not be stored.
        bits = _mixed((cells.astype(np.float64) + 0.0).view(np.uint64))
        if sparse.issparse(block):
            sums = np.zeros(stop - start, np.uint64)
            lines = np.repeat(np.arange(stop - start), np.diff(block.indptr))
            np.add.at(sums, lines, bits * multipliers[block.indices])
        else:
            sums = (bits * multipliers).sum(axis=1, dtype=np.uint64)
        found[start:stop] = _mixed(sums + np.uint64(seed % N_HASHES))
    return found


@dataclass(frozen=True)
class Sample:
    """Different rows, in the order of their hashes.

    Attributes
    ----------
    hashes : ndarray of uint64 of shape (n_rows,)
        Ascending.
    counts : ndarray of int64 of shape (n_rows,)
        How often each row came since it is here.
    repeats : ndarray of int64 of shape (n_rows,)
        How often of these in a piece in which it had come before: not as a row of another pass.
    rows : ndarray or CSR matrix of shape (n_rows, n_columns)
        In the units of the user.
    """

    hashes: np.ndarray
    counts: np.ndarray
    repeats: np.ndarray
    rows: Any

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.hashes)

    def part(self, start: int, stop: int) -> "Sample":
        """Return the rows from `start` to `stop`."""
        parts = self.hashes, self.counts, self.repeats, self.rows
        return Sample(*(part[start:stop] for part in parts))

    def joined(self, other: "Sample") -> "Sample":
        """Return the rows of both, those that are in both once."""
        if not len(other):
            return self
        hashes = np.concatenate([self.hashes, other.hashes])
        hashes, first, place = np.unique(hashes, return_index=True, return_inverse=True)
        counts, repeats = np.zeros((2, len(hashes)), np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        np.add.at(repeats, place, np.concatenate([self.repeats, other.repeats]))
        if len(hashes) == len(self):
            return replace(self, counts=counts, repeats=repeats)
        return Sample(hashes, counts, repeats, stacked(self.rows, other.rows)[first])

    def with_rows(self, X: Any, hashes: np.ndarray, index: np.ndarray) -> "Sample":
        """Return the sample with rows of `X`, those of `index`, that have these hashes."""
        if not len(index):
            return self
        distinct, first, counts = np.unique(hashes[index], return_index=True, return_counts=True)
        order = np.sort(index[first])
        rows = X[order][np.searchsorted(order, index[first])]
        counts = counts.astype(np.int64)
        return self.joined(Sample(distinct, counts, counts - 1, rows))


def stacked(first: Any, second: Any) -> Any:
    """Return the rows of one matrix above those of another; sparse only where both are."""
    if sparse.issparse(first) and sparse.issparse(second):
        return sparse.vstack([first, second], format="csr")
    return np.concatenate([dense(first), dense(second)])


def _no_rows(X: Any) -> Any:
    """Return a matrix like `X` of no rows, in memory."""
    if sparse.issparse(X):
        return sparse.csr_matrix((0, X.shape[1]), dtype=X.dtype)
    return np.empty((0, X.shape[1]), X.dtype)


@dataclass(frozen=True)
class Seen:
    """What is known of all rows that came. Nothing changes it: adding rows makes another one.

    Attributes
    ----------
    seed : int
        Of the hashes.
    bound : int
        Rows with a smaller hash are held out. It only falls: what is held out now always was.
    sums : Sums or None
        Of all rows; None of none.
    held, kept : Sample or None
        The rows that are held out, and of those that train the ones with the smallest hashes.
    merged, train_merged : MergedPCA or None
        PCA of all rows and of those that train, of many columns.
    share : float
        Of the rows that were to be held out, while they are few; 0 holds none out.
    n_before : int
        Rows of which there were sums alone.
    """

    seed: int
    bound: int
    share: float
    sums: Sums | None = None
    held: Sample | None = None
    kept: Sample | None = None
    merged: MergedPCA | None = None
    train_merged: MergedPCA | None = None
    n_before: int = 0

    @classmethod
    def nothing(cls, seed: int, fraction: float | None) -> "Seen":
        """Return what is known of no rows; a share of them will be held out."""
        share = float(fraction or 0.0)
        return cls(seed, int(share * N_HASHES), share)

    @property
    def n_different(self) -> float:
        """About how many of the rows are not the same as another; those of before all count."""
        held: Any = self.held
        kept: Any = self.kept
        n = float(len(held) + len(kept))
        if len(kept) == most_kept(kept.rows.shape[1]):
            # All rows below the last hash are here.
            n = n * (N_HASHES / (int(kept.hashes[-1]) + 1))
        return n + self.n_before

    def copies(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how often each row is trained on, and how often it is held out.

        Once, as a rule: rows come again in other passes. One that repeats within pieces has copies,
        of which the same share is held out as of different rows: it will come again, and what it is
        like is known. A row that is held out has none where that share is less than a copy.

        Returns
        -------
        train, held : ndarray of int of shape (n_kept + n_held,)
            Of the rows that are kept, and after them those that are held out.
        """
        held: Any = self.held
        kept: Any = self.kept
        counts = np.concatenate([kept.counts, held.counts])
        repeats = np.concatenate([kept.repeats, held.repeats])
        # About as many passes were made as most rows came.
        more = np.rint(repeats / max(np.median(counts), 1)).astype(int)
        held_out = np.rint(self.share * more).astype(int)
        is_held = np.arange(len(counts)) >= len(kept)
        more[is_held & (held_out == 0)] = 0
        return more - held_out + ~is_held, held_out + is_held

    def train_sums(self) -> Sums:
        """Return the sums without the rows, and copies of rows, that are held out."""
        samples: Any = self.kept, self.held
        sums: Any = self.sums
        train, chosen = self.copies()
        share, start = chosen / (train + chosen), 0
        for sample in samples:
            times = np.rint(sample.counts * share[start : start + len(sample)]).astype(int)
            start += len(sample)
            out = np.flatnonzero(times)
            if len(out):
                sums = sums.without(sample.rows[out], times[out])
        return sums

    def with_rows(
        self, X: Any, n_components: Callable[[int], int], device: torch.device
    ) -> tuple["Seen", np.ndarray]:
        """Return what is known with more rows, and which of them train.

        Parameters
        ----------
        X : ndarray, CSR matrix or Source of shape (n_rows, n_columns)
            In the units of the user.
        n_components : callable
            ``n_rows -> int``: components that PCA of many columns keeps, asked for at first.
        device : torch.device
            Where products are computed.

        Returns
        -------
        seen : Seen
            Of all rows.
        train : ndarray of int
            Numbers of the rows of `X` that train.

        Raises
        ------
        ValueError
            If the variance overflows.
        """
        n_rows, n_columns = X.shape
        sums = sum_up(X, torch.float64, device)
        if self.sums is not None:
            sums = self.sums.joined(sums)
        if not (np.isfinite(sums.unit) and np.isfinite(sums.products(sums.unit)).all()):
            raise ValueError(
                "X has values too large to compute a variance in float64. Scale it, for example "
                "with RobustScaler."
            )
        none = np.empty(0, np.int64)
        nothing = Sample(np.empty(0, np.uint64), none, none, _no_rows(X))
        held, kept = self.held or nothing, self.kept or nothing
        hashes, bound = row_hashes(X, self.seed), self.bound
        held = held.with_rows(X, hashes, np.flatnonzero(hashes < bound))
        most = most_held(n_columns)
        evicted = held.part(most, len(held))
        if len(evicted):
            held, bound = held.part(0, most), int(evicted.hashes[0])
        train = np.flatnonzero(hashes >= bound)
        # Those that are no longer held out are added once, with all that is known of them.
        most, wanted = most_kept(n_columns), np.flatnonzero(hashes >= self.bound)
        if len(kept) == most:
            wanted = wanted[hashes[wanted] <= kept.hashes[-1]]
        kept = kept.with_rows(X, hashes, wanted).joined(evicted)
        if len(kept) > most:
            kept = kept.part(0, most)
        merged, train_merged = self.merged, self.train_merged
        if n_columns > MANY_COLUMNS:
            no_pca = MergedPCA.of_none(n_components(n_rows), n_columns)
            merged = (merged or no_pca).joined(X)
            if bound:
                repeated = np.isin(hashes, held.hashes[held.repeats > 0])
                learned = np.flatnonzero((hashes >= bound) | repeated)
                train_merged = (train_merged or no_pca).joined(X[learned])
            else:
                train_merged = merged
        seen = replace(
            self, bound=bound, sums=sums, held=held, kept=kept, merged=merged,
            train_merged=train_merged,
        )  # fmt: skip
        return seen, train


def most_held(n_columns: int) -> int:
    """Return how many rows are held out at most."""
    return min(MOST_HELD, max(HELD_CELLS // n_columns, LEAST_HELD))


def most_kept(n_columns: int) -> int:
    """Return how many training rows are kept at most."""
    return min(MOST_KEPT, max(KEPT_CELLS // n_columns, LEAST_KEPT))
