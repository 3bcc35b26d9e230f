"""One run of the command: check, compare, print, draw and save."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison.comparing import (
    DEFAULT_SIZES,
    METHODS,
    Result,
    Split,
    choose_sizes,
    compare,
    split_table,
)
from sklearn_ae.comparison.judging import Verdict, judge
from sklearn_ae.comparison.tables import DIGIT, InputError, Table, digits_table, read_table
from sklearn_ae.comparison.text import results_text, setting_text, verdicts_text


class _Progress:
    """One line on a terminal, rewritten at each step; nothing where there is no terminal."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.step = 0

    def __call__(self, method: str, n_components: int) -> None:
        """Say which fit starts."""
        self.step += 1
        self._write(f"[{self.step}/{self.n_steps}] {method}, {n_components} components ...")

    def clear(self) -> None:
        """Leave an empty line to whatever is printed next."""
        self._write("")

    def _write(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> None:
    """Check, compare, print, draw and save, in that order.

    Parameters
    ----------
    args : Namespace
        The options of the command, parsed.

    Raises
    ------
    InputError
        If the user asked for what cannot be done; the message says what to do.
    """
    _check_output(args.figure, "--figure")
    _check_output(args.save, "--save")
    _check_figure(args.figure)
    _check_device(args.device)
    table, scaling = _load(args)
    split = split_table(
        table.X,
        table.y,
        scaling=scaling,
        test_size=args.test_size,
        random_state=args.random_state,
    )
    sizes = choose_sizes(args.components, split)
    if args.components is None and len(sizes) < len(DEFAULT_SIZES):
        too_large = " and ".join(map(str, DEFAULT_SIZES[len(sizes) :]))
        table.notes.append(f"the table is too small for {too_large} components")
    _print_notes(table.notes)
    print(setting_text(table, split, scaling=scaling), end="\n\n", flush=True)
    network_params: dict[str, Any] = {"device": args.device}
    if args.max_iter is not None:
        network_params["max_iter"] = args.max_iter
    # A process's first fit also loads parts of torch, which is not to count as training time.
    AutoencoderTransformer(1, max_iter=1, device=args.device).fit(np.eye(20))
    progress = _Progress(len(sizes) * len(METHODS))
    # Recorded, and printed after the line of progress rather than into it.
    with warnings.catch_warnings(record=True) as caught:
        results = list(
            compare(
                split,
                sizes,
                random_state=args.random_state,
                network_params=network_params,
                report=progress,
            )
        )
    progress.clear()
    _print_notes(dict.fromkeys(str(warning.message) for warning in caught))
    verdicts = judge(results)
    print(results_text(results, split.score_name), end="\n\n")
    print(verdicts_text(verdicts, split.score_name))
    if args.figure is not None:
        _draw(args.figure, results, verdicts, table, split)
    if args.save is not None:
        _save(args.save, verdicts[-1].winner, split)


def _print_notes(notes: Iterable[str]) -> None:
    """Print what the user should know, apart from the results."""
    for note in notes:
        print(f"sklearn-ae: note: {note}", file=sys.stderr)


def _load(args: argparse.Namespace) -> tuple[Table, bool]:
    """Return the table, and whether its columns are to be scaled."""
    if args.table is not None:
        return read_table(args.table, args.target, args.drop), not args.no_scaling
    if args.drop or args.target not in (None, DIGIT):
        raise InputError(
            "--target and --drop name columns of a table; give its path first (the one target of "
            f"scikit-learn's digits is {DIGIT})"
        )
    # Pixels share a unit. Standardised, the corners that hardly ever hold ink outweigh the rest.
    return digits_table(args.target), False


def _check_output(path: Path | None, option: str) -> None:
    """Refuse, before the long work, a path that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path} is a directory; give the path of a file")
    existed = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"cannot write {option} {path}: {error.strerror}") from None
    if not existed:
        path.unlink()


def _check_figure(path: Path | None) -> None:
    """Refuse, before the long work, a figure that cannot be drawn."""
    if path is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise InputError("--figure needs matplotlib; run: pip install 'sklearn_ae[plot]'") from None
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in known:
        raise InputError(f"--figure {path} needs one of the suffixes .{', .'.join(sorted(known))}")


def _check_device(device: str) -> None:
    """Refuse, before the long work, a device that torch does not have."""
    if device == "auto":
        return
    try:
        torch.zeros(1, device=device).item()
    # torch raises AssertionError where it was built without the device.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--device {device} does not work here: {reason}") from None


def _draw(
    path: Path,
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    table: Table,
    split: Split,
) -> None:
    """Write the figure."""
    from sklearn_ae.comparison.figure import comparison_figure

    label = None if split.score_name is None else f"held-out {split.score_name}, {table.target!r}"
    figure = comparison_figure(results, verdicts, table.name, label)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"cannot write --figure {path}: {error.strerror}") from None
    print(f"drawn: {path}")


def _save(path: Path, winner: Result, split: Split) -> None:
    """Write the winning pipeline, as it was scored."""
    pipeline: Pipeline = make_pipeline(split.columns, winner.reducer)
    try:
        joblib.dump(pipeline, path)
    except OSError as error:
        raise InputError(f"cannot write --save {path}: {error.strerror}") from None
    print(
        f"saved: {path}, {winner.method} with {winner.n_components} components (the winner at the "
        f"largest size), fitted on the {len(split.X_train):,} training rows as scored"
    )
