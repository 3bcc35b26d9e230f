"""What each number of the code does to a row."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_ae._array_api import on_host
from sklearn_ae.displays._images import shape_to_draw, to_image, to_mosaic
from sklearn_ae.displays._style import axes_for, bare

# Standard deviations from the mean code to either end of a walk.
FARTHEST = 2
# Drawn if none are asked for.
FIRST_COMPONENTS = 8
# More columns than this are drawn as lines.
MOST_NAMED = 16


class ComponentsDisplay:
    """Rows decoded along each number of the code, the other numbers held at their means.

    Make it with `from_estimator`.

    Parameters
    ----------
    components : array-like of shape (n_shown,)
        Which numbers of the code are drawn.
    steps : array-like of shape (n_steps,)
        How far each is moved, in standard deviations from the mean code.
    decoded : array-like of shape (n_shown, n_steps, n_features)
        What the codes stand for.
    feature_names : sequence of str or None, default=None
        Names of the columns, drawn if these are at most 16; None numbers them.
    image_shape : tuple of 3 int or None, default=None
        Channels, height and width of the image that a row holds; None draws values.
    value_range : tuple of 2 float or None, default=None
        Values that are drawn black and white in images; None takes the extremes of `decoded`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    axes_ : list of matplotlib.axes.Axes
        The small axes inside it, one a component; for images `ax_` alone.
    figure_ : matplotlib.figure.Figure
        The figure of these axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.displays import ComponentsDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(3, max_iter=1, random_state=0).fit(X)
    >>> display = ComponentsDisplay.from_estimator(autoencoder, X, image_shape=(1, 8, 8))
    >>> display.decoded.shape
    (3, 5, 64)
    """

    def __init__(
        self,
        components: ArrayLike,
        steps: ArrayLike,
        decoded: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        value_range: tuple[float, float] | None = None,
    ):
        self.components = np.asarray(components)
        self.steps = np.asarray(steps, dtype=float)
        self.decoded = np.asarray(decoded)
        self.feature_names = None if feature_names is None else list(feature_names)
        self.image_shape = image_shape
        self.value_range = value_range

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        components: Sequence[int] | None = None,
        n_steps: int = 5,
        image_shape: ArrayLike | None = None,
        ax: Any = None,
    ) -> "ComponentsDisplay":
        """Decode codes from -2 to 2 standard deviations along each component, and draw them.

        Parameters
        ----------
        estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, whose codes have the mean and the standard deviations.
        components : sequence of int or None, default=None
            Which numbers of the code are drawn; None takes the first, at most 8.
        n_steps : int, default=5
            Codes along each, at least 2. An odd number has the mean code in the middle.
        image_shape : array-like of 3 int or None, default=None
            Channels, height and width of the image that a row holds. None takes the estimator's,
            and draws values where it has none, or one that is neither grey nor RGB.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ComponentsDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there is one row, if the codes do not have these components or are those of a hidden
            layer (`code_layer`), if `n_steps` is less than 2, or if `image_shape` does not fit the
            columns, or is of neither grey nor RGB images.
        """
        check_is_fitted(estimator)
        X = on_host(estimator._check_rows(X, "transform"))[:]
        if estimator._code_layer is not None:
            raise ValueError(
                f"code_layer={estimator._code_layer!r} makes transform return a hidden layer, "
                "along which nothing can be decoded. Fit with code_layer=None."
            )
        if X.shape[0] < 2:
            raise ValueError("X has 1 row, whose code has no deviation. Give at least 2 rows.")
        shape = shape_to_draw(estimator, image_shape)
        if not (isinstance(n_steps, Integral) and n_steps >= 2):
            raise ValueError(
                f"n_steps={n_steps!r} must be an integer of at least 2: a walk has two ends."
            )
        codes = estimator._transform(X).astype(np.float64)
        width = codes.shape[1]
        places = np.arange(min(width, FIRST_COMPONENTS)) if components is None else components
        places = _check_components(places, width)
        # In the middle exactly 0.
        steps = FARTHEST * np.arange(1 - n_steps, n_steps, 2) / (n_steps - 1)
        walks = np.tile(codes.mean(axis=0), (len(places), n_steps, 1))
        for walk, place in zip(walks, places, strict=True):
            walk[:, place] += steps * codes[:, place].std()
        decoded = estimator._decode(walks.reshape(-1, width))
        return cls(
            places,
            steps,
            decoded.reshape(len(places), n_steps, -1),
            feature_names=getattr(estimator, "feature_names_in_", None),
            image_shape=shape,
            value_range=(X.min(), X.max()),
        ).plot(ax)

    def plot(self, ax: Any = None) -> "ComponentsDisplay":
        """Draw a row of images, or small axes, for each component.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure, as large as it needs.

        Returns
        -------
        display : ComponentsDisplay
            Itself.
        """
        own = ax is None
        ax = axes_for(self, ax)
        if self.image_shape is not None:
            size = self._plot_images(ax, self.image_shape)
        elif self.decoded.shape[2] > MOST_NAMED:
            size = self._plot_profiles(ax)
        else:
            size = self._plot_dots(ax)
        if own:
            ax.figure.set_size_inches(size)
        return self

    def _plot_images(self, ax: Any, image_shape: tuple[int, int, int]) -> tuple[float, float]:
        n_shown, n_steps, n_features = self.decoded.shape
        # What is decoded beyond the values of the rows would take the contrast from the others.
        low, high = self.value_range or (self.decoded.min(), self.decoded.max())
        images = to_image(self.decoded.reshape(-1, n_features), image_shape)
        images = (images.clip(low, high) - low) / (high - low if high > low else 1)
        images = images.reshape(n_shown, n_steps, *images.shape[1:])
        mosaic = to_mosaic(images, 1.0 if image_shape[0] == 3 else np.nan)
        ax.imshow(mosaic, cmap="gray", vmin=0, vmax=1)
        height, width = mosaic.shape[0] / n_shown, mosaic.shape[1] / n_steps
        ax.set_yticks((np.arange(n_shown) + 0.5) * height - 0.5, self._titles())
        ax.set_xticks((np.arange(n_steps) + 0.5) * width - 0.5, [f"{s:.2g}" for s in self.steps])
        ax.set_xlabel("standard deviations")
        ax.tick_params(left=False, bottom=False)
        ax.spines[:].set_visible(False)
        self.axes_ = [ax]
        return 1.8 + 0.8 * n_steps, 0.8 + 0.8 * n_shown * height / width

    def _plot_profiles(self, ax: Any) -> tuple[float, float]:
        """Draw lines over the columns, one component below the other."""
        n_shown, _, n_features = self.decoded.shape
        # The first component is at the top.
        axes = [
            ax.inset_axes((0, 1 - (i + 0.9) / n_shown, 1, 0.9 / n_shown)) for i in range(n_shown)
        ]
        for small, title, rows in zip(axes, self._titles(), self.decoded, strict=True):
            for row, style in zip(rows, self._styles(), strict=True):
                small.plot(np.arange(n_features), row, linewidth=1.2, **style)
            small.set_ylabel(title, rotation=0, ha="right", va="center")
            small.set_ylim(self._limits())
            small.tick_params(labelbottom=small is axes[-1])
        axes[-1].set_xlabel("column")
        self._frame(ax, axes)
        return 8.0, 1.0 + 1.0 * n_shown

    def _plot_dots(self, ax: Any) -> tuple[float, float]:
        """Draw dots for each column, one component beside the other."""
        n_shown, _, n_features = self.decoded.shape
        axes = [ax.inset_axes((i / n_shown, 0, 0.85 / n_shown, 1)) for i in range(n_shown)]
        columns = np.arange(n_features)
        names = columns if self.feature_names is None else self.feature_names
        for small, title, rows in zip(axes, self._titles(), self.decoded, strict=True):
            small.hlines(columns, rows.min(axis=0), rows.max(axis=0), color="0.7", zorder=1)
            for row, style in zip(rows, self._styles(), strict=True):
                small.plot(row, columns, "o", **style)
            small.set_title(title, fontsize="medium")
            # The first column is at the top.
            small.set(xlim=self._limits(), ylim=(n_features - 0.5, -0.5))
            small.set_yticks(columns, names)
            small.tick_params(left=False, labelleft=small is axes[0])
            small.grid(axis="y", alpha=0.3)
        if self.feature_names is None:
            axes[0].set_ylabel("column")
        self._frame(ax, axes)
        return 3.0 + 1.6 * n_shown, 1.0 + 0.3 * n_features

    def _frame(self, ax: Any, axes: list[Any]) -> None:
        """Leave of the large axes the small ones and a legend."""
        for small in axes:
            bare(small)
        ax.set_axis_off()
        ax.legend(
            handles=[line for line in axes[0].lines if not line.get_label().startswith("_")],
            title="standard\ndeviations", loc="center left", bbox_to_anchor=(1, 0.5),
            frameon=False,
        )  # fmt: skip
        self.axes_ = axes

    def _limits(self) -> tuple[float, float]:
        """Return the same limits for all components, which so compare."""
        low, high = float(self.decoded.min()), float(self.decoded.max())
        margin = 0.05 * (high - low) or 1.0
        return low - margin, high + margin

    def _styles(self) -> list[dict[str, Any]]:
        """Return colours from light to dark, and labels of the ends and the middle."""
        from matplotlib import colormaps

        colors = colormaps["Blues"](np.linspace(0.3, 1, len(self.steps)))
        known = (self.steps.min(), 0, self.steps.max())
        return [
            {"color": color, "label": f"{step:.2g}" if step in known else None}
            for color, step in zip(colors, self.steps, strict=True)
        ]

    def _titles(self) -> list[str]:
        return [f"component {place}" for place in self.components]


def _check_components(components: Any, n_components: int) -> np.ndarray:
    """Return places in codes of this width."""
    places = np.asarray(components)
    if not (
        places.ndim == 1
        and places.dtype.kind in "iu"
        and places.size > 0
        and places.min() >= 0
        and places.max() < n_components
    ):
        raise ValueError(
            f"components={components!r} must be one or more integers from 0 to {n_components - 1} "
            "in a list, places in the codes of this estimator."
        )
    return places
