"""Draw without a screen, and close what was drawn."""

import matplotlib
import pytest
from matplotlib import pyplot

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")
