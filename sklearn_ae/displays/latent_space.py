"""Codes as points, coloured by what is known of the rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_ae._array_api import on_host
from sklearn_ae.displays._images import check_image_shape, to_image, to_mosaic
from sklearn_ae.displays._style import OURS, axes_for, bare

# More classes than this do not get a colour each.
MOST_CLASSES = 20


class LatentSpaceDisplay:
    """Two code dimensions of each row, coloured by class or by value.

    Make it with `from_estimator`.

    Parameters
    ----------
    codes : array-like of shape (n_samples, 2)
        Where the rows lie.
    y : array-like of shape (n_samples,) or None, default=None
        Classes, or values if they are floats or more than 20 numbers.
    names : sequence of 2 str, default=("code 0", "code 1")
        Labels of the axes.
    background : array-like of shape (height, width) or (height, width, 3) or None, default=None
        Decoded points, each an image, side by side in their order in the plane.
    extent : tuple of 4 float or None, default=None
        Where the background lies: left, right, bottom, top.

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
    >>> from sklearn_ae.displays import LatentSpaceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(max_iter=5, random_state=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(autoencoder, X, y)
    >>> display.codes.shape
    (150, 2)
    """

    def __init__(
        self,
        codes: ArrayLike,
        *,
        y: ArrayLike | None = None,
        names: Sequence[str] = ("code 0", "code 1"),
        background: ArrayLike | None = None,
        extent: tuple[float, float, float, float] | None = None,
    ):
        self.codes = np.asarray(codes)
        self.y = None if y is None else np.asarray(y)
        self.names = tuple(names)
        self.background = None if background is None else np.asarray(background)
        self.extent = extent

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        components: tuple[int, int] = (0, 1),
        image_shape: ArrayLike | None = None,
        n_images: int = 10,
        ax: Any = None,
        **kwargs: Any,
    ) -> "LatentSpaceDisplay":
        """Encode rows, and draw two numbers of each code.

        Parameters
        ----------
        estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
            Fitted, with at least two components.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            Classes or values, for the colours.
        components : tuple of 2 int, default=(0, 1)
            Which numbers of the code are drawn.
        image_shape : array-like of 3 int or None, default=None
            Channels, height and width of the image that a row holds. If given, a grid of points is
            decoded, and lies behind the codes as images. The other numbers of their codes are the
            medians.
        n_images : int, default=10
            How many images the grid has in a row and in a column.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's ``scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the codes do not have these components, if there is not one `y` a row or there are
            more than 20 classes that are no numbers, or if `image_shape` does not fit the columns
            or is given though the codes are those of a hidden layer (`code_layer`).
        """
        check_is_fitted(estimator)
        if image_shape is not None and estimator._code_layer is not None:
            raise ValueError(
                f"image_shape={image_shape!r} asks for images of codes, but with "
                f"code_layer={estimator._code_layer!r} they are those of a hidden layer, which "
                "cannot be decoded. Leave out image_shape, or fit with code_layer=None."
            )
        X = on_host(estimator._check_rows(X, "transform"))[:]
        codes = estimator._transform(X)
        inside = all(0 <= c < codes.shape[1] for c in components)
        if not (inside and len(components) == len(set(components)) == 2):
            raise ValueError(
                f"components={components!r} must be two different numbers from 0 to "
                f"{codes.shape[1] - 1}, places in the codes of this estimator."
            )
        if y is not None:
            check_consistent_length(X, y)
        drawn = codes[:, list(components)]
        background, extent = None, None
        if image_shape is not None:
            shape = check_image_shape(image_shape, estimator.n_features_in_)
            low, high = drawn.min(axis=0), drawn.max(axis=0)
            across, up = (np.linspace(low[i], high[i], n_images) for i in (0, 1))
            # The first row of images is at the top.
            points = np.stack(np.meshgrid(across, up[::-1]), axis=-1).reshape(-1, 2)
            grid = np.tile(np.median(codes, axis=0), (len(points), 1))
            grid[:, list(components)] = points
            # What is decoded beyond the values of the rows would take the contrast from the rest.
            least, most = X.min(), X.max()
            with config_context(array_api_dispatch=False):
                decoded = estimator.inverse_transform(grid).clip(least, most) - least
            images = to_image(decoded / (most - least if most > least else 1), shape)
            images = images.reshape(n_images, n_images, *images.shape[1:])
            # Grey images are drawn on paper, black what is high.
            background = to_mosaic(images if shape[0] == 3 else 1 - images, 1.0)
            half = (high - low) / (n_images - 1) / 2 if n_images > 1 else (high - low) / 2
            extent = (
                float(low[0] - half[0]), float(high[0] + half[0]),
                float(low[1] - half[1]), float(high[1] + half[1]),
            )  # fmt: skip
        names = [str(name) for name in estimator.get_feature_names_out()[list(components)]]
        display = cls(drawn, y=y, names=names, background=background, extent=extent)
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> "LatentSpaceDisplay":
        """Draw the codes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            Passed to matplotlib's ``scatter``.

        Returns
        -------
        display : LatentSpaceDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        from matplotlib import colormaps

        behind = self.background is not None
        if behind:
            ax.imshow(self.background, extent=self.extent, cmap="gray", alpha=0.5, aspect="auto")
        # A white edge keeps points apart where there are few of them.
        many = len(self.codes) > 500
        style: dict[str, Any] = {"s": 10 if many else 25, "linewidths": 0 if many else 0.5}
        style |= {"edgecolors": "white", "alpha": 0.8, **kwargs}
        if self.y is None:
            ax.scatter(*self.codes.T, **{"color": OURS, **style})
        elif (classes := self._classes()) is not None:
            colors = colormaps["tab10" if len(classes) <= 10 else "tab20"](range(len(classes)))
            for name, color in zip(classes, colors, strict=True):
                points = self.codes[self.y == name]
                ax.scatter(*points.T, **{"color": color, "label": str(name), **style})
            ax.legend(
                markerscale=2 if many else 1, loc="center left", bbox_to_anchor=(1, 0.5),
                frameon=False,
            )  # fmt: skip
        else:
            drawn = ax.scatter(*self.codes.T, **{"c": self.y, **style})
            ax.figure.colorbar(drawn, ax=ax)
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        bare(ax)
        return self

    def _classes(self) -> np.ndarray | None:
        """Return the classes in `y`, None where it holds values."""
        if self.y is None or self.y.dtype.kind == "f":
            return None
        classes = np.unique(self.y)
        if len(classes) <= MOST_CLASSES:
            return classes
        if self.y.dtype.kind not in "iu":
            raise ValueError(
                f"y has {len(classes)} classes, and {MOST_CLASSES} can be told apart by colour. "
                "Give rows of fewer classes, or numbers."
            )
        return None
