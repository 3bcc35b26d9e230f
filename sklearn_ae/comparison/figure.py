"""The figure of a comparison: variance explained, and score on the codes, against size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from sklearn_ae.comparison.comparing import Result
from sklearn_ae.comparison.judging import Verdict
from sklearn_ae.displays._style import STYLES


def comparison_figure(
    results: Sequence[Result], verdicts: Sequence[Verdict], title: str, score_label: str | None
) -> Figure:
    """Draw the results; the first panel is what methods are judged by.

    Parameters
    ----------
    results : sequence of Result
        All methods at some sizes.
    verdicts : sequence of Verdict
        One for each size.
    title : str
        What was compared.
    score_label : str or None
        Label of the score's axis; None for no such panel.

    Returns
    -------
    figure : Figure
        Free of pyplot: no window, no global state.
    """
    panels = [("variance_explained", "held-out variance explained")]
    if score_label is not None:
        panels.insert(0, ("score", score_label))
    figure = Figure(figsize=(1.0 + 4.2 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    sizes = sorted({result.n_components for result in results})
    for ax, (name, label) in zip(axes, panels, strict=True):
        for method, style in STYLES.items():
            rows = [result for result in results if result.method == method]
            x = [row.n_components for row in rows]
            ax.plot(x, [getattr(row, name) for row in rows], label=method, **style)
        winners = [verdict.winner for verdict in verdicts]
        ax.scatter(
            [winner.n_components for winner in winners],
            [getattr(winner, name) for winner in winners],
            s=150,
            facecolors="none",
            edgecolors="black",
            label="recommended",
        )
        if name == "variance_explained":
            ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.set_ylabel(label)
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_locator(FixedLocator(sizes))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:.0f}")
        ax.set_xlabel("components")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend()
    figure.suptitle(title)
    return figure
