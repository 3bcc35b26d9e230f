"""Where a network starts: PCA of training rows, and up to where a correction to it is trusted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import linalg
from sklearn.decomposition import PCA

from sklearn_ae._fitting.rows import FitRows, SummedRows, split_rows
from sklearn_ae._rows import MergedPCA, SparseRows, Sums, sum_of_squares, sum_up
from sklearn_ae._rows.sums import MANY_COLUMNS

# Up to so many rows of more columns, PCA is the eigenvectors of the products of the rows.
FEW_ROWS = 1000
# More products of columns than this are computed in float32 first. What that rounds off, some 1e-7
# of the variance, shows only where PCA leaves a smaller share than this.
MANY_PRODUCTS = 2e9
LARGE_SHARE = 1e-3
# Every so many columns are looked at for that first.
COLUMN_STEP = 4
# Variances of less than this share of the largest are lost in products of columns; of so few they
# are looked for in the rows.
TINY_SHARE = 1e-10
FEW_PRODUCTS = 2e8
# Share of the codes that lie below the upper side of the box that gives each component its width,
# and above the lower one.
WITHIN = 0.99
# A correction is trusted up to REACH times as far out as so many training rows lie (of few rows, a
# tenth): what a network does beyond the rows that it has seen is anybody's guess.
ROWS_TO_LEARN = 10
REACH = 2.0
# What another order of the same sums may change of a distance, by far.
ROUNDED = 1e-3
# Below this share of the data's spread, PCA's residual is the rounding of float32, in which the
# networks compute: there is nothing to learn from.
SMALLEST_RESIDUAL = 1e-5
# Columns more than wanted, and passes over wide rows, in which their subspace is found.
OVERSAMPLES, N_PASSES = 10, 6
# A held-out row without its like is missed so many times as much as the median one, and so many
# times as much as where PCA knows it.
FAR, KNOWN = 10.0, 2.0
# What is less of a direction, of length 1, is rounding.
NEGLIGIBLE = 1e-30
# So many training rows, drawn at random, say where rows and codes lie.
MANY_ROWS = 20_000


@dataclass
class PrincipalComponents:
    """PCA of scaled rows.

    Attributes
    ----------
    mean : ndarray of shape (n_columns,)
        Mean of the rows.
    components : ndarray of shape (n_components, n_columns)
        Orthonormal rows; zero where the data has no more directions.
    deviations : ndarray of shape (n_components,)
        Standard deviation of the codes.
    residual : float
        Root mean square of what PCA leaves, over all cells.
    """

    mean: np.ndarray
    components: np.ndarray
    deviations: np.ndarray
    residual: float

    def residuals(self) -> np.ndarray:
        """Return what PCA of each size leaves, from no component to all of them."""
        squares = np.append(self.deviations**2, 0.0) / len(self.mean)
        return np.sqrt(self.residual**2 + np.cumsum(squares[::-1])[::-1])

    def first(self, n: int) -> "PrincipalComponents":
        """Return PCA of the first `n` components."""
        left = float(self.residuals()[n])
        return PrincipalComponents(self.mean, self.components[:n], self.deviations[:n], left)

    def merged(self, sums: Sums, scale: float) -> MergedPCA:
        """Return what PCA of more rows goes on from.

        Parameters
        ----------
        sums : Sums
            Of the rows.
        scale : float
            Their unit here.
        """
        singular = self.deviations * scale * math.sqrt(sums.count)
        return MergedPCA(sums.count, sums.mean, self.components, singular)


@dataclass
class Start:
    """Where a network starts that starts at PCA.

    Attributes
    ----------
    pca : PrincipalComponents
        The linear path.
    residual : float
        The unit of the corrections: what PCA leaves, and not nothing.
    row_bounds : tuple of two ndarrays of shape (n_columns,)
        Least and greatest value of each column, of all rows.
    row_radius : float
        Distance from the mean up to which rows are ordinary.
    all_ordinary : bool
        Whether all training rows are known to be.
    code_middle, code_radius : ndarray of shape (n_components,)
        Middle of the ordinary codes, and how far from it they lie.
    """

    pca: PrincipalComponents
    residual: float
    row_bounds: tuple[np.ndarray, np.ndarray]
    row_radius: float
    all_ordinary: bool
    code_middle: np.ndarray
    code_radius: np.ndarray

    @classmethod
    def unbounded(cls, pca: PrincipalComponents, residual: float) -> "Start":
        """Return PCA alone, with a residual of another time: for a network that has started."""
        ends = np.full(len(pca.mean), np.inf)
        radius = np.full(len(pca.components), np.inf)
        return cls(pca, residual, (-ends, ends), np.inf, False, np.zeros(len(radius)), radius)

    def unit(self, at_pca: bool) -> float:
        """Return the unit of the losses: of a network that starts elsewhere, that of the rows."""
        return self.residual if at_pca else 1.0


def sum_up_for(X: Any, n_components: int, device: torch.device) -> Sums:
    """Sum up all rows as exactly as PCA with so many components needs it.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        In the units of the user.
    n_components : int
        How many components are wanted.
    device : torch.device
        Where products are computed.
    """
    n_rows, n_columns = X.shape
    if n_columns > MANY_COLUMNS or n_rows * n_columns**2 <= MANY_PRODUCTS:
        return sum_up(X, torch.float64, device)
    sums = sum_up(X, torch.float32, device)
    products = sums.products(sums.unit)
    total = products.trace()
    # PCA of some columns leaves no more than that of all (Cauchy's interlacing), and costs less.
    for part in (products[::COLUMN_STEP, ::COLUMN_STEP], products):
        values, _ = _largest(part, min(n_components, len(part)))
        if part.trace() - values.sum() > LARGE_SHARE * total:
            return sums
    return sum_up(X, torch.float64, device)


def principal_components(rows: SummedRows, n_components: int, seed: int) -> PrincipalComponents:
    """Compute the principal components of rows, in their scaled units.

    Parameters
    ----------
    rows : SummedRows
        They are read only where they have many columns.
    n_components : int
        May exceed what the rows have; the rest is zero.
    seed : int
        For the randomized solver.
    """
    sums, scaling = rows.sums, rows.scaling
    n_rows, n_columns = sums.count, len(sums.centre)
    mean = (sums.mean - scaling.shift) / scaling.scale
    n_found = min(n_components, n_columns, max(n_rows - 1, 1))
    if rows.merged is not None:
        squares, vectors = rows.merged.squares(n_found, scaling.scale)
        left = sums.products(scaling.scale).sum() - squares.sum()
    elif isinstance(rows.rows, SparseRows) and not sums.has_products:
        squares, vectors = _of_sparse(rows, n_found, seed)
        left = sums.products(scaling.scale).sum() - squares.sum()
    elif sums.has_products and (n_columns <= n_rows or not rows.at_hand):
        products = sums.products(scaling.scale)
        squares, vectors = _largest(products, n_found)
        left = products.trace() - squares.sum()
    elif n_rows <= FEW_ROWS:
        squares, vectors, left = _of_rows(rows.centred(), n_found)
    else:
        squares, vectors, left = _of_blocks(rows.rows, mean, n_found, seed)
    if (
        rows.at_hand
        and squares[-1] < TINY_SHARE * squares[0]
        and n_rows * n_columns * min(n_rows, n_columns) < FEW_PRODUCTS
    ):
        squares, vectors, left = _of_values(rows.centred(), n_found)
    components = np.zeros((n_components, n_columns))
    components[:n_found] = _with_signs(vectors.T)  # the solvers differ in them
    # Not numbers that float32 holds with fewer digits: it is slow with these.
    components[np.abs(components) < NEGLIGIBLE] = 0
    deviations = np.zeros(n_components)
    deviations[:n_found] = np.sqrt(np.maximum(squares, 0) / n_rows)
    residual = math.sqrt(max(left, 0.0) / (n_rows * n_columns))
    return PrincipalComponents(mean, components, deviations, residual)


def _with_signs(vectors: np.ndarray) -> np.ndarray:
    """Make the largest weight of each row positive, as scikit-learn does."""
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return np.where(largest < 0, -vectors, vectors)


def _largest(products: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n` largest eigenvalues of a symmetric matrix, descending, and their vectors."""
    size = len(products)
    # Not by "evr": in SciPy 1.9 it writes beyond its memory.
    values, vectors = linalg.eigh(products, subset_by_index=[size - n, size - 1], driver="evx")
    if len(values) < n:
        # LAPACK loses count where many eigenvalues are equal, as of one-hot columns.
        values, vectors = linalg.eigh(products, driver="evd")
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]


def _of_values(centred, n):
    """Decompose the rows themselves: products lose what is small beside their largest."""
    _, values, vectors = linalg.svd(centred, full_matrices=False)
    squares = values**2
    vectors[squares <= np.finfo(float).eps ** 2 * squares[0]] = 0
    return squares[:n], vectors[:n].T, squares[n:].sum()


def _of_rows(centred, n):
    """Find the eigenvectors from the side of the rows."""
    products = centred @ centred.T
    values, vectors = _largest(products, n)
    # From the side of the rows back to the columns; a direction without variance stays zero.
    directions = vectors.T @ centred
    norms = linalg.norm(directions, axis=1, keepdims=True)
    known = norms > 1e-7 * (norms[0] or 1.0)
    directions = np.where(known, directions / np.where(known, norms, 1), 0)
    return values, directions.T, products.trace() - values.sum()


def _of_sparse(rows, n, seed):
    """Let scikit-learn find them without a dense copy or a matrix of the columns."""
    X = rows.X[rows.index]
    if not (X.max(axis=0) != X.min(axis=0)).nnz:
        # Rows without variance have no directions.
        return np.zeros(n), np.zeros((X.shape[1], n))
    scaled = X.astype(np.float64) / rows.scaling.scale
    solver = "arpack" if n < min(X.shape) else "covariance_eigh"
    pca = PCA(n, svd_solver=solver, random_state=seed).fit(scaled)
    return pca.explained_variance_ * (X.shape[0] - 1), pca.components_.T


def _of_blocks(rows, mean, n, seed):
    """Iterate a subspace, a pass over the rows each time (Halko, Martinsson and Tropp, 2011)."""
    centre = torch.from_numpy(mean.astype(np.float32)).to(rows.device)
    generator = torch.Generator("cpu").manual_seed(seed)
    size = min(n + OVERSAMPLES, len(rows), rows.n_columns)
    start = torch.randn(
        (rows.n_columns, size), generator=generator, device="cpu", dtype=torch.float32
    )
    basis = torch.linalg.qr(start.to(rows.device))[0]
    for last in [False] * N_PASSES + [True]:
        shape = (size, size) if last else (rows.n_columns, size)
        total = torch.zeros(shape, dtype=torch.float64, device=rows.device)
        for block in rows.here.blocks(light=True):
            centred = block - centre
            codes = centred @ basis
            total += codes.T @ codes if last else centred.T @ codes
        total = rows.summed(total)
        if not last:
            basis = torch.linalg.qr(total.float())[0]
    values, vectors = _largest(total.cpu().numpy(), n)
    basis = basis @ torch.from_numpy(vectors.astype(np.float32)).to(rows.device)
    left = 0.0
    for block in rows.here.blocks(light=True):
        centred = block - centre
        left += sum_of_squares(centred - (centred @ basis) @ basis.T)
    return values, basis.cpu().double().numpy(), rows.summed(left)


def train_on_lone_rows(rows: FitRows, pca: PrincipalComponents, seed: int) -> FitRows:
    """Give the training rows those held-out ones that have no like.

    A direction that lives in one row is lost where that row is held out, to PCA of the others and
    to the network that starts there; and what held-out rows say of it then has no bearing on new
    rows. Such a row is one that PCA of the others misses by far more than others are missed, and
    that PCA of all rows does not miss.

    Parameters
    ----------
    rows : FitRows
        The rows.
    pca : PrincipalComponents
        Of the training rows.
    seed : int
        For the randomized solver.
    """
    if rows.held_out is None:
        return rows
    missed = _missed(pca, rows.held_out)
    far = missed > FAR * np.median(missed)
    if not rows.train.rows.agreed(far.any()):
        return rows
    known = _missed(principal_components(rows.all, len(pca.components), seed), rows.held_out)
    lone = rows.train.rows.agreed(far & (known < missed / KNOWN))
    chosen = rows.all.index[len(rows.others) :]
    if not lone.any() or lone.all():
        return rows
    everything = rows.all
    return split_rows(
        everything.X, everything.sums, rows.scaling, chosen[~lone], everything.rows.device,
        hold_out=True,
    )  # fmt: skip


def as_tensors(pca: PrincipalComponents, device: torch.device) -> Iterator[torch.Tensor]:
    """Return mean and components in float32, where rows are."""
    return (torch.from_numpy(a.astype(np.float32)).to(device) for a in (pca.mean, pca.components))


@torch.no_grad()
def _missed(pca, rows):
    """Return what PCA misses of each row: the squared distance."""
    centre, components = as_tensors(pca, rows.device)
    found = []
    for block in rows.blocks(light=True):
        away = block - centre
        found.append((away - (away @ components.T) @ components).square().sum(1).cpu())
    return torch.cat(found).double().numpy()


@torch.no_grad()
def find_start(rows: FitRows, pca: PrincipalComponents) -> Start:
    """Measure where training rows and their codes lie, of many rows at some.

    Parameters
    ----------
    rows : FitRows
        The rows.
    pca : PrincipalComponents
        Of the training rows.
    """
    train, scaling = rows.train.rows, rows.scaling
    centre, components = as_tensors(pca, train.device)
    distances, codes = [], []
    for block in train.sample(MANY_ROWS).blocks(light=True):
        away = block - centre
        distances.append(torch.linalg.vector_norm(away, dim=1).cpu())
        codes.append((away @ components.T).cpu())
    middle, radius = ordinary_codes(torch.cat(codes).numpy())
    row_bounds = tuple(
        (edge - scaling.shift) / scaling.scale for edge in (rows.all.sums.low, rows.all.sums.high)
    )
    residual = pca.residual
    if residual < SMALLEST_RESIDUAL and rows.held_out is not None:
        # Few training rows leave PCA nothing; new rows do.
        residual = math.sqrt(_missed(pca, rows.held_out).mean() / train.n_columns)
    found = torch.cat(distances).numpy()
    row_radius = REACH * _reached(found)
    measured_all = rows.train.at_hand and len(found) == len(train)
    all_ordinary = measured_all and found.max() < (1 - ROUNDED) * row_radius
    return Start(
        pca,
        max(residual, SMALLEST_RESIDUAL),
        row_bounds,
        row_radius,
        bool(all_ordinary),
        middle,
        radius,
    )


def ordinary_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle and the half widths of the box in which codes are ordinary."""
    low, high = np.quantile(codes, [1 - WITHIN, WITHIN], axis=0)
    # What is left out of a code is zero, and that is ordinary.
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    middle, radius = (low + high) / 2, (high - low) / 2
    # A component without variance has no outside.
    width = np.where(radius > 0, radius, np.inf)
    distances = (np.abs(codes - middle) / width).max(axis=1)
    return middle, REACH * max(_reached(distances), 1.0) * radius


def _reached(distances: np.ndarray) -> float:
    """Return the distance that enough rows reach to learn from them."""
    n = min(max(len(distances) // 10, 1), ROWS_TO_LEARN)
    return float(np.partition(distances, -n)[-n])
