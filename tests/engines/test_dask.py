"""Fits on a Dask cluster: which rows are where, and what comes back."""

import pickle
import time
from datetime import timedelta
from threading import Thread

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.filterwarnings(
    # A cluster of another test file is closed while pytest reports.
    "ignore:unclosed:ResourceWarning"
)

from sklearn_ae.dask import _rows_by_worker, fit, join  # noqa: E402


def make(**params):
    return AutoencoderTransformer(
        3, **{"max_iter": 3, "hidden_layer_sizes": (16,), "random_state": 0} | params
    )


def assert_fitted_to(autoencoder, rows):
    """Check it against what PCA, and the sums of all rows, say."""
    assert autoencoder.n_samples_ == len(rows)
    np.testing.assert_allclose(np.asarray(autoencoder.mean_), rows.mean(axis=0), atol=1e-6)
    pca = PCA(3).fit(rows)
    of_pca = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).sum()
    assert ((rows - autoencoder.reconstruct(rows)) ** 2).sum() < of_pca


def partitions_at(client, rows, workers):
    """Return a collection of two partitions at each of the workers, in turn."""
    parts = [
        da.from_delayed(client.submit(np.array, part, workers=[worker]), part.shape, part.dtype)
        for part, worker in zip(np.array_split(rows, 2 * len(workers)), 2 * workers, strict=True)
    ]
    return client.persist(da.concatenate(parts))


@pytest.mark.parametrize("kind", [AutoencoderTransformer, DenoisingAutoencoderTransformer])
@pytest.mark.parametrize("n_partitions", [5, 2, 1])
def test_a_fit_is_to_all_rows_and_in_place(client, rows, n_partitions, kind):
    estimator = kind(3, max_iter=3, hidden_layer_sizes=(16,), random_state=0)
    X = da.from_array(rows, chunks=(-(-len(rows) // n_partitions), -1))
    assert X.numblocks == (n_partitions, 1)
    assert fit(client, estimator, X) is estimator
    assert_fitted_to(estimator, rows)


def test_partitions_stay_with_their_workers_in_order(client, rows):
    first, second = workers = list(client.nthreads())
    X = partitions_at(client, rows, workers)
    joined = _rows_by_worker(client, X, workers)
    quarters = np.split(rows, 4)
    np.testing.assert_array_equal(joined[first].result(), np.vstack(quarters[::2]))
    np.testing.assert_array_equal(joined[second].result(), np.vstack(quarters[1::2]))
    for worker, future in joined.items():
        assert client.who_has([future])[future.key] == (worker,)


def test_it_is_the_fit_of_one_process(client, rows):
    first, second = list(client.nthreads())
    autoencoder = fit(client, make(), partitions_at(client, rows, [first, second]))
    quarters = np.split(rows, 4)
    alone = make().fit(np.vstack(quarters[::2] + quarters[1::2]))
    np.testing.assert_allclose(autoencoder.loss_curve_, alone.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(
        autoencoder.reconstruct(rows), alone.reconstruct(rows), rtol=1e-2, atol=1e-2
    )


def test_workers_without_rows_take_no_part(client, rows):
    first, second = client.nthreads()
    X = partitions_at(client, rows, [second])
    assert list(_rows_by_worker(client, X, [first, second])) == [second]
    # A worker that waits for nobody: the other one is busy for longer than the fit may take.
    busy = client.submit(time.sleep, 4, workers=[first], pure=False)
    fit(client, make(), X, timeout=timedelta(seconds=2))
    assert not busy.done()
    busy.result()


def test_names_of_columns_are_kept(client, rows):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=[f"column {n}" for n in range(rows.shape[1])])
    X = client.persist(dd.from_pandas(frame, npartitions=4))
    autoencoder = fit(client, make(), X)
    assert autoencoder.feature_names_in_.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(
        autoencoder.transform(frame), fit(client, make(), X).transform(frame)
    )
    np.testing.assert_allclose(autoencoder.mean_, rows.mean(axis=0), atol=1e-6)


def test_rows_of_unknown_number(client, rows):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    X = dd.from_pandas(pd.DataFrame(rows), npartitions=3).to_dask_array()
    assert np.isnan(X.shape[0])
    assert_fitted_to(fit(client, make(), X), rows)


def test_sparse_chunks(client, rows):
    cut = np.where(rows > 1, rows, 0)
    X = da.from_array(cut, chunks=(150, -1)).map_blocks(sparse.csr_matrix)
    assert_fitted_to(fit(client, make(), X), cut)


def test_empty_partitions(client, rows):
    marked = np.hstack([rows, np.ones((600, 1))])
    marked[200:400, -1] = 0
    X = da.from_array(marked, chunks=(100, -1))
    # One worker may have nothing but empty ones.
    X = X[X[:, -1] > 0]
    assert [len(part) for part in client.gather(client.compute(list(X.partitions)))].count(0) == 2
    assert_fitted_to(fit(client, make(), X), marked[marked[:, -1] > 0])


def test_what_comes_back_is_an_ordinary_estimator(client, rows):
    autoencoder = fit(client, make(), da.from_array(rows, chunks=(200, -1)))
    codes = autoencoder.transform(rows)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(autoencoder)).transform(rows), codes)
    assert autoencoder.truncated(1).transform(rows).shape == (len(rows), 1)


def test_what_was_given_stays_what_is_given(client, rows):
    random_state, callbacks = np.random.RandomState(0), []
    autoencoder = make(random_state=random_state, callbacks=callbacks)
    fit(client, autoencoder, da.from_array(rows, chunks=(200, -1)))
    assert autoencoder.random_state is random_state
    assert autoencoder.callbacks is callbacks


def test_a_busy_worker_is_waited_for(client, rows):
    first, _ = client.nthreads()
    X = client.persist(da.from_array(rows, chunks=(100, -1)))
    distributed.wait(X)
    busy = client.submit(time.sleep, 3, workers=[first], pure=False)
    assert_fitted_to(fit(client, make(), X), rows)
    assert busy.done()


def test_two_fits_at_once_both_end(client, rows):
    """Each needs both workers: one of two that had a worker each would wait for ever."""
    X = client.persist(da.from_array(rows, chunks=(100, -1)))
    fitted = [make(random_state=seed) for seed in range(2)]
    with distributed.Client(client.scheduler.address, set_as_default=False) as other:
        threads = [
            Thread(target=fit, args=(one, autoencoder, X))
            for one, autoencoder in zip((client, other), fitted, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for autoencoder in fitted:
        assert_fitted_to(autoencoder, rows)


def test_workers_of_several_threads(rows):
    with distributed.Client(
        n_workers=2, threads_per_worker=3, processes=True, dashboard_address=":0"
    ) as client:
        assert_fitted_to(fit(client, make(), da.from_array(rows, chunks=(50, -1))), rows)


def test_one_worker_that_is_this_process(rows):
    with distributed.Client(n_workers=1, processes=False, dashboard_address=":0") as client:
        X = da.from_array(rows, chunks=(100, -1))
        assert_fitted_to(fit(client, make(), X), rows)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_join_is_stacking(rows, kind):
    joined = join([0, 5], kind(rows[:3]), kind(rows[3:10]))
    found = joined.toarray() if sparse.issparse(joined) else joined
    np.testing.assert_array_equal(found, rows[:10])
