"""What every benchmark says about where it ran."""

import platform

import numpy
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
        f"{numpy.__version__}"
    )
