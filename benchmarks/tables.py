"""The tables of the benchmarks: numeric columns, split and scaled alike for every method."""

import gzip
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

MAX_ROWS = 4_000
SIZES = (2, 8, 32)
# Where Debian's package dataset-fashion-mnist puts it.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
# Word and molecule counts: sparse, and not what a StandardScaler is for.
COUNTS = {"ng20", "worm_neuron"}
# Numeric targets of regression tables are not classes.
REGRESSION = {
    "ailerons",
    "cal_housing",
    "cpu_act",
    "diabetes",
    "gasoline",
    "swiss_roll",
    "tecator",
    "uci_gas",
    "uci_protein",
    "uci_wine",
    "wine_white",
}


@dataclass
class Split:
    """A table split into training and held-out rows, scaled by the training rows."""

    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray | None
    y_test: np.ndarray | None

    def sizes(self) -> list[int]:
        """Return the numbers of components under 3/4 of min(rows, columns)."""
        return [k for k in SIZES if k < 0.75 * min(self.X_train.shape)]


def _bundled() -> dict:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(20, 20))
    roll, angle = datasets.make_swiss_roll(2_000, noise=0.05, random_state=0)
    return {
        "digits": datasets.load_digits(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "breast_cancer": datasets.load_breast_cancer(return_X_y=True),
        "diabetes": datasets.load_diabetes(return_X_y=True),
        "iris": datasets.load_iris(return_X_y=True),
        "swiss_roll": (roll, angle),
        "gaussian": (rng.normal(size=(2_000, 20)) @ mixing, None),
    }


def _numeric(X) -> np.ndarray | None:
    """Return the numeric columns without missing values as float64, or None without any."""
    if isinstance(X, pd.DataFrame):
        X = X.select_dtypes("number").to_numpy()
    X = np.asarray(X, dtype=np.float64)
    X = X[:, np.isfinite(X).all(axis=0)]
    return X if X.shape[1] > 1 else None


def import_loader(data_dir: str | Path, name: str = "load") -> ModuleType:
    """Import the ``load.py`` of a folder of tables, or another module that lies there."""
    if str(data_dir) not in sys.path:
        sys.path.append(str(data_dir))
    return importlib.import_module(name)


def load_images(name: str, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training images of a set as rows, float32 in [0, 1], and what they show."""
    if name == "fashion_mnist":
        return load_fashion_mnist()
    table = import_loader(data_dir).load(name)
    X = np.asarray(table["X"], np.float32)
    return X / X.max(), np.asarray(table["y"])


def load_fashion_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return the 60,000 training images of Fashion-MNIST and their labels.

    Raises
    ------
    FileNotFoundError
        If Debian's package is not installed.
    """
    parts = []
    for part, header in (("images-idx3", 16), ("labels-idx1", 8)):
        path = FASHION_MNIST / f"train-{part}-ubyte.gz"
        if not path.exists():
            raise FileNotFoundError(f"{path}: install Debian's package dataset-fashion-mnist.")
        with gzip.open(path) as file:
            parts.append(np.frombuffer(file.read(), np.uint8, offset=header))
    images, labels = parts
    return images.reshape(len(labels), -1).astype(np.float32) / 255, labels


def load_tables(data_dir: str | Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Yield (name, X, y) of scikit-learn's own tables and of those in `data_dir`.

    Parameters
    ----------
    data_dir : path or None
        A folder with a ``load.py`` that has ``names()`` and ``load(name)``.
    """
    for name, (X, y) in _bundled().items():
        yield name, np.asarray(X, dtype=np.float64), y
    if data_dir is None:
        return
    module = import_loader(data_dir)
    for name in module.names():
        if name in COUNTS:
            continue
        table = module.load(name)
        if sparse.issparse(table["X"]):
            continue
        X = _numeric(table["X"])
        if X is not None:
            yield name, X, table.get("y")


def split_table(X: np.ndarray, y: np.ndarray | None, seed: int) -> Split:
    """Draw at most 4,000 rows, hold a quarter of them out, and scale by the rest."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(X.shape[0])[:MAX_ROWS]
    y = None if y is None else np.asarray(y)[rows]
    train, test = train_test_split(np.arange(rows.size), test_size=0.25, random_state=seed)
    scaler = StandardScaler().fit(X[rows][train])
    return Split(
        scaler.transform(X[rows][train]),
        scaler.transform(X[rows][test]),
        None if y is None else y[train],
        None if y is None else y[test],
    )
