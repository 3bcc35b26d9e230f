"""How large codes can be, up to what size a network is trained, and which sizes are looked at."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._fitting.errors import mean_square
from sklearn_ae._fitting.rows import FitRows
from sklearn_ae._fitting.start import SMALLEST_RESIDUAL, PrincipalComponents, as_tensors
from sklearn_ae._rows import Rows
from sklearn_ae._specs import NetworkSpec

# Where the code may be as large as the data, what a network is trained on is a code in which PCA
# leaves so much: larger ones are PCA.
LEAVES = 0.01
# Of rows of more columns, fewer sizes are solved.
WIDE = 1024


def most_components(spec: NetworkSpec, n_rows: int, n_columns: int) -> int:
    """Return the size of the largest code."""
    if spec.max_components is not None:
        return spec.max_components
    return spec.n_components if isinstance(spec.n_components, int) else min(n_rows, n_columns)


def used_size(
    wanted: Any, score: Sequence[float], shape: tuple[int, int], *, held_out: bool
) -> int:
    """Return the size of the code that is used.

    Parameters
    ----------
    wanted : int, float or None
        The parameter `n_components`.
    score : sequence of float
        Share of the variance that the code of each size explains.
    shape : tuple of int
        Of the rows.
    held_out : bool
        Whether that is of held-out rows.

    Raises
    ------
    ValueError
        If no size explains the share that is wanted.
    """
    if wanted is None:
        return min(len(score), *shape)
    if isinstance(wanted, Integral):
        return int(wanted)
    reached = np.flatnonzero(np.asarray(score) >= wanted)
    if not len(reached):
        rows = "held-out rows" if held_out else "training rows"
        more = ", or a larger max_components" if len(score) < min(shape) else ""
        if held_out:
            more += ", or early_stopping=False to count training rows, and keep what PCA may beat"
        raise ValueError(
            f"n_components={wanted!r} is a share of the variance that no size of the code "
            f"explains: {len(score)} numbers explain {max(score):.6g} of that of the {rows}. Set a "
            f"smaller share{more}."
        )
    return int(reached[0]) + 1


def explained_by_pca(rows: FitRows, pca: PrincipalComponents) -> np.ndarray:
    """Return the share of variance that PCA of each size explains of the rows that choose.

    Without any it is that of the training rows. From one component to all.
    """
    if rows.held_out is None:
        residuals = pca.residuals()
        return 1 - np.square(residuals[1:] / (residuals[0] or 1.0))
    total = mean_square(rows.held_out)
    return 1 - left_by_pca(pca, rows.held_out)[1:] / (total or 1.0)


@torch.no_grad()
def left_by_pca(pca: PrincipalComponents, rows: Rows) -> np.ndarray:
    """Return the mean square over all cells that PCA of each size leaves, from no component on."""
    centre, components = as_tensors(pca, rows.device)
    total, taken = 0.0, np.zeros(len(pca.components))
    for block in rows.blocks(light=True):
        away = block - centre
        total += float(away.square().sum(dtype=torch.float64))
        codes = away @ components.T
        taken += codes.square().sum(0, dtype=torch.float64).cpu().numpy()
    left = total - np.append(0.0, np.cumsum(taken))
    return np.maximum(left, 0) / (len(rows) * rows.n_columns)


def trained_size(spec: NetworkSpec, rows: FitRows, pca: PrincipalComponents) -> int:
    """Return the size of the code that a network is trained for.

    Parameters
    ----------
    spec : NetworkSpec
        What is wanted.
    rows : FitRows
        The rows.
    pca : PrincipalComponents
        Of the training rows, as large as a code can be.
    """
    most, residuals = len(pca.components), pca.residuals()
    learnable = max(int((residuals[1:] > SMALLEST_RESIDUAL).sum()), 1)
    given = isinstance(spec.n_components, int) or spec.max_components is not None
    if given:
        return learnable if _may_be_smaller(spec) else most
    if isinstance(spec.n_components, float):
        reached = np.flatnonzero(explained_by_pca(rows, pca) >= spec.n_components)
        if len(reached):
            return min(int(reached[0]) + 1, learnable)
    left = np.square(residuals[1:] / (residuals[0] or 1.0))
    return min(int((left > LEAVES).sum()) + 1, learnable)


def _may_be_smaller(spec: NetworkSpec) -> bool:
    """Tell whether networks of any size can be made: not where a user gave one."""
    return not any(isinstance(part, nn.Module) for part in (spec.encoder, spec.decoder))


def watched_sizes(n: int) -> list[int]:
    """Return the sizes up to `n` whose mean loss says when to stop, each twice the one before."""
    return [*(2**i for i in range(math.ceil(math.log2(n)))), n]


def coarse_sizes(n: int) -> list[int]:
    """Return the sizes below `n`, two in each doubling, at which PCA is known and starts solved."""
    return _in_doublings(n, 2)


def solved_sizes(n: int, n_columns: int) -> list[int]:
    """Return the sizes below `n` that are solved after a training: with some between the coarse.

    A decoder between two others is no match for one of its own: with two in each doubling, codes of
    5 and 10 numbers miss a fifth more on average. But of wide rows each takes its memory.
    """
    return _in_doublings(n, 4 if n_columns <= WIDE else 2)


def _in_doublings(n, parts):
    """Return the sizes below `n` that part each doubling into so many."""
    sizes = (size + size * i // parts for size in watched_sizes(n)[:-1] for i in range(parts))
    return sorted({size for size in sizes if size < n})
