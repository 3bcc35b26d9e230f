import numpy as np
import pytest

from sklearn_ae.comparison.comparing import METHODS, Result
from sklearn_ae.comparison.figure import comparison_figure


@pytest.mark.parametrize("score_label", [None, "accuracy"])
def test_the_figure_shows_every_number(score_label):
    rng = np.random.default_rng(0)
    results = [
        Result(size, method, None, rng.random(5), rng.random(), 0.0)
        for size in (2, 8)
        for method in METHODS
    ]
    axes = comparison_figure(results, "a table", score_label).axes
    assert len(axes) == (1 if score_label is None else 2)
    drawn = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    assert list(drawn) == list(METHODS)
    for method, y in drawn.items():
        assert list(y) == [r.variance_explained for r in results if r.method == method]
    for ax in axes[1:]:
        assert [list(line.get_ydata()) for line in ax.lines] == [
            [r.score for r in results if r.method == method] for method in drawn
        ]
