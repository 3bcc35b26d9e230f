"""A comparison in words and aligned columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from sklearn_ae.comparison.comparing import METHODS, Result, Split
from sklearn_ae.comparison.judging import Verdict
from sklearn_ae.comparison.tables import Table

MAX_WIDTH = 100


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
    if split.y_train is not None and split.y_test is not None:
        lines.append(_score_text(table.target, split.score_name, split.y_train, split.y_test))
    return "\n".join(lines)


def _score_text(
    target: str | None, score_name: str | None, y_train: np.ndarray, y_test: np.ndarray
) -> str:
    """Say how codes are scored, and what a guess without them scores."""
    if score_name == "R2":
        return f"R2: Ridge on the codes, {target!r} (always the mean: 0)"
    classes, counts = np.unique(y_train, return_counts=True)
    n_classes = len(np.union1d(classes, y_test))
    guess = np.mean(y_test == classes[counts.argmax()])
    return (
        f"accuracy: LogisticRegression on the codes, {target!r} ({n_classes} classes; always the "
        f"most frequent: {guess:.3f})"
    )


def results_text(results: Sequence[Result], score_name: str | None) -> str:
    """Write the aligned table, one line for each method at each size.

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
    lines = [f"components  {'method':<{width}}  variance explained{title}  seconds, one fit"]
    for result in results:
        first = result.method == next(iter(METHODS))
        size = result.n_components if first else ""
        score = "" if result.score is None else f"  {result.score:>8.3f}"
        lines.append(
            f"{size:>10}  {result.method:<{width}}  {100 * result.variance_explained:>16.2f} %"
            f"{score}  {result.fit_seconds:>16.2f}"
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
        The question, two lines for each size, what to take, and how to read them.
    """
    n_test = len(verdicts[0].pca.unexplained)
    judged_by = "variance explained" if score_name is None else f"{score_name} on the codes"
    return "\n".join(
        [
            f"Is an autoencoder better than PCA here, by {judged_by}?",
            *(f"  {_sentence(verdict, score_name)}" for verdict in verdicts),
            _recommendation(verdicts),
            f"(+/-: two standard errors over the {n_test:,} held-out rows, or 1 % of PCA's error "
            "if that is more;\na difference within it is a tie, which goes to PCA, the simpler)",
        ]
    )


def _sentence(verdict: Verdict, score_name: str | None) -> str:
    """Say one verdict in words: first what it was judged by."""
    pca, network = verdict.pca, verdict.network
    start = f"{verdict.answer}: at {_components([pca.n_components])}"
    explained = [f"{100 * result.variance_explained:.2f} %" for result in (network, pca)]
    if score_name is None:
        return (
            f"{start} the {network.method} explains {explained[0]} of held-out variance,\n"
            f"       PCA {explained[1]} ({_signed(100 * verdict.difference, 2)} +/- "
            f"{100 * verdict.margin:.2f} points)"
        )
    return (
        f"{start} {score_name} is {network.score:.3f} on the {network.method}'s codes, "
        f"{pca.score:.3f} on PCA's\n       ({_signed(verdict.difference, 3)} +/- "
        f"{verdict.margin:.3f}); held-out variance explained {explained[0]}, PCA {explained[1]}"
    )


def _recommendation(verdicts: Sequence[Verdict]) -> str:
    """Say what to take at which sizes."""
    sizes: dict[str, list[int]] = {}
    for verdict in verdicts:
        name = "PCA" if verdict.winner is verdict.pca else f"the {verdict.winner.method}"
        sizes.setdefault(name, []).append(verdict.pca.n_components)
    taken = ", ".join(f"{name} at {_components(at)}" for name, at in sizes.items())
    return textwrap.fill(f"Take {taken}.", MAX_WIDTH)


def _components(sizes: Sequence[int]) -> str:
    """Write ``1 component``, ``2, 8 and 32 components``."""
    *some, last = map(str, sizes)
    listed = f"{', '.join(some)} and {last}" if some else last
    return f"{listed} component{'s' * (listed != '1')}"


def _signed(value: float, digits: int) -> str:
    """Write a difference with its sign, but for what rounds to -0."""
    return f"{round(value, digits) + 0:+.{digits}f}"
