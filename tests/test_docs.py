"""Every code block of the documentation runs, page by page, and one names all that PCA has."""

import inspect
import os
import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import sklearn_ae
from sklearn_ae import AutoencoderTransformer

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [path for path in DOCS.rglob("*.md") if "```python" in path.read_text(encoding="utf-8")]
OPTIONAL = ["h5py", "mlflow", "onnxscript", "optuna", "rich", "skl2onnx", "skops", "tensorboard"]
MISSING = [name for name in OPTIONAL if not find_spec(name)]


@pytest.fixture(scope="module")
def names():
    """Return what the pages take for granted, small and quick."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:200], y[:200]
    quick = partial(AutoencoderTransformer, max_iter=2, transform_max_iter=1, random_state=0)
    autoencoder = quick(8).fit(X)
    return {
        "np": np,
        "torch": torch,
        "LogisticRegression": LogisticRegression,
        "make_pipeline": make_pipeline,
        "AutoencoderTransformer": quick,
        "X": X,
        "y": y,
        "X_all": np.pad(X, ((0, 0), (0, 28**2 - 64))),
        "y_with_minus_ones": np.where(np.arange(200) < 50, y, -1),
        "X_labelled": X[:50],
        "y_labelled": y[:50],
        "X_usual": X[:100],
        "X_more_usual": X[100:150],
        "X_new": X[150:],
        "autoencoder": autoencoder,
        "pipeline": make_pipeline(autoencoder, LogisticRegression(max_iter=5000)).fit(X, y),
    }


def test_there_are_pages():
    assert len(PAGES) >= 8


def test_the_page_for_those_who_come_from_pca_names_all_that_it_has():
    page = (DOCS / "guide" / "coming_from_pca.md").read_text(encoding="utf-8")
    fitted = vars(PCA(1).fit(np.eye(3)))
    has = {*inspect.signature(PCA).parameters, *(name for name in dir(PCA) if name[0] != "_")}
    has |= {name for name in fitted if name[0] != "_" and name[-1] == "_"}
    assert [name for name in sorted(has) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_python_blocks_run(path, names, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    # Pages that import it have quick fits, too; those of README take as long as a user's.
    monkeypatch.setattr(sklearn_ae, "AutoencoderTransformer", names["AutoencoderTransformer"])
    session = dict(names)
    if path.stem == "few_labels":
        session["X_labelled"] = session["X_all"][:50]
    for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        needed = [name for name in MISSING if re.search(rf"\b{name}\b", block.lower())]
        needs_callbacks = "sklearn.callback" in block and not find_spec("sklearn.callback")
        needs_device = "cuda" in block and not torch.cuda.is_available()
        needs_setting = "dispatch" in block and "SCIPY_ARRAY_API" not in os.environ
        if not (needed or needs_callbacks or needs_device or needs_setting):
            exec(compile(block, path.name, "exec"), session)
    matplotlib.pyplot.close("all")
