"""Processes in a group of torch, for the tests of fits in many."""

import contextlib
import datetime
import multiprocessing
import tempfile
import traceback
from pathlib import Path

import joblib
import numpy as np
import torch
from torch import distributed

from sklearn_ae import AutoencoderTransformer
from sklearn_ae import distributed as together

MINUTE = datetime.timedelta(minutes=1)


def _work(rank, size, path, connection):
    torch.set_num_threads(1)
    store = distributed.FileStore(path, size)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=MINUTE)
    while True:
        function, args = connection.recv()
        if function is None:
            break
        try:
            found = function(rank, *args)
        except BaseException as error:
            error.add_note(traceback.format_exc())
            found = error
        connection.send(found)
    distributed.destroy_process_group()


class Pool:
    """So many processes that call the same functions at the same time."""

    def __init__(self, size):
        self.folder = tempfile.TemporaryDirectory()
        path = str(Path(self.folder.name) / "store")
        context = multiprocessing.get_context("spawn")
        self.connections, self.processes = [], []
        for rank in range(size):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(rank, size, path, there), daemon=True)
            process.start()
            there.close()
            self.connections.append(here)
            self.processes.append(process)

    def __call__(self, function, *args):
        """Return what ``function(rank, *args)`` gives in each: errors too, None where it died."""
        for connection in self.connections:
            connection.send((function, args))
        found = []
        for connection in self.connections:
            assert connection.poll(2 * MINUTE.seconds), "a process hangs"
            try:
                found.append(connection.recv())
            except EOFError:
                found.append(None)
        return found

    def close(self):
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.send((None, ()))
        for process in self.processes:
            process.join(10)
            process.kill()
        self.folder.cleanup()


def values(found):
    """Return what processes gave, or raise what one raised."""
    for value in found:
        if isinstance(value, BaseException):
            raise value
    return found


RNG = np.random.default_rng(0)
X = np.tanh(RNG.normal(size=(400, 3)) @ RNG.normal(size=(3, 10)))
X += 0.05 * RNG.normal(size=X.shape)
PARAMS = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}


def make(kind=AutoencoderTransformer, **params):
    return kind(3, **{**PARAMS, **params})


def fit_part(rank, model, parts):
    """Return the fitted model, and what tells it from others."""
    together.fit(model, parts[rank], timeout=MINUTE)
    return model, joblib.hash(model.__getstate__())


def split(rows, n=170):
    return rows[:n], rows[n:]


def fit_in(pool, model, parts):
    """Fit, check that both end with the same, and return it."""
    (first, same), (_, as_well) = values(pool(fit_part, model, parts))
    assert same == as_well
    return first


def fit_and_keep(rank, models, parts):
    """Return what came of a fit, and what the model has after it."""
    model = models[rank % len(models)]
    try:
        together.fit(model, parts[rank], timeout=MINUTE)
    except (Exception, KeyboardInterrupt) as error:
        return type(error).__name__, str(error), vars(model).keys() - model.get_params().keys()
    return None
