"""Rows that are not in memory: read again and again from where they lie, a run of them at a time.

What kind of thing they are is told by what it offers; no package that makes such things is
imported.
"""

import math
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

# So many bytes are read at once, or a chunk where that is more, but not so many.
RUN_BYTES, MOST_BYTES = 2**21, 2**28


class Source:
    """Rows that lie somewhere; a matrix that is indexed by rows, as far as it is needed.

    Parameters
    ----------
    read : callable
        ``(start, stop) -> rows``, an array or a sparse matrix, the same each time.
    shape : tuple of int
        Rows and columns.
    dtype : numpy.dtype
        Numbers. What is not float32 is read as float64.
    chunk : int or None, default=None
        Rows that are stored together, None where it does not matter.
    head : callable or None, default=None
        ``n -> rows``: the first rows, with the names of their columns; None where they have none.

    Attributes
    ----------
    run : int
        Rows that are read at once.
    """

    def __init__(
        self,
        read: Callable[[int, int], Any],
        shape: tuple[int, int],
        dtype: np.dtype,
        chunk: int | None = None,
        head: Callable[[int], Any] | None = None,
    ):
        self.read = read
        self.head = head or (lambda n: self[:n])
        self.shape = shape
        self.dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
        row_bytes = max(shape[1], 1) * self.dtype.itemsize
        chunk = chunk or 1
        run = chunk * max(RUN_BYTES // (chunk * row_bytes), 1)
        self.run = max(min(run, MOST_BYTES // row_bytes), 1)
        self._start, self._rows = 0, np.empty((0, shape[1]), self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes that all rows would take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Return some rows: those of a slice, or of numbers in any order.

        Raises
        ------
        ValueError
            If they are not finite, or not as many as they were.
        """
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        found = np.empty((len(index), self.shape[1]), self.dtype)
        order = np.argsort(index, kind="stable")
        numbers = index[order]
        runs, firsts = np.unique(numbers // self.run, return_index=True)
        lasts = np.append(firsts, len(index))[1:]
        for run, first, last in zip(runs, firsts, lasts, strict=True):
            rows = self._run(int(run) * self.run)
            found[order[first:last]] = rows[numbers[first:last] - self._start]
        return found

    def _run(self, start: int) -> np.ndarray:
        """Return the run of rows that starts there; the last one is remembered."""
        if start == self._start and len(self._rows):
            return self._rows
        stop = min(start + self.run, len(self))
        rows = self.read(start, stop)
        rows = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
        if rows.shape != (stop - start, self.shape[1]):
            raise ValueError(
                f"X changed while it was read: its rows {start} to {stop} have shape {rows.shape}, "
                f"of {self.shape} in all. Give rows that stay as they are during a call."
            )
        rows = rows.astype(self.dtype, copy=False)
        try:
            assert_all_finite(rows, input_name="X")
        except ValueError as error:
            raise ValueError(f"{error} (Found in rows {start} to {stop}.)") from None
        self._start, self._rows = start, rows
        return rows

    def fingerprint(self) -> list[str]:
        """Return what other rows would not give; all are read."""
        return [joblib.hash(self._run(start)) for start in range(0, len(self), self.run)]


def fingerprint(X: Any) -> Any:
    """Return what other rows would not give: themselves, in C order, where they are in memory."""
    if isinstance(X, Source):
        return X.fingerprint()
    return np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X


def is_lazy(X: Any) -> bool:
    """Tell whether it computes what is made of its blocks when that is asked for, as dask does."""
    return hasattr(X, "map_blocks") and hasattr(X, "rechunk")


def as_source(X: Any) -> Source | None:
    """Return a source of rows that are not in memory, None for rows that are.

    Parameters
    ----------
    X : object
        A source: an array of h5py, zarr or dask, or of what is sliced by rows as these are and
        has ``chunks``; a sparse matrix of AnnData that is in its file; a dataset of pyarrow.

    Raises
    ------
    ValueError
        If it has no rows and columns of numbers, or does not know how many.
    """
    if isinstance(X, Source):
        return X
    if isinstance(X, np.ndarray) or sparse.issparse(X):
        return None
    if hasattr(X, "get_fragments") and hasattr(X, "schema"):
        return _of_dataset(X)
    is_array = hasattr(X, "shape") and hasattr(X, "dtype") and hasattr(X, "__getitem__")
    is_backed = hasattr(X, "to_memory") and hasattr(X, "format")
    if not (is_array and (hasattr(X, "chunks") or is_backed)):
        return None
    shape, dtype = tuple(X.shape), np.dtype(X.dtype)
    if len(shape) != 2:
        raise ValueError(f"Expected 2D array, got {len(shape)}D array instead: X.shape={shape}.")
    if any(math.isnan(n) for n in shape):
        raise ValueError(
            f"X does not know how many rows it has: X.shape={shape}. Call X.compute_chunk_sizes() "
            "before."
        )
    _check_number("X", dtype)
    chunks = getattr(X, "chunks", None)
    chunk = None
    if chunks:
        # dask has one for each chunk.
        chunk = max(chunks[0]) if isinstance(chunks[0], tuple) else chunks[0]
    return Source(lambda start, stop: _in_memory(X[start:stop]), shape, dtype, chunk)


def _in_memory(rows: Any) -> Any:
    return rows if sparse.issparse(rows) else np.asarray(rows)


def _check_number(name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {dtype}, and must have numbers. Convert it before.")


def _of_dataset(dataset: Any) -> Source:
    """Make a source of a dataset of pyarrow: its groups of rows are what is read."""
    dtypes = []
    for field in dataset.schema:
        dtype = np.dtype(field.type.to_pandas_dtype())
        _check_number(f"The column {field.name!r} of X", dtype)
        dtypes.append(dtype)
    groups, sizes = [], []
    for fragment in dataset.get_fragments():
        if hasattr(fragment, "split_by_row_group"):
            parts = fragment.split_by_row_group()
            sizes += [part.row_groups[0].num_rows for part in parts]
        else:
            parts = [fragment]
            sizes.append(fragment.count_rows())
        groups += parts
    ends = np.cumsum([0, *sizes])

    def read(start: int, stop: int) -> np.ndarray:
        first, last = np.searchsorted(ends, start, "right") - 1, np.searchsorted(ends, stop)
        parts = []
        for group, end in zip(groups[first:last], ends[first:last], strict=True):
            table = group.to_table().slice(max(start - end, 0), stop - max(start, end))
            parts.append(np.column_stack([column.to_numpy() for column in table.columns]))
        return np.concatenate(parts)

    shape = int(ends[-1]), len(dtypes)
    chunk = int(np.diff(ends).max(initial=1))
    return Source(read, shape, np.result_type(*dtypes), chunk, head=dataset.head)
