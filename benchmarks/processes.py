"""One process and several: seconds of a step, the share of it that is communication, the error.

    python benchmarks/processes.py [--rows 200000] [--columns 100] [--sizes 1 2]

The rows of out_of_core.py, parted evenly. Each process has one thread, so there should be as many
processors as processes. Seconds of a step are those of an epoch, divided by its steps; those of
reducing are spent in the sum of gradients, where a process also waits for the slowest. The model is
what docs/guide/large.md counts with: a step of one process on its part of the batch, and a
reduction alone. The error is on rows that no fit has seen, to that of one process with the same
batch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from out_of_core import COMPONENTS, N_TEST, draw
from report import print_versions
from torch import distributed

from sklearn_ae import AutoencoderTransformer
from sklearn_ae import distributed as together
from sklearn_ae._processes import Processes

EPOCHS, N_REDUCED = 2, 200


def fit_seconds(model: AutoencoderTransformer, X: np.ndarray) -> float:
    """Fit in all processes, and return the seconds."""
    start = time.perf_counter()
    together.fit(model, X)
    return time.perf_counter() - start


def run_process(store: str, rank: int, size: int, rows: int, columns: int, batch: int) -> dict:
    """Fit in this process, one of so many; return seconds, and the squared error."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(store, size), rank=rank, world_size=size
    )
    X = draw(rows, columns, 0)[rows * rank // size : rows * (rank + 1) // size]
    reducing, largest, add_up = [0.0], [0], Processes.add_up

    def timed(self: Processes, *tensors: torch.Tensor) -> None:
        start = time.perf_counter()
        add_up(self, *tensors)
        reducing[0] += time.perf_counter() - start
        largest[0] = max(largest[0], *(tensor.numel() * (tensor.ndim == 1) for tensor in tensors))

    Processes.add_up = timed
    warm = AutoencoderTransformer(COMPONENTS, batch_size=batch, max_iter=1, random_state=0)
    together.fit(warm, X[: 4 * batch])
    model = AutoencoderTransformer(
        COMPONENTS, batch_size=batch, max_iter=EPOCHS, validation_fraction=0.01, random_state=0
    )
    reducing[0] = 0.0
    whole = fit_seconds(model, X)
    history = model.net_.history
    steps = sum(history[:, "train_batch_count"])
    # A reduction of as many numbers alone, without any waiting for a slower process.
    numbers = torch.zeros(largest[0])
    distributed.barrier()
    start = time.perf_counter()
    for _ in range(N_REDUCED):
        distributed.all_reduce(numbers)
    alone = (time.perf_counter() - start) / N_REDUCED
    distributed.destroy_process_group()
    test = draw(N_TEST, columns, 10**9)
    return {
        "fit": whole,
        "step": sum(history[:, "dur"]) / steps,
        "reducing": reducing[0] / steps,
        "alone": alone,
        "megabytes": 4 * len(numbers) / 2**20,
        "error": float(np.square(test - model.reconstruct(test)).sum()),
    }


def run(size: int, rows: int, columns: int, batch: int) -> dict:
    """Run so many processes, and return what the first one found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--process", str(Path(folder) / "store")]
        numbers = [[rank, size, rows, columns, batch] for rank in range(size)]
        processes = [
            subprocess.Popen(
                [*command, *map(str, one)],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for one in numbers
        ]
        outputs = [process.communicate()[0] for process in processes]
    return json.loads(outputs[0].splitlines()[-1])


def main() -> None:
    """Run each size with each batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 2048, 8192])
    parser.add_argument("--process", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.process:
        store, *numbers = args.process
        print(json.dumps(run_process(store, *map(int, numbers))))
        return
    print_versions()
    print(f"{args.rows:,} x {args.columns}, float32, {EPOCHS} epochs")
    print("batch  processes    fit, s  a step, ms  reducing  model, ms     MB  error to one's")
    for batch in args.batches:
        # What the model takes of one process: its step on the batch, and on the parts of it.
        share = {size: run(1, args.rows, args.columns, batch // size) for size in args.sizes}
        for size in args.sizes:
            found = share[1] if size == 1 else run(size, args.rows, args.columns, batch)
            alone = 0.0 if size == 1 else found["alone"]
            model = share[size]["step"] - share[size]["reducing"] + alone
            print(
                f"{batch:5}  {size:9}  {found['fit']:8.1f}  {1e3 * found['step']:10.2f}"
                f"  {found['reducing'] / found['step']:8.0%}  {1e3 * model:9.2f}"
                f"  {found['megabytes']:5.2f}  {found['error'] / share[1]['error']:14.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
