"""The losses of a fit, epoch by epoch."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_ae.displays._style import OURS, PCA, axes_for, bare


class LossCurveDisplay:
    """Training and held-out loss of each epoch, with PCA's as the line to beat.

    Make it with `from_estimator`.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs,)
        Loss on the training rows, the corrupted ones of a denoising autoencoder.
    valid_loss : array-like of shape (n_epochs,) or None, default=None
        Loss on the held-out rows.
    pca_loss : float or None, default=None
        Loss of PCA on the held-out rows.
    best_iter : int or None, default=0
        Epoch whose weights are kept; 0 is the start, None where the fitted model is PCA.

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
    >>> from sklearn_ae.displays import LossCurveDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(max_iter=5, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(autoencoder)
    >>> len(display.train_loss)
    5
    """

    def __init__(
        self,
        train_loss: ArrayLike,
        *,
        valid_loss: ArrayLike | None = None,
        pca_loss: float | None = None,
        best_iter: int | None = 0,
    ):
        self.train_loss = np.asarray(train_loss, dtype=float)
        self.valid_loss = None if valid_loss is None else np.asarray(valid_loss, dtype=float)
        self.pca_loss = pca_loss
        self.best_iter = best_iter

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> "LossCurveDisplay":
        """Draw the losses of a fitted autoencoder.

        Parameters
        ----------
        estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
            Fitted, with at least one epoch.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If no epoch was trained.
        """
        check_is_fitted(estimator)
        if not estimator.loss_curve_:
            raise ValueError(
                f"This {type(estimator).__name__} trained no epoch, and has no losses to draw. "
                f"Fit with max_iter > 0 (max_iter={estimator.max_iter!r}) rows that PCA does not "
                "already rebuild."
            )
        return cls(
            estimator.loss_curve_,
            valid_loss=estimator.validation_loss_curve_,
            pca_loss=estimator._watched_pca_loss,
            # None where PCA is kept at every size.
            best_iter=None if estimator._nested is None else estimator.best_iter_,
        ).plot(ax)

    def plot(self, ax: Any = None) -> "LossCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            Itself.
        """
        ax = axes_for(self, ax)
        epochs = np.arange(1, len(self.train_loss) + 1)
        ax.plot(epochs, self.train_loss, color=OURS, alpha=0.5, linewidth=1, label="training")
        curve = self.train_loss if self.valid_loss is None else self.valid_loss
        if self.valid_loss is not None:
            ax.plot(epochs, curve, color=OURS, linewidth=2, label="held out")
        if self.pca_loss is not None:
            ax.axhline(self.pca_loss, color=PCA, linestyle="--", label="PCA, held out")
        if self.best_iter is None:
            ax.set_title("no better than PCA: the fitted model is PCA", fontsize="medium")
        elif self.best_iter > 0:
            best = curve[self.best_iter - 1]
            ax.plot(
                self.best_iter, best, "o", color=OURS, markeredgecolor="white", markersize=9,
                label=f"kept: epoch {self.best_iter}, {best:.3g}", linestyle="none",
            )  # fmt: skip
        ax.set(xlabel="epoch", ylabel="loss", xlim=(0, len(epochs) + 1))
        if min(self.train_loss.min(), curve.min()) >= 0:
            ax.set_ylim(bottom=0)
        bare(ax)
        ax.legend()
        return self
