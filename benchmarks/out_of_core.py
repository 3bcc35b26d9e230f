"""Rows on disk against the same rows in memory: seconds an epoch, peak memory, error.

    python benchmarks/out_of_core.py [--rows 2000000] [--columns 100] [--epochs 2]
    python benchmarks/out_of_core.py --mixed 1 4 16 64
    python benchmarks/out_of_core.py --rows 20000000 --epochs 1 --formats hdf5 --limit 2048

The rows of large.py, in float32, in files of HDF5 and Zarr (chunks of 10,000 rows, not compressed)
and Parquet (groups of 100,000), in a folder that is removed after. Each case is a process of its
own; its peak is its largest resident set (Linux). Seconds an epoch are those of
`max_iter=--epochs` without those of `max_iter=0`, divided. The error is on rows that no fit has
seen, to PCA's.

With --limit, a process that reads a file may take no more memory than so many megabytes (Linux:
RLIMIT_DATA, which does not count what is mapped from files).

With --mixed, instead: the error of HDF5 rows that lie in the order of their first column, when so
many runs of them are mixed, against all of them in a random order in memory.
"""

import argparse
import contextlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import print_versions
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._rows import rows as rows_module

CHUNK, GROUP, COMPONENTS, N_TEST = 10_000, 100_000, 16, 20_000


def draw(n_rows: int, n_columns: int, seed: int) -> np.ndarray:
    """Draw ten circles in noise, more than the code has room for, and the angle of each."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_columns), dtype=np.float32)
    half = n_columns // 2
    X[:, :half] *= 0.1
    for j in range(half):
        X[:, j] += np.sin(2 * X[:, half + j % 10] + j)
    return X


def write(folder: Path, n_rows: int, n_columns: int, formats: list[str], *, in_order: bool) -> None:
    """Write the same rows as an array and in each format, in parts."""
    shape, writers = (n_rows, n_columns), []
    with contextlib.ExitStack() as opened:
        if "zarr" in formats:
            import zarr

            array = zarr.create_array(
                folder / "zarr",
                shape=shape,
                dtype="f4",
                chunks=(CHUNK, n_columns),
                compressors=None,
            )
            writers.append(array.__setitem__)
        if "hdf5" in formats:
            import h5py

            file = opened.enter_context(h5py.File(folder / "hdf5", "w"))
            dataset = file.create_dataset("X", shape, "f4", chunks=(CHUNK, n_columns))
            writers.append(dataset.__setitem__)
        if "parquet" in formats:
            import pyarrow as pa
            import pyarrow.parquet

            schema = pa.schema([(f"c{j}", pa.float32()) for j in range(n_columns)])
            table = opened.enter_context(pa.parquet.ParquetWriter(folder / "parquet", schema))
            writers.append(lambda _, rows: table.write_table(pa.table(list(rows.T), schema=schema)))
        in_memory = np.lib.format.open_memmap(folder / "npy", "w+", np.float32, shape)
        writers.append(in_memory.__setitem__)
        if in_order:
            X = draw(n_rows, n_columns, 0)
            X = X[np.argsort(X[:, n_columns // 2])]
        for start in range(0, n_rows, GROUP):
            stop = min(start + GROUP, n_rows)
            rows = X[start:stop] if in_order else draw(stop - start, n_columns, start + 1)
            for add in writers:
                add(slice(start, stop), rows)


def open_rows(folder: Path, kind: str) -> Any:
    """Open rows of a kind, those of "npy" as an array in memory."""
    if kind == "npy":
        return np.load(folder / kind)
    if kind == "zarr":
        import zarr

        return zarr.open_array(folder / kind, mode="r")
    if kind == "hdf5":
        import h5py

        return h5py.File(folder / kind)["X"]
    import pyarrow.dataset

    return pyarrow.dataset.dataset(folder / kind)


def run_case(
    folder: Path, kind: str, n_columns: int, epochs: int, mixed: int | None, limit: int | None
) -> dict:
    """Fit rows of a kind in this process; return seconds, megabytes and the squared error."""
    if limit is not None and kind != "npy":
        resource.setrlimit(resource.RLIMIT_DATA, (limit * 2**20, limit * 2**20))
    if mixed is not None:
        rows_module.MIXED_RUNS, rows_module.MIXED_BYTES = mixed, 0
    rows, seconds = open_rows(folder, kind), []
    for max_iter in (0, epochs):
        model = AutoencoderTransformer(COMPONENTS, max_iter=max_iter, random_state=0)
        start = time.perf_counter()
        model.fit(rows)
        seconds.append(time.perf_counter() - start)
    # Not of getrusage, which counts what the parent held.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024
    start = time.perf_counter()
    model.transform(rows)
    test = draw(N_TEST, n_columns, 10**9)
    return {
        "start": seconds[0],
        "epoch": (seconds[1] - seconds[0]) / epochs,
        "peak": peak,
        "rows": model.n_samples_ / (time.perf_counter() - start),
        "error": float(np.square(test - model.reconstruct(test)).sum()),
    }


def main() -> None:
    """Write the rows, and fit them from each place in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--formats", nargs="+", default=["hdf5", "zarr", "parquet"])
    parser.add_argument("--limit", type=int, help="megabytes that reading a file may take")
    parser.add_argument("--mixed", type=int, nargs="+", help="runs that are mixed")
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary one without")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        folder, kind, mixed = args.case
        mixed = None if mixed == "-" else int(mixed)
        found = run_case(Path(folder), kind, args.columns, args.epochs, mixed, args.limit)
        print(json.dumps(found))
        return
    print_versions()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        formats = ["hdf5"] if args.mixed else args.formats
        write(folder, args.rows, args.columns, formats, in_order=args.mixed is not None)
        test = draw(N_TEST, args.columns, 10**9)
        pca = PCA(COMPONENTS).fit(draw(N_TEST, args.columns, 10**9 + 1))
        theirs = np.square(test - pca.inverse_transform(pca.transform(test))).sum()
        print(
            f"{args.rows:,} x {args.columns}, float32, {args.rows * args.columns / 2**18:,.0f} MB"
        )
        print("where             start  an epoch  peak MB  transform, rows/s  error to PCA's")
        cases = [("npy", "-"), *((kind, "-") for kind in formats)]
        if args.mixed:
            cases = [("npy", "-"), *(("hdf5", str(n)) for n in args.mixed)]
        for kind, mixed in cases:
            command = [
                sys.executable, __file__, "--case", name, kind, mixed,
                "--columns", str(args.columns), "--epochs", str(args.epochs),
                *(["--limit", str(args.limit)] if args.limit else []),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            where = {"npy": "in memory"}.get(kind, kind) + (
                "" if mixed == "-" else f", {mixed} mixed"
            )
            error = found["error"] / theirs
            print(
                f"{where:<15} {found['start']:5.1f} s  {found['epoch']:6.1f} s"
                f"  {found['peak']:7.0f}  {found['rows']:17,.0f}  {error:14.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
