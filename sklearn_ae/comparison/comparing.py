"""PCA and the autoencoders on one table: held-out rows, fits and scores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.comparison.tables import MAX_CATEGORIES, InputError

METHODS = {
    "PCA": PCA,
    "autoencoder": AutoencoderTransformer,
    "denoising autoencoder": DenoisingAutoencoderTransformer,
}
DEFAULT_SIZES = (2, 8, 32)
# A numeric target with more distinct values than this is a quantity, not a set of classes.
MAX_NUMERIC_CLASSES = 20
MIN_ROWS = 20
# What PCA tells of each component.
SPECTRA = ("explained_variance_", "explained_variance_ratio_", "singular_values_")


@dataclass(frozen=True)
class Split:
    """A table cut into a training and a held-out part, as numbers.

    Parameters
    ----------
    columns : transformer
        What turned columns into numbers, fitted on the training part.
    X_train, X_test : ndarray
        The two parts, encoded.
    y_train, y_test : ndarray or None
        Their targets.
    score_name : {"accuracy", "R2"} or None
        How codes are scored: by classification, by regression, or not at all.
    """

    columns: TransformerMixin
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray | None
    y_test: np.ndarray | None
    score_name: str | None

    @property
    def max_components(self) -> int:
        """The largest size that PCA can be fitted with and still leave a direction out."""
        return min(self.X_train.shape[1], len(self.X_train) - 1)


@dataclass(frozen=True)
class Result:
    """One method at one size.

    Parameters
    ----------
    n_components : int
        Size of the code.
    method : str
        A key of `METHODS`.
    reducer : transformer
        The fitted estimator.
    unexplained : ndarray of shape (n_held_out,)
        Squared error of each held-out row, in units of the mean squared distance of the
        held-out rows from the training mean.
    unpredicted : ndarray of shape (n_held_out,) or None
        What a simple model on the codes misses of each held-out target: 1 where the class is
        wrong; its squared error in units of the mean squared distance of the held-out targets
        from their mean. None without a target.
    fit_seconds : float
        Time of the one fit of this method, at the largest size.
    """

    n_components: int
    method: str
    reducer: TransformerMixin
    unexplained: np.ndarray
    unpredicted: np.ndarray | None
    fit_seconds: float

    @property
    def variance_explained(self) -> float:
        """Share of the held-out variance about the training mean that the codes keep."""
        return 1.0 - float(self.unexplained.mean())

    @property
    def score(self) -> float | None:
        """Accuracy or R2 of a simple model on the codes; None without a target."""
        return None if self.unpredicted is None else 1.0 - float(self.unpredicted.mean())


def split_table(
    X: Any,
    y: np.ndarray | None = None,
    *,
    scaling: bool = True,
    test_size: float = 0.25,
    random_state: int = 0,
) -> Split:
    """Hold rows out, and turn columns into numbers by what the other rows say.

    Parameters
    ----------
    X : ndarray or DataFrame of shape (n_rows, n_columns)
        Complete rows.
    y : ndarray of shape (n_rows,) or None, default=None
        The target: strings are classes, and so are few distinct whole numbers.
    scaling : bool, default=True
        Whether numeric columns are brought to unit variance.
    test_size : float, default=0.25
        Share of the rows held out.
    random_state : int, default=0
        Which rows are held out.

    Returns
    -------
    split : Split
        Both parts.

    Raises
    ------
    InputError
        If there are too few rows, or nothing that varies.
    """
    if len(X) < MIN_ROWS:
        raise InputError(f"{len(X)} complete rows are too few to hold some out; give {MIN_ROWS}")
    n_test = int(np.ceil(test_size * len(X)))
    if min(n_test, len(X) - n_test) < 2:
        raise InputError(f"--test-size {test_size} leaves fewer than two rows in a part")
    score_name = stratify = y_train = y_test = None
    if y is not None:
        score_name = _score_name(y)
        stratify = y if score_name == "accuracy" and _can_stratify(y, n_test) else None
    train, test = train_test_split(
        np.arange(len(X)), test_size=n_test, random_state=random_state, stratify=stratify
    )
    if y is not None:
        y_train, y_test = y[train], y[test]
        if score_name == "accuracy":
            _check_classes(y_train)
        elif not np.ptp(y_test):
            raise InputError(
                f"the target is {y_test[0]} in every held-out row, where R2 is not defined; raise "
                "--test-size"
            )
    columns = _columns_encoder(X, scaling)
    take = (lambda rows: X.iloc[rows]) if hasattr(X, "iloc") else (lambda rows: X[rows])
    X_train = columns.fit_transform(take(train))
    X_test = columns.transform(take(test))
    if not np.ptp(X_train, axis=0).any() or not (X_test != X_train.mean(axis=0)).any():
        raise InputError("all columns are constant; there is no variance to explain")
    return Split(columns, X_train, X_test, y_train, y_test, score_name)


def _score_name(y: np.ndarray) -> str:
    """Tell classes from quantities, and refuse a target from which nothing is learnt."""
    values = np.unique(y)
    if len(values) == 1:
        raise InputError(f"the target is {values[0]} in every row; choose one that varies")
    if y.dtype.kind == "f" and (len(values) > MAX_NUMERIC_CLASSES or (values % 1).any()):
        return "R2"
    return "accuracy"


def _check_classes(y_train: np.ndarray) -> None:
    """Refuse classes that cannot be learnt from the training rows."""
    n_classes = len(np.unique(y_train))
    if n_classes == 1:
        raise InputError("only one class is left in the training rows; lower --test-size")
    if 2 * n_classes > len(y_train):
        raise InputError(
            f"the target has {n_classes:,} classes in {len(y_train):,} training rows, as an "
            "identifier has; choose a target whose classes repeat"
        )


def _can_stratify(y: np.ndarray, n_test: int) -> bool:
    """Whether every class has two rows, and each part has room for every class."""
    counts = np.unique(y, return_counts=True)[1]
    return counts.min() >= 2 and min(n_test, len(y) - n_test) >= len(counts)


def _columns_encoder(X: Any, scaling: bool) -> TransformerMixin:
    """Scale the numbers, and spread each text column over one column a category."""
    scaler = StandardScaler(with_std=scaling)
    if not hasattr(X, "iloc"):
        return scaler
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False
    )
    return make_column_transformer(
        (scaler, make_column_selector(dtype_include="number")),
        (one_hot, make_column_selector(dtype_exclude="number")),
    )


def choose_sizes(requested: Sequence[int] | None, split: Split) -> list[int]:
    """Return the sizes to compare, in order.

    Parameters
    ----------
    requested : sequence of int or None
        What the user asked for; None takes those of `DEFAULT_SIZES` that are possible.
    split : Split
        The table.

    Returns
    -------
    sizes : list of int
        Distinct sizes, all possible.

    Raises
    ------
    InputError
        If a requested size is impossible, or no default is possible.
    """
    limit = split.max_components
    n_rows, n_columns = split.X_train.shape
    shape = f"{n_rows:,} training rows of {n_columns:,} encoded columns"
    sizes = sorted({size for size in requested or DEFAULT_SIZES if requested or size <= limit})
    if not sizes:
        raise InputError(f"there is nothing to compress: the table has {shape}")
    if sizes[-1] > limit:
        raise InputError(
            f"--components {sizes[-1]} is too large for {shape}; choose from 1 to {limit}"
        )
    return sizes


def compare(
    split: Split,
    sizes: Sequence[int],
    *,
    random_state: int = 0,
    network_params: dict[str, Any] | None = None,
    report: Callable[[str, int], None] = lambda method, n_components: None,
) -> Iterator[Result]:
    """Fit each method at the largest size, and score it at each: the first numbers of its codes.

    One after the other, because each fit is timed.

    Parameters
    ----------
    split : Split
        The table.
    sizes : sequence of int
        Sizes of the code.
    random_state : int, default=0
        Seed of every method.
    network_params : dict or None, default=None
        Further parameters of the two autoencoders.
    report : callable, default does nothing
        Called with method and size before each is scored; the first time, before the method is
        fitted.

    Yields
    ------
    result : Result
        One method at one size; sizes in the given order, methods in the order of `METHODS`.
    """
    centered = split.X_test - split.X_train.mean(axis=0)
    mean_square = (centered**2).sum(axis=1).mean()
    fits: dict[str, tuple[Any, float]] = {}
    for n_components in sizes:
        for method, estimator in METHODS.items():
            report(method, n_components)
            if method not in fits:
                params = {} if method == "PCA" else network_params or {}
                reducer = estimator(max(sizes), random_state=random_state, **params)
                start = perf_counter()
                reducer.fit(split.X_train)
                fits[method] = reducer, perf_counter() - start
            fitted, fit_seconds = fits[method]
            reducer = _truncated(fitted, n_components)
            codes = reducer.transform(split.X_test)
            errors = split.X_test - reducer.inverse_transform(codes)
            unexplained = (errors**2).sum(axis=1) / mean_square
            unpredicted = _predict_from_codes(reducer.transform(split.X_train), codes, split)
            yield Result(n_components, method, reducer, unexplained, unpredicted, fit_seconds)


def _truncated(fitted: Any, n_components: int) -> Any:
    """Return the reducer of the first numbers of the code, without fitting anew."""
    if hasattr(fitted, "truncated"):
        return fitted.truncated(n_components)
    # PCA, which has no such method.
    first = copy.copy(fitted).set_params(n_components=n_components)
    first.n_components_ = n_components
    for name in ("components_", *SPECTRA):
        setattr(first, name, getattr(fitted, name)[:n_components])
    most = min(fitted.n_features_in_, fitted.n_samples_)
    left = fitted.explained_variance_[n_components:].sum()
    left += fitted.noise_variance_ * (most - fitted.n_components_)
    first.noise_variance_ = left / max(most - n_components, 1)
    return first


def _predict_from_codes(
    codes_train: np.ndarray, codes_test: np.ndarray, split: Split
) -> np.ndarray | None:
    """Return what a simple model on the codes misses of each held-out target."""
    if split.y_train is None or split.y_test is None:
        return None
    # As many iterations as it takes: on a few standardised codes they are cheap.
    model = LogisticRegression(max_iter=10_000) if split.score_name == "accuracy" else Ridge()
    pipeline = make_pipeline(StandardScaler(), model).fit(codes_train, split.y_train)
    predicted = pipeline.predict(codes_test)
    if split.score_name == "R2":
        return (predicted - split.y_test) ** 2 / np.var(split.y_test)
    return (predicted != split.y_test).astype(float)
