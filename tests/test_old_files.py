"""Files of earlier versions are read, and give what they gave: `files/make_files.py` wrote them."""

import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from files.make_files import ESTIMATORS, write

import sklearn_ae

HERE = Path(__file__).resolve().parent / "files"
FILES = sorted([*HERE.glob("*/*.skops"), *HERE.glob("*/*.pickle")])
MOST_BYTES = 150_000
needs_skops = pytest.mark.skipif(not find_spec("skops"), reason="needs skops")


def load(path):
    """Load a file as the documentation does."""
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes())
    skops_io = pytest.importorskip("skops.io")
    return skops_io.load(path, trusted=sklearn_ae.SKOPS_TYPES)


def assert_gives_what_it_gave(path):
    """Compare with the results beside a file, which another processor may round differently."""
    with np.load(path.with_name("results.npz")) as results:
        X = results["X"]
        codes = results[f"{path.stem}_codes"]
        reconstructions = results[f"{path.stem}_reconstructions"]
        numpy_version = str(results["numpy"])
    if path.suffix == ".pickle" and int(np.__version__[0]) < int(numpy_version[0]):
        pytest.skip(f"numpy {np.__version__} reads no pickles of numpy {numpy_version}")
    estimator = load(path)
    for found, expected in [
        (estimator.transform(X), codes),
        (estimator.reconstruct(X), reconstructions),
        (estimator.inverse_transform(codes), reconstructions),
    ]:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.std())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_gives_what_it_gave(path):
    assert_gives_what_it_gave(path)


def test_every_kind_is_there_and_all_are_small():
    folders = {path.parent for path in FILES}
    assert folders
    for folder in folders:
        assert {path.stem for path in folder.glob("*.skops")} == set(ESTIMATORS)
        assert {path.stem for path in folder.glob("*.pickle")} == set(ESTIMATORS)
        assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES


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
