import numpy as np
import pytest

from sklearn_ae.comparison.comparing import METHODS, Result
from sklearn_ae.comparison.figure import comparison_figure
from sklearn_ae.comparison.judging import judge


@pytest.mark.parametrize("by_target", [False, True])
def test_the_figure_shows_every_number(by_target):
    rng = np.random.default_rng(0)
    results = [
        Result(size, method, None, rng.random(5), rng.random(5) if by_target else None, 0.0)
        for size in (2, 8)
        for method in METHODS
    ]
    verdicts = judge(results)
    axes = comparison_figure(results, verdicts, "a table", "R2" if by_target else None).axes
    panels = ["score", "variance_explained"] if by_target else ["variance_explained"]
    for ax, name in zip(axes, panels, strict=True):
        drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
        assert drawn == {
            method: [getattr(r, name) for r in results if r.method == method] for method in METHODS
        }
        (rings,) = ax.collections
        assert rings.get_offsets().tolist() == [
            [verdict.pca.n_components, getattr(verdict.winner, name)] for verdict in verdicts
        ]
