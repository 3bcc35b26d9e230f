"""What is drawn is decoded where one number of the mean code is moved."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.displays import ComponentsDisplay

X = load_digits().data[:300]


@pytest.fixture(scope="module")
def model():
    return AutoencoderTransformer(3, max_iter=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def table():
    """Return an autoencoder of a table with few columns, and the table."""
    frame = load_iris(as_frame=True).data
    model = AutoencoderTransformer(2, max_iter=3, random_state=0).set_output(transform="pandas")
    return model.fit(frame), frame


def walk(model, rows, component, deviations):
    """Decode the mean code of rows with one number moved."""
    Z = model.transform(rows)
    code = Z.mean(axis=0)
    code[component] += deviations * np.std(Z[:, component])
    return model.inverse_transform([code])[0]


def mosaic_cells(display):
    """Return the images that were drawn, without the white around them."""
    drawn = np.asarray(display.ax_.images[0].get_array())
    n_down, n_across = display.decoded.shape[:2]
    height, width = drawn.shape[0] // n_down, drawn.shape[1] // n_across
    cells = drawn.reshape(n_down, height, n_across, width, *drawn.shape[2:]).swapaxes(1, 2)
    return cells[:, :, 1:-1, 1:-1]


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_walks(make_estimator, container, whiten):
    model = make_estimator(3, whiten=whiten, max_iter=3, random_state=0).fit(X)
    rows = X[:80]
    display = ComponentsDisplay.from_estimator(model, container(rows), n_steps=4)
    np.testing.assert_allclose(display.steps, [-2, -2 / 3, 2 / 3, 2])
    assert display.components.tolist() == [0, 1, 2]
    assert display.decoded.shape == (3, 4, 64)
    for component, shown in enumerate(display.decoded):
        for step, row in zip(display.steps, shown, strict=True):
            np.testing.assert_allclose(row, walk(model, rows, component, step), atol=1e-6)


def test_whitening_changes_nothing(model):
    whitened = clone(model).set_params(whiten=True).fit(X)
    one, other = (ComponentsDisplay.from_estimator(m, X).decoded for m in (model, whitened))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_pca_is_walked_along_its_components():
    noise = np.random.default_rng(0).normal(size=(60, 6))
    model = AutoencoderTransformer(2, max_iter=4, random_state=0).fit(noise)
    assert model.is_pca_
    display = ComponentsDisplay.from_estimator(model, noise, n_steps=3)
    pca = PCA(2).fit(noise)
    # The training rows' mean code is the origin, and scikit-learn divides by n - 1.
    deviations = np.sqrt(pca.explained_variance_ * 59 / 60)
    for component, (low, middle, high) in enumerate(display.decoded):
        np.testing.assert_allclose(middle, noise.mean(axis=0), atol=1e-6)
        moved = 2 * deviations[component] * model.components_[component]
        np.testing.assert_allclose(high - middle, moved, atol=1e-5)
        np.testing.assert_allclose(low - middle, -moved, atol=1e-5)


def test_chosen_components(model):
    every = ComponentsDisplay.from_estimator(model, X)
    chosen = ComponentsDisplay.from_estimator(model, X, components=[2, 0])
    np.testing.assert_allclose(chosen.decoded, every.decoded[[2, 0]], atol=1e-9)
    assert [ax.get_ylabel() for ax in chosen.axes_] == ["component 2", "component 0"]
    # All walks pass the mean code.
    np.testing.assert_allclose(every.decoded[:, 2], every.decoded[[0, 0, 0], 2], atol=1e-6)


def test_eight_components_at_most_by_default():
    model = AutoencoderTransformer(10, max_iter=0).fit(X)
    assert ComponentsDisplay.from_estimator(model, X).components.tolist() == list(range(8))
    assert ComponentsDisplay.from_estimator(model, X, components=range(10)).decoded.shape[0] == 10


def test_images(model):
    display = ComponentsDisplay.from_estimator(model, X, image_shape=(1, 8, 8))
    # What lies beyond the values of the rows is black or white.
    expected = display.decoded.reshape(3, 5, 8, 8).clip(X.min(), X.max()) / X.max()
    np.testing.assert_allclose(mosaic_cells(display), expected, atol=1e-6)
    assert display.axes_ == [display.ax_]
    for axis, labels in {
        display.ax_.yaxis: ["component 0", "component 1", "component 2"],
        display.ax_.xaxis: ["-2", "-1", "0", "1", "2"],
    }.items():
        assert [label.get_text() for label in axis.get_ticklabels()] == labels
        # In the middles of ten pixels each.
        np.testing.assert_allclose(axis.get_ticklocs(), 10 * np.arange(len(labels)) + 4.5)


def test_colours():
    rows = 255 * np.random.default_rng(0).random((60, 3 * 4 * 5))
    model = AutoencoderTransformer(
        2, encoder="conv", image_shape=(3, 4, 5), hidden_layer_sizes=(4,), max_iter=1
    ).fit(rows)
    # The estimator knows the shape of the image.
    display = ComponentsDisplay.from_estimator(model, rows)
    low, high = rows.min(), rows.max()
    image = display.decoded[1, 4].reshape(3, 4, 5).transpose(1, 2, 0)
    expected = (image.clip(low, high) - low) / (high - low)
    np.testing.assert_allclose(mosaic_cells(display)[1, 4], expected)


def test_decoded_values_are_the_range_where_none_is_given():
    decoded = np.arange(16.0).reshape(2, 2, 4)
    display = ComponentsDisplay([0, 1], [-2, 2], decoded, image_shape=(1, 2, 2)).plot()
    np.testing.assert_allclose(mosaic_cells(display), decoded.reshape(2, 2, 2, 2) / 15)


def test_profiles(model):
    display = ComponentsDisplay.from_estimator(model, X)
    assert len(display.axes_) == 3
    for ax, rows in zip(display.axes_, display.decoded, strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], rows)
        brightness = [sum(line.get_color()[:3]) for line in ax.lines]
        assert brightness == sorted(brightness, reverse=True)
        assert ax.get_ylim() == display.axes_[0].get_ylim()
    # The first is at the top.
    heights = [ax.get_position().y0 for ax in display.axes_]
    assert heights == sorted(heights, reverse=True)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["-2", "0", "2"]


def test_few_columns_have_their_names(table):
    model, frame = table
    display = ComponentsDisplay.from_estimator(model, frame, n_steps=3)
    first, second = display.axes_
    for ax, rows in zip(display.axes_, display.decoded, strict=True):
        for dots, row in zip(ax.lines, rows, strict=True):
            np.testing.assert_array_equal(dots.get_xdata(), row)
            np.testing.assert_array_equal(dots.get_ydata(), np.arange(4))
        assert ax.get_xlim() == first.get_xlim()
        # The first column is at the top.
        assert ax.yaxis_inverted()
    assert [label.get_text() for label in first.get_yticklabels()] == frame.columns.tolist()
    assert first.get_position().x1 < second.get_position().x0


def test_few_columns_without_names_are_numbered(table):
    model = clone(table[0]).fit(table[1].to_numpy())
    ax = ComponentsDisplay.from_estimator(model, table[1].to_numpy()).axes_[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2", "3"]
    assert ax.get_ylabel() == "column"


def test_many_columns_with_names_are_lines():
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = AutoencoderTransformer(2, max_iter=0).fit(frame)
    display = ComponentsDisplay.from_estimator(model, frame)
    np.testing.assert_array_equal(display.axes_[1].lines[4].get_ydata(), display.decoded[1, 4])


def test_rows_that_are_all_the_same_can_be_drawn(model, table):
    for fitted, row in ((model, np.repeat(X[:1], 2, axis=0)), (table[0], table[1].iloc[[0, 0]])):
        display = ComponentsDisplay.from_estimator(fitted, row)
        np.testing.assert_allclose(np.ptp(display.decoded, axis=(0, 1)), 0, atol=1e-6)
        display.figure_.draw_without_rendering()


def test_given_axes_keep_the_size_of_their_figure(model):
    figure = Figure(figsize=(3, 2))
    display = ComponentsDisplay.from_estimator(model, X, ax=figure.subplots())
    assert display.figure_ is figure
    assert figure.get_size_inches().tolist() == [3, 2]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"components": [0, 3]}, r"components=\[0, 3\] must be one or more integers from 0 to 2"),
        ({"components": [-1]}, r"components=\[-1\] must be"),
        ({"components": 1}, r"components=1 must be .* in a list"),
        ({"components": []}, r"components=\[\] must be"),
        ({"components": [0.5]}, r"components=\[0\.5\] must be"),
        ({"components": [True]}, r"components=\[True\] must be"),
        ({"n_steps": 1}, "n_steps=1 must be an integer of at least 2"),
        ({"n_steps": 2.5}, r"n_steps=2\.5 must be"),
        ({"image_shape": (1, 8, 7)}, r"image_shape=\(1, 8, 7\)"),
        ({"image_shape": (2, 8, 4)}, "has 2 channels"),
    ],
)
def test_wrong(model, params, message):
    with pytest.raises(ValueError, match=message):
        ComponentsDisplay.from_estimator(model, X, **params)


def test_a_hidden_layer_is_not_decoded():
    model = AutoencoderTransformer(2, code_layer=0, max_iter=1).fit(X)
    with pytest.raises(ValueError, match=r"code_layer=0.*Fit with code_layer=None"):
        ComponentsDisplay.from_estimator(model, X)


def test_one_row_has_no_deviation():
    model = AutoencoderTransformer(2, max_iter=1).fit(X)
    with pytest.raises(ValueError, match="X has 1 row"):
        ComponentsDisplay.from_estimator(model, X[:1])
