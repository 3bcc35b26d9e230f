"""What a CUDA device is used for: steps a second, many rows, codes of rows, memory.

    SCIPY_ARRAY_API=1 python benchmarks/on_cuda.py [step] [fit] [codes] [memory] [--rows 1000000]

step
    Milliseconds of a training step of the default network, beside the same layers in a bare loop of
    torch whose rows lie on the device, launched one by one and as one graph. A step is the median
    epoch's seconds, divided by its batches.
fit
    Seconds of a fit and of its epochs, and the share of the device's rate of multiplying matrices
    in float32, measured here, that an epoch reaches; beside `torch.pca_lowrank` and scikit-learn's
    PCA of a tensor on the device.
codes
    Rows a second of `transform`, of arrays and of tensors on the device, beside the bare encoder.
memory
    Peak of the device's memory, and seconds of an epoch of rows that stay on it and of rows that do
    not fit: most of the memory is taken meanwhile.

Once each; a fit of few rows comes first, so that what CUDA loads is loaded.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from report import print_versions
from sklearn import config_context
from sklearn.decomposition import PCA
from skorch.callbacks import Callback

from sklearn_ae import AutoencoderTransformer

BATCH_SIZES = (128, 1024, 8192)
MATRIX, REPETITIONS = 8192, 5
LEARNING_RATE = 1e-3
# Of the free memory, what is left to a fit whose rows do not fit.
LEFT = 0.06


class Epochs(Callback):
    """Measures the seconds of each epoch, to when the device has done its work.

    Parameters
    ----------
    seconds : list of float
        Where they are added: a fit trains with a copy of the callback.
    """

    def __init__(self, seconds: list[float]):
        self.seconds = seconds

    def __deepcopy__(self, memo: dict) -> "Epochs":
        """Return the same: what a fit measures is looked at here."""
        return self

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock."""
        torch.cuda.synchronize()
        self.began = time.perf_counter()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop the clock."""
        torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.began)


def seconds_of(call: Callable, *args: Any) -> float:
    """Return the seconds of a call, to when the device has done its work."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    call(*args)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def make_rows(n_rows: int, n_columns: int) -> np.ndarray:
    """Make rows of noisy waves, of ten angles and four frequencies."""
    rng = np.random.default_rng(0)
    angles = rng.standard_normal((n_rows, 10), dtype=np.float32)
    X = 0.1 * rng.standard_normal((n_rows, n_columns), dtype=np.float32)
    for j in range(n_columns):
        X[:, j] += np.sin((1 + j // 10 % 4) * angles[:, j % 10] + j)
    return X


def matrix_rate() -> float:
    """Return the operations a second of products of large matrices in float32."""
    a = torch.randn(MATRIX, MATRIX, device="cuda")
    a @ a
    seconds = min(seconds_of(lambda: a @ a) for _ in range(REPETITIONS))
    return 2 * MATRIX**3 / seconds


def operations(model: AutoencoderTransformer) -> int:
    """Return the operations of products of matrices that a step takes for a row."""
    weights = [weight for weight in model.net_.module_.parameters() if weight.ndim == 2]
    # Forwards, and the gradients by the inputs and by the weights.
    return 3 * 2 * sum(weight.numel() for weight in weights)


def bare_step(n_columns: int, hidden: list[int], size: int) -> Callable:
    """Return what takes a step of a batch in a bare loop of torch, one launch after the other."""
    widths = [n_columns, *hidden, size, *hidden[::-1], n_columns]
    layers: list[torch.nn.Module] = []
    for i in range(len(widths) - 1):
        layers.append(torch.nn.Linear(widths[i], widths[i + 1]))
        if i not in (len(hidden), len(widths) - 2):
            layers.append(torch.nn.GELU())
    network = torch.nn.Sequential(*layers).cuda()
    optimizer = torch.optim.Adam(
        network.parameters(), lr=LEARNING_RATE, fused=True, capturable=True
    )

    def step(batch: torch.Tensor) -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(batch), batch).backward()
        optimizer.step()

    return step


def graph_of(step: Callable, batch: torch.Tensor) -> Callable:
    """Return the same step of batches like one, captured once and replayed."""
    place = batch.clone()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step(place)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(place)

    def replayed(batch: torch.Tensor) -> None:
        place.copy_(batch)
        graph.replay()

    return replayed


def epoch(step: Callable, rows: torch.Tensor, batch_size: int) -> None:
    """Take a step of each batch of the rows, in a new order."""
    order = torch.randperm(len(rows), device="cuda")
    for batch in rows[order].split(batch_size):
        step(batch)


def steps(n_components: int) -> None:
    """Print the milliseconds of steps, ours and bare."""
    for n_columns, batch_size in [(64, 128), *((784, size) for size in BATCH_SIZES)]:
        n_batches = 100
        X = make_rows(n_batches * batch_size, n_columns)
        found = {}
        for name, params in (("one size", {"init": "random"}), ("ordered", {})):
            epochs = Epochs([])
            AutoencoderTransformer(
                n_components,
                batch_size=batch_size,
                early_stopping=False,
                n_iter_no_change=100,
                max_iter=12,
                callbacks=[epochs],
                random_state=0,
                device="cuda",
                **params,
            ).fit(X)
            found[f"ours, {name}"] = float(np.median(epochs.seconds[2:]))
        shape = AutoencoderTransformer(n_components, max_iter=0, init="random", device="cpu")
        weights = shape.fit(X[:500]).net_.module_.encoder.parameters()
        hidden = [len(weight) for weight in weights if weight.ndim == 2][:-1]
        rows = torch.from_numpy(X).cuda()
        bare = bare_step(n_columns, hidden, n_components)
        epoch(bare, rows, batch_size)
        for name, step in (("loop", bare), ("graph", graph_of(bare, rows[:batch_size]))):
            taken = [seconds_of(epoch, step, rows, batch_size) for _ in range(10)]
            found[f"bare {name}"] = float(np.median(taken))
        for name, seconds in found.items():
            print(
                f"{n_columns} columns, hidden {hidden}, batches of {batch_size}: {name}, "
                f"{1e3 * seconds / n_batches:.3f} ms a step, "
                f"{seconds / found['bare loop']:.2f} times the bare loop"
            )


def fits(X: np.ndarray, n_components: int, n_epochs: int) -> None:
    """Print the seconds of fits of many rows, and of PCA."""
    rate = matrix_rate()
    print(f"products of {MATRIX} x {MATRIX} in float32: {rate / 1e12:.1f} TFLOP/s")
    for batch_size in ("auto", 1024, 8192):
        epochs = Epochs([])
        model = AutoencoderTransformer(
            n_components,
            max_iter=n_epochs,
            batch_size=batch_size,
            callbacks=[epochs],
            random_state=0,
            device="cuda",
        )
        torch.cuda.reset_peak_memory_stats()
        seconds = seconds_of(model.fit, X)
        of_epoch = float(np.median(epochs.seconds))
        share = operations(model) * len(X) / of_epoch / rate
        peak = torch.cuda.max_memory_allocated() / X.nbytes
        print(
            f"{X.shape[0]:,} x {X.shape[1]} to {n_components}, batch_size={batch_size}: fit of "
            f"{n_epochs} epochs {seconds:.2f} s, an epoch {of_epoch:.2f} s, {share:.3f} of that "
            f"rate, peak {peak:.2f} times X; variance explained {model.score_:.4f}, by PCA "
            f"{model.pca_score_:.4f}"
        )
    start = AutoencoderTransformer(n_components, max_iter=0, random_state=0, device="cuda")
    print(f"max_iter=0: {seconds_of(start.fit, X):.2f} s")
    rows = torch.from_numpy(X).cuda()
    torch.manual_seed(0)
    for name, call in (
        ("torch.pca_lowrank", lambda: torch.pca_lowrank(rows, n_components)),
        ("scikit-learn's PCA of a tensor", lambda: PCA(n_components).fit(rows)),
        ("ours of a tensor, max_iter=0", lambda: start.fit(rows)),
    ):
        with config_context(array_api_dispatch=True):
            call()
            print(f"{name}: {seconds_of(call):.3f} s")


def codes(X: np.ndarray, n_components: int) -> None:
    """Print rows a second of codes."""
    for dtype in (np.float32, np.float64):
        rows = X.astype(dtype)
        tensor = torch.from_numpy(rows).cuda()
        model = AutoencoderTransformer(n_components, max_iter=2, random_state=0, device="cuda")
        model.fit(rows[:50_000])
        encoder = copy.deepcopy(model.net_.module_.encoder).to(tensor.dtype)
        for name, call, given in (
            ("bare encoder, tensor", torch.inference_mode()(encoder), tensor),
            ("transform, array", model.transform, rows),
        ):
            call(given)
            speed = len(rows) / seconds_of(call, given)
            print(f"{np.dtype(dtype)}: {name}, {speed:,.0f} rows a second")
        with config_context(array_api_dispatch=True):
            model.fit(tensor[:50_000])
            for n in (1, 1_000, len(rows)):
                model.transform(tensor[:n])
                seconds = seconds_of(model.transform, tensor[:n])
                print(f"{np.dtype(dtype)}: transform, tensor of {n:,}: {1e3 * seconds:.2f} ms")


def memory(X: np.ndarray, n_components: int) -> None:
    """Print seconds of an epoch and peaks of memory, of rows that fit and that do not."""
    for name in ("rows on the device", "rows that do not fit"):
        taken = None
        torch.cuda.empty_cache()
        if name == "rows that do not fit":
            free, _ = torch.cuda.mem_get_info()
            taken = torch.empty(int((1 - LEFT) * free), dtype=torch.uint8, device="cuda")
        before = torch.cuda.memory_allocated()
        for batch_size in ("auto", 8192):
            torch.cuda.reset_peak_memory_stats()
            epochs = Epochs([])
            model = AutoencoderTransformer(
                n_components,
                max_iter=2,
                batch_size=batch_size,
                callbacks=[epochs],
                random_state=0,
                device="cuda",
            )
            seconds = seconds_of(model.fit, X)
            peak = (torch.cuda.max_memory_allocated() - before) / 2**20
            print(
                f"{name}, batch_size={batch_size}: fit {seconds:.2f} s, an epoch "
                f"{np.median(epochs.seconds):.2f} s, peak {peak:,.0f} MB, X has "
                f"{X.nbytes / 2**20:,.0f}"
            )
        del taken


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["step", "fit", "codes", "memory"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=784)
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        parser.error("set SCIPY_ARRAY_API=1, without which scikit-learn takes no tensors")
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    print_versions()
    print(torch.cuda.get_device_name())
    warm = make_rows(2_000, args.columns)
    AutoencoderTransformer(args.components, max_iter=2, device="cuda").fit(warm).transform(warm)
    if "step" in args.parts:
        steps(8)
    if {"fit", "codes", "memory"} & set(args.parts):
        X = make_rows(args.rows, args.columns)
        if "fit" in args.parts:
            fits(X, args.components, args.epochs)
        if "codes" in args.parts:
            codes(X, args.components)
        if "memory" in args.parts:
            memory(X, args.components)


if __name__ == "__main__":
    main()
