"""Models that were fitted on tensors: copied, saved, remembered, mixed with arrays, moved."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from tensors import FITTED, METHODS, X, model

from sklearn_ae import SKOPS_TYPES
from sklearn_ae._array_api import on_host


def test_copies_are_models_of_tensors(dispatch):
    rows = torch.from_numpy(X)
    fitted = model().fit(rows)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), fitted.truncated(2)):
        assert torch.equal(copied.transform(rows), fitted.transform(rows))
        for name in FITTED:
            assert torch.equal(getattr(copied, name), getattr(fitted, name))
    assert torch.equal(clone(fitted).fit_transform(rows), fitted.transform(rows))


def test_files_hold_no_tensors(dispatch):
    skops_io = pytest.importorskip("skops.io")
    fitted = model().fit(torch.from_numpy(X))
    loaded = skops_io.loads(skops_io.dumps(fitted), trusted=SKOPS_TYPES)
    assert torch.equal(loaded.mean_, fitted.mean_)


def test_tensors_and_arrays_share_a_memory(tmp_path, dispatch):
    remembering = model().set_params(memory=str(tmp_path), max_components=2)
    of_arrays = clone(remembering).fit(X)
    kept = {path.name for path in tmp_path.rglob("output.pkl")}
    of_tensors = clone(remembering).fit(torch.from_numpy(X))
    assert {path.name for path in tmp_path.rglob("output.pkl")} == kept and kept
    assert torch.is_tensor(of_tensors.mean_) and isinstance(of_arrays.mean_, np.ndarray)
    np.testing.assert_array_equal(of_tensors.components_.numpy(), of_arrays.components_)


@pytest.mark.parametrize("name", ["transform", "inverse_transform", "reconstruct", "score_samples",
                                  "score", "corrupt"])  # fmt: skip
def test_namespaces_are_not_mixed(name, dispatch):
    tensors = torch.from_numpy(X)
    for rows, others in ((X, tensors), (tensors, X)):
        method = getattr(model("denoising").fit(rows), name)
        with pytest.raises(ValueError, match=rf"{name}\(\) must use the same namespace"):
            method(others[:, :2] if name == "inverse_transform" else others)


def test_models_are_moved_to_another_namespace(dispatch):
    xp = pytest.importorskip("array_api_strict")
    from sklearn.utils._array_api import move_estimator_to  # as the message says

    fitted = model().fit(torch.from_numpy(X))
    expected, device = fitted.transform(torch.from_numpy(X)).numpy(), xp.Device("device1")
    moved = move_estimator_to(fitted, np, "cpu")
    np.testing.assert_array_equal(moved.transform(X), expected)
    strict = move_estimator_to(pickle.loads(pickle.dumps(moved)), xp, device)
    assert strict.components_.device == device
    codes = strict.transform(xp.asarray(X, device=device))
    assert codes.device == device
    np.testing.assert_array_equal(on_host(codes), expected)
    assert isinstance(pickle.loads(pickle.dumps(strict)).mean_, np.ndarray)
    assert torch.is_tensor(fitted.mean_)


def test_callbacks_see_a_model_of_tensors(dispatch):
    callback = pytest.importorskip("sklearn.callback")
    rows, seen = torch.from_numpy(X), []

    def score(estimator, X, y):
        seen.append(torch.is_tensor(X) and torch.is_tensor(estimator.components_))
        return {"score": estimator.score(X)}

    model().set_callbacks(callback.ScoringMonitor(scoring=score)).fit(rows, rows[:, 0])
    assert len(seen) >= 4 and all(seen)


# -- Without dispatch ---------------------------------------------------------------------------


def test_without_dispatch_a_tensor_is_an_array():
    rows = torch.from_numpy(X)
    fitted, plain = model().fit(rows), model().fit(X)
    for name in METHODS:
        np.testing.assert_array_equal(getattr(fitted, name)(rows), getattr(plain, name)(X))
    for name in FITTED:
        assert isinstance(getattr(fitted, name), np.ndarray)


def test_a_model_of_tensors_takes_arrays_without_dispatch(dispatch):
    fitted = model().fit(torch.from_numpy(X))
    expected = fitted.transform(torch.from_numpy(X)).numpy()
    with config_context(array_api_dispatch=False):
        for rows in (X, torch.from_numpy(X)):
            codes = fitted.transform(rows)
            assert isinstance(codes, np.ndarray)
            np.testing.assert_array_equal(codes, expected)
            assert isinstance(fitted.inverse_transform(codes), np.ndarray)
