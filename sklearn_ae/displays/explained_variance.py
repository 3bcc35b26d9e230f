"""Variance explained against the size of the codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import check_cv

from sklearn_ae._array_api import on_host
from sklearn_ae.displays._style import STYLES, axes_for, bare

SIZES = (1, 2, 4, 8, 16, 32, 64)


class ExplainedVarianceDisplay:
    """Held-out variance explained against the number of components, ours and PCA's.

    Make it with `from_estimator`.

    Parameters
    ----------
    n_components : array-like of shape (n_sizes,)
        Sizes of the codes.
    scores : array-like of shape (n_sizes, n_folds)
        Share of the variance of the held-out rows that the autoencoder explains.
    pca_scores : array-like of shape (n_sizes, n_folds)
        The share that PCA explains.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        The figure of these axes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.displays import ExplainedVarianceDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> display = ExplainedVarianceDisplay.from_estimator(
    ...     AutoencoderTransformer(max_iter=0, random_state=0), X, n_components=[1, 2], cv=3
    ... )
    >>> display.scores.shape
    (2, 3)
    """

    def __init__(self, n_components: ArrayLike, scores: ArrayLike, pca_scores: ArrayLike):
        self.n_components = np.asarray(n_components)
        self.scores = np.asarray(scores, dtype=float)
        self.pca_scores = np.asarray(pca_scores, dtype=float)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_components: Sequence[int] | None = None,
        cv: Any = 5,
        n_jobs: int | None = None,
        ax: Any = None,
    ) -> "ExplainedVarianceDisplay":
        """Cross-validate the autoencoder and PCA at some sizes, and draw both.

        In each fold both are fitted once, at the largest size; smaller codes are the first numbers
        of that fit, as `truncated` gives them. More sizes then take hardly longer: seconds on small
        tables. Codes without an order (``init="random"``, or `code_layer`) are fitted at each size.

        Parameters
        ----------
        estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
            It is cloned, not fitted. Its `n_components` is not used.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        n_components : sequence of int or None, default=None
            Sizes of the codes, not more than PCA can have. None doubles the size from 1 to 64, as
            far as PCA goes.
        cv : int, cross-validation generator or iterable, default=5
            As in ``sklearn.model_selection``.
        n_jobs : int or None, default=None
            Folds at a time.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ExplainedVarianceDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If PCA cannot have so many components.
        """
        X = X.tocsr() if sparse.issparse(X) else np.asarray(on_host(X))
        folds = list(check_cv(cv).split(X))
        # arpack, for sparse rows, does not find all of the components.
        most = min(X.shape[1], *(len(train) for train, _ in folds)) - sparse.issparse(X)
        if n_components is None:
            n_components = [size for size in SIZES if size <= most]
        if not all(1 <= size <= most for size in n_components):
            raise ValueError(
                f"n_components={n_components!r} must lie between 1 and {most}, what PCA can have "
                f"with {X.shape[1]} columns and the rows of a fold."
            )
        found = Parallel(n_jobs=n_jobs)(
            delayed(_scores)(estimator, X[train], X[test], n_components) for train, test in folds
        )
        scores, pca_scores = np.moveaxis(np.array(found), 0, 2)
        return cls(n_components, scores, pca_scores).plot(ax)

    def plot(self, ax: Any = None) -> "ExplainedVarianceDisplay":
        """Draw the means over the folds, and between which values the folds lie.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ExplainedVarianceDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

        for name, scores in (("PCA", self.pca_scores), ("autoencoder", self.scores)):
            style = STYLES[name]
            ax.plot(self.n_components, scores.mean(axis=1), label=name, **style)
            low, high = scores.min(axis=1), scores.max(axis=1)
            ax.fill_between(self.n_components, low, high, color=style["color"], alpha=0.15, lw=0)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator(self.n_components.tolist()))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:.0f}")
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.set(xlabel="components", ylabel="held-out variance explained")
        ax.grid(alpha=0.3)
        bare(ax)
        ax.legend(loc="lower right")
        return self


def _scores(
    estimator: Any, X_train: Any, X_test: Any, sizes: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return the held-out variance that autoencoders and PCA of some sizes explain."""
    largest = max(sizes)
    estimator = clone(estimator).set_params(n_components=largest)
    if estimator.max_components is not None:
        estimator.set_params(max_components=max(largest, estimator.max_components))
    fitted = estimator.fit(X_train)
    # arpack takes sparse rows, but not all of the components.
    pca = PCA(largest, svd_solver="arpack" if sparse.issparse(X_train) else "auto", random_state=0)
    Z = np.asarray(pca.fit(X_train).transform(X_test))
    # What is left of a row outside of the components, without a dense copy of it.
    centred = _sum_of_squares(X_test, pca.mean_)
    taken = np.cumsum((Z**2).sum(axis=0))
    scores = [_of_size(fitted, size, X_train).score(X_test) for size in sizes]
    return scores, [float(taken[size - 1] / centred) if centred > 0 else 1.0 for size in sizes]


def _of_size(fitted: Any, size: int, X_train: Any) -> Any:
    """Return an autoencoder of a size: of the largest one's fit, where its codes have an order."""
    is_ordered = fitted.init == "pca" and fitted.code_layer is None
    if is_ordered or size == fitted.n_components:
        return fitted.truncated(size)
    return clone(fitted).set_params(n_components=size).fit(X_train)


def _sum_of_squares(X: Any, mean: np.ndarray) -> float:
    """Return the sum of squares about a mean."""
    X = X.astype(np.float64)
    if sparse.issparse(X):
        cross = np.asarray(X.sum(axis=0)).ravel() @ mean
        return float(X.multiply(X).sum() - 2 * cross + X.shape[0] * mean @ mean)
    return float(((X - mean) ** 2).sum())
