"""A comparison in words and aligned columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sklearn_ae.comparison.comparing import METHODS, Result, Split
from sklearn_ae.comparison.judging import Verdict
from sklearn_ae.comparison.tables import Table


def setting_text(table: Table, split: Split, *, scaling: bool) -> str:
    """Say what is compared.

    Parameters
    ----------
    table : Table
        The complete rows.
    split : Split
        Their two parts.
    scaling : bool
        Whether numeric columns were brought to unit variance.

    Returns
    -------
    text : str
        Two lines, or three with a target.
    """
    n_columns, n_encoded = table.X.shape[1], split.X_train.shape[1]
    encoded = "" if n_encoded == n_columns else f" ({n_encoded:,} encoded)"
    lines = [
        f"{table.name}: {len(table.X):,} rows, {n_columns:,} columns{encoded}",
        f"{len(split.X_train):,} rows to fit, {len(split.X_test):,} held out; columns "
        + ("standardised" if scaling else "centred, not scaled"),
    ]
    if split.score_name == "accuracy":
        n_classes = len(np.unique(np.concatenate([split.y_train, split.y_test])))
        lines.append(
            f"accuracy: LogisticRegression on the codes, {table.target!r} ({n_classes} classes)"
        )
    elif split.score_name == "R2":
        lines.append(f"R2: Ridge on the codes, {table.target!r}")
    return "\n".join(lines)


def results_text(results: Sequence[Result], score_name: str | None) -> str:
    """Write the aligned table, one line a fit.

    Parameters
    ----------
    results : sequence of Result
        All methods at some sizes.
    score_name : str or None
        Title of the score's column; None for no such column.

    Returns
    -------
    text : str
        A line of titles and the lines below it, all of one width.
    """
    width = max(map(len, METHODS))
    title = "" if score_name is None else f"  {score_name:>8}"
    lines = [f"components  {'method':<{width}}  variance explained{title}  fit seconds"]
    for result in results:
        first = result.method == next(iter(METHODS))
        size = result.n_components if first else ""
        score = "" if result.score is None else f"  {result.score:>8.3f}"
        lines.append(
            f"{size:>10}  {result.method:<{width}}  {100 * result.variance_explained:>16.2f} %"
            f"{score}  {result.fit_seconds:>11.2f}"
        )
    return "\n".join(lines)


def verdicts_text(verdicts: Sequence[Verdict], score_name: str | None) -> str:
    """Answer the question, with the figures that the answer rests on.

    Parameters
    ----------
    verdicts : sequence of Verdict
        One for each size.
    score_name : str or None
        What the scores are called; None where codes were not scored.

    Returns
    -------
    text : str
        The question, two lines for each size, and how to read them.
    """
    n_test = len(verdicts[0].pca.unexplained)
    return "\n".join(
        [
            "Is an autoencoder better than PCA here?",
            *(f"  {_sentence(verdict, score_name)}" for verdict in verdicts),
            f"(+/-: two standard errors over the {n_test:,} held-out rows, or 1 % of PCA's error "
            "if that is more;\na difference within it is a tie)",
        ]
    )


def _sentence(verdict: Verdict, score_name: str | None) -> str:
    """Say one verdict in words."""
    pca, network = verdict.pca, verdict.network
    # Adding zero takes the sign off what rounds to -0.
    points = round(100 * verdict.difference, 2) + 0
    plural = "s" * (pca.n_components != 1)
    sentence = (
        f"{verdict.answer}: at {pca.n_components} component{plural} the {network.method} explains "
        f"{100 * network.variance_explained:.2f} % of held-out variance, PCA "
        f"{100 * pca.variance_explained:.2f} %\n"
        f"       ({points:+.2f} +/- {100 * verdict.margin:.2f} points)"
    )
    if score_name is not None:
        sentence += f"; {score_name} on the codes {network.score:.3f}, PCA {pca.score:.3f}"
    return sentence
