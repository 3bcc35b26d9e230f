"""A fit on a Dask cluster, whose rows stay on the workers that have them (extra "dask")."""

import contextlib
import datetime
import importlib
import math
import threading
import time
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite
from torch import distributed as torch_distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from sklearn_ae._base import BaseAutoencoder
from sklearn_ae._parameters import read_parameters
from sklearn_ae._rows import check_matrix
from sklearn_ae.distributed import ProcessError
from sklearn_ae.distributed import fit as fit_part

__all__ = ["fit"]

# A fit needs all of its workers at once: two that have half of them each would wait for ever.
LOCK = "sklearn_ae.dask.fit"
# How often workers are counted: one that died leaves its task waiting for its return.
SECONDS_BETWEEN_LOOKS = 1.0
# How long one whose fit another has ended waits to hear why.
SECONDS_TO_HEAR = 10.0
HALF_AN_HOUR = datetime.timedelta(minutes=30)
# A process has one default group. It is one fit's until its task has ended, even if nobody waits
# for that any more.
one_fit_at_a_time = threading.Lock()


def fit(
    client: Any,
    estimator: BaseAutoencoder,
    X: Any,
    *,
    timeout: datetime.timedelta | None = None,
) -> BaseAutoencoder:
    """Fit an autoencoder to the rows of a Dask collection, on the workers that have them.

    Each worker that has partitions joins them, in their order, and takes part as one process of
    :func:`sklearn_ae.distributed.fit`; others take no part. One fit runs at a time on a cluster,
    others wait for it.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster. Its workers must be processes, and have sklearn_ae.
    estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
        What is fitted.
    X : dask.array.Array or dask.dataframe.DataFrame of shape (n_samples, n_features)
        Training rows; chunks must have all columns, and need not know how many rows they have.
        Chunks may be scipy's sparse matrices. Names of a DataFrame's columns are kept.
    timeout : datetime.timedelta or None, default=None
        How long a worker may wait for another, to begin and in each step; None is half an hour.

    Returns
    -------
    estimator : object
        The one that was given, fitted.

    Raises
    ------
    ImportError
        If distributed is not installed.
    ValueError
        If the cluster has no workers, or several in one process; if `X` is not of Dask; if rows or
        parameters cannot be used. The estimator stays as it was, as with all errors.
    RuntimeError
        If a worker leaves the cluster during the fit, or does not begin or answer in time.

    Notes
    -----
    When the call is interrupted the workers end their fit nevertheless; the next one waits for
    them.

    Examples
    --------
    >>> import dask.array as da
    >>> import sklearn_ae.dask
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> X = da.from_array(load_iris().data, chunks=(50, 4))
    >>> with Client(n_workers=1, processes=False, dashboard_address=":0") as client:
    ...     autoencoder = AutoencoderTransformer(2, max_iter=1)
    ...     _ = sklearn_ae.dask.fit(client, autoencoder, X)
    >>> autoencoder.n_samples_
    150
    """
    _needed("distributed")
    _check_estimator(estimator)
    _check_collection(X)
    if timeout is None:
        timeout = HALF_AN_HOUR
    elif not (isinstance(timeout, datetime.timedelta) and timeout.total_seconds() > 0):
        raise ValueError(f"timeout={timeout!r} must be a datetime.timedelta above 0, or None.")
    workers = list(client.nthreads())
    if not workers:
        raise ValueError(
            f"client={client!r} has no workers. Start some, and wait for them: "
            "client.wait_for_workers(1)."
        )
    if len(workers) > 1 and any(worker.startswith("inproc://") for worker in workers):
        raise ValueError(
            f"client={client!r} has {len(workers)} workers in one process, of which each can be "
            "only one process of a fit. Start the cluster with processes=True."
        )
    rows = _rows_by_worker(client, X, workers)
    with _needed("distributed").Lock(LOCK, scheduler_rpc=client.scheduler, loop=client.loop):
        fitted = _fit_together(client, estimator, rows, timeout)
    # What the user gave stays the user's: a module or a callback would be a copy of it.
    estimator.__dict__ = vars(fitted) | estimator.get_params(deep=False)
    return estimator


def _needed(name: str) -> Any:
    """Import an optional package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"This needs {name}: pip install 'sklearn_ae[dask]'") from error


def _check_estimator(estimator: Any) -> None:
    """Check that this is an autoencoder, with parameters that can be used."""
    if not isinstance(estimator, BaseAutoencoder):
        raise ValueError(
            f"estimator={estimator!r} must be an AutoencoderTransformer or a "
            "DenoisingAutoencoderTransformer. Other steps of a pipeline are fitted apart."
        )
    estimator._validate_params()
    params = {name: getattr(estimator, name) for name in estimator._parameter_constraints}
    # What devices there are is known where it is fitted.
    read_parameters(params | {"device": "cpu"}, type(estimator).__name__)


def _check_collection(X: Any) -> None:
    """Check that these are rows of Dask, in whole rows."""
    # Kinds, not objects: one that is delayed offers whatever it is asked for.
    kind = type(X) if _needed("dask").is_dask_collection(X) else object
    if hasattr(kind, "divisions") and hasattr(kind, "melt"):
        return
    if not hasattr(kind, "rechunk"):
        raise ValueError(
            f"X must be an array or a DataFrame of Dask, and is {type(X).__name__!r}. Rows in "
            "memory are fitted by the estimator's own fit; dask.array.from_array makes an array "
            "of them."
        )
    check_matrix(X)
    if math.isnan(X.shape[1]):
        raise ValueError(
            f"X does not know how many columns it has: X.shape={X.shape}. Call "
            "X.compute_chunk_sizes() before."
        )
    if len(X.chunks[1]) > 1:
        raise ValueError(
            f"Chunks of X must have all columns, and X.chunks[1]={X.chunks[1]}. Call "
            "X.rechunk({1: -1}) before."
        )


def _rows_by_worker(client: Any, X: Any, workers: list[str]) -> dict[str, Any]:
    """Return the future of the rows of each worker that has some, in the order of the rows."""
    distributed = _needed("distributed")
    # Keys end with the numbers of a partition, whatever the collection has made of their names.
    parts = sorted(distributed.futures_of(client.persist(X)), key=lambda part: part.key[1:])
    distributed.wait(parts)
    held_by = client.who_has(parts)
    shares: dict[str, dict[int, Any]] = {}
    for number, part in enumerate(parts):
        # One that failed, or was lost, is on none: it may be computed anywhere.
        owners = held_by.get(part.key) or workers
        owner = min(owners, key=lambda worker: len(shares.get(worker, ())))
        shares.setdefault(owner, {})[number] = part
    rows = {
        worker: client.submit(
            join, list(share), *share.values(), workers=[worker], pure=False, retries=0
        )
        for worker, share in shares.items()
    }
    _wait_for(client, rows)
    return rows


def join(numbers: list[int], *parts: Any) -> Any:
    """Join the partitions of a worker, which runs this.

    Parameters
    ----------
    numbers : list of int
        Which partitions of the collection these are.
    *parts : {ndarray, sparse matrix, DataFrame} of shape (n_rows, n_features)
        Partitions.

    Returns
    -------
    rows : {ndarray, sparse matrix, DataFrame} of shape (n_rows, n_features)
        The rows of all.

    Raises
    ------
    ValueError
        If a number of a partition is missing or infinite.
    """
    for number, part in zip(numbers, parts, strict=True):
        stored = part.data if sparse.issparse(part) else np.asarray(part)
        try:
            assert_all_finite(stored, input_name="X")
        except ValueError as error:
            raise ValueError(f"{error} (Found in partition {number}.)") from None
    if hasattr(parts[0], "iloc"):
        return importlib.import_module("pandas").concat(parts)
    return sparse.vstack(parts, "csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


def _fit_together(
    client: Any, estimator: Any, rows: dict[str, Any], timeout: datetime.timedelta
) -> Any:
    """Fit on all workers that have rows, and return what was fitted."""
    first = next(iter(rows))
    host = _needed("distributed.comm").get_address_host(first)
    port = client.run(serve, host, workers=[first])[first]
    tasks = {
        worker: client.submit(
            fit_rows,
            estimator,
            joined,
            rank=rank,
            n_ranks=len(rows),
            address=(host, port),
            timeout=timeout,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            retries=0,
            priority=1,
        )
        for rank, (worker, joined) in enumerate(rows.items())
    }
    try:
        _wait_for(client, tasks)
        return tasks[first].result()
    finally:
        client.cancel(list(tasks.values()))
        # Those that wait there wait no longer. One that is gone would be called for half a minute.
        if first in client.nthreads():
            client.run(stop_serving, workers=[first], on_error="ignore")


def _wait_for(client: Any, tasks: dict[str, Any]) -> None:
    """Wait until all have ended; the error that ended them is raised, or that a worker is gone."""
    wait = _needed("distributed").wait
    left, given_up, until = list(tasks.values()), None, math.inf
    while left and time.monotonic() < until:
        done: Any = ()
        with contextlib.suppress(TimeoutError):
            done, left = wait(left, SECONDS_BETWEEN_LOOKS, "FIRST_COMPLETED")
        running = {worker for worker, task in tasks.items() if task.status != "finished"}
        gone = running - set(client.nthreads())
        if gone:
            raise RuntimeError(
                f"{', '.join(sorted(gone))} left the cluster during the fit; the estimator is as "
                "it was. See the log of what left for why (memory?), and fit again."
            )
        for task in done:
            if task.status != "finished" and isinstance(task.exception(), ProcessError):
                given_up, until = task, time.monotonic() + SECONDS_TO_HEAR
            elif task.status != "finished":
                task.result()
    if given_up is not None:
        given_up.result()


def serve(host: str, dask_worker: Any) -> int:
    """Let processes find each other at this worker, which runs this.

    Parameters
    ----------
    host : str
        The worker's host.
    dask_worker : distributed.Worker
        The worker; Dask passes it.

    Returns
    -------
    port : int
        Where they find each other.
    """
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    dask_worker.sklearn_ae_store = store
    return store.port


def stop_serving(dask_worker: Any) -> None:
    """End what `serve` began; whoever still waits there gets an error.

    Parameters
    ----------
    dask_worker : distributed.Worker
        The worker; Dask passes it.
    """
    dask_worker.sklearn_ae_store = None


def fit_rows(
    estimator: Any,
    rows: Any,
    *,
    rank: int,
    n_ranks: int,
    address: tuple[str, int],
    timeout: datetime.timedelta,
) -> Any:
    """Take part in a fit, as the worker that runs this.

    Parameters
    ----------
    estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
        What is fitted.
    rows : {ndarray, sparse matrix, DataFrame} of shape (n_rows, n_features)
        This worker's rows.
    rank, n_ranks : int
        Which process this is, of how many.
    address : tuple of str and int
        Host and port where they find each other.
    timeout : datetime.timedelta
        How long it may wait for others.

    Returns
    -------
    estimator : object or None
        The fitted one, in the first process; None in others, where it is the same.

    Raises
    ------
    RuntimeError
        If others do not begin in time, or the process already is in a group.
    """
    if not one_fit_at_a_time.acquire(timeout=timeout.total_seconds()):
        raise RuntimeError(
            f"Another fit has not ended on this worker in timeout={timeout}. Wait for it, or give "
            "it more."
        )
    try:
        if torch_distributed.is_initialized():
            raise RuntimeError(
                "This worker already is in a process group of torch, and can be in one only. "
                "Destroy it before: torch.distributed.destroy_process_group()."
            )
        try:
            store = TCPStore(*address, is_master=False, timeout=timeout)
            # A group that some wait for in vain would leave torch with another count of groups
            # than theirs, by which the next ones find each other.
            store.set(f"here/{rank}", "")
            store.wait([f"here/{other}" for other in range(n_ranks)], timeout)
            torch_distributed.init_process_group(
                "gloo", store=store, rank=rank, world_size=n_ranks, timeout=timeout
            )
        except torch_distributed.DistError as error:
            raise RuntimeError(
                f"{n_ranks} workers did not find each other in timeout={timeout}. Are some busy "
                "with other tasks? Wait for them, or give them more."
            ) from error
        try:
            fit_part(estimator, rows, timeout=timeout)
        finally:
            torch_distributed.destroy_process_group()
    finally:
        one_fit_at_a_time.release()
    return estimator if rank == 0 else None
