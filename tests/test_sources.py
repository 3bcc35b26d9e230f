"""Rows that are not in memory, in and out of the estimators."""

import gc
import weakref

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._rows import rows as rows_module
from sklearn_ae._rows import scaling as scaling_module
from sklearn_ae._rows import sources as sources_module
from sklearn_ae.displays import LatentSpaceDisplay, ReconstructionDisplay

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 6))
X[:, 3:] = np.sin(2 * X[:, :3]) + 0.1 * X[:, 3:]


class Chunked:
    """What any package's array of chunks offers, and no more."""

    shape = dtype = chunks = None

    def __init__(self, array, chunks=(50, 2)):
        self.array, self.chunks = array, chunks
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self.array[rows]


class Backed:
    """What AnnData offers of a sparse matrix in its file."""

    format, shape, dtype = "csr", None, None

    def __init__(self, array):
        self.array = sparse.csr_matrix(array)
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        return self.array[rows]

    def to_memory(self):
        raise AssertionError("too large")


def of_h5py(array, path):
    h5py = pytest.importorskip("h5py")
    return h5py.File(path / "rows.h5", "w").create_dataset("X", data=array, chunks=(50, 3))


def of_h5py_in_one_piece(array, path):
    h5py = pytest.importorskip("h5py")
    return h5py.File(path / "rows.h5", "w").create_dataset("X", data=array)


def of_zarr(array, path):
    zarr = pytest.importorskip("zarr")
    return zarr.create_array(path / "rows.zarr", data=array, chunks=(70, 4))


def of_dask(array, path):
    return pytest.importorskip("dask.array").from_array(array, chunks=(80, 4))


def of_parquet(array, path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa
    import pyarrow.dataset

    for i, part in enumerate(np.array_split(array, 2)):
        table = pa.table({f"c{j}": column for j, column in enumerate(part.T)})
        parquet.write_table(table, path / f"{i}.parquet", row_group_size=90)
    return pyarrow.dataset.dataset(path)


def of_arrow(array, path):
    feather = pytest.importorskip("pyarrow.feather")
    import pyarrow as pa
    import pyarrow.dataset

    table = pa.table({f"c{j}": column for j, column in enumerate(array.T)})
    feather.write_feather(table, path / "rows.arrow")
    return pyarrow.dataset.dataset(path, format="feather")


KINDS = {
    "chunks": lambda array, path: Chunked(array),
    "backed": lambda array, path: Backed(array),
    "h5py": of_h5py,
    "h5py in one piece": of_h5py_in_one_piece,
    "zarr": of_zarr,
    "dask": of_dask,
    "parquet": of_parquet,
    "arrow": of_arrow,
}


@pytest.fixture
def small_runs(monkeypatch):
    """Let rows be many that are few."""
    monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    monkeypatch.setattr(sources_module, "RUN_BYTES", 2**10)
    monkeypatch.setattr(rows_module, "MIXED_BYTES", 2**12)


def fitted(rows, **params):
    params = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (16,)} | params
    return AutoencoderTransformer(2, **params).fit(rows)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_fit_is_that_of_the_rows_in_memory(make, tmp_path):
    rows, expected = make(X, tmp_path), fitted(X)
    found = fitted(rows)
    assert found.score_ == expected.score_
    for method in ("transform", "reconstruct", "score_samples"):
        ours = np.asarray(getattr(found, method)(rows))
        np.testing.assert_allclose(ours, getattr(expected, method)(X), rtol=1e-5, atol=1e-6)
    assert found.score(rows) == pytest.approx(expected.score(X))


@pytest.mark.usefixtures("small_runs")
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_rows_that_are_read_run_by_run_are_fitted_as_well(make, tmp_path):
    # In an order that is no good to learn in.
    rows = X[np.argsort(X[:, 0])]
    source = make(rows, tmp_path)
    found, expected = (fitted(r, max_iter=20) for r in (source, rows))
    assert 1 - found.score(source) <= 1.1 * (1 - expected.score(rows))
    np.testing.assert_allclose(found.mean_, expected.mean_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_precision_is_that_of_the_rows(make, tmp_path):
    for dtype in (np.float32, np.float64):
        path = tmp_path / np.dtype(dtype).name
        path.mkdir()
        rows = make(X.astype(dtype), path)
        model = fitted(rows, max_iter=0)
        assert model.transform(rows).dtype == model.reconstruct(rows).dtype == dtype
        assert model.mean_.dtype == model.components_.dtype == dtype


def test_names_of_columns_are_those_of_the_dataset(tmp_path):
    pa = pytest.importorskip("pyarrow")
    dataset = of_parquet(X, tmp_path)
    model = fitted(dataset)
    assert model.feature_names_in_.tolist() == [f"c{j}" for j in range(6)]
    (tmp_path / "other").mkdir()
    other = of_parquet(X, tmp_path / "other")
    turned = other.replace_schema(pa.schema(list(other.schema)[::-1]))
    with pytest.raises(ValueError, match=r"Feature names must be in the same order"):
        model.transform(turned)


def test_columns_of_files_in_any_order(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.dataset
    import pyarrow.parquet

    columns = {f"c{j}": column for j, column in enumerate(X.T)}
    write = pyarrow.parquet.write_table
    for part, names in (("p=1", [*columns]), ("p=2", [*columns][::-1])):
        (tmp_path / part).mkdir()
        table = pa.table({name: columns[name] for name in names})
        write(table, tmp_path / part / "rows.parquet", row_group_size=250)
    dataset = pyarrow.dataset.dataset(tmp_path, partitioning="hive")
    expected = dataset.to_table().to_pandas().to_numpy()
    assert expected.shape == (1200, 7)
    np.testing.assert_array_equal(sources_module.as_source(dataset)[:], expected)
    fewer = dataset.replace_schema(pa.schema(list(dataset.schema)[:4]))
    np.testing.assert_array_equal(sources_module.as_source(fewer)[:], expected[:, :4])
    write(pa.table({"c0": X[:, 0]}), tmp_path / "p=2" / "short.parquet")
    short = pyarrow.dataset.dataset(tmp_path, partitioning="hive", schema=dataset.schema)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted(short)


@pytest.mark.parametrize("large", [False, True])
def test_a_fit_reads_all_rows_a_few_times(large, monkeypatch):
    """However many of them are held out, and looked at again and again."""
    monkeypatch.setattr(sources_module, "RUN_BYTES", 2**12)
    monkeypatch.setattr(rows_module, "MIXED_BYTES", 2**18)
    if large:
        monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    n_read = 0

    class Counting(Chunked):
        def __getitem__(self, rows):
            nonlocal n_read
            found = super().__getitem__(rows)
            n_read += len(found)
            return found

    many = np.tile(X, (50, 1))
    fitted(Counting(many), max_iter=2)
    assert n_read <= (14 if large else 8) * len(many)


def test_dask_of_no_rows():
    da = pytest.importorskip("dask.array")
    rows = da.from_array(X[np.argsort(X[:, 0])], chunks=(80, 6))
    model = fitted(X)
    some = rows[rows[:, 0] > 1]
    assert model.transform(some).compute().shape == (int((X[:, 0] > 1).sum()), 2)
    assert model.reconstruct(rows[:0]).compute().shape == (0, 6)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "inverse_transform"])
def test_dask_before_a_fit(method):
    da = pytest.importorskip("dask.array")
    with pytest.raises(NotFittedError):
        getattr(AutoencoderTransformer(2), method)(da.zeros((4, 3)))


@pytest.mark.parametrize("method", ["transform", "reconstruct", "inverse_transform"])
def test_bad_arrays_of_dask_are_told_at_once(method):
    da = pytest.importorskip("dask.array")
    call = getattr(fitted(X), method)
    n = 2 if method == "inverse_transform" else 6
    for rows, message in [
        (da.zeros(6), "Expected 2D array, got 1D"),
        (da.zeros((2, n, 2)), "Expected 2D array, got 3D"),
        (da.zeros((2, n), dtype="U3"), "dtype <U3, and must have numbers"),
        (da.zeros((2, n), dtype=complex), "dtype complex128, and must have numbers"),
        (da.zeros((2, 5)), r"5 (features|columns), but AutoencoderTransformer is expecting"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(rows)


def test_frames_with_columns_of_such_names():
    pd = pytest.importorskip("pandas")
    for names in (["chunks", "dtype", "shape"], ["get_fragments", "schema", "file"]):
        frame = pd.DataFrame(X[:, :3], columns=names)
        assert sources_module.as_source(frame) is None


@pytest.mark.parametrize("chunks", [50, "auto", [50, 6], {0: 50}])
def test_chunks_that_are_not_understood(chunks):
    np.testing.assert_array_equal(sources_module.as_source(Chunked(X, chunks))[:], X)


def test_dask_computes_when_it_is_asked(tmp_path):
    da = pytest.importorskip("dask.array")
    model = fitted(X)
    computed = []

    def look(block):
        computed.append(len(block))
        return block

    rows = da.from_array(X, chunks=(80, 4)).map_blocks(look, meta=np.empty((0, 0)))
    codes = model.transform(rows)
    rebuilt = model.inverse_transform(codes)
    again = model.reconstruct(rows)
    assert not computed
    assert codes.shape == (600, 2)
    assert codes.chunks == (rows.chunks[0], (2,))
    assert rebuilt.shape == again.shape == X.shape
    expected = model.transform(X)
    model.set_params(max_iter=1).fit(X[:300])
    # Of the estimator as it was.
    np.testing.assert_allclose(codes.compute(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rebuilt.compute(), again.compute(), rtol=1e-4, atol=1e-5)


def test_dask_need_not_know_how_many_rows_to_encode():
    da = pytest.importorskip("dask.array")
    rows = da.from_array(X, chunks=(80, 6))
    unknown = rows[rows[:, 0] > 0]
    model = fitted(X)
    found = model.transform(unknown).compute()
    np.testing.assert_allclose(found, model.transform(X[X[:, 0] > 0]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"how many rows.*compute_chunk_sizes"):
        model.fit(unknown)


@pytest.mark.parametrize("method", ["fit", "transform", "score"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Chunked(X[:, 0], (50,)), r"Expected 2D array, got 1D"),
        (Chunked(X[:, :, None], (50, 2, 1)), r"Expected 2D array, got 3D"),
        (Chunked(X.astype(str)), r"dtype <U\d+, and must have numbers"),
        (Chunked(X[:0]), r"Found array with 0 sample"),
    ],
    ids=["1d", "3d", "text", "empty"],
)
def test_bad_sources(method, rows, message):
    model = fitted(X)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(rows)


def test_columns_that_are_too_few():
    with pytest.raises(ValueError, match="5 features, but AutoencoderTransformer is expecting 6"):
        fitted(X).transform(Chunked(X[:, :5]))


def test_a_column_of_text_is_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.dataset

    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ValueError, match="column 'b' of X has dtype object"):
        fitted(pyarrow.dataset.dataset(table))


@pytest.mark.usefixtures("small_runs")
def test_what_is_missing_is_found_and_the_estimator_stays():
    spoiled = X.copy()
    spoiled[400, 2] = np.nan
    model = fitted(X)
    before = vars(model).copy()
    for method in ("fit", "transform", "score"):
        with pytest.raises(ValueError, match=r"contains NaN.*The first is in row 400"):
            getattr(model, method)(Chunked(spoiled))
        assert vars(model) == before


@pytest.mark.usefixtures("small_runs")
def test_rows_that_change_between_passes():
    class Shrinking(Chunked):
        n_passes = 0

        def __getitem__(self, rows):
            self.n_passes += rows.start == 0
            return super().__getitem__(rows)[: 600 if self.n_passes < 4 else 3]

    with pytest.raises(ValueError, match="X changed while it was read"):
        fitted(Shrinking(X))


def test_one_training_for_a_search(tmp_path):
    rows, other = Chunked(X), Chunked(X + (np.arange(600) == 300)[:, None])
    params = {"memory": str(tmp_path), "max_components": 3}
    first = fitted(rows, **params)
    n_files = len(list(tmp_path.rglob("output.pkl")))
    second = clone(first).set_params(n_components=1).fit(Chunked(X.copy()))
    assert len(list(tmp_path.rglob("output.pkl"))) == n_files == 1
    assert second.truncated(1).score_ == first.truncated(1).score_
    fitted(other, **params)
    assert len(list(tmp_path.rglob("output.pkl"))) == 2


def test_in_a_pipeline_and_in_displays():
    y = X[:, 0] > 0
    pipeline = make_pipeline(
        AutoencoderTransformer(3, max_iter=1, random_state=0), LogisticRegression()
    )
    pipeline.fit(Chunked(X), y)
    assert pipeline.score(Chunked(X), y) == pipeline.score(X, y) > 0.9
    model = fitted(Chunked(X))
    LatentSpaceDisplay.from_estimator(model, Chunked(X), y=y)
    ReconstructionDisplay.from_estimator(model, Chunked(X))


def test_a_model_does_not_keep_its_source():
    rows = Chunked(X)
    gone = weakref.ref(rows)
    model = fitted(rows)
    del rows
    gc.collect()
    assert gone() is None
    assert model.n_samples_ == len(X)
