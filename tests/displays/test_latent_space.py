"""The points are the codes, and the images behind them are decoded where they lie."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X, y = X[:300], y[:300]


@pytest.fixture(scope="module")
def model():
    return AutoencoderTransformer(3, max_iter=5, random_state=0).fit(X)


def test_classes(model):
    display = LatentSpaceDisplay.from_estimator(model, X, y, components=(2, 0))
    np.testing.assert_array_equal(display.codes, model.transform(X)[:, [2, 0]])
    assert [c.get_label() for c in display.ax_.collections] == [str(name) for name in range(10)]
    for name, points in enumerate(display.ax_.collections):
        np.testing.assert_allclose(points.get_offsets(), display.codes[y == name])
    assert display.ax_.get_xlabel() == "autoencodertransformer2"


@pytest.mark.parametrize("values", [X[:, 20], np.arange(300), None])
def test_values(model, values):
    display = LatentSpaceDisplay.from_estimator(model, X, values)
    (points,) = display.ax_.collections
    np.testing.assert_allclose(points.get_offsets(), display.codes)
    if values is not None:
        np.testing.assert_array_equal(points.get_array(), values)


def test_images_lie_where_they_are_decoded(model):
    display = LatentSpaceDisplay.from_estimator(model, X, image_shape=(1, 8, 8), n_images=4)
    Z = model.transform(X)
    for row, height in ((0, Z[:, 1].max()), (3, Z[:, 1].min())):
        for column, across in ((0, Z[:, 0].min()), (3, Z[:, 0].max())):
            decoded = model.inverse_transform([[across, height, np.median(Z[:, 2])]])
            # Ten pixels with the white around an image.
            image = display.background[10 * row : 10 * row + 10, 10 * column : 10 * column + 10]
            # Black on white, as on paper.
            expected = 1 - decoded.reshape(8, 8).clip(0, 16) / 16
            np.testing.assert_allclose(image[1:-1, 1:-1], expected, atol=1e-6)
    left, right, bottom, top = display.extent
    # The middles of the outermost images are the outermost codes.
    assert left + (right - left) / 8 == pytest.approx(Z[:, 0].min())
    assert top - (top - bottom) / 8 == pytest.approx(Z[:, 1].max())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"components": (0, 3)}, r"components=\(0, 3\) must be two different numbers from 0 to 2"),
        ({"components": (1, 1)}, "two different"),
        ({"components": (0, 1, 1)}, "two different"),
        ({"y": np.arange(300).astype(str)}, "y has 300 classes"),
        ({"image_shape": (1, 8, 7)}, r"image_shape=\(1, 8, 7\)"),
        ({"image_shape": (2, 8, 4)}, "has 2 channels"),
        ({"y": y[:5]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong(model, params, message):
    with pytest.raises(ValueError, match=message):
        LatentSpaceDisplay.from_estimator(model, X, **params)


def test_images_of_a_hidden_layer(model):
    fitted = clone(model).set_params(code_layer=0, max_iter=1).fit(X)
    assert LatentSpaceDisplay.from_estimator(fitted, X).background is None
    with pytest.raises(ValueError, match=r"image_shape=\(1, 8, 8\) .* code_layer=0"):
        LatentSpaceDisplay.from_estimator(fitted, X, image_shape=(1, 8, 8))


def test_data_frames_and_styles(model):
    frame = pd.DataFrame(X)
    frame.columns = [f"pixel {i}" for i in range(64)]
    fitted = clone(model).set_output(transform="pandas").fit(frame)
    style = {"color": "black", "s": 3}
    display = LatentSpaceDisplay.from_estimator(fitted, frame, y, image_shape=(1, 8, 8), **style)
    assert display.codes.shape == (300, 2)
    assert display.ax_.collections[3].get_facecolor()[0, :3].tolist() == [0, 0, 0]


def test_colours_behind_are_between_0_and_1():
    rows = 255 * np.random.default_rng(0).random((50, 48))
    fitted = AutoencoderTransformer(2, max_iter=1, early_stopping=False).fit(rows)
    display = LatentSpaceDisplay.from_estimator(fitted, rows, image_shape=(3, 4, 4), n_images=3)
    assert display.background.shape == (18, 18, 3)
    assert 0 <= display.background.min() < display.background.max() <= 1
