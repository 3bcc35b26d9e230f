"""Files of earlier versions are read, and give what they gave: `files/make_files.py` wrote them."""

import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from files.make_files import ESTIMATORS, write
from sklearn.base import clone

import sklearn_ae
from sklearn_ae._persistence.state import FORMAT

HERE = Path(__file__).resolve().parent / "files"
FILES = sorted([*HERE.glob("*/*.skops"), *HERE.glob("*/*.pickle")])
MOST_BYTES = 150_000
# What has no format in its name is of the first, which had codes of one size.
FIRST = [path for path in FILES if "format" not in path.parent.name]
NEW_KINDS = {"whitened"}
needs_skops = pytest.mark.skipif(not find_spec("skops"), reason="needs skops")


def load(path):
    """Load a file as the documentation does, where this numpy reads what the file's numpy wrote."""
    if path.suffix == ".pickle":
        with np.load(path.with_name("results.npz")) as results:
            written_by = str(results["numpy"])
        if int(np.__version__[0]) < int(written_by[0]):
            pytest.skip(f"numpy {np.__version__} reads no pickles of numpy {written_by}")
        return pickle.loads(path.read_bytes())
    skops_io = pytest.importorskip("skops.io")
    return skops_io.load(path, trusted=sklearn_ae.SKOPS_TYPES)


def assert_gives_what_it_gave(path):
    """Compare with the results beside a file, which another processor may round differently."""
    with np.load(path.with_name("results.npz")) as results:
        X = results["X"]
        codes = results[f"{path.stem}_codes"]
        smaller = results.get(f"{path.stem}_smaller")
        reconstructions = results[f"{path.stem}_reconstructions"]
    assert_is_near(load(path), X, codes, reconstructions, smaller)


def assert_is_near(estimator, X, codes, reconstructions, smaller=None):
    """Compare what an estimator gives."""
    for found, expected in [
        (estimator.transform(X), codes),
        (estimator.reconstruct(X), reconstructions),
        (estimator.inverse_transform(codes), reconstructions),
    ]:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.std())
    if smaller is not None:
        found = estimator.truncated(1).reconstruct(X[:9])
        np.testing.assert_allclose(found, smaller, rtol=0, atol=1e-6 * smaller.std())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_gives_what_it_gave(path):
    assert_gives_what_it_gave(path)


def test_every_kind_is_there_and_all_are_small():
    folders = {path.parent for path in FILES}
    assert folders
    for folder in folders:
        kinds = set(ESTIMATORS) - (set() if "format" in folder.name else NEW_KINDS)
        assert {path.stem for path in folder.glob("*.skops")} == kinds
        assert {path.stem for path in folder.glob("*.pickle")} == kinds
        assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES


def test_there_are_files_of_this_format():
    state = load(HERE / f"0.1.0.dev0.format{FORMAT}" / "whitened.pickle").__getstate__()
    assert state["_saved_by"][0] == FORMAT
    assert FORMAT == 2  # else write files of the new one: `files/make_files.py`
    assert len(FIRST) == 8


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.name)
def test_files_of_the_first_format_have_codes_of_one_size(path):
    estimator = load(path)
    codes, X = rows_of(path)
    np.testing.assert_array_equal(estimator.truncated(2).transform(X), estimator.transform(X))
    with pytest.raises(ValueError, match="n_components=1: the first numbers of this code are not"):
        estimator.truncated(1)
    with pytest.raises(ValueError, match="n_components=3 must be an integer from 1 to 2"):
        estimator.truncated(3)
    for name in ("explained_variance_ratio_", "explained_variance_", "singular_values_",
                 "noise_variance_"):  # fmt: skip
        with pytest.raises(AttributeError, match="The numbers of this code have no order"):
            getattr(estimator, name)
    assert estimator.components_.shape == (2, 12)
    np.testing.assert_allclose(estimator.mean_, X.mean(axis=0), rtol=1e-6)
    # Parameters that came later are as if they were not there.
    assert (estimator.whiten, estimator.max_components, estimator.memory) == (False, None, None)
    np.testing.assert_array_equal(clone(estimator).fit(X).transform(X).shape, codes.shape)


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.name)
def test_files_of_the_first_format_are_saved_in_this_one(path):
    estimator = load(path)
    _, X = rows_of(path)
    assert estimator.__getstate__()["_saved_by"] == (FORMAT, sklearn_ae.__version__)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.transform(X), estimator.transform(X))
    np.testing.assert_array_equal(again.reconstruct(X), estimator.reconstruct(X))
    np.testing.assert_array_equal(again.components_, estimator.components_)
    assert vars(again).keys() == vars(estimator).keys()
    with pytest.raises(ValueError, match="n_components=1"):
        again.truncated(1)


def rows_of(path):
    """Return the codes beside a file, and the rows that they are of."""
    with np.load(path.with_name("results.npz")) as results:
        return results[f"{path.stem}_codes"], results["X"]


@needs_skops
def test_the_command_writes_such_files(tmp_path):
    write(tmp_path / "new")
    for path in (tmp_path / "new").iterdir():
        if path.name != "results.npz":
            assert_gives_what_it_gave(path)


@needs_skops
def test_a_file_that_gives_something_else_is_noticed(tmp_path):
    first = FILES[0].parent
    shutil.copy(first / "results.npz", tmp_path)
    shutil.copy(first / "dense.skops", tmp_path / "conv.skops")
    with pytest.raises(AssertionError):
        assert_gives_what_it_gave(tmp_path / "conv.skops")
