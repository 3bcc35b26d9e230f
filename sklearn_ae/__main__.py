"""Is an autoencoder better than PCA on this table? Run as ``python -m sklearn_ae``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sklearn_ae import AutoencoderTransformer, __version__
from sklearn_ae.comparison.comparing import DEFAULT_SIZES, MAX_NUMERIC_CLASSES
from sklearn_ae.comparison.running import run
from sklearn_ae.comparison.tables import InputError

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
seconds, one fit: each method is fitted once, at the largest size; smaller codes are the first
  numbers of that fit. On one thread, where the device is the CPU; PCA takes as many as it likes.
verdict: the better of the two autoencoders against PCA, judged by the score with --target, by
  variance explained without. (--drop the target to judge by variance, yet not compress it.) A tie
  is a difference of less than two standard errors (paired over the held-out rows) or less than 1 %
  of the error PCA leaves; it goes to PCA, the simpler.
--save: at the largest size compared, the better autoencoder if the verdict there is yes,
  otherwise PCA. Encoding and reducer are one pipeline, fitted on the training rows, exactly as
  scored; load it with joblib.load, and fit it again on all rows if you prefer.

examples:
  sklearn-ae
  sklearn-ae --target digit
  sklearn-ae data.csv --target label --components 2 8 32 --figure comparison.png
  sklearn-ae data.parquet --drop id --components 16 --save reducer.joblib"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


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
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help="column to predict from the codes, which decides the verdict",
    )
    parser.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out, such as ids"
    )
    parser.add_argument(
        "--components",
        nargs="+",
        type=_positive_int,
        metavar="N",
        help="sizes of the code, smaller than rows and columns, as PCA's are (default: "
        f"{' '.join(map(str, DEFAULT_SIZES))})",
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
        "--max-iter",
        type=_natural_int,
        metavar="N",
        help="epochs of training, at most (default: as many as the estimators', "
        f"{AutoencoderTransformer().max_iter})",
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
    if "," in text:
        raise argparse.ArgumentTypeError(f"{text} must be one size; put spaces between several")
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
        Exit status: 0, 2 after an error that the user can mend, or 130 after Ctrl-C.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # On a terminal the line of progress stands there, unfinished.
        start = "\n" if sys.stderr.isatty() else ""
        print(f"{start}{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
