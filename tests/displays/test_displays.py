"""What every display does: it needs matplotlib when it draws, and takes axes."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from sklearn_ae.displays import (
    ComponentsDisplay,
    ExplainedVarianceDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

DISPLAYS = [
    ComponentsDisplay([0, 2], [-2, 2], np.ones((2, 2, 4)), feature_names=list("abcd")),
    ComponentsDisplay([0], [-2, 0, 2], np.random.default_rng(0).random((1, 3, 30))),
    ComponentsDisplay([1], [-2, 2], np.ones((1, 2, 12)), image_shape=(3, 2, 2)),
    ExplainedVarianceDisplay([1, 2], [[0.5, 0.6], [0.7, 0.8]], [[0.4, 0.4], [0.5, 0.6]]),
    LatentSpaceDisplay(np.eye(2), y=["a", "b"]),
    LossCurveDisplay([1.0, 0.5], valid_loss=[1.0, 0.7], pca_loss=0.9, best_iter=2),
    ReconstructionDisplay(np.eye(4), np.eye(4), pca_reconstruction=np.ones((4, 4))),
    ReconstructionDisplay(np.eye(4), np.eye(4), corrupted=np.eye(4), image_shape=(1, 2, 2)),
]
every_display = pytest.mark.parametrize("display", DISPLAYS, ids=lambda d: type(d).__name__)


@every_display
def test_draws_on_given_axes(display):
    ax = Figure().subplots()
    assert display.plot(ax) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    # Small axes inside have the data of some.
    assert any(drawn.has_data() for drawn in (ax, *ax.child_axes))
    display.figure_.draw_without_rendering()


@every_display
def test_makes_a_figure(display):
    display.plot()
    assert display.figure_ is pyplot.gcf()


def test_needs_matplotlib_only_to_draw():
    program = """
import sys
sys.modules["matplotlib"] = None
from sklearn_ae.displays import LossCurveDisplay
display = LossCurveDisplay([1.0])
try:
    display.plot()
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "LossCurveDisplay.plot needs matplotlib: pip install" in result.stdout, result.stderr
