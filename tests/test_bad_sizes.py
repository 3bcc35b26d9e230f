"""Sizes of codes that cannot be, and memory that cannot be kept: said before anything is done."""

import re

import numpy as np
import pytest
from failures import check_nothing_changes
from sklearn.exceptions import NotFittedError
from torch import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)) @ RNG.normal(size=(3, 6)) + 0.2 * RNG.normal(size=(80, 6)) ** 2
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": True}, "n_components=True must be a number, not a boolean"),
        ({"max_components": True}, "max_components=True must be a number, not a boolean"),
        ({"n_components": 3, "max_components": 2}, "n_components=3 must be at most max_comp.*=2"),
        ({"n_components": 0.5, "init": "random"}, "n_components=0.5 .*init='pca'.* init='random'"),
        ({"n_components": 0.5, "code_layer": 0}, "n_components=0.5 .*None; got .* code_layer=0"),
        ({"max_components": 3, "init": "random"}, "max_components=3 .* got init='random'"),
        ({"max_components": 3, "code_layer": 0}, "max_components=3 .* code_layer=0"),
        ({"n_components": None, "encoder": nn.Linear(6, 2)}, "n_components=None .* encoder .*Give"),
        ({"n_components": None, "decoder": nn.Linear(2, 6)}, "n_components=None .* decoder .*Give"),
        ({"n_components": 0.5, "encoder": nn.Linear(6, 2)}, "n_components=0.5 .* encoder .*Give"),
    ],
)
@pytest.mark.parametrize("fitted", [False, True])
def test_sizes_of_codes(make_estimator, params, message, fitted):
    """Before the rows are looked at: these are none."""
    estimator = make_estimator(2, **SMALL)
    if fitted:
        estimator.fit(X)
    check_nothing_changes(estimator.set_params(**params), np.full((20, 6), np.nan), message)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_share_that_no_size_explains(make_estimator, early_stopping):
    rows = np.random.default_rng(0).normal(size=(20, 100))
    estimator = make_estimator(2, **SMALL).fit(X)
    # PCA of all rows, which is all that is found here, says of these what it explains.
    estimator.set_params(n_components=0.99, max_components=3, early_stopping=early_stopping)
    message = r"n_components=0\.99 is a share .* 3 numbers explain 0\.\d+ of .* training rows\. "
    check_nothing_changes(
        estimator, rows, message + r"Set a smaller share, or a larger max_components\."
    )


def test_a_share_of_held_out_rows_that_no_size_explains(make_estimator):
    estimator = make_estimator(2, **SMALL).fit(X)
    curve = np.linspace(0, 3, 200)[:, None] ** np.arange(1, 5)
    rows = np.hstack([curve, np.random.default_rng(0).normal(size=(200, 20))])
    estimator.set_params(n_components=0.999, max_components=2, max_iter=10)
    message = r"n_components=0\.999 .* 2 numbers explain 0\.\d+ of .* held-out rows\. Set a "
    way_out = "smaller share, or a larger max_components, or early_stopping=False"
    check_nothing_changes(estimator, rows, message + way_out)


@pytest.mark.parametrize("n", [0, -1, 3, True, np.True_, 1.0, 1.5, 0.5, "1", None, [1]])
def test_sizes_that_were_not_fitted(make_estimator, n):
    estimator = make_estimator(2, **SMALL).fit(X)
    before = vars(estimator).copy()
    with pytest.raises(ValueError, match=r"must be an integer from 1 to 2, .* max_comp") as caught:
        estimator.truncated(n)
    assert f"n_components={n!r}" in str(caught.value)
    assert all(vars(estimator)[name] is value for name, value in before.items())


@pytest.mark.parametrize("params", [{"init": "random"}, {"code_layer": 0}])
def test_codes_without_an_order_have_one_size(make_estimator, params):
    estimator = make_estimator(2, **SMALL, **params).fit(X)
    with pytest.raises(ValueError, match=r"n_components=1: .* init=\"pca\" and code_layer=None"):
        estimator.truncated(1)
    assert estimator.truncated(2).transform(X[:1]).shape == estimator.transform(X[:1]).shape


def test_an_unfitted_estimator_has_no_sizes(make_estimator):
    with pytest.raises(NotFittedError):
        make_estimator(2).truncated(1)


@pytest.mark.parametrize("below", ["", "folder", "some/folder"])
@pytest.mark.parametrize("fitted", [False, True])
def test_memory_that_cannot_be_written(make_estimator, below, fitted, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    memory = str(tmp_path / "file" / below)
    estimator = make_estimator(2, **SMALL)
    if fitted:
        estimator.fit(X)
    monkeypatch.setattr("sklearn_ae._base.fit_network", None)  # what would train
    message = rf"memory='{re.escape(memory)}' must be a folder that can be written: .*director"
    check_nothing_changes(estimator.set_params(memory=memory), X, message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_memory_needs_parameters_that_can_be_told_apart(make_estimator, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_ae._base.fit_network", None)
    estimator = make_estimator(2, **SMALL, memory=str(tmp_path), activation=lambda: nn.ReLU())
    message = r"memory=.* cannot be told from others.*in place of lambdas, or memory=None"
    check_nothing_changes(estimator, X, message)
