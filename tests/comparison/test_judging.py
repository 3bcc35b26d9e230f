import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae.comparison.comparing import Result, compare, split_table
from sklearn_ae.comparison.judging import judge


class OneMore(PCA):
    """Stands for a network that beats PCA: keeps one direction more than it admits."""

    def fit(self, X, y=None):
        return PCA.fit(self.set_params(n_components=self.n_components + 1), X)


class OneLess(PCA):
    """Stands for a network that loses to PCA."""

    def fit(self, X, y=None):
        return PCA.fit(self.set_params(n_components=self.n_components - 1), X)


class Rotated(PCA):
    """Stands for a network that is PCA, in the arithmetic of float32."""

    def inverse_transform(self, X):
        return super().inverse_transform(X).astype(np.float32)


@pytest.mark.parametrize(
    ("autoencoder", "denoising", "answer", "network"),
    [
        (OneMore, OneLess, "yes", "autoencoder"),
        (OneLess, OneMore, "yes", "denoising autoencoder"),
        (OneMore, PCA, "yes", "autoencoder"),
        (OneLess, OneLess, "no", "autoencoder"),
        (Rotated, OneLess, "tie", "autoencoder"),
    ],
)
def test_verdict_is_of_the_better_network(methods, autoencoder, denoising, answer, network):
    methods(autoencoder, denoising)
    split = split_table(load_digits().data)
    verdicts = judge(list(compare(split, [3, 8])))
    assert [verdict.pca.n_components for verdict in verdicts] == [3, 8]
    for verdict in verdicts:
        assert (verdict.answer, verdict.network.method) == (answer, network)
        assert verdict.winner is (verdict.network if answer == "yes" else verdict.pca)
        assert verdict.difference == pytest.approx(
            verdict.network.variance_explained - verdict.pca.variance_explained
        )


def test_rounding_is_a_tie_where_pca_is_exact(iris, methods):
    methods(Rotated, Rotated)
    (verdict,) = judge(list(compare(split_table(iris[0]), [4])))
    assert verdict.answer == "tie"


@pytest.mark.parametrize("gain", [-0.05, 0.05])
def test_a_gain_within_its_sampling_error_is_a_tie(gain):
    def verdict(spread):
        errors = np.full(100, 0.5)
        noise = np.tile([-spread, spread], 50)
        return judge(
            [
                Result(2, "PCA", None, errors, None, 0.0),
                Result(2, "autoencoder", None, errors - gain + noise, None, 0.0),
            ]
        )[0]

    assert verdict(spread=0.01).answer == ("yes" if gain > 0 else "no")
    assert verdict(spread=0.4).answer == "tie"
