"""The autoencoders that others offer, each trained while held-out rows are measured.

    python benchmarks/peers.py METHOD TASK.json

`time_to_quality.py` runs this file in an environment of the method's own, where sklearn_ae is not
installed. The task names files of rows and where the curve goes: [[seconds, squared error], ...],
an entry an epoch. It says after how many seconds training ends, and at which error before. The
clock stops while the held-out rows are measured, and a first training on few rows, whose seconds
nobody counts, loads what the process will need.
"""

import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEARNING_RATE = 1e-3
BATCH_SIZE = 128
MOST_EPOCHS = 100_000


class TrainingIsOverError(Exception):
    """Leaves a peer's own loop over the epochs."""


@dataclass
class Curve:
    """Errors of held-out rows by time.

    Attributes
    ----------
    X_test : ndarray of shape (n_rows, n_features)
        Held-out rows.
    seconds : float
        How long training may take.
    target : float
        Error at which training ends before.
    points : list of (float, float)
        Seconds of training, and squared error summed over the cells.
    """

    X_test: np.ndarray
    seconds: float
    target: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)

    def start(self) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def measure(self, rebuild: Callable) -> None:
        """Add a point, with the clock stopped.

        Raises
        ------
        TrainingIsOverError
            Where training took longer than it may, or has reached the target.
        """
        stopped = time.perf_counter()
        error = np.square(self.X_test - np.asarray(rebuild(self.X_test)), dtype=np.float64).sum()
        self.points.append((stopped - self.began, float(error)))
        if stopped - self.began > self.seconds or error <= self.target:
            raise TrainingIsOverError
        self.began += time.perf_counter() - stopped


def widths(hidden: list[int], size: int) -> list[int]:
    """Return the widths of the layers between the rows and their reconstruction."""
    return [*hidden, size, *hidden[::-1]]


def torch_layers(n_features: int, hidden: list[int], size: int) -> Any:
    """Make the layers of torch: rectified but for the code and the reconstruction."""
    from torch import nn

    sizes = [n_features, *widths(hidden, size), n_features]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(before, after))
        if i not in (len(hidden), len(sizes) - 2):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def torch_loop(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train with the shortest loop of torch: batches are slices of one shuffled tensor."""
    import torch

    def rebuild(rows):
        with torch.inference_mode():
            return network(torch.from_numpy(rows)).numpy()

    torch.manual_seed(0)
    network = torch_layers(X.shape[1], hidden, size)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    loss = torch.nn.MSELoss()
    rows = torch.from_numpy(X)
    for _ in range(MOST_EPOCHS):
        for batch in rows[torch.randperm(len(rows))].split(BATCH_SIZE):
            optimizer.zero_grad()
            loss(network(batch), batch).backward()
            optimizer.step()
        curve.measure(rebuild)


def skorch(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train skorch's regressor as its documentation shows it, all rows for training."""
    import torch
    from skorch import NeuralNetRegressor
    from skorch.callbacks import Callback

    class Measure(Callback):
        def on_epoch_end(self, net, **kwargs):
            curve.measure(net.predict)

    torch.manual_seed(0)
    NeuralNetRegressor(
        torch_layers(X.shape[1], hidden, size),
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        max_epochs=MOST_EPOCHS,
        train_split=None,
        iterator_train__shuffle=True,
        callbacks=[Measure()],
        verbose=0,
    ).fit(X, X)


def mlp_regressor(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train scikit-learn's network to give back what it is given."""
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(
        hidden_layer_sizes=widths(hidden, size),
        learning_rate_init=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        alpha=0,
        random_state=0,
    )
    for _ in range(MOST_EPOCHS):
        network.partial_fit(X, X)
        curve.measure(network.predict)


def prepare_tensorflow() -> None:
    """Let TensorFlow say little, and take as many threads as the others are told to."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "OMP_NUM_THREADS" in os.environ:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ.setdefault(name, os.environ["OMP_NUM_THREADS"])


def keras(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train a Keras model, compiled as its guide on autoencoders does."""
    prepare_tensorflow()
    import keras

    class Measure(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            curve.measure(lambda rows: self.model.predict(rows, batch_size=2_000, verbose=0))

    keras.utils.set_random_seed(0)
    sizes = widths(hidden, size)
    layers = [
        keras.layers.Dense(n, activation="linear" if i == len(hidden) else "relu")
        for i, n in enumerate(sizes)
    ]
    model = keras.Sequential([keras.Input((X.shape[1],)), *layers, keras.layers.Dense(X.shape[1])])
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss="mse")
    model.fit(
        X, X, epochs=MOST_EPOCHS, batch_size=BATCH_SIZE, verbose=0, callbacks=[Measure()]
    )  # fmt: skip


def pyod(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train PyOD's detector, on rows as they are."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    def rebuild(rows):
        detector.model.eval()
        with torch.inference_mode():
            rebuilt = detector.model(torch.from_numpy(rows)).numpy()
        detector.model.train()
        return rebuilt

    class Measured(AutoEncoder):
        def epoch_update(self):
            curve.measure(rebuild)

    detector = Measured(
        preprocessing=False,
        lr=LEARNING_RATE,
        epoch_num=MOST_EPOCHS,
        batch_size=BATCH_SIZE,
        hidden_neuron_list=[*hidden, size],
        random_state=0,
        verbose=0,
    )
    detector.fit(X)


def hypertools(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train the deep autoencoder of hypertools, which standardises every column."""
    import torch
    from hypertools.reduce import autoencoders

    reducer = autoencoders.DeepAutoencoder(
        size, hidden, epochs=MOST_EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE, random_state=0
    )
    n_batches = 0
    build = reducer._build_net

    def rebuild(rows):
        scaled = (rows - reducer.mean_) / reducer.std_
        with torch.inference_mode():
            rebuilt = reducer.network(torch.as_tensor(scaled, dtype=torch.float32)).numpy()
        return rebuilt * reducer.std_ + reducer.mean_

    def measured(n_features):
        # It has no hook for an epoch: the loss of its batches is counted.
        network = reducer.network = build(n_features)
        loss = network.compute_loss

        def counted(batch):
            nonlocal n_batches
            if n_batches and n_batches % -(-len(X) // BATCH_SIZE) == 0:
                curve.measure(rebuild)
            n_batches += 1
            return loss(batch)

        network.compute_loss = counted
        return network

    reducer._build_net = measured
    reducer.fit(X)


def parametric_umap(X: np.ndarray, curve: Curve, hidden: list[int], size: int) -> None:
    """Train umap-learn's encoder and decoder, the decoder by the squared error."""
    prepare_tensorflow()
    import keras
    from umap.parametric_umap import ParametricUMAP

    n_batches = 0

    class Measure(keras.callbacks.Callback):
        # Its epochs are over the graph's edges, and last minutes: batches of rows are counted.
        def on_train_batch_end(self, batch, logs=None):
            nonlocal n_batches
            n_batches += 1
            if n_batches % -(-len(X) // BATCH_SIZE) == 0:
                curve.measure(rebuild)

    def rebuild(rows):
        codes = encoder.predict(rows, batch_size=2_000, verbose=0)
        return decoder.predict(codes, batch_size=2_000, verbose=0)

    keras.utils.set_random_seed(0)
    n_features = X.shape[1]
    encoder, decoder = (
        keras.Sequential(
            [keras.Input((n_in,))]
            + [keras.layers.Dense(n, activation="relu") for n in between]
            + [keras.layers.Dense(n_out)]
        )
        for n_in, between, n_out in (
            (n_features, hidden, size),
            (size, hidden[::-1], n_features),
        )
    )
    reducer = ParametricUMAP(
        n_components=size,
        dims=(n_features,),
        encoder=encoder,
        decoder=decoder,
        parametric_reconstruction=True,
        parametric_reconstruction_loss_fcn=keras.losses.MeanSquaredError(),
        autoencoder_loss=True,
        batch_size=BATCH_SIZE,
        keras_fit_kwargs={"callbacks": [Measure()], "verbose": 0},
        random_state=0,
    )
    # How long it trains is an attribute, not a parameter.
    reducer.n_training_epochs = MOST_EPOCHS
    reducer.fit(X)


METHODS = {
    "torch": torch_loop,
    "skorch": skorch,
    "MLPRegressor": mlp_regressor,
    "Keras": keras,
    "PyOD": pyod,
    "hypertools": hypertools,
    "ParametricUMAP": parametric_umap,
}


def main() -> None:
    """Train one method on one task, and write its curve."""
    method, path = sys.argv[1:]
    with open(path) as file:
        task = json.load(file)
    X, X_test = np.load(task["X_train"]), np.load(task["X_test"])
    curve = Curve(X_test, task["seconds"], task["target"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found, rows in ((Curve(X_test[:500], 0), X[:1_000].copy()), (curve, X)):
            found.start()
            try:
                METHODS[method](rows, found, task["hidden"], task["size"])
            except TrainingIsOverError:
                continue
    with open(task["curve"], "w") as file:
        json.dump(curve.points, file)


if __name__ == "__main__":
    main()
