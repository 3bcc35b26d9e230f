"""What a fitted estimator does with rows and codes."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sklearn_ae._array_api import as_rows, float_types, on_host
from sklearn_ae._inference import (
    apply,
    farthest_from,
    squared_errors,
    sums_of_squares,
)
from sklearn_ae._rows import Scaling, as_source, check_matrix, is_lazy
from sklearn_ae._sizes import SizesMixin
from sklearn_ae._sklearn import check_same_namespace

# Rows that say what the columns of a source are.
N_HEAD = 256


def _check_decodes(estimator: Any) -> bool:
    """Check that codes are those of the bottleneck."""
    # As it was fitted, whatever its parameter is now.
    name = "_code_layer" if hasattr(estimator, "_code_layer") else "code_layer"
    layer = getattr(estimator, name)
    if layer is not None:
        raise AttributeError(
            f"code_layer={layer!r} makes transform return the activations of a hidden layer, which "
            "inverse_transform cannot decode. Fit with code_layer=None, or use reconstruct."
        )
    return True


class FittedMixin(SizesMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Transform and back, and how well; of what `fit` sets it needs the attributes below.

    Attributes
    ----------
    module_ : torch.nn.Module
        Encodes and decodes, in the units of the user.
    n_features_in_, n_components_ : int
        Widths of rows and codes.
    device_ : str
        Where the module is.
    """

    module_: Any
    n_features_in_: int
    n_components_: int
    device_: str
    _coder: nn.Module
    _code_layer: int | None
    _n_features_out: int
    _scaling: Scaling

    def transform(self, X: Any) -> Any:
        """Encode rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, in the units of `X`; with `code_layer`, the activations of that hidden layer, of
            shape (n_samples, size of the layer). Of an array of dask, one of dask.
        """
        if is_lazy(X):
            return self._lazily("transform", X)
        return self._transform(self._check_rows(X, "transform"))

    @available_if(_check_decodes)
    def inverse_transform(self, X: Any) -> Any:
        """Decode codes.

        Not there with `code_layer`: the activations of a hidden layer cannot be decoded.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The rows that the codes stand for. Of an array of dask, one of dask.

        Raises
        ------
        ValueError
            If the codes have a wrong width.
        """
        if is_lazy(X):
            return self._lazily("inverse_transform", X)
        check_is_fitted(self)
        check_same_namespace(X, self, attribute="mean_", method="inverse_transform")
        X = check_array(X, dtype=float_types(X))
        self._check_width(X)
        return self._decode(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the codes.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Not used.

        Returns
        -------
        names : ndarray of str
            The lower-case name of the class and a number; with `code_layer`, the layer between.
        """
        names = super().get_feature_names_out(input_features)
        if self._code_layer is None:
            return names
        prefix = type(self).__name__.lower()
        return np.asarray(
            [f"{prefix}_layer{self._code_layer}_{i}" for i in range(len(names))], dtype=object
        )

    def reconstruct(self, X: Any) -> Any:
        """Rebuild rows from their codes.

        It is ``inverse_transform(transform(X))``, and the same with `code_layer`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features)
            What the codes keep of them. Of an array of dask, one of dask.
        """
        if is_lazy(X):
            return self._lazily("reconstruct", X)
        return self._reconstruct(self._check_rows(X, "reconstruct"))

    def score_samples(self, X: Any) -> Any:
        """Return how well each row is rebuilt: an anomaly score.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the squared Euclidean distance between the row and its reconstruction, in squared
            units of `X`. Lower is more unusual.
        """
        return -self._squared_errors(self._check_rows(X, "score_samples"), 1.0)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of variance explained, which compares with PCA's.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            ``1 - SSE / SST``: the sums over all rows of the squared distance to the reconstruction
            and to the mean of the training rows. For PCA on its training rows it is the sum of
            ``explained_variance_ratio_``. The best value is 1; it can be negative.
        """
        X = as_rows(self._check_rows(X, "score"))
        mean, unit = on_host(self.mean_).astype(np.float64), self._scaling.scale
        error, total = sums_of_squares(self.module_, mean, X, unit, self.device_)
        if not math.isfinite(error + total):
            # Squares of extreme values leave float64, but not in units of how far out rows lie.
            unit = farthest_from(mean, X, self.device_)
            error, total = sums_of_squares(self.module_, mean, X, unit, self.device_)
        return 1 - error / total if total > 0 else float(error == 0)

    def _check_rows(self, X: Any, method: str) -> Any:
        check_is_fitted(self)
        check_same_namespace(X, self, attribute="mean_", method=method)
        return self._validated(X, reset=False)

    def _check_width(self, Z: Any) -> None:
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns, but {type(self).__name__} is expecting codes of "
                f"{self.n_components_} components. Codes of another size are decoded by the "
                "estimator that made them: `truncated(n)`."
            )

    def _validated(self, X: Any, **checks: Any) -> Any:
        """Check rows, and of those that are not in memory the first."""
        source = as_source(X)
        if source is None:
            return validate_data(self, X, accept_sparse="csr", dtype=float_types(X), **checks)
        head = source.head(N_HEAD)
        validate_data(self, head, dtype=float_types(head), **checks)
        return source

    def _lazily(self, method: str, X: Any) -> Any:
        """Let dask call a method, on each of its blocks of rows, of the estimator as it is now."""
        check_is_fitted(self)
        n_outputs = self._n_features_out if method == "transform" else self.n_features_in_
        check_matrix(X)
        # What else is wrong is said by the blocks, when they are computed.
        if method == "inverse_transform":
            self._check_width(X)
        else:
            validate_data(self, np.zeros((1, X.shape[1])), reset=False)
        fitted = object.__new__(type(self))
        fitted.__dict__ |= self.__dict__
        fitted.__dict__.pop("feature_names_in_", None)
        # A block has all columns.
        X = X.rechunk({1: -1})
        dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
        none = np.empty((0, n_outputs), dtype)
        return X.map_blocks(
            functools.partial(_of_block, getattr(fitted, method), none),
            dtype=dtype,
            chunks=(X.chunks[0], (n_outputs,)),
            meta=none,
        )

    def _transform(self, X: Any) -> Any:
        return self._apply(self._coder, X, self._n_features_out)

    def _decode(self, Z: Any) -> Any:
        return self._apply(self.module_.decoder, Z, self.n_features_in_)

    def _reconstruct(self, X: Any) -> Any:
        return self._apply(self.module_, X, self.n_features_in_)

    def _squared_errors(self, X: Any, unit: float) -> Any:
        return squared_errors(self.module_, X, unit, self.device_)

    def _apply(self, module: nn.Module, X: Any, n_outputs: int) -> Any:
        return apply(module, X, n_outputs, self.device_)


def _of_block(method: Callable, none: np.ndarray, rows: Any) -> np.ndarray:
    """Return what a method makes of a block of rows, which may be none."""
    return method(rows) if rows.shape[0] else none
