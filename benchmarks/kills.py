"""Fits that are killed at random moments and go on: whether they end with the same bits.

    python benchmarks/kills.py [--kills 100]

Fits of some kinds, each a process of its own that is killed (SIGKILL) again and again, at a moment
drawn between its start and half again the seconds that it takes, and started again, until it was
killed so many times in all; then it is left to end. Its codes are compared, bit by bit, with those
of a process that was left alone. Then what a checkpoint costs beside an epoch.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from report import print_versions

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.callbacks import FitCheckpoint

KINDS = {
    "dense": "fit(A(8))",
    "one size": "fit(A(8, init='random'))",
    "sparse": "fit(A(8), sparse=True)",
    "convolutions": "fit(A(8, encoder='conv', image_shape=(1, 8, 8), hidden_layer_sizes=(8,)))",
    "attention": "fit(A(8, encoder='attention', image_shape=(1, 8, 8)))",
    "RBMs": "fit(A(8, pretraining='rbm', init='random', activation='logistic'))",
    "masking": "fit(D(8, corruption='masking', emphasis=0.8))",
    "rows in a file": "fit(A(8), stored=True)",
    "partial_fit": "fit_pieces(DenoisingAutoencoderTransformer)",
    "two processes": "fit_together(D(8))",
}
SCRIPT = """
import hashlib, os, sys
import h5py, joblib, torch.distributed
from scipy import sparse as sp
from sklearn.datasets import load_digits
import sklearn_ae._rows.scaling
from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer, distributed
from sklearn_ae.callbacks import FitCheckpoint

folder, killed, rank, meeting = sys.argv[1:]
callbacks = [FitCheckpoint(folder + "/fit")] if killed == "yes" else None
A = lambda *args, **params: AutoencoderTransformer(
    *args, max_iter=20, random_state=0, callbacks=callbacks, **params
)
D = lambda *args, **params: DenoisingAutoencoderTransformer(
    *args, max_iter=20, random_state=0, callbacks=callbacks, **params
)

def fit(model, sparse=False, stored=False):
    X = rows = load_digits().data[:600]
    if sparse:
        rows = sp.csr_matrix(X)
    if stored:
        sklearn_ae._rows.scaling.LARGE_BYTES = 0
        rows = h5py.File(folder + "/rows", "a").require_dataset("X", X.shape, "f8", data=X)
    return model.fit(rows).transform(X)

def fit_pieces(kind):
    # What is saved after each piece is the checkpoint.
    X, path = load_digits().data[:600], folder + "/model" + killed
    model = joblib.load(path) if os.path.exists(path) else kind(8, random_state=0)
    for begin in range(getattr(model, "n_samples_seen_", 0), 600, 60):
        model.partial_fit(X[begin : begin + 60])
        joblib.dump(model, path + ".new")
        os.replace(path + ".new", path)
    os.remove(path)
    return model.transform(X)

def fit_together(model):
    store = torch.distributed.FileStore(meeting, 2)
    torch.distributed.init_process_group("gloo", store=store, rank=int(rank), world_size=2)
    X = load_digits().data[:600]
    return distributed.fit(model, X[300 * int(rank) :][:300]).transform(X)

print(hashlib.sha256({call}.tobytes()).hexdigest())
"""


def run(call: str, folder: str, seconds: float | None) -> str | None:
    """Run a fit to its end; return its bits, or None where it was killed after so many seconds."""
    killed, size = "no" if seconds is None else "yes", 2 if "together" in call else 1
    processes = []
    with tempfile.TemporaryDirectory() as meeting:
        for rank in range(size):
            command = [sys.executable, "-c", SCRIPT.replace("{call}", call)]
            process = subprocess.Popen(
                [*command, folder, killed, str(rank), f"{meeting}/store"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            processes.append(process)
        try:
            until = time.monotonic() + (seconds or math.inf)
            found = []
            for process in processes:
                left = None if seconds is None else max(until - time.monotonic(), 0)
                found.append(process.communicate(timeout=left)[0])
        except subprocess.TimeoutExpired:
            for process in processes:
                process.kill()
            for process in processes:
                process.communicate()
            return None
    return found[0] if len(set(found)) == 1 else "the processes differ"


def run_kind(call: str, n_kills: int, rng: np.random.Generator) -> tuple[bool, int, float]:
    """Kill fits of a kind; return whether the bits are the same, the kills, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        expected = run(call, folder, None)
        seconds, n_killed, same = time.perf_counter() - begun, 0, bool(expected)
        while n_killed < n_kills:
            found = run(call, folder, rng.uniform(0, 1.5) * seconds)
            n_killed += found is None
            # It was faster than the kill, and begins anew.
            same = same and found in (expected, None)
        return same and run(call, folder, 1e6) == expected, n_killed, seconds


class Timed(FitCheckpoint):
    """Notes how long it takes to write."""

    seconds: ClassVar[list[float]] = []

    def write(self, state: dict, *, last: bool) -> None:
        """Write, and note it."""
        start = time.perf_counter()
        super().write(state, last=last)
        self.seconds.append(time.perf_counter() - start)


def print_cost(n_rows: int = 200_000, n_columns: int = 100) -> None:
    """Print what is written after an epoch of so many rows, beside the epoch."""
    X = np.random.default_rng(0).standard_normal((n_rows, n_columns), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit"
        model = AutoencoderTransformer(16, max_iter=3, callbacks=[Timed(path, keep=True)]).fit(X)
        epoch = np.median([row["dur"] for row in model.net_.history])
        written, size = np.median(Timed.seconds), path.stat().st_size
    print(
        f"{n_rows:,} x {n_columns}: an epoch {epoch:.2f} s, a checkpoint of {size / 2**20:.1f} MB "
        f"{written:.3f} s, {written / epoch:.1%} of it"
    )


def main() -> None:
    """Print a line a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of all kinds together")
    args = parser.parse_args()
    print_versions()
    rng = np.random.default_rng(0)
    for name, call in KINDS.items():
        same, n_killed, seconds = run_kind(call, -(-args.kills // len(KINDS)), rng)
        verdict = "the same bits" if same else "OTHER BITS"
        print(f"{name:<16} {n_killed:3d} kills of a fit of {seconds:4.1f} s: {verdict}", flush=True)
    print_cost()


if __name__ == "__main__":
    main()
