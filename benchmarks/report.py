"""What every benchmark starts with: where it runs, and a process that is warm."""

import functools
import platform

import numpy as np
import sklearn
import skorch
import torch

import sklearn_ae


def print_versions() -> None:
    """Print machine, threads and versions in one line."""
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, Python "
        f"{platform.python_version()}, sklearn_ae {sklearn_ae.__version__}, scikit-learn "
        f"{sklearn.__version__}, skorch {skorch.__version__}, torch {torch.__version__}, numpy "
        f"{np.__version__}"
    )


@functools.cache
def warm_up() -> None:
    """Let the process load what the first fit loads: more than a second, which no table owes."""
    sklearn_ae.AutoencoderTransformer(1, max_iter=1).fit(np.eye(20))
