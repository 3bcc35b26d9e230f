"""Rows and what is rebuilt of them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from sklearn_ae._array_api import on_host
from sklearn_ae._rows import dense
from sklearn_ae.displays import _style as style
from sklearn_ae.displays._images import shape_to_draw, to_image, to_mosaic
from sklearn_ae.displays._style import axes_for, bare

COLORS = {
    "original": {"color": "black", "linewidth": 1},
    "corrupted": {"color": style.CORRUPTED, "linewidth": 0, "marker": ".", "markersize": 4},
    "PCA": {"color": style.PCA, "linestyle": "--", "linewidth": 1.5},
    "autoencoder": {"color": style.OURS, "linewidth": 1.5},
}


class ReconstructionDisplay:
    """Rows, what is seen of them, and what autoencoder and PCA rebuild from their codes.

    Make it with `from_estimator`.

    Parameters
    ----------
    original : array-like of shape (n_rows, n_features)
        The rows.
    reconstruction : array-like of shape (n_rows, n_features)
        What the autoencoder makes of them.
    corrupted : array-like of shape (n_rows, n_features) or None, default=None
        What autoencoder and PCA were given in place of the rows.
    pca_reconstruction : array-like of shape (n_rows, n_features) or None, default=None
        What PCA makes of them.
    image_shape : tuple of 3 int or None, default=None
        Channels, height and width of the image that a row holds; None draws profiles.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        The figure of these axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.displays import ReconstructionDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(max_iter=1, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(1, 8, 8))
    >>> display.reconstruction.shape
    (8, 64)
    """

    def __init__(
        self,
        original: ArrayLike,
        reconstruction: ArrayLike,
        *,
        corrupted: ArrayLike | None = None,
        pca_reconstruction: ArrayLike | None = None,
        image_shape: tuple[int, int, int] | None = None,
    ):
        self.original = np.asarray(original)
        self.reconstruction = np.asarray(reconstruction)
        self.corrupted = None if corrupted is None else np.asarray(corrupted)
        self.pca_reconstruction = (
            None if pca_reconstruction is None else np.asarray(pca_reconstruction)
        )
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_rows: int = 8,
        pca: PCA | None = None,
        image_shape: ArrayLike | None = None,
        random_state: Any = 0,
        ax: Any = None,
    ) -> "ReconstructionDisplay":
        """Rebuild the first rows, and draw them.

        A denoising autoencoder is given corrupted rows, and so is PCA.

        Parameters
        ----------
        estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, the first of which are drawn.
        n_rows : int, default=8
            How many of them.
        pca : sklearn.decomposition.PCA or None, default=None
            Fitted, best to the rows that the autoencoder was fitted to; None draws none.
        image_shape : array-like of 3 int or None, default=None
            Channels, height and width of the image that a row holds. None takes the estimator's,
            and draws profiles where it has none, or one that is neither grey nor RGB.
        random_state : int, RandomState instance or None, default=0
            Seeds the corruption.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ReconstructionDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `image_shape` does not fit the columns, or is of neither grey nor RGB images.
        """
        check_is_fitted(estimator)
        X = on_host(estimator._check_rows(X, "reconstruct"))[:]
        shown = dense(X[:n_rows])
        shape = shape_to_draw(estimator, image_shape)
        corrupted = None
        if hasattr(estimator, "corrupt"):
            # Cells are swapped among more rows than are drawn.
            donors = dense(X[: max(n_rows, 1_000)])
            corrupted = estimator._corrupt(donors, random_state)[:n_rows]
        seen = shown if corrupted is None else corrupted
        return cls(
            shown,
            estimator._reconstruct(seen),
            corrupted=corrupted,
            pca_reconstruction=(
                None if pca is None else pca.inverse_transform(np.asarray(pca.transform(seen)))
            ),
            image_shape=shape,
        ).plot(ax)

    def plot(self, ax: Any = None) -> "ReconstructionDisplay":
        """Draw the rows: images one below the other, or profiles over one another.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : ReconstructionDisplay
            Itself.
        """
        kinds = {
            "original": self.original,
            "corrupted": self.corrupted,
            "autoencoder": self.reconstruction,
            "PCA": self.pca_reconstruction,
        }
        ax = axes_for(self, ax)
        found = {name: rows for name, rows in kinds.items() if rows is not None}
        if self.image_shape is None:
            self._plot_profiles(ax, found)
        else:
            self._plot_images(ax, found, self.image_shape)
        return self

    def _plot_images(self, ax: Any, kinds: dict, image_shape: tuple[int, int, int]) -> None:
        # What is rebuilt beyond the values of the rows would take the contrast from the others.
        low, high = self.original.min(), self.original.max()
        images = np.stack([to_image(rows, image_shape) for rows in kinds.values()])
        images = (images.clip(low, high) - low) / (high - low if high > low else 1)
        mosaic = to_mosaic(images, 1.0 if image_shape[0] == 3 else np.nan)
        ax.imshow(mosaic, cmap="gray", vmin=0, vmax=1)
        height = len(mosaic) / len(kinds)
        ax.set_yticks((np.arange(len(kinds)) + 0.5) * height - 0.5, list(kinds))
        ax.set_xticks([])
        ax.tick_params(left=False)
        ax.spines[:].set_visible(False)

    def _plot_profiles(self, ax: Any, kinds: dict) -> None:
        spread = float(np.ptp(self.original)) or 1.0
        columns = np.arange(self.original.shape[1])
        for name, rows in kinds.items():
            for i, row in enumerate(rows):
                # The first row is at the top.
                moved = row - 1.1 * spread * i
                ax.plot(columns, moved, label=name if i == 0 else None, **COLORS[name])
        ax.set(xlabel="column", yticks=[])
        bare(ax)
        ax.spines["left"].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(kinds), frameon=False)
