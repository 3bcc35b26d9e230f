"""The figure of a comparison: variance explained, and score on the codes, against size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from sklearn_ae.comparison.comparing import Result
from sklearn_ae.displays._style import STYLES


def comparison_figure(results: Sequence[Result], title: str, score_label: str | None) -> Figure:
    """Draw the results; one panel, or two where the codes were scored.

    Parameters
    ----------
    results : sequence of Result
        All methods at some sizes.
    title : str
        What was compared.
    score_label : str or None
        Label of the second panel's axis; None for no second panel.

    Returns
    -------
    figure : Figure
        Free of pyplot: no window, no global state.
    """
    n_panels = 1 if score_label is None else 2
    figure = Figure(figsize=(1.0 + 4.2 * n_panels, 4.2), layout="constrained")
    axes = figure.subplots(1, n_panels, squeeze=False)[0]
    sizes = sorted({result.n_components for result in results})
    for method, style in STYLES.items():
        rows = [result for result in results if result.method == method]
        x = [row.n_components for row in rows]
        axes[0].plot(x, [row.variance_explained for row in rows], label=method, **style)
        if score_label is not None:
            axes[1].plot(x, [row.score for row in rows], **style)
    axes[0].legend()
    axes[0].set_ylabel("held-out variance explained")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    if score_label is not None:
        axes[1].set_ylabel(score_label)
    for ax in axes:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator(sizes))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:.0f}")
        ax.set_xlabel("components")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return figure
