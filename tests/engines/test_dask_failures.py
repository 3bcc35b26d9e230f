"""What cannot be fitted on a Dask cluster, and workers that fail: an error, never a hang."""

import os
import time
from datetime import timedelta
from threading import Thread, Timer

import numpy as np
import pytest
from sklearn.decomposition import PCA
from skorch.callbacks import Callback
from torch.distributed import (
    HashStore,
    TCPStore,
    destroy_process_group,
    init_process_group,
    is_initialized,
)

from sklearn_ae import AutoencoderTransformer

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from sklearn_ae.dask import _wait_for as wait_for  # noqa: E402
from sklearn_ae.dask import fit, fit_rows  # noqa: E402


class Slow(Callback):
    """Leaves time to do something to a worker in each epoch."""

    def on_epoch_end(self, net, **kwargs):
        time.sleep(0.2)


class Fails(Callback):
    """Fails in the process of one worker."""

    def __init__(self, at):
        self.at = at

    def on_epoch_end(self, net, **kwargs):
        if distributed.get_worker().address == self.at:
            raise FloatingPointError("the disk is full")


def make(**params):
    return AutoencoderTransformer(
        3, **{"max_iter": 3, "hidden_layer_sizes": (16,), "random_state": 0} | params
    )


def assert_refused(client, estimator, X, error, match, **params):
    before = dict(vars(estimator))
    with pytest.raises(error, match=match):
        fit(client, estimator, X, **params)
    assert vars(estimator) == before


def frame(column):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    return dd.from_pandas(pd.DataFrame({"a": column}), npartitions=2)


@pytest.mark.parametrize(
    ("make_rows", "error", "match"),
    [
        (lambda: np.ones((10, 3)), ValueError, "'ndarray'.*from_array"),
        (lambda: dask.delayed(np.ones)((10, 3)), ValueError, "'Delayed'"),
        (lambda: frame([1.0] * 10)["a"], ValueError, "'Series'"),
        (lambda: da.ones(10), ValueError, "2D array"),
        (lambda: da.from_array(np.full((10, 3), "a")), ValueError, "dtype <U1"),
        (lambda: da.ones((10, 4), chunks=(5, 2)), ValueError, r"X.rechunk\({1: -1}\)"),
        (lambda: da.ones((10, 4))[:, da.ones(4) > 0], ValueError, "compute_chunk_sizes"),
    ],
)
def test_rows_that_cannot_be_fitted(client, make_rows, error, match):
    assert_refused(client, make(), make_rows(), error, match)


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (PCA(2), ValueError, "estimator=PCA"),
        (make(max_iter=-1), ValueError, "max_iter"),
        (make(hidden_layer_sizes=(0,)), ValueError, "hidden_layer_sizes"),
    ],
)
def test_estimators_are_checked_before_any_work(estimator, error, match):
    class Untouched:
        """No client: any use of it fails the test."""

    assert_refused(Untouched(), estimator, da.ones((10, 4)), error, match)


@pytest.mark.parametrize("timeout", [1.0, timedelta(0), "soon"])
def test_timeouts(client, timeout):
    assert_refused(client, make(), da.ones((10, 4)), ValueError, "timeout=", timeout=timeout)


@pytest.mark.parametrize(("n_workers", "match"), [(0, "wait_for_workers"), (2, "processes=True")])
def test_clusters_that_cannot_fit(n_workers, match):
    with distributed.Client(
        n_workers=n_workers, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as client:
        assert_refused(client, make(), da.ones((10, 4), chunks=(5, 4)), ValueError, match)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_partition_of_a_bad_number_is_named(client, rows, value):
    bad = rows.copy()
    bad[250, 2] = value
    X = da.from_array(bad, chunks=(100, -1))
    assert_refused(client, make(), X, ValueError, "Found in partition 2")
    fitted = fit(client, make(), da.from_array(rows, chunks=(100, -1)))
    assert_refused(client, fitted, X, ValueError, "Found in partition 2")


def test_a_partition_that_cannot_be_computed(client, rows):
    def broken(block):
        raise OSError("no such file")

    X = da.from_array(rows, chunks=(100, -1)).map_blocks(broken, dtype=float)
    assert_refused(client, make(), X, OSError, "no such file")


def test_an_error_on_one_worker_is_raised_and_the_next_fit_works(client, rows):
    X = da.from_array(rows, chunks=(100, -1))
    _, second = client.nthreads()
    estimator = make(callbacks=[Fails(second)])
    assert_refused(client, estimator, X, FloatingPointError, "the disk is full")
    fit(client, make(), X)


def test_too_few_rows(client, rows):
    assert_refused(client, make(), da.from_array(rows[:1]), ValueError, "two or more")


def test_a_worker_that_does_not_begin(rows):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with pytest.raises(RuntimeError, match="2 workers did not find each other in timeout=0:00:01"):
        fit_rows(
            make(),
            rows,
            rank=0,
            n_ranks=2,
            address=("127.0.0.1", store.port),
            timeout=timedelta(seconds=1),
        )
    assert not is_initialized()


def test_after_an_interrupt_the_next_fit_waits_for_the_last(client, rows, monkeypatch):
    def interrupt(client, tasks):
        if "join" in next(iter(tasks.values())).key:
            return wait_for(client, tasks)
        while not all(client.run(is_initialized).values()):
            time.sleep(0.1)
        raise KeyboardInterrupt

    X = da.from_array(rows, chunks=(100, -1))
    with monkeypatch.context() as patched:
        patched.setattr("sklearn_ae.dask._wait_for", interrupt)
        estimator = make(max_iter=20, n_iter_no_change=20, callbacks=[Slow()])
        assert_refused(client, estimator, X, KeyboardInterrupt, None)
    assert any(client.run(is_initialized).values())
    fit(client, make(), X)


def test_a_worker_that_already_is_in_a_group(client, rows):
    def join_a_group():
        init_process_group("gloo", store=HashStore(), rank=0, world_size=1)

    first, _ = client.nthreads()
    X = da.from_array(rows, chunks=(100, -1))
    client.run(join_a_group, workers=[first])
    assert_refused(client, make(), X, RuntimeError, "already is in a process group")
    client.run(destroy_process_group, workers=[first])
    fit(client, make(), X)


@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_dies(rows, which):
    with distributed.Client(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as client:
        X = client.persist(da.from_array(rows, chunks=(100, -1)))
        distributed.wait(X)
        worker = list(client.nthreads())[which]
        killer = Thread(target=die_when_training, args=(client.scheduler.address, worker))
        killer.start()
        estimator = make(max_iter=1000, n_iter_no_change=1000, callbacks=[Slow()])
        assert_refused(client, estimator, X, RuntimeError, f"{worker} left the cluster")
        killer.join()
        client.wait_for_workers(2)
        # Dask computes again what was lost.
        assert fit(client, make(), X).n_samples_ == len(rows)


def test_a_worker_that_dies_before_the_fit(rows, monkeypatch):
    def join_slowly(numbers, *parts):
        time.sleep(60)

    monkeypatch.setattr("sklearn_ae.dask.join", join_slowly)
    with distributed.Client(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as client:
        X = client.persist(da.from_array(rows, chunks=(100, -1)))
        distributed.wait(X)
        worker = next(iter(client.nthreads()))
        killer = Timer(1, client.run, (os._exit, 1), {"workers": [worker], "on_error": "ignore"})
        killer.start()
        assert_refused(client, make(), X, RuntimeError, f"{worker} left the cluster")
        killer.join()


def die_when_training(address, worker):
    """End the process of a worker as soon as it takes part in a fit."""
    with distributed.Client(address, set_as_default=False) as client:
        while not client.run(is_initialized, workers=[worker])[worker]:
            time.sleep(0.1)
        time.sleep(1)
        client.run(os._exit, 1, workers=[worker], on_error="ignore")
