"""What the tests of the comparison share: a table, and quick methods."""

import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from sklearn_ae.comparison import comparing


@pytest.fixture
def methods(monkeypatch):
    """Replace the two slow estimators."""

    def replace(autoencoder, denoising):
        methods = {
            "PCA": PCA,
            "autoencoder": autoencoder,
            "denoising autoencoder": denoising,
        }
        monkeypatch.setattr(comparing, "METHODS", methods)

    replace(PCA, PCA)
    return replace


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)
