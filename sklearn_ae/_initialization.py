"""The start at PCA: principal components, and up to where a correction is trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import linalg, sparse
from sklearn.decomposition import PCA
from sklearn.utils.extmath import randomized_svd
from torch import nn

from sklearn_ae._training.rows import Rows, SparseRows, blocks, row_blocks, self_products
from sklearn_ae._training.scaling import Scaling, is_large

# Up to this many rows or columns an exact eigendecomposition is cheap; beyond, randomized (as
# scikit-learn's PCA decides).
EXACT_SIZE = 1000
# From so many rows a column on, scikit-learn's PCA is the eigenvectors of the columns' products.
TALL = 10
# More products of columns than this are computed in float32 first, and added up in float64. What
# that rounds off, some 1e-7 of the variance, shows only where PCA leaves a smaller share than this.
MANY_PRODUCTS = 2e9
LARGE_RESIDUAL = 1e-3
# Share of the codes that lie below the upper side of the box that gives each component its width,
# and above the lower one.
WITHIN = 0.99
# A correction is trusted up to REACH times as far out as so many training rows lie (of few rows, a
# tenth): what a network does beyond the rows that it has seen is anybody's guess.
ROWS_TO_LEARN = 10
REACH = 2.0


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
    """

    mean: np.ndarray
    components: np.ndarray
    deviations: np.ndarray


def principal_components(rows: Rows, n_components: int, seed: int) -> PrincipalComponents:
    """Compute the principal components of the rows.

    Parameters
    ----------
    rows : Rows
        Scaled rows.
    n_components : int
        May exceed what the rows have; the rest is zero.
    seed : int
        For the randomized solver.
    """
    n_rows = len(rows)
    n_columns = rows.n_columns
    # One running sum: a small array kept of each block would break up the heap.
    total = np.zeros(n_columns)
    for block in blocks(rows):
        total += block.sum(0, dtype=torch.float64).cpu().numpy()
    mean = total / n_rows
    n_found = min(n_components, n_columns, max(n_rows - 1, 1))
    if isinstance(rows, SparseRows) and n_columns > EXACT_SIZE:
        scaled = rows.matrix.astype(np.float64) / rows.scale
        variances, vectors, _ = _of_sparse(scaled, n_found, seed)
        squares = variances * (n_rows - 1)
    elif n_columns <= min(n_rows, EXACT_SIZE):
        squares, vectors = _of_columns(rows, mean, n_found)
    elif n_rows <= EXACT_SIZE:
        squares, vectors = _of_rows(rows, mean, n_found)
    else:
        centred = torch.cat([block.cpu() for block in blocks(rows)]).numpy()
        centred -= mean.astype(np.float32)
        _, values, vectors = randomized_svd(centred, n_found, random_state=seed)
        squares = values.astype(np.float64) ** 2
    components = np.zeros((n_components, n_columns))
    components[:n_found] = vectors * _signs(vectors)  # the solvers differ in them
    deviations = np.zeros(n_components)
    deviations[:n_found] = np.sqrt(np.maximum(squares, 0) / n_rows)
    return PrincipalComponents(mean, components, deviations)


def full_pca(X: Any, scaling: Scaling, n_components: int, random_state: Any) -> PrincipalComponents:
    """Fit scikit-learn's PCA in float64 on all rows, in scaled units.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_columns)
        Rows in the units of the user.
    scaling : Scaling
        What the units of the result are.
    n_components : int
        May exceed what the rows have; the rest is zero.
    random_state : int, RandomState instance or None
        For the randomized solver.
    """
    n_found = min(n_components, *X.shape)
    if sparse.issparse(X):
        scaled = X.astype(np.float64) / scaling.scale
        variances, vectors, mean = _of_sparse(scaled, n_found, random_state)
        mean = mean - scaling.shift / scaling.scale
    elif is_large(X) and X.shape[1] <= min(EXACT_SIZE, X.shape[0] // TALL):
        variances, vectors, mean = _of_many(X, scaling, n_found)
    else:
        pca = _quiet_pca((X - scaling.shift) / scaling.scale, n_found, "auto", random_state)
        variances, vectors, mean = pca.explained_variance_, pca.components_, pca.mean_
    components = np.zeros((n_components, X.shape[1]))
    components[: len(vectors)] = vectors
    deviations = np.zeros(n_components)
    deviations[: len(vectors)] = np.sqrt(np.maximum(variances, 0))
    return PrincipalComponents(mean, components, deviations)


def _of_many(X, scaling, n):
    """Return variances, directions and mean as PCA finds them, without a copy of the rows."""
    mean = X.mean(axis=0, dtype=np.float64)
    gram = np.zeros((len(mean), len(mean)))
    for start, stop in row_blocks(*X.shape):
        centred = (X[start:stop] - mean) / scaling.scale
        gram += centred.T @ centred
    values, vectors = _largest(torch.from_numpy(gram), n)
    vectors = vectors.T * _signs(vectors.T)
    return values / (len(X) - 1), vectors, (mean - scaling.shift) / scaling.scale


def _signs(components):
    """Return what makes the largest weight of each component positive, as scikit-learn does."""
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return np.where(largest < 0, -1.0, 1.0)


def _quiet_pca(X, n_components, solver, random_state):
    """Fit PCA; without variance, its explained ratio, which is not used, is 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return PCA(n_components, svd_solver=solver, random_state=random_state, copy=False).fit(X)


def _of_sparse(X, n, random_state):
    """Return variances, directions and mean; of wide rows without a matrix of their columns."""
    solver = "covariance_eigh"
    if X.shape[1] > EXACT_SIZE:
        if not (X.max(axis=0) != X.min(axis=0)).nnz:
            # Rows without variance have no directions.
            return np.zeros(n), np.zeros((n, X.shape[1])), X[:1].toarray().ravel()
        if X.shape[0] <= X.shape[1]:
            n = min(n, X.shape[0] - 1)
        if n < min(X.shape):
            solver = "arpack"
    pca = _quiet_pca(X, n, solver, random_state)
    return pca.explained_variance_, pca.components_, pca.mean_


def _largest(gram: torch.Tensor, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n` largest eigenvalues of a symmetric matrix, descending, and their vectors."""
    size = gram.shape[0]
    matrix = gram.cpu().numpy()
    # Not by "evr": in SciPy 1.9 it writes beyond its memory.
    values, vectors = linalg.eigh(matrix, subset_by_index=[size - n, size - 1], driver="evx")
    if len(values) < n:
        # LAPACK loses count where many eigenvalues are equal, as of one-hot columns.
        values, vectors = linalg.eigh(matrix, driver="evd")
    return values[: -n - 1 : -1], vectors[:, : -n - 1 : -1]


def _of_columns(rows, mean, n):
    mean = torch.from_numpy(mean).to(rows.device)
    if len(rows) * len(mean) ** 2 > MANY_PRODUCTS:
        gram = _products(rows, mean.float())
        total = float(gram.trace())
        values, vectors = _largest(gram, n)
        if total - values.sum() > LARGE_RESIDUAL * total:
            return values, vectors.T
    values, vectors = _largest(_products(rows, mean), n)
    return values, vectors.T


def _products(rows, mean):
    """Sum up the products of the centred columns, in the precision of their mean."""
    gram = torch.zeros((len(mean), len(mean)), dtype=torch.float64, device=rows.device)
    for block in blocks(rows):
        gram += self_products(block.to(mean.dtype) - mean)
    return gram


def _of_rows(rows, mean, n):
    centred = torch.cat([block.double() for block in blocks(rows)])
    centred -= torch.from_numpy(mean).to(rows.device)
    values, vectors = _largest(centred @ centred.T, n)
    # From the side of the rows back to the columns; a direction without variance stays zero.
    directions = vectors.T @ centred.cpu().numpy()
    norms = linalg.norm(directions, axis=1, keepdims=True)
    known = norms > 1e-7 * (norms[0] or 1.0)
    return values, np.where(known, directions / np.where(known, norms, 1), 0)


def ordinary_rows(rows: Rows, mean: np.ndarray) -> float:
    """Return up to which distance from the mean rows are ordinary."""
    centre = torch.from_numpy(mean.astype(np.float32)).to(rows.device)
    distances = [torch.linalg.vector_norm(block - centre, dim=1).cpu() for block in blocks(rows)]
    return REACH * _reached(torch.cat(distances).numpy())


@torch.no_grad()
def ordinary_codes(rows: Rows, encoder: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle and the half widths of the box in which codes are ordinary."""
    codes = np.concatenate([encoder(block).cpu().numpy() for block in blocks(rows)])
    low, high = np.quantile(codes, [1 - WITHIN, WITHIN], axis=0)
    middle, radius = (low + high) / 2, (high - low) / 2
    # A component without variance has no outside.
    width = np.where(radius > 0, radius, np.inf)
    distances = [
        (np.abs(codes[start:stop] - middle) / width).max(axis=1)
        for start, stop in row_blocks(*codes.shape)
    ]
    return middle, REACH * max(_reached(np.concatenate(distances)), 1.0) * radius


def _reached(distances: np.ndarray) -> float:
    """Return the distance that enough rows reach to learn from them."""
    n = min(max(len(distances) // 10, 1), ROWS_TO_LEARN)
    return float(np.partition(distances, -n)[-n])
