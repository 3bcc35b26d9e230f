"""Fits that are killed at random moments and go on: whether they end with the same bits.

    python benchmarks/kills.py [--kills 100]

Fits of some kinds, each a process of its own that is killed (SIGKILL) again and again, at a moment
drawn between its start and half again the seconds that it takes, and started again, until it was
killed so many times in all; then it is left to end. Its codes are compared, bit by bit, with those
of a process that was left alone. Then what a checkpoint costs beside an epoch.
"""

import argparse
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
    "dense": "A(8)",
    "one size": "A(8, init='random')",
    "no rows held out": "A(8, early_stopping=False)",
    "sparse": "A(8), sparse=True",
    "convolutions": "A(8, encoder='conv', image_shape=(1, 8, 8), hidden_layer_sizes=(8,))",
    "attention": "A(8, encoder='attention', image_shape=(1, 8, 8))",
    "RBMs": "A(8, pretraining='rbm', init='random', activation='logistic')",
    "denoising": "D(8)",
    "masking": "D(8, corruption='masking', emphasis=0.8)",
    "rows in a file": "A(8), stored=True",
}
SCRIPT = """
import hashlib, sys
import h5py
from scipy import sparse as sp
from sklearn.datasets import load_digits
import sklearn_ae._rows.scaling
from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.callbacks import FitCheckpoint

folder, killed = sys.argv[1:]
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

print(hashlib.sha256(fit({call}).tobytes()).hexdigest())
"""


def start(call: str, folder: str, *, killed: bool) -> subprocess.Popen:
    """Start a fit in a process of its own."""
    command = [sys.executable, "-c", SCRIPT.replace("{call}", call), folder]
    command.append("yes" if killed else "no")
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_kind(call: str, n_kills: int, rng: np.random.Generator) -> tuple[bool, int, float]:
    """Kill fits of a kind; return whether the bits are the same, the kills, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        expected, _ = start(call, folder, killed=False).communicate()
        seconds, n_killed = time.perf_counter() - begun, 0
        same = True
        while n_killed < n_kills:
            process = start(call, folder, killed=True)
            try:
                found, _ = process.communicate(timeout=rng.uniform(0, 1.5) * seconds)
                same = same and found == expected  # it was faster than the kill, and begins anew
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                n_killed += 1
        found, _ = start(call, folder, killed=True).communicate()
        return same and found == expected and bool(expected), n_killed, seconds


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
