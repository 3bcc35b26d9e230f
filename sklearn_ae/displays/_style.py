"""What all pictures share: colours, and axes to draw on."""

from typing import Any

# Colours that stay apart for colour-blind readers, and lines and markers that stay apart in grey.
STYLES: dict[str, dict[str, Any]] = {
    "PCA": {"color": "0.35", "marker": "s", "linestyle": "--"},
    "autoencoder": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "denoising autoencoder": {"color": "#D55E00", "marker": "^", "linestyle": "-."},
}
OURS = STYLES["autoencoder"]["color"]
PCA = STYLES["PCA"]["color"]
CORRUPTED = STYLES["denoising autoencoder"]["color"]


def axes_for(display: Any, ax: Any) -> Any:
    """Return the axes to draw on, new ones for None, and note them as `ax_` and `figure_`.

    Parameters
    ----------
    display : display
        What will be drawn.
    ax : matplotlib axes or None
        As a user gave it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot needs matplotlib: pip install 'sklearn_ae[plot]'"
        ) from error
    if ax is None:
        _, ax = pyplot.subplots(layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def bare(ax: Any) -> None:
    """Take the frame off at the top and at the right."""
    ax.spines[["top", "right"]].set_visible(False)
