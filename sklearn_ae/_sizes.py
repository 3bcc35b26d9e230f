"""Codes of every size, from one fit; and what `PCA` tells of its components."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ae._array_api import like, on_host
from sklearn_ae._inference import mean_jacobian
from sklearn_ae._rows import Scaling
from sklearn_ae.modules import Autoencoder, Nested


class SizesMixin:
    """What is known of codes of each size; of what `fit` sets it needs the attributes below.

    Attributes
    ----------
    module_ : torch.nn.Module
        Encodes and decodes, in the units of the user.
    n_components_, n_features_in_, n_samples_ : int
        Widths of codes and rows, and the number of these.
    mean_ : ndarray of shape (n_features,)
        Of the rows of `fit`, in their dtype, in their namespace and on their device.
    device_ : str
        Where the module is.
    """

    module_: Any
    n_components: Any
    max_components: Any
    n_components_: int
    is_pca_: bool
    n_features_in_: int
    n_samples_: int
    mean_: Any
    device_: str
    # What was trained, and PCA of all rows: each for codes of its size and below; None where no
    # size is one.
    _nested: Nested | None
    _pca: Nested | None
    # What codes of each size are worth, lists of the same length, and whether there are others than
    # the last.
    _sizes: dict[str, list]
    _is_ordered: bool
    _structure: dict
    # Mean and deviation of codes: by size, and at 0 those of PCA.
    _whitenings: list[tuple[int, list, list]]
    _some_codes: Any
    _scaling: Scaling
    # In its units: of all rows; and of each component of PCA, where codes of some size are.
    _variance: float
    _variances: list[float] | None

    def truncated(self, n_components: int) -> Any:
        """Return the estimator of the first numbers of the code, without fitting anew.

        Parameters
        ----------
        n_components : int
            How many; at most as many as were fitted (`max_components`, or `n_components_`; of a fit
            with a share of the variance, a few more may have been).

        Returns
        -------
        truncated : object
            A fitted estimator, as a fit with this `n_components` and the same `max_components`
            gives it. Where PCA of this size was not beaten on the held-out rows, it is PCA. It
            shares weights with this one, which only training its `net_` would change, and is saved
            with all that was fitted.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If there are not so many numbers, or the codes have no order (``init="random"``, or
            `code_layer`).
        """
        check_is_fitted(self)
        most = len(self._sizes["is_pca"])
        whole = isinstance(n_components, Integral) and not isinstance(n_components, bool)
        if not whole or not 1 <= n_components <= most:
            raise ValueError(
                f"n_components={n_components!r} must be an integer from 1 to {most}, the size of "
                "the code that was fitted. A larger one needs a fit with a larger n_components or "
                "max_components, a share of the variance a fit with that as n_components."
            )
        if not self._is_ordered and n_components != most:
            raise ValueError(
                f"n_components={n_components!r}: the first numbers of this code are not a code of "
                'their own. Fit with init="pca" and code_layer=None for that.'
            )
        found = object.__new__(type(self))  # a copy would go by what files hold
        found.__dict__ |= self.__dict__
        found.n_components = int(n_components)
        if self._is_ordered:
            # So that a clone is fitted as this one was.
            trained = most if self._nested is None else len(self._nested.ratios)
            found.max_components = max(trained, found.n_components)
            found._structure = self._structure | {"n_components": found.max_components}
        if "_sklearn_output_config" in self.__dict__:
            config = self.__dict__["_sklearn_output_config"]
            found.__dict__["_sklearn_output_config"] = config.copy()
        found._use(int(n_components))
        return found

    def _use(self, n: int) -> None:
        """Set what is that of codes of size `n`."""
        raise NotImplementedError

    def _module_of_size(self, n: int) -> Autoencoder:
        """Return the network for codes of size `n`, in its own units."""
        nested: Any = self._pca if self._sizes["is_pca"][n - 1] else self._nested
        return nested.prefix(n)

    def _whitening_of_size(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return mean and deviation of the codes of size `n`; of some, those of a larger size."""
        is_pca = self._sizes["is_pca"][n - 1]
        for size, *moments in self._whitenings:
            if size == 0 if is_pca else size >= n:
                mean, deviation = (np.array(part[:n]) for part in moments)
                return mean, deviation
        return None

    def _known(self, name: str, n: int) -> float | None:
        """Return what is known of codes of size `n`."""
        value = self._sizes[name][n - 1]
        return None if np.isnan(value) else value

    @property
    def components_(self) -> Any:
        """What each number of the code changes: ndarray of shape (n_components, n_features).

        The mean change of a reconstruction with each number, over the codes of some rows (the mean
        Jacobian of the decoder), before any whitening. It is local where codes are curved. Of PCA
        itself (`is_pca_`) it is PCA's `components_`. Computed when it is asked for.
        """
        check_is_fitted(self)
        n, scale = self.n_components_, np.ones((1, 1))
        codes = self._some_codes
        codes = np.zeros((1, n)) if self.is_pca_ or codes is None else on_host(codes)[:, :n]
        whitening = self._whitening_of_size(n)
        if whitening is not None:
            mean, deviation = whitening
            codes, scale = (codes - mean) / deviation, deviation[:, None]
        return self._as_mean(mean_jacobian(self.module_.decoder, codes, self.device_) / scale)

    @property
    def explained_variance_ratio_(self) -> Any:
        """What each number adds to the share of variance explained: shape (n_components,).

        Share of the variance of the held-out rows (without `early_stopping`: of training rows) that
        codes of each size explain, less that of codes of one number less; in all `score_`. A size
        that is no better than a smaller one adds nothing. Where `is_pca_` it is PCA's, of all rows;
        what smaller codes of such a fit explain, `truncated` tells (`score_`).
        """
        return self._as_mean(self._explained() / (self._variance or 1.0))

    @property
    def explained_variance_(self) -> Any:
        """The variance that each number adds to what is explained: shape (n_components,).

        Its share, `explained_variance_ratio_`, of the variance of the rows of `fit`. For PCA it is
        the variance of the code.
        """
        return self._as_mean(self._explained() * self._square_unit())

    @property
    def singular_values_(self) -> Any:
        """Roots of the sums of squares that each number explains: shape (n_components,)."""
        roots = np.sqrt(self._explained() * (self.n_samples_ - 1))
        return self._as_mean(roots * self._scaling.scale)

    @property
    def noise_variance_(self) -> float:
        """The variance that is not explained, for each direction that is left.

        0 where there are as many numbers as rows or columns.
        """
        left = max(self._variance - float(self._explained().sum()), 0.0)
        n_left = min(self.n_features_in_, self.n_samples_) - self.n_components_
        return float(left / n_left * self._square_unit()) if n_left > 0 else 0.0

    def _explained(self) -> np.ndarray:
        """Return the variance that each number adds to what is explained, in scaled units."""
        check_is_fitted(self)
        if not self._is_ordered:
            raise AttributeError(
                f"The numbers of this code have no order, and none of them explains a variance of "
                f'its own. Fit {type(self).__name__} with init="pca" and code_layer=None.'
            )
        if self.is_pca_ and self._variances is not None:
            return np.array(self._variances[: self.n_components_])
        share = np.array(self._sizes["score"][: self.n_components_])
        share = np.maximum(np.minimum.accumulate(share[::-1])[::-1], 0)
        return np.diff(share, prepend=0.0) * self._variance

    def _square_unit(self) -> np.float64:
        """Return the square of the unit of the network; infinite for data of 1e200."""
        with np.errstate(over="ignore"):
            return np.square(np.float64(self._scaling.scale))

    def _as_mean(self, values: np.ndarray) -> Any:
        """Return values in the dtype of the rows of `fit`, in their namespace, on their device."""
        return like(values.astype(on_host(self.mean_).dtype), self.mean_)
