"""What is learned from all rows, as sums: over blocks, over calls, over processes."""

import copy
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_ae._processes import Processes
from sklearn_ae._rows.blocks import as_tensor, block_size, dense, row_blocks
from sklearn_ae._rows.scaling import Scaling
from sklearn_ae._rows.spread import Spread

# Up to so many columns their products are summed up too: PCA is their eigenvectors.
MANY_COLUMNS = 1000
# Columns that `self_products` multiplies at once with all that come after them.
PANEL = 200
# Rows, spread evenly, that say about where the rows lie and how far they reach.
N_FIRST = 256
# How far from the unit the farthest cell may be before squares in float32 leave its range.
FARTHEST = 2.0**30


def sum_of_squares(a: torch.Tensor) -> float:
    """Return the sum of the squares of all cells; of a row in its dtype, of the rows in float64."""
    return float(a.square().sum(1).sum(dtype=torch.float64))


def self_products(a: torch.Tensor) -> torch.Tensor:
    """Return ``a.T @ a``, symmetric to the last bit: one triangle is computed, and copied.

    numpy takes less time for that, but threads of its own, which fight torch's for processors.
    """
    n = a.shape[1]
    products = torch.empty((n, n), dtype=a.dtype, device=a.device)
    for start in range(0, n, PANEL):
        stop = min(start + PANEL, n)
        found = a[:, start:stop].T @ a[:, start:]
        products[start:stop, start:], products[start:, start:stop] = found, found.T
        # Where rows and columns are the same, some processors round the two triangles otherwise.
        corner = found[:, : stop - start]
        products[start:stop, start:stop] = corner.triu() + corner.triu(1).T
    return products


class Sums:
    """Count, sums, squares or products of columns, least and greatest of rows that are added up.

    Cells are taken from `centre` and in units of `unit`, so that no large squares are subtracted
    from each other. Two sums with the same of both can be added.

    Parameters
    ----------
    centre : ndarray of shape (n_columns,), float64
        About the mean of the rows.
    unit : float
        About as far as rows lie from it; a power of two, by which divisions are exact.
    dtype : torch.dtype
        What products of a block are computed in; they are summed up in float64.
    device : torch.device
        Where they are computed.

    Attributes
    ----------
    count : int
        Number of rows.
    low, high : ndarray of shape (n_columns,)
        Least and greatest value of each column.
    """

    def __init__(
        self,
        centre: np.ndarray,
        unit: float,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device,
    ):
        n = len(centre)
        self.centre, self.unit, self.dtype, self.device = centre, unit, dtype, device
        self.count = 0
        self.low, self.high = np.full(n, np.inf), np.full(n, -np.inf)
        self._total = np.zeros(n)
        # Of many columns the squares alone.
        shape = (n, n) if n <= MANY_COLUMNS else (n,)
        self._products = torch.zeros(shape, dtype=torch.float64, device=device)

    def add(self, rows: Any) -> None:
        """Add a block of rows of an array or a CSR matrix, in the units of the user."""
        self.count += rows.shape[0]
        if self.device.type == "cuda":
            block = self._add_there(as_tensor(rows, self.device))
        else:
            rows = dense(rows)
            self.low = np.minimum(self.low, rows.min(axis=0))
            self.high = np.maximum(self.high, rows.max(axis=0))
            with np.errstate(over="ignore", invalid="ignore"):
                away = (rows - self.centre) / self.unit
                self._total += away.sum(axis=0)
            block = torch.from_numpy(away).to(self.dtype)
        found = self_products(block) if self._products.ndim == 2 else block.square().sum(0)
        self._products += found

    def _add_there(self, rows: torch.Tensor) -> torch.Tensor:
        """Add all but the products of rows that are on the device; return what to multiply."""
        low, high = (edge.cpu().numpy() for edge in torch.aminmax(rows, dim=0))
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        # By a tensor: what is divided by a number is multiplied there, which may overflow.
        centre, unit = (
            torch.tensor(value, dtype=torch.float64, device=rows.device)
            for value in (self.centre, self.unit)
        )
        away = (rows - centre) / unit
        with np.errstate(over="ignore", invalid="ignore"):
            self._total += away.sum(0).cpu().numpy()
        return away.to(self.dtype)

    def add_sparse(self, rows: Any) -> None:
        """Add the rows of a CSR matrix of many columns without making them dense."""
        n_rows, n_columns = rows.shape
        self.count += n_rows
        self.low = np.minimum(self.low, rows.min(axis=0).toarray().ravel())
        self.high = np.maximum(self.high, rows.max(axis=0).toarray().ravel())
        # The stored cells and the zeros apart.
        n_zeros = n_rows - np.bincount(rows.indices, minlength=n_columns)
        with np.errstate(over="ignore", invalid="ignore"):
            away = (rows.data - self.centre[rows.indices]) / self.unit
            zero = -self.centre / self.unit
            self._total += np.bincount(rows.indices, away, n_columns) + n_zeros * zero
            squares = np.bincount(rows.indices, away**2, n_columns) + n_zeros * zero**2
        self._products += torch.from_numpy(squares).to(self.device)

    def add_all(self, rows: Any) -> None:
        """Add the rows of an array or a CSR matrix, a block at a time; there may be none."""
        if not rows.shape[0]:
            return
        if sparse.issparse(rows) and not self.has_products:
            self.add_sparse(rows)
            return
        n_rows, n_columns = rows.shape
        for start, stop in row_blocks(n_rows, n_columns, device=self.device, light=True):
            self.add(rows[start:stop])

    def __iadd__(self, other: "Sums") -> "Sums":
        """Add the sums of other rows about the same centre, in the same unit."""
        self.count += other.count
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)
        self._total += other._total
        self._products += other._products
        return self

    def add_up(self, processes: Processes) -> None:
        """Add what all processes have added, about the same centre, in the same unit."""
        parts = processes.gathered((self.count, self.low, self.high, self._total))
        counts, lows, highs, totals = zip(*parts, strict=True)
        self.count, self._total = sum(counts), np.sum(totals, axis=0)
        self.low, self.high = np.min(lows, axis=0), np.max(highs, axis=0)
        processes.add_up(self._products)

    def without(self, rows: Any, counts: np.ndarray | None = None) -> "Sums":
        """Return what is left without some of the rows, of an array or a CSR matrix.

        Least and greatest values stay those of all.

        Parameters
        ----------
        rows : ndarray or CSR matrix of shape (n_rows, n_columns)
            Which are left out.
        counts : ndarray of int of shape (n_rows,) or None, default=None
            How often each was added; None is once.
        """
        left = copy.copy(self)
        counts = np.ones(rows.shape[0], int) if counts is None else counts
        for times in np.unique(counts).tolist():
            part = Sums(self.centre, self.unit, dtype=self.dtype, device=self.device)
            part.add_all(rows[np.flatnonzero(counts == times)])
            left.count -= times * part.count
            left._total = left._total - times * part._total
            left._products = left._products - times * part._products
        return left

    def about(self, centre: np.ndarray, unit: float) -> "Sums":
        """Return the same sums about another centre, in another unit."""
        found = Sums(centre, unit, device=self.device)
        found.count, found.low, found.high = self.count, self.low, self.high
        # Rows that are all the same have no unit of their own.
        alike = self.farthest == 0
        ratio = 0.0 if alike else self.unit / unit
        shift = ((self.mean if alike else self.centre) - centre) / unit
        total = ratio * self._total
        found._total = total + self.count * shift
        if self.has_products:
            cross = np.outer(total, shift)
            moved = cross + cross.T + self.count * np.outer(shift, shift)
        else:
            moved = (2 * total + self.count * shift) * shift
        found._products = ratio**2 * self._products + torch.from_numpy(moved).to(self.device)
        return found

    def joined(self, other: "Sums") -> "Sums":
        """Return the sums of the rows of both, about the mean of them all."""
        count = self.count + other.count
        # Not the means alone: their difference may overflow.
        centre = self.mean * (self.count / count) + other.mean * (other.count / count)
        with np.errstate(over="ignore"):
            apart = float(np.abs(self.mean - other.mean).max())
        units = [part.unit for part in (self, other) if part.farthest > 0]
        unit = max([*units, _power_of_two(apart)] if apart > 0 else units, default=1.0)
        found = self.about(centre, unit)
        found += other.about(centre, unit)
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that they are, of a matrix of products one triangle."""
        products = self._products.cpu().numpy()
        if self.has_products:
            products = products[np.triu_indices(len(products))]
        return {
            "count": np.array(self.count), "unit": np.array(self.unit), "centre": self.centre,
            "low": self.low, "high": self.high, "total": self._total, "products": products,
        }  # fmt: skip

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], device: torch.device) -> "Sums":
        """Return the sums that `arrays` told of."""
        found = cls(np.asarray(arrays["centre"]), float(arrays["unit"]), device=device)
        found.count = int(arrays["count"])
        found.low, found.high, found._total = (
            np.asarray(arrays[name], np.float64) for name in ("low", "high", "total")
        )
        products = np.array(arrays["products"])
        if found.has_products:
            n = len(found.centre)
            upper = np.zeros((n, n))
            upper[np.triu_indices(n)] = products
            products = upper + np.triu(upper, 1).T
        found._products = torch.from_numpy(products).to(device)
        return found

    @property
    def constant(self) -> np.ndarray:
        """Which columns have one value only."""
        return self.low == self.high

    @property
    def mean(self) -> np.ndarray:
        """Mean of each column; exactly its value where it has one only."""
        return np.where(self.constant, self.low, self.centre + self.unit * self._total / self.count)

    @property
    def farthest(self) -> float:
        """How far any cell lies from the mean of its column."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.maximum(self.high - self.mean, self.mean - self.low).max())

    @property
    def has_products(self) -> bool:
        """Whether the products of the columns are summed up, and not their squares alone."""
        return self._products.ndim == 2

    def products(self, scale: float) -> np.ndarray:
        """Return the sums of the products about the mean, (n_columns, n_columns), or squares.

        Parameters
        ----------
        scale : float
            The unit of the cells.
        """
        off = self._total / self.count
        products = self._products.cpu().numpy()
        if self.has_products:
            products = products - self.count * np.outer(off, off)
            products[self.constant] = products[:, self.constant] = 0
        else:
            products = np.where(self.constant, 0, products - self.count * off**2).clip(0)
        return products * (self.unit / scale) ** 2

    def scaling(self) -> Scaling:
        """Return the units in which the rows have mean 0 and mean square 1."""
        products = self.products(self.unit)
        squares = np.diagonal(products) if self.has_products else products
        variance = np.maximum(squares, 0) / self.count
        # In float32, so that sparse and dense rows have the same, whatever the order of the sums.
        scale = self.unit * (float(np.float32(np.sqrt(variance.mean()))) or 1.0)
        shift = self.mean
        return Scaling(
            shift,
            float(scale),
            np.sqrt(variance) * (self.unit / scale),
            (self.low - shift) / scale,
            (self.high - shift) / scale,
        )


def sum_up(X: Any, dtype: torch.dtype, device: torch.device) -> Sums:
    """Sum up all rows, in one pass but where the first look at them misled.

    Parameters
    ----------
    X : ndarray, CSR matrix, Source or Spread of shape (n_rows, n_columns)
        In the units of the user.
    dtype : torch.dtype
        What products are computed in.
    device : torch.device
        Where they are computed.

    Raises
    ------
    ValueError
        If the variance overflows.
    """
    n_rows, n_columns = X.shape
    n_first = min(n_rows, N_FIRST, block_size(n_columns))
    few = dense(X[np.linspace(0, n_rows - 1, n_first).astype(int)])
    with np.errstate(over="ignore", invalid="ignore"):
        centre = few.mean(axis=0, dtype=np.float64)
        unit = _power_of_two(np.abs(few - centre).max())
    if np.isfinite(centre).all() and np.isfinite(unit):
        sums = _sum_about(X, centre, unit, dtype, device)
        if sums.farthest == 0 or unit / FARTHEST <= sums.farthest <= unit * FARTHEST:
            return sums
        unit = _power_of_two(sums.farthest)
        if np.isfinite(unit) and np.isfinite(sums.mean).all():
            return _sum_about(X, sums.mean, unit, dtype, device)
    raise ValueError(
        "X has values too large to compute a variance in float64. Scale it, for example with "
        "RobustScaler."
    )


def _sum_about(X, centre, unit, dtype, device):
    sums = Sums(centre, unit, dtype=dtype, device=device)
    if isinstance(X, Spread):
        sums.add_all(X.part)
        sums.add_up(X.processes)
    else:
        sums.add_all(X)
    return sums


def _power_of_two(size: float) -> float:
    """Return a number of about this size by which divisions are exact."""
    if not 0 < size < np.inf:
        return float(size) or 1.0
    return float(np.ldexp(1.0, np.frexp(np.float64(size))[1] - 1))
