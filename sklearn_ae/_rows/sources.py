"""Rows that are not in memory: read again and again from where they lie, a run of them at a time.

What kind of thing they are is told by what it offers; no package that makes such things is
imported.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite

from sklearn_ae._rows.blocks import dense

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
    chunks : int, sequence of int or None, default=None
        How many rows are stored together, in each chunk if they differ; None where it does not
        matter.
    head : callable or None, default=None
        ``n -> rows``: the first rows, with the names of their columns; None where they have none.

    Attributes
    ----------
    edges : ndarray of shape (n_runs + 1,)
        Where the runs begin and end that are read at once.
    """

    def __init__(
        self,
        read: Callable[[int, int], Any],
        shape: tuple[int, int],
        dtype: np.dtype,
        chunks: int | Sequence[int] | None = None,
        head: Callable[[int], Any] | None = None,
    ):
        self.read = read
        self.head = head or (lambda n: self[:n])
        self.shape = shape
        self.dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
        row_bytes = max(shape[1], 1) * self.dtype.itemsize
        least, most = (max(size // row_bytes, 1) for size in (RUN_BYTES, MOST_BYTES))
        self.edges = _edges(shape[0], chunks or 1, least, most)
        self._last, self._rows = -1, np.empty((0, shape[1]), self.dtype)

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
        for places, rows in self.pieces(index):
            found[places] = rows
        return found

    def pieces(self, index: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows by number, those of a run at a time, and where in `index` they are."""
        order = np.argsort(index, kind="stable")
        numbers = index[order]
        runs, firsts = np.unique(
            np.searchsorted(self.edges, numbers, "right") - 1, return_index=True
        )
        lasts = np.append(firsts, len(index))[1:]
        for run, first, last in zip(runs, firsts, lasts, strict=True):
            rows = self._run(int(run))
            yield order[first:last], rows[numbers[first:last] - self.edges[run]]

    def _run(self, number: int) -> np.ndarray:
        """Return a run of rows; the last one is remembered."""
        if number == self._last:
            return self._rows
        start, stop = map(int, self.edges[number : number + 2])
        rows = dense(self.read(start, stop))
        if rows.shape != (stop - start, self.shape[1]):
            raise ValueError(
                f"X changed while it was read: its rows {start} to {stop} have shape {rows.shape}, "
                f"of {self.shape} in all. Give rows that stay as they are during a call."
            )
        rows = rows.astype(self.dtype, copy=False)
        try:
            assert_all_finite(rows, input_name="X")
        except ValueError as error:
            first = start + int(np.argmin(np.isfinite(rows).all(axis=1)))
            raise ValueError(f"{error} (The first is in row {first}.)") from None
        self._last, self._rows = number, rows
        return rows

    def fingerprint(self) -> list[str]:
        """Return what other rows would not give; all are read."""
        return [joblib.hash(self._run(number)) for number in range(len(self.edges) - 1)]


def _edges(n_rows: int, chunks: int | Sequence[int], least: int, most: int) -> np.ndarray:
    """Return where runs begin and end: of whole chunks, but of those that are too large."""
    if isinstance(chunks, int):
        size = min(chunks * max(least // chunks, 1), most)
        return np.append(np.arange(0, n_rows, size), n_rows)
    edges = [0]
    for end in np.cumsum(chunks).tolist():
        while end - edges[-1] > most:
            edges.append(edges[-1] + most)
        if end - edges[-1] >= least or end == n_rows:
            edges.append(end)
    return np.unique(edges)


def fingerprint(X: Any) -> Any:
    """Return what other rows would not give: themselves, in C order, where they are in memory."""
    if hasattr(X, "fingerprint"):
        return X.fingerprint()
    return np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X


def is_lazy(X: Any) -> bool:
    """Tell whether it computes what is made of its blocks when that is asked for, as dask does."""
    return _offers(X, "map_blocks", "rechunk", "shape", "dtype")


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
    if _offers(X, "get_fragments", "schema"):
        return _of_dataset(X)
    if not _offers(X, "shape", "dtype", "__getitem__"):
        return None
    chunks = getattr(X, "chunks", None)
    # An array of h5py in one piece has no chunks; others that have none are in memory.
    is_stored = chunks is not None or _offers(X, "chunks", "file")
    if not (is_stored or _offers(X, "to_memory", "format")):
        return None
    check_matrix(X)
    shape = tuple(X.shape)
    if math.isnan(shape[0]):
        raise ValueError(
            f"X does not know how many rows it has: X.shape={shape}. Call X.compute_chunk_sizes() "
            "before."
        )
    first = chunks[0] if isinstance(chunks, tuple) and chunks else None
    sizes = first if isinstance(first, int | tuple) else None
    return Source(lambda start, stop: _in_memory(X[start:stop]), shape, X.dtype, sizes)


def check_matrix(X: Any) -> None:
    """Check that this has rows and columns, of numbers."""
    if len(X.shape) != 2:
        raise ValueError(
            f"Expected 2D array, got {len(X.shape)}D array instead: X.shape={tuple(X.shape)}."
        )
    _check_number("X", np.dtype(X.dtype))


def _offers(X: Any, *names: str) -> bool:
    """Tell whether a kind of object has these; not one of them, as a frame has its columns."""
    return all(hasattr(type(X), name) for name in names)


def _in_memory(rows: Any) -> Any:
    rows = rows.compute() if hasattr(rows, "compute") else rows
    return rows if sparse.issparse(rows) else np.asarray(rows)


def _check_number(name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "fiub":
        raise ValueError(f"{name} has dtype {dtype}, and must have numbers. Convert it before.")


def _of_dataset(dataset: Any) -> Source:
    """Make a source of a dataset of pyarrow: its groups of rows are what is read."""
    schema, dtypes = dataset.schema, []
    for field in schema:
        try:
            dtype = np.dtype(field.type.to_pandas_dtype())
        except NotImplementedError:
            dtype = np.dtype(object)
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
            # In the columns of the dataset, whatever their order in the file.
            table = group.to_table(schema=schema)
            table = table.slice(max(start - end, 0), stop - max(start, end))
            parts.append(np.column_stack([column.to_numpy() for column in table.columns]))
        return np.concatenate(parts)

    shape = int(ends[-1]), len(dtypes)
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(float)
    return Source(read, shape, dtype, sizes, head=dataset.head)
