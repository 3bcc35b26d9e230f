"""What benchmarks share: where they run, a process that is warm, a limit of time."""

import functools
import platform
import time
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from numpy.typing import ArrayLike
from skorch.callbacks import Callback

import sklearn_ae


def print_versions() -> None:
    """Print machine, threads and versions in one line."""
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, Python "
        f"{platform.python_version()}, sklearn_ae {sklearn_ae.__version__}, scikit-learn "
        f"{sklearn.__version__}, skorch {skorch.__version__}, torch {torch.__version__}, numpy "
        f"{np.__version__}"
    )


def mean_and_spread(runs: ArrayLike) -> list[str]:
    """Return mean and standard deviation over the runs, for each column of their results."""
    columns = zip(np.mean(runs, axis=0), np.std(runs, axis=0), strict=True)
    return [f"{mean:.2f} ± {spread:.2f}" for mean, spread in columns]


def median_and_range(values: ArrayLike, digits: int = 2) -> str:
    """Return the median, the least and the most."""
    numbers = (np.median(values), np.min(values), np.max(values))
    return "{} ({} to {})".format(*(f"{number:.{digits}f}" for number in numbers))


@functools.cache
def warm_up() -> None:
    """Let the process load what the first fit loads: more than a second, which no table owes."""
    sklearn_ae.AutoencoderTransformer(1, max_iter=1).fit(np.eye(20))


def fit_seconds(estimator: Any, X: np.ndarray) -> float:
    """Fit, and return the seconds; of less than one the best of three, as interruptions count."""

    def once() -> float:
        start = time.perf_counter()
        estimator.fit(X)
        return time.perf_counter() - start

    seconds = once()
    return seconds if seconds > 1 else min(seconds, once(), once())


class StopAfter(Callback):
    """Stops training after an epoch, once the time is up.

    Parameters
    ----------
    seconds : float
        How long training may take.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop as Ctrl-C would."""
        if time.perf_counter() - self.began > self.seconds:
            raise KeyboardInterrupt
