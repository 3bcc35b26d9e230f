"""A CSV or Parquet file, or the bundled digits. Pandas is imported when a file is read."""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    import pandas as pd

TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SEPARATORS = ",;\t|"
# A text column is encoded as at most this many columns; rarer texts share the last one.
MAX_CATEGORIES = 100
# The target of scikit-learn's digits.
DIGIT = "digit"
# How much of a text file is looked at to tell its separator and its decimal mark.
SNIFFED_CHARACTERS = 65_536


class InputError(ValueError):
    """What the user gave cannot be compared; the message says what to do."""


@dataclass(frozen=True)
class Table:
    """Rows without missing values, and what was done to get there.

    Parameters
    ----------
    name : str
        What to call the table in the output.
    X : ndarray or DataFrame of shape (n_rows, n_columns)
        The columns to compress: numbers as float64, everything else as text.
    y : ndarray of shape (n_rows,) or None
        The target: float64 when numeric, strings otherwise.
    target : str or None
        Name of the target.
    notes : list of str
        What the user should know about rows and columns left out.
    """

    name: str
    X: Any
    y: np.ndarray | None
    target: str | None
    notes: list[str] = field(default_factory=list)


def digits_table(target: str | None = None) -> Table:
    """Scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels.

    Parameters
    ----------
    target : {"digit"} or None, default=None
        What to predict from the codes, if anything.

    Returns
    -------
    table : Table
        All rows.
    """
    X, y = load_digits(return_X_y=True)
    return Table("scikit-learn's digits", X, None if target is None else y.astype(float), target)


def read_table(path: Path, target: str | None = None, drop: Sequence[str] = ()) -> Table:
    """Read a file and keep its complete rows.

    Parameters
    ----------
    path : Path
        A CSV or TSV file, gzipped or not, or a Parquet file.
    target : str or None, default=None
        The column to predict from the codes; it is not compressed.
    drop : sequence of str, default=()
        Columns to leave out, such as identifiers.

    Returns
    -------
    table : Table
        Complete rows only.

    Raises
    ------
    InputError
        If the file cannot be read, a column is unknown or no complete row is left.
    """
    frame = _read_frame(path)
    for name in [*drop, *([] if target is None else [target])]:
        _check_column(name, frame, path)
    if target in drop:
        raise InputError(f"column {target!r} is both the target and dropped; choose one")
    notes: list[str] = []
    if all(re.fullmatch(r"[-+.\deE]+", name) for name in frame.columns):
        notes.append("the column names are all numbers: is the line of names missing?")
    frame = _leave_out_columns(frame.drop(columns=list(drop)), target, notes)
    frame = _keep_complete_rows(frame, path, notes)
    y = None if target is None else _target_values(frame.pop(target))
    if frame.shape[1] == 0:
        raise InputError(f"{path} has no column to compress beside the target")
    X = _numbers_or_text(frame)
    for name in X.select_dtypes(exclude="number"):
        n_texts = X[name].nunique()
        if n_texts > MAX_CATEGORIES:
            notes.append(
                f"column {name} holds {n_texts:,} different texts, the rarest of which are "
                "treated as one; --drop it if it is an identifier"
            )
    return Table(path.name, X, y, target, notes)


def _read_frame(path: Path) -> pd.DataFrame:
    """Read any supported file, and name the columns by strings."""
    name = path.name.lower()
    if not name.endswith(TEXT_SUFFIXES + PARQUET_SUFFIXES):
        known = ", ".join(TEXT_SUFFIXES + PARQUET_SUFFIXES)
        raise InputError(f"cannot tell the format of {path}; supported suffixes are {known}")
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {what}; give the path of a table")
    try:
        import pandas as pd
    except ImportError:
        raise InputError(
            "reading a table needs pandas; run: pip install 'sklearn_ae[cli]'"
        ) from None
    try:
        if name.endswith(PARQUET_SUFFIXES):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, low_memory=False, **_csv_dialect(path))
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; the first line must name the columns") from None
    except ImportError:
        raise InputError("reading Parquet needs pyarrow; run: pip install pyarrow") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    # The exceptions of pandas and pyarrow for a broken file derive from the first three.
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read {path}: {reason}") from None
    frame.columns = frame.columns.map(str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{path} has two columns named {twice!r}; rename one")
    if len(frame) == 0:
        raise InputError(f"{path} has column names but no rows")
    return frame


def _csv_dialect(path: Path) -> dict[str, str]:
    """Tell separator and decimal mark from the beginning of a text file.

    The separator is the one that cuts the line of names into most pieces. A file that is
    separated by semicolons writes its numbers with a comma when the lines below have commas
    between figures and no points.
    """
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        header, *rest = file.read(SNIFFED_CHARACTERS).splitlines() or [""]
    separator = max(
        SEPARATORS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), []))
    )
    body = "\n".join(rest)
    comma = re.search(r"\d,\d", body) and not re.search(r"\d\.\d", body)
    return {"sep": separator, "decimal": "," if separator == ";" and comma else "."}


def _check_column(name: str, frame: pd.DataFrame, path: Path) -> None:
    """Refuse an unknown column, and say which names are near."""
    if name in frame.columns:
        return
    lowered = {column.lower(): column for column in frame.columns}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered)]
    if near:
        hint = "did you mean " + " or ".join(map(repr, near)) + "?"
    else:
        shown = ", ".join(map(repr, frame.columns[:10]))
        hint = f"its columns are {shown}" + (", ..." if frame.shape[1] > 10 else "")
    raise InputError(f"{path} has no column {name!r}; {hint}")


def _leave_out_columns(frame: pd.DataFrame, target: str | None, notes: list[str]) -> pd.DataFrame:
    """Leave out the columns that say nothing: a written row index, empty ones, dates."""
    from pandas.api.types import is_datetime64_any_dtype, is_timedelta64_dtype

    features = [name for name in frame.columns if name != target]
    empty = [name for name in features if frame[name].isna().all()]
    dates = [
        name
        for name in features
        if is_datetime64_any_dtype(frame[name]) or is_timedelta64_dtype(frame[name])
    ]
    # The name that pandas gives to the nameless column that `DataFrame.to_csv` writes first.
    index = [name for name in features[:1] if name == "Unnamed: 0"]
    for names, what in ((index, "row index"), (empty, "empty"), (dates, "date")):
        if names:
            notes.append(f"left out {what} column{'s' * (len(names) > 1)} " + ", ".join(names))
    return frame.drop(columns={*index, *empty, *dates})


def _keep_complete_rows(frame: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """Keep the rows in which every value is there and finite."""
    missing = frame.isna()
    for name in frame.select_dtypes("number"):
        missing[name] |= np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan))
    incomplete = missing.any(axis=1)
    if incomplete.all():
        worst = missing.sum().idxmax()
        raise InputError(
            f"every row of {path} has a missing value, most of them in column {worst!r} "
            f"({missing[worst].sum():,} of {len(frame):,}); fill them, or leave columns out "
            "with --drop"
        )
    if incomplete.any():
        notes.append(
            f"left out {incomplete.sum():,} of {len(frame):,} rows, which have missing or "
            "infinite values"
        )
    # What was read as objects only because of the gaps gets its own type back.
    return frame[~incomplete].reset_index(drop=True).infer_objects()


def _target_values(column: pd.Series) -> np.ndarray:
    """Return the target as float64 when it is numeric, as strings otherwise."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(column) and not is_bool_dtype(column):
        return column.to_numpy(dtype=float)
    return column.astype(str).to_numpy(dtype=str)


def _numbers_or_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn numbers and booleans, nullable ones too, into float64 and the rest into text."""
    from pandas.api.types import infer_dtype, is_numeric_dtype

    numbers = [
        name
        for name in frame.columns
        if is_numeric_dtype(frame[name]) or infer_dtype(frame[name]) == "decimal"
    ]
    return frame.astype({name: float if name in numbers else str for name in frame.columns})
