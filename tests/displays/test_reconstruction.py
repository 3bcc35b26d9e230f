"""What is drawn is what estimator and PCA make of what they are given."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.displays import ReconstructionDisplay

X = load_digits().data[:300]


def mosaic_cells(display, n_down, n_across):
    """Return the images that were drawn, without the white around them."""
    drawn = np.asarray(display.ax_.images[0].get_array())
    height, width = drawn.shape[0] // n_down, drawn.shape[1] // n_across
    cells = drawn.reshape(n_down, height, n_across, width, *drawn.shape[2:]).swapaxes(1, 2)
    return cells[:, :, 1:-1, 1:-1]


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_images(container):
    model = AutoencoderTransformer(4, max_iter=3, random_state=0).fit(X)
    pca = PCA(4).fit(X)
    display = ReconstructionDisplay.from_estimator(
        model, container(X), image_shape=(1, 8, 8), n_rows=5, pca=pca
    )
    expected = pca.inverse_transform(pca.transform(X[:5]))
    np.testing.assert_allclose(display.pca_reconstruction, expected, atol=1e-6)
    np.testing.assert_allclose(display.reconstruction, model.reconstruct(X[:5]), atol=1e-6)
    rows = [X[:5], display.reconstruction, display.pca_reconstruction]
    for cells, images in zip(mosaic_cells(display, 3, 5), rows, strict=True):
        found = images.reshape(5, 8, 8).clip(0, 16) / 16
        np.testing.assert_allclose(cells, found, atol=1e-6)
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == ["original", "autoencoder", "PCA"]


def test_colours():
    rows = np.random.default_rng(0).random((60, 3 * 4 * 5))
    model = AutoencoderTransformer(
        2, encoder="conv", image_shape=(3, 4, 5), hidden_layer_sizes=(4,), max_iter=1
    ).fit(rows)
    # The estimator knows the shape of the image.
    display = ReconstructionDisplay.from_estimator(model, rows, n_rows=2)
    low, high = rows[:2].min(), rows[:2].max()
    image = (rows[0].reshape(3, 4, 5).transpose(1, 2, 0) - low) / (high - low)
    np.testing.assert_allclose(mosaic_cells(display, 2, 2)[0, 0], image)


def test_a_denoiser_is_shown_corrupted_rows():
    model = DenoisingAutoencoderTransformer(4, corruption="masking", max_iter=3).fit(X)
    display = ReconstructionDisplay.from_estimator(model, X, pca=PCA(4).fit(X), random_state=3)
    corrupted = model.corrupt(X, random_state=3)[:8]
    np.testing.assert_array_equal(display.corrupted, corrupted)
    np.testing.assert_allclose(display.reconstruction, model.reconstruct(corrupted), atol=1e-6)
    lines = display.ax_.lines
    assert len(lines) == 4 * 8
    # The last of each kind is the lowest.
    assert lines[7].get_ydata().max() < lines[0].get_ydata().min()


@pytest.mark.parametrize("image_shape", [(1, 1, 64), (4, 4, 4)])
def test_shapes_that_are_no_pictures_are_profiles(image_shape):
    model = AutoencoderTransformer(
        2, encoder="conv", image_shape=image_shape, hidden_layer_sizes=(4,), max_iter=1
    ).fit(X)
    ax = ReconstructionDisplay.from_estimator(model, X, n_rows=3).ax_
    assert len(ax.lines) == 2 * 3
