"""Is an autoencoder better than PCA on this table? Run as ``python -m sklearn_ae``."""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import joblib
import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_ae import AutoencoderTransformer, __version__
from sklearn_ae._comparison import (
    DEFAULT_SIZES,
    MAX_NUMERIC_CLASSES,
    METHODS,
    Result,
    Split,
    choose_sizes,
    compare,
    judge,
    split_table,
)
from sklearn_ae._comparison_text import results_text, setting_text, verdicts_text
from sklearn_ae._tables import InputError, Table, digits_table, read_table

DESCRIPTION = """\
Is an autoencoder better than PCA on this table? Compares PCA, AutoencoderTransformer and
DenoisingAutoencoderTransformer on rows that none of them, nor any scaling or encoding, has seen.
Without a table, runs on scikit-learn's digits."""

EPILOG = f"""\
variance explained: 1 - SSE/SST on the held-out rows, about the training mean, over the encoded
  columns: numbers standardised (the digits' pixels only centred), text one column a category.
score: with --target, a simple model is fitted on the training codes and scored on the held-out
  ones: LogisticRegression (accuracy) where the target is text or at most {MAX_NUMERIC_CLASSES}
  distinct whole numbers, Ridge (R2) otherwise.
fit seconds: on one thread, where the device is the CPU; PCA takes as many as it likes.
verdict: the better of the two autoencoders against PCA. A tie is a difference of less than two
  standard errors (paired over the held-out rows) or less than 1 % of the error PCA leaves.
--save: at the largest size compared, the better autoencoder if the verdict there is yes,
  otherwise PCA. Encoding and reducer are one pipeline, fitted on the training rows, exactly as
  scored; load it with joblib.load, and fit it again on all rows if you prefer.

examples:
  sklearn-ae
  sklearn-ae data.csv --target label --components 2 8 32 --figure comparison.png
  sklearn-ae data.parquet --drop id --components 16 --save reducer.joblib"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Returns
    -------
    parser : ArgumentParser
        All options and their help.
    """
    parser = _Parser(
        prog="sklearn-ae",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "table", nargs="?", type=Path, help=".csv, .tsv (also .gz) or .parquet, with column names"
    )
    parser.add_argument("--target", metavar="COLUMN", help="column to predict from the codes")
    parser.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out, such as ids"
    )
    parser.add_argument(
        "--components",
        nargs="+",
        type=_positive_int,
        metavar="N",
        help=f"sizes of the code (default: {' '.join(map(str, DEFAULT_SIZES))})",
    )
    parser.add_argument(
        "--no-scaling",
        action="store_true",
        help="keep the units of numeric columns, where all share one (pixels, spectra)",
    )
    parser.add_argument(
        "--test-size",
        type=_fraction,
        default=0.25,
        metavar="SHARE",
        help="share of the rows held out (default: %(default)s)",
    )
    parser.add_argument(
        "--max-iter", type=_natural_int, metavar="N", help="epochs of training, at most"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, ... (default: %(default)s)"
    )
    parser.add_argument(
        "--random-state",
        type=_natural_int,
        default=0,
        metavar="SEED",
        help="seed of split and methods (default: %(default)s)",
    )
    parser.add_argument(
        "--figure", type=Path, metavar="PATH", help="draw the comparison (.png, .pdf, .svg, ...)"
    )
    parser.add_argument(
        "--save", type=Path, metavar="PATH", help="save the winning pipeline with joblib"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _natural_int(text: str) -> int:
    """Parse a seed or a number of epochs."""
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} must be 0 or more")
    return value


def _positive_int(text: str) -> int:
    """Parse a size."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be 1 or more")
    return value


def _fraction(text: str) -> float:
    """Parse a share of the rows."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and 1")
    return value


# argparse names the type in its message on "--components x".
_natural_int.__name__ = _positive_int.__name__ = "whole number"
_fraction.__name__ = "number"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    status : int
        Exit status: 0, or 2 after an error that the user can mend.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    with _interrupt_exits():
        try:
            _run(args)
        except InputError as error:
            print(f"{parser.prog}: error: {error}", file=sys.stderr)
            return 2
    return 0


@contextmanager
def _interrupt_exits() -> Iterator[None]:
    """End the whole run at Ctrl-C, not just the training that it falls into.

    skorch takes KeyboardInterrupt for a wish to end training early, and goes on.
    """

    def leave(signum: int, frame: object) -> NoReturn:
        start = "\n" if sys.stderr.isatty() else ""
        print(f"{start}sklearn-ae: interrupted", file=sys.stderr)
        raise SystemExit(130)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run(args: argparse.Namespace) -> None:
    """Check, compare, print, draw and save, in that order."""
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
        _draw(args.figure, results, table, split)
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
    if args.target is not None or args.drop:
        raise InputError("--target and --drop name columns of a table; give its path first")
    # Pixels share a unit. Standardised, the corners that hardly ever hold ink outweigh the rest.
    return digits_table(), False


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


def _draw(path: Path, results: Sequence[Result], table: Table, split: Split) -> None:
    """Write the figure."""
    from sklearn_ae._comparison_figure import comparison_figure

    label = None if split.score_name is None else f"held-out {split.score_name} on the codes"
    figure = comparison_figure(results, table.name, label)
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


if __name__ == "__main__":
    sys.exit(main())
