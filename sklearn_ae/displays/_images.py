"""Rows as images."""

from typing import Any

import numpy as np

from sklearn_ae._parameters import image_size


def check_image_shape(image_shape: Any, n_features: int) -> tuple[int, int, int]:
    """Return the channels, height and width of the images that rows hold.

    Raises
    ------
    ValueError
        If they do not fit the columns, or are of neither grey nor RGB images.
    """
    shape = image_size(image_shape, n_features)
    if shape[0] not in (1, 3):
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[0]} channels; grey images (1) and RGB images "
            "(3) can be drawn."
        )
    return shape


def shape_to_draw(estimator: Any, image_shape: Any) -> tuple[int, int, int] | None:
    """Return the shape of the images that are drawn, or None where rows are no images.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    image_shape : array-like of 3 int or None
        As a user gave it; None takes the estimator's.
    """
    if image_shape is not None:
        return check_image_shape(image_shape, estimator.n_features_in_)
    if estimator.image_shape is None:
        return None
    own = image_size(estimator.image_shape, estimator.n_features_in_)
    # Others are better drawn as profiles.
    return own if own[0] in (1, 3) and min(own[1:]) > 1 else None


def to_image(rows: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return rows ``(n, columns)`` as images, ``(n, height, width)`` and RGB last."""
    images = rows.reshape(-1, *image_shape)
    return images[:, 0] if image_shape[0] == 1 else images.transpose(0, 2, 3, 1)


def to_mosaic(images: np.ndarray, white: float) -> np.ndarray:
    """Lay images ``(n_down, n_across, height, width, ...)`` side by side, with white between."""
    gap = max(images.shape[2] // 14, 1)
    widths = [(0, 0), (0, 0), (gap, gap), (gap, gap)] + [(0, 0)] * (images.ndim - 4)
    images = np.pad(images, widths, constant_values=white)
    n_down, n_across, height, width, *colour = images.shape
    return images.swapaxes(1, 2).reshape(n_down * height, n_across * width, *colour)
