"""PCA of rows of many columns that come in pieces, of which no products are summed up."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from sklearn_ae._rows.blocks import dense

# Rows that are merged at once: more would be more exact, and take longer.
LEAST_MERGED = 1000
# Directions of less than this share of the largest are rounding, from the side of the rows.
ROUNDED = 1e-7


@dataclass(frozen=True)
class MergedPCA:
    """The first principal components of rows, to which those of other rows can be added.

    What the components leave of rows is forgotten, as in scikit-learn's `IncrementalPCA` (Ross,
    Lim, Lin and Yang, "Incremental Learning for Robust Visual Tracking", IJCV 2008).

    Attributes
    ----------
    count : int
        Number of rows.
    mean : ndarray of shape (n_columns,)
        Their mean.
    components : ndarray of shape (n_components, n_columns)
        Orthonormal rows; zero where there are no more directions.
    singular : ndarray of shape (n_components,)
        Roots of the sums of squares along each, in the units of the user.
    """

    count: int
    mean: np.ndarray
    components: np.ndarray
    singular: np.ndarray

    @classmethod
    def of_none(cls, n_components: int, n_columns: int) -> "MergedPCA":
        """Return PCA of no rows."""
        components = np.zeros((n_components, n_columns))
        return cls(0, np.zeros(n_columns), components, np.zeros(n_components))

    def joined(self, rows: Any) -> "MergedPCA":
        """Return PCA of these rows too.

        Parameters
        ----------
        rows : ndarray, CSR matrix or Source of shape (n_rows, n_columns)
            In the units of the user; any number of them.
        """
        found = self
        size = max(LEAST_MERGED, 4 * len(self.components))
        for start in range(0, rows.shape[0], size):
            found = found._with(dense(rows[start : start + size]).astype(np.float64))
        return found

    def _with(self, rows: np.ndarray) -> "MergedPCA":
        n_rows = len(rows)
        count = self.count + n_rows
        mean = rows.mean(axis=0)
        away = self.mean - mean
        parts = [self.singular[:, None] * self.components, rows - mean]
        # The two means apart are one more direction.
        parts.append(np.sqrt(self.count / count * n_rows) * away[None])
        singular, directions = _decomposed(np.concatenate(parts))
        kept = np.zeros_like(self.components)
        found = min(len(kept), len(directions))
        kept[:found] = directions[:found]
        sizes = np.zeros(len(kept))
        sizes[:found] = singular[:found]
        return MergedPCA(count, mean + self.count / count * away, kept, sizes)

    def squares(self, n: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums of squares along the first `n` components, and these as columns.

        Parameters
        ----------
        n : int
            As many or fewer than there are.
        scale : float
            The unit of the cells.
        """
        return np.square(self.singular[:n] / scale), self.components[:n].T.copy()


def _decomposed(stacked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return singular values, descending, and right singular vectors of a matrix."""
    size = np.abs(stacked).max() or 1.0
    stacked = stacked / size
    if len(stacked) >= stacked.shape[1]:
        values, vectors = linalg.eigh(stacked.T @ stacked, driver="evd")
        return size * np.sqrt(values[::-1].clip(0)), vectors[:, ::-1].T
    values, vectors = linalg.eigh(stacked @ stacked.T, driver="evd")
    directions = vectors[:, ::-1].T @ stacked
    norms = linalg.norm(directions, axis=1)
    known = norms > ROUNDED * norms.max(initial=0)
    directions = np.where(known[:, None], directions / np.where(known, norms, 1)[:, None], 0)
    return size * np.where(known, norms, 0), directions
