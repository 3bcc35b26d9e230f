import numpy as np
import pytest

from sklearn_ae.comparison.comparing import METHODS, Result, split_table
from sklearn_ae.comparison.judging import Verdict
from sklearn_ae.comparison.tables import Table
from sklearn_ae.comparison.text import setting_text, verdicts_text


def verdict(n_components, answer, method="autoencoder", score=0.784):
    pca = Result(n_components, "PCA", None, np.full(50, 0.4), np.full(50, 1 - 0.813), 0.0)
    network = Result(n_components, method, None, np.full(50, 0.25), np.full(50, 1 - score), 0.0)
    return Verdict(answer, pca, network, score - 0.813, 0.0061)


@pytest.mark.parametrize("score_name", ["accuracy", "R2"])
def test_with_a_target_both_numbers_are_said_and_the_judged_one_first(score_name):
    text = verdicts_text([verdict(8, "no")], score_name)
    assert text.startswith(f"Is an autoencoder better than PCA here, by {score_name} on the codes?")
    said = [f"no: at 8 components {score_name} is 0.784", "0.813", "-0.029 +/- 0.006", "75.00 %"]
    assert [text.index(part) for part in said] == sorted(text.index(part) for part in said)
    assert "PCA 60.00 %" in text
    assert "Take PCA at 8 components." in text.splitlines()


def test_without_a_target_no_score_is_said():
    text = verdicts_text([verdict(1, "yes")], None)
    assert "by variance explained?" in text
    assert "yes: at 1 component the autoencoder explains 75.00 % of held-out variance" in text
    assert "0.784" not in text


def test_what_to_take_is_said_for_every_size():
    verdicts = [
        verdict(1, "tie"),
        verdict(2, "yes", "denoising autoencoder"),
        verdict(8, "no"),
        verdict(16, "tie"),
        verdict(32, "yes"),
    ]
    assert (
        "Take PCA at 1, 8 and 16 components, the denoising autoencoder at 2 components, "
        "the autoencoder at 32 components."
    ) in " ".join(verdicts_text(verdicts, "R2").split())


@pytest.mark.parametrize("score_name", [None, "accuracy", "R2"])
def test_lines_fit_a_terminal(score_name):
    longest = max(METHODS, key=len)
    verdicts = [verdict(size, "tie", longest) for size in (2, 8, 1024)]
    verdicts += [verdict(2, "yes", method) for method in METHODS]
    text = verdicts_text(verdicts, score_name)
    assert max(map(len, text.splitlines())) <= 100


def test_the_score_of_a_guess_is_said():
    X = np.random.default_rng(0).normal(size=(80, 4))
    y = np.where(np.arange(80) % 4, "often", "seldom")
    split = split_table(X, y)
    text = setting_text(Table("t", X, y, "label"), split, scaling=True)
    assert text.splitlines()[-1].endswith("'label' (2 classes; always the most frequent: 0.750)")
