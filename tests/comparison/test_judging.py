import copy

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_ae.comparison.comparing import Result, compare, split_table
from sklearn_ae.comparison.judging import judge


class OneMore(PCA):
    """Stands for a network that beats PCA: keeps one direction more than it admits."""

    more = 1

    def fit(self, X, y=None):
        return PCA.fit(self.set_params(n_components=self.n_components + self.more), X)

    def truncated(self, n_components):
        first = copy.copy(self)
        first.components_ = self.components_[: n_components + self.more]
        return first


class OneLess(OneMore):
    """Stands for a network that loses to PCA."""

    more = -1


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


def result(method, unexplained, unpredicted=None):
    return Result(2, method, None, np.asarray(unexplained), unpredicted, 0.0)


@pytest.mark.parametrize("by_target", [False, True])
@pytest.mark.parametrize("gain", [-0.05, 0.05])
def test_a_gain_within_its_sampling_error_is_a_tie(gain, by_target):
    def verdict(spread):
        errors = np.full(100, 0.5), np.full(100, 0.5) - gain + np.tile([-spread, spread], 50)
        rest = [(np.full(100, 0.2), error) if by_target else (error,) for error in errors]
        return judge([result("PCA", *rest[0]), result("autoencoder", *rest[1])])[0]

    assert verdict(spread=0.01).answer == ("yes" if gain > 0 else "no")
    assert verdict(spread=0.4).answer == "tie"


@pytest.mark.parametrize("by_target", [False, True])
def test_a_negligible_gain_is_a_tie_however_certain(by_target):
    def verdict(share):
        errors = np.full(100, 0.5), np.full(100, 0.5 * (1 - share))
        rest = [(np.full(100, 0.2), error) if by_target else (error,) for error in errors]
        return judge([result("PCA", *rest[0]), result("autoencoder", *rest[1])])[0]

    assert verdict(share=0.005).answer == "tie"
    assert verdict(share=0.02).answer == "yes"


def wrong(n_wrong, n=100):
    """Return errors of a classifier that is wrong in the first rows."""
    return (np.arange(n) < n_wrong).astype(float)


@pytest.mark.parametrize(
    ("pca_wrong", "network_wrong", "answer"), [(10, 30, "no"), (30, 10, "yes"), (10, 11, "tie")]
)
@pytest.mark.parametrize("pca_unexplained", [0.8, 0.1])
def test_the_target_decides_whatever_the_variance_says(
    pca_wrong, network_wrong, answer, pca_unexplained
):
    pca = result("PCA", np.full(100, pca_unexplained), wrong(pca_wrong))
    network = result("autoencoder", np.full(100, 0.3), wrong(network_wrong))
    (verdict,) = judge([pca, network])
    assert verdict.answer == answer
    assert verdict.winner is (network if answer == "yes" else pca)
    assert verdict.difference == pytest.approx(network.score - pca.score)


def test_with_a_target_the_network_of_the_better_score_is_put_forward():
    pca = result("PCA", np.full(100, 0.5), wrong(20))
    explains = result("autoencoder", np.full(100, 0.1), wrong(30))
    predicts = result("denoising autoencoder", np.full(100, 0.4), wrong(10))
    (verdict,) = judge([pca, explains, predicts])
    assert verdict.network is predicts
    same_score = result("autoencoder", np.full(100, 0.1), wrong(10))
    for networks in ([same_score, predicts], [predicts, same_score]):
        assert judge([pca, *networks])[0].network is same_score


@pytest.mark.parametrize("by_target", [False, True])
def test_chance_says_yes_less_than_once_in_twenty(by_target):
    """No method is better here, and the luckier of two networks is put forward."""
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(2000):
        # Paired: a third of the rows is hard for every method.
        errors = (rng.random((3, 400)) < rng.choice([0.1, 0.7], p=[2 / 3, 1 / 3], size=400)) * 1.0
        rest = [(np.full(400, 0.2), error) if by_target else (error,) for error in errors]
        results = [result(method, *r) for method, r in zip("PAD", rest, strict=True)]
        answers.append(judge(results)[0].answer)
    assert 0.03 < np.mean(np.array(answers) == "yes") < 0.05
    assert np.mean(np.array(answers) == "no") < 0.02


class Foreseeing(PCA):
    """Stands for a network that explains little, but whose first number foretells the target."""

    def fit(self, X, y=None):
        return super().fit(X[:, ::-1] * [1e3, 1, 1, 1, 1, 1])

    def transform(self, X):
        return super().transform(X[:, ::-1] * [1e3, 1, 1, 1, 1, 1])

    def inverse_transform(self, X):
        return (super().inverse_transform(X) / [1e3, 1, 1, 1, 1, 1])[:, ::-1]


@pytest.mark.parametrize("score_name", ["accuracy", "R2"])
def test_from_rows_to_a_verdict_by_the_target(methods, score_name):
    """The target is told by a column that PCA leaves out, as it varies least."""
    X = np.random.default_rng(0).normal(size=(400, 6)) * [9, 9, 9, 9, 9, 1]
    y = X[:, 5] if score_name == "R2" else np.where(X[:, 5] > 0, "more", "less")
    methods(Foreseeing, OneMore)
    by_target, by_variance = (
        judge(list(compare(split_table(X, target, scaling=False), [2])))[0] for target in (y, None)
    )
    assert (by_target.answer, by_target.network.method) == ("yes", "autoencoder")
    assert by_target.network.score > 0.95 > 0.7 > by_target.pca.score
    assert by_target.network.variance_explained < by_target.pca.variance_explained
    assert (by_variance.answer, by_variance.network.method) == ("yes", "denoising autoencoder")


@pytest.mark.parametrize("score_name", ["accuracy", "R2"])
def test_explaining_more_is_no_gain_where_it_predicts_the_same(methods, score_name):
    """The target is told by the first direction, which all methods keep."""
    X = np.random.default_rng(0).normal(size=(400, 6)) * [9, 1, 1, 1, 1, 1]
    noisy = X[:, 0] + np.random.default_rng(1).normal(size=400)
    y = noisy if score_name == "R2" else np.where(noisy > 0, "more", "less")
    methods(OneMore, OneMore)
    by_target, by_variance = (
        judge(list(compare(split_table(X, target, scaling=False), [2])))[0] for target in (y, None)
    )
    assert (by_target.answer, by_variance.answer) == ("tie", "yes")
    assert by_target.winner is by_target.pca
