"""Mean and deviation of the codes of each size, for `whiten`."""

import numpy as np
import torch

from sklearn_ae._fitting.fit import Fit
from sklearn_ae._fitting.ordered import SOME_ROWS
from sklearn_ae._fitting.rows import FitRows
from sklearn_ae._fitting.sizes import coarse_sizes
from sklearn_ae._fitting.start import MANY_ROWS, PrincipalComponents
from sklearn_ae.modules import Nested
from sklearn_ae.modules.light import is_light
from sklearn_ae.modules.refined import one_pass, refined

# Of larger codes, some sizes are whitened by what is known of the next larger one.
MOST_WHITENED = 64


def whitening_of_sizes(
    fit: Fit, rows: FitRows, n_steps: int, pca: PrincipalComponents | None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return mean and deviation of codes: of each size, of many of some, and at 0 those of PCA.

    Parameters
    ----------
    fit : Fit
        With its network, and of which sizes are PCA.
    rows : FitRows
        The rows.
    n_steps : int
        Steps that improve each code.
    pca : PrincipalComponents or None
        Of all rows, where codes of some size are PCA.
    """
    found = {}
    if pca is not None:
        found[0] = whitening_of_pca(pca, fit.n_rows, rows.scaling.scale)
    if fit.nested is not None:
        n = len(fit.nested.ratios)
        smaller = range(1, n) if n <= MOST_WHITENED else coarse_sizes(n)
        for size in [*smaller, n] if fit.is_ordered else [n]:
            if not fit.sizes.is_pca[size - 1]:
                n_rows = MANY_ROWS if size == n else SOME_ROWS
                found[size] = mean_and_deviation(fit.nested, size, rows, n_steps, n_rows)
    return found


def whitening_of_pca(
    pca: PrincipalComponents, n_rows: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the codes of PCA of so many rows, in the units of the user."""
    deviations = pca.deviations * np.sqrt(n_rows / max(n_rows - 1, 1))
    divisors = _divisors(deviations, scale, np.finfo(np.float64).eps)
    return np.zeros(len(deviations)), divisors


@torch.inference_mode()
def mean_and_deviation(
    nested: Nested, n: int, rows: FitRows, n_steps: int, n_rows: int = MANY_ROWS
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of codes of size `n`, of some rows, in the units of the user."""
    encoder = refined(nested.prefix(n), n_steps).eval().encoder
    some = rows.all.rows.sample(n_rows)
    with one_pass(len(some)):
        blocks = some.blocks(light=is_light(encoder))
        codes = torch.cat([encoder(block).double().cpu() for block in blocks]).numpy()
    deviations = _divisors(codes.std(axis=0, ddof=1), rows.scaling.scale, np.finfo(np.float32).eps)
    return codes.mean(axis=0) * rows.scaling.scale, deviations


def _divisors(deviations, scale, eps):
    """Return deviations in the units of the user; a number that is always the same stays so."""
    found = deviations > eps * deviations.max()
    return np.where(found, deviations, 1.0) * scale
