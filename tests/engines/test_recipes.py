"""The programs of the guide's page on clusters run as they stand, and end with what they say."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "engines.md"
PROGRAMS = PAGE.with_suffix("")


def needs(*names):
    missing = [name for name in names if not find_spec(name)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.fixture
def frame(rows, tmp_path, monkeypatch):
    """Return rows that are also in three files, in the folder that programs begin in."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows, columns=[f"x{n}" for n in range(rows.shape[1])])
    Path("rows").mkdir()
    for number, part in enumerate((frame[:250], frame[250:251], frame[251:])):
        part.to_parquet(f"rows/{number}.parquet", index=False)
    return frame


def run(program):
    """Run one of the guide's programs, in the environment of this one."""
    folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
        "PYSPARK_PYTHON": sys.executable,
        # No note of it at home, and no message to its makers.
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    run = subprocess.run(
        [sys.executable, PROGRAMS / program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def assert_codes_are(autoencoder, frame):
    """Check that a program has fitted all rows, and written the code of each."""
    assert autoencoder.n_samples_ == len(frame)
    assert autoencoder.feature_names_in_.tolist() == frame.columns.tolist()
    pca = PCA(4).fit(frame)
    of_pca = ((frame - pca.inverse_transform(pca.transform(frame))) ** 2).to_numpy().sum()
    errors = (frame.to_numpy() - np.asarray(autoencoder.reconstruct(frame))) ** 2
    assert errors.sum() < of_pca
    written = pd.read_parquet("codes")
    codes = written["code"].tolist() if "code" in written else written
    found, expected = np.asarray(codes, dtype=float), np.asarray(autoencoder.transform(frame))
    # Rows come in the order in which they were ready.
    order, expected_order = (np.lexsort(np.round(each.T, 3)) for each in (found, expected))
    np.testing.assert_allclose(found[order], expected[expected_order], atol=1e-5)


def assert_search_is_that_of_one_process(frame):
    search = joblib.load("search.joblib")
    assert Path("memory").is_dir()
    X = frame.drop(columns="x0")
    alone = clone(search).set_params(estimator__autoencodertransformer__memory=None)
    alone.fit(X, frame["x0"])
    assert search.best_params_ == alone.best_params_
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(search.cv_results_[name], alone.cv_results_[name], rtol=1e-6)
    np.testing.assert_allclose(search.predict(X), alone.predict(X), rtol=1e-6)


@needs("distributed")
def test_dask_fit(frame):
    run("dask_fit.py")
    assert_codes_are(joblib.load("autoencoder.joblib"), frame)


@needs("distributed")
def test_dask_search(frame):
    run("dask_search.py")
    assert_search_is_that_of_one_process(frame)


@needs("dask_ml")
@pytest.mark.skipif(not hasattr(AutoencoderTransformer, "partial_fit"), reason="needs partial_fit")
def test_dask_incremental(frame):
    run("dask_incremental.py")
    autoencoder = joblib.load("autoencoder.joblib")
    assert autoencoder.transform(frame.to_numpy()).shape == (len(frame), 4)


@needs("ray")
def test_ray_fit(frame):
    run("ray_fit.py")
    assert_codes_are(joblib.load("fitted/autoencoder.joblib"), frame)


@needs("ray")
def test_ray_search(frame):
    run("ray_search.py")
    assert_search_is_that_of_one_process(frame)


@needs("pyspark")
def test_spark_fit(frame):
    run("spark_fit.py")
    assert_codes_are(joblib.load("autoencoder.joblib"), frame)


def test_all_programs_are_on_a_page_and_tested():
    names = sorted(path.name for path in PROGRAMS.glob("*.py"))
    pages, tests = (
        "".join(path.read_text(encoding="utf-8") for path in folder.rglob(pattern))
        for folder, pattern in ((PAGE.parent, "*.md"), (Path(__file__).parents[1], "test_*.py"))
    )
    assert [name for name in names if f"engines/{name}" not in pages] == []
    assert [name for name in names if f'"{name}"' not in tests] == []
