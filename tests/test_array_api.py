"""Tensors in, tensors out, under scikit-learn's `array_api_dispatch`.

It needs SciPy's own setting, which is read when SciPy is imported: a process of its own runs what
needs it, `test_tensor_models.py` too, and the page of the documentation that shows it.
"""

import contextlib
import os
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from tensors import ESTIMATORS, FITTED, METHODS, QUICK, X, model

from sklearn_ae import _array_api, _base, _fitting, _inference, _partial
from sklearn_ae._array_api import as_rows, like, on_host
from sklearn_ae._rows import TensorMatrix, batches, scaling
from sklearn_ae.displays import ComponentsDisplay, LatentSpaceDisplay, ReconstructionDisplay

KNOWN = hasattr(estimator_checks, "check_array_api_same_namespace")  # from scikit-learn 1.9 on
ROOT = Path(__file__).resolve().parents[1]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.skipif("SCIPY_ARRAY_API" in os.environ, reason="this is the process that it starts")
@pytest.mark.skipif(not KNOWN, reason="needs scikit-learn 1.9, and SciPy 1.14")
def test_all_with_scipys_setting():
    pytest.importorskip("array_api_strict")
    tests = [
        "test_array_api.py", "test_tensor_models.py", "test_docs.py::test_python_blocks_run[torch]"
    ]  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         f"--deselect=tests/test_array_api.py::{test_all_with_scipys_setting.__name__}",
         *(f"tests/{name}" for name in tests)],
        cwd=ROOT,
        env=os.environ | {"SCIPY_ARRAY_API": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
    assert " passed" in run.stdout and "skipped" not in run.stdout


# -- scikit-learn's checks ----------------------------------------------------------------------


def test_scikit_learns_checks(make_estimator, dispatch):
    passed = []
    with config_context(array_api_dispatch=False):
        for estimator, check in estimator_checks.estimator_checks_generator(
            make_estimator(2, **QUICK)
        ):
            if "array_api" in check.func.__name__:
                with contextlib.suppress(unittest.SkipTest):  # namespaces that are not here
                    check(estimator)
                    passed.append(check.keywords.get("array_namespace", "mixed"))
    assert {"numpy", "torch", "array_api_strict", "mixed"} == {*passed}


@pytest.mark.parametrize(
    "namespace, device, dtype",
    [
        ("numpy", None, "float64"),
        ("torch", "cpu", "float64"),
        ("torch", "cpu", "float32"),
        ("array_api_strict", "CPU_DEVICE", "float64"),
        ("array_api_strict", "device1", "float32"),
    ],
)
@pytest.mark.parametrize("name", ["pca", "network", "denoising", "layer"])
def test_values_are_those_of_numpy(name, namespace, device, dtype, dispatch):
    with config_context(array_api_dispatch=False):
        estimator_checks.check_array_api_input_and_values(
            name, ESTIMATORS[name], namespace, device, dtype
        )


# -- What comes out -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_methods_return_tensors_where_the_rows_are(kind, dtype, device, dispatch):
    rows = torch.tensor(X, dtype=dtype, device=device)
    fitted, plain = model(kind).fit(rows), model(kind).fit(rows.cpu().numpy())
    for name in METHODS:
        found = getattr(fitted, name)(rows)
        assert torch.is_tensor(found) and found.device == rows.device
        expected = torch.from_numpy(getattr(plain, name)(rows.cpu().numpy()))
        torch.testing.assert_close(found.cpu(), expected)
    assert fitted.score(rows) == pytest.approx(plain.score(rows.cpu().numpy()))
    if kind != "layer":
        back = fitted.inverse_transform(fitted.transform(rows))
        torch.testing.assert_close(back, fitted.reconstruct(rows), rtol=1e-3, atol=1e-3)
        assert back.dtype == dtype and back.device == rows.device


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fitted_arrays_are_tensors_as_those_of_pca(dtype, dispatch):
    rows = torch.tensor(X, dtype=dtype)
    fitted, pca = model().fit(rows), PCA(2).fit(rows)
    plain = model().fit(rows.numpy())
    with config_context(array_api_dispatch=False):  # whoever asks for them
        for estimator in (fitted, fitted.truncated(1)):
            for name in FITTED:
                found, theirs = getattr(estimator, name), getattr(pca, name)
                assert type(found) is type(theirs) and found.dtype == theirs.dtype == dtype
        for name in FITTED:
            np.testing.assert_array_equal(getattr(fitted, name).numpy(), getattr(plain, name))


@pytest.mark.parametrize("device", DEVICES)
def test_pipeline_of_tensors(device, dispatch):
    rows = torch.tensor(X, device=device)
    pipeline = make_pipeline(StandardScaler(), PCA(8), model(), StandardScaler(), PCA(1))
    codes = pipeline.fit_transform(rows)
    assert torch.is_tensor(codes) and codes.device == rows.device and codes.shape == (120, 1)
    torch.testing.assert_close(codes, pipeline.transform(rows))
    assert pipeline.inverse_transform(codes).device == rows.device


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_of_tensors(container, dispatch):
    rows = torch.from_numpy(X)
    fitted = model().fit(rows)
    codes = fitted.transform(rows).numpy()
    table = fitted.set_output(transform=container).transform(rows)
    assert list(table.columns) == list(fitted.get_feature_names_out())
    np.testing.assert_array_equal(table.to_numpy(), codes)


def test_corrupted_tensors(dispatch):
    rows = torch.from_numpy(X)
    fitted, plain = model("denoising").fit(rows), model("denoising").fit(X)
    np.testing.assert_array_equal(fitted.corrupt(rows, 0).numpy(), plain.corrupt(X, 0))
    assert torch.is_tensor(fitted.corrupt(rows, 0))


@pytest.mark.parametrize("display", [ComponentsDisplay, LatentSpaceDisplay, ReconstructionDisplay])
def test_displays_draw_tensors(display, dispatch):
    pytest.importorskip("matplotlib").use("Agg")
    rows = torch.from_numpy(X)
    drawn = display.from_estimator(model("denoising").fit(rows), rows, image_shape=(1, 3, 4))
    assert not any(torch.is_tensor(value) for value in vars(drawn).values())


# -- No copy where none is needed ---------------------------------------------------------------


def test_rows_on_the_cpu_are_not_copied():
    strict = pytest.importorskip("array_api_strict").asarray(X, copy=False)
    for rows in (X, torch.from_numpy(X), strict):
        assert np.shares_memory(on_host(rows), X)
    codes = torch.zeros(3)
    assert like(codes, torch.from_numpy(X)).data_ptr() == codes.data_ptr()
    assert np.shares_memory(like(codes, X), codes.numpy())


def test_fitted_arrays_that_are_read_only_become_tensors():
    values = X.copy()
    values.flags.writeable = False  # as joblib maps them from a file
    np.testing.assert_array_equal(like(values, torch.zeros(1)).numpy(), X)


class Nameless:
    """An array that does not name its namespace, as CuPy's do not."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **kwargs):
        return self.values.__dlpack__()

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()

    @classmethod
    def from_dlpack(cls, tensor):
        return cls(np.from_dlpack(tensor))


def test_a_namespace_that_arrays_do_not_name(monkeypatch):
    monkeypatch.setattr(_array_api, "get_namespace", lambda *arrays: (Nameless, True))
    found = like(torch.arange(3.0), Nameless(X))
    assert isinstance(found, Nameless)
    np.testing.assert_array_equal(found.values, [0, 1, 2])


def test_fit_reads_a_tensor_where_it_is(dispatch, monkeypatch):
    read = []

    def watched(network, training, rows, *rest):
        read.append(rows)
        raise InterruptedError

    monkeypatch.setattr(_base, "fit_network", watched)
    rows = torch.from_numpy(X.copy())
    with pytest.raises(InterruptedError):
        model().fit(rows)
    assert np.shares_memory(read[0], rows.numpy())


def test_transform_reads_a_tensor_where_it_is(dispatch):
    rows, read = torch.from_numpy(X), []
    fitted = model().fit(rows)
    fitted._coder.register_forward_pre_hook(lambda module, args: read.append(args[0]))
    fitted.transform(rows)
    assert read[0].data_ptr() == rows.data_ptr()
    # What a user's module may count on, as it may with arrays.
    fitted.transform(torch.from_numpy(np.asfortranarray(X)))
    assert read[1].is_contiguous()


@pytest.mark.parametrize("parameters", [{}, {"encoder": "conv", "image_shape": (1, 3, 4)}], ids=str)
def test_rows_on_a_device_do_not_pass_the_host(parameters, monkeypatch):
    # Tensors without values: they cannot be copied to where there are some.
    fitted = model().set_params(**parameters).fit(X)
    monkeypatch.setattr(_inference, "own_settings", lambda device: contextlib.nullcontext())
    rows, module = torch.empty(1100, 12, dtype=torch.float64, device="meta"), fitted.module_
    module.to("meta")
    codes = _inference.apply(module.encoder, rows, 2, "meta")
    back = _inference.apply(module.decoder, codes, 12, "meta")
    errors = _inference.squared_errors(module, rows, 1.0, "meta")
    assert codes.device == back.device == errors.device == rows.device
    assert (codes.shape, back.shape, errors.shape) == ((1100, 2), (1100, 12), (1100,))


def test_a_tensor_on_cuda_is_trained_on_where_it_is(dispatch, monkeypatch):
    asked = []

    def watched(network, training, *rest):
        asked.append(training.device)
        raise InterruptedError

    monkeypatch.setattr(_base, "fit_network", watched)
    for device, is_cuda in (("auto", False), ("auto", True), ("cpu:0", True)):
        monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self, found=is_cuda: found))
        with pytest.raises(InterruptedError):
            model().set_params(device=device).fit(torch.from_numpy(X))
    # Here it calls itself "cpu".
    assert asked == ["auto", "cpu", "cpu:0"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_tensor_on_a_device_is_read_there(kept, dispatch, monkeypatch, stand_in):
    """All of it stays but for some rows that are held out or looked at first."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(400, 5)) @ rng.normal(size=(5, 12)))
    expected = model().set_params(device="cpu").fit(rows.numpy())
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True))
    monkeypatch.setattr(_fitting, "resolve_device", lambda name: stand_in)
    monkeypatch.setattr(scaling, "_free_bytes", lambda device: 10**9 * kept)
    for name in ("sending_stream", "_ahead"):
        monkeypatch.setattr(batches, name, lambda gathered, device: gathered)
    on_the_host, read = [], TensorMatrix.__getitem__

    def watched(matrix, index):
        found = read(matrix, index)
        on_the_host.append(0 if torch.is_tensor(found) else len(found))
        return found

    monkeypatch.setattr(TensorMatrix, "__getitem__", watched)
    monkeypatch.setattr(_partial, "on_host", lambda X: pytest.fail("copied to the host"))
    found = model().fit(rows)
    assert sum(on_the_host) <= 256 + 100
    monkeypatch.undo()
    np.testing.assert_allclose(
        found.reconstruct(rows), expected.reconstruct(rows.numpy()), rtol=1e-3, atol=1e-3
    )


# -- Tensors of every kind ----------------------------------------------------------------------


def in_inference_mode(values):
    with torch.inference_mode():
        return torch.tensor(values)


KINDS = {
    "whole": lambda: torch.from_numpy(X.astype(int)),
    "half": lambda: torch.from_numpy(X).half(),
    "in the order of Fortran": lambda: torch.from_numpy(np.asfortranarray(X)),
    "every other": lambda: torch.from_numpy(np.repeat(X, 2, axis=1))[:, ::2],
    "of inference": lambda: in_inference_mode(X),
    "with gradients": lambda: torch.from_numpy(X).requires_grad_(),
}


# As PCA does: scikit-learn's check is told nothing of gradients, which torch asks for.
@pytest.mark.filterwarnings("ignore:torch.asarray. unspecified requires_grad:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_kind(kind, dispatch):
    rows = KINDS[kind]()
    fitted, plain = model().fit(rows), model().fit(torch.from_numpy(X))
    codes = fitted.transform(rows)
    torch.testing.assert_close(codes, plain.transform(torch.from_numpy(X)))
    assert not codes.requires_grad and not fitted.mean_.requires_grad
    # Codes can be learned from.
    layer = torch.nn.Linear(2, 1, dtype=codes.dtype)
    layer(codes).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize(
    "rows, message",
    [
        (torch.full((5, 12), float("nan")), "Input X contains NaN"),
        (torch.zeros(12), "Expected 2D array, got 1D"),
        (torch.eye(12).to_sparse(), r"layout torch.sparse_coo.*to_dense"),
        (torch.zeros(1, 12), "minimum of 2"),
    ],
    ids=["nan", "row", "sparse", "short"],
)
def test_bad_tensors_have_a_clear_message(rows, message, dispatch):
    fitted = model().fit(torch.from_numpy(X))
    before = fitted.mean_
    with pytest.raises(ValueError, match=message):
        fitted.fit(rows)
    assert fitted.mean_ is before
    if len(rows) > 1:
        with pytest.raises(ValueError, match=message):
            fitted.transform(rows)


def test_sparse_matrices_are_as_ever(dispatch):
    rows = sparse.csr_matrix(X)
    fitted = model().fit(rows)
    assert isinstance(fitted.transform(rows), np.ndarray)
    assert as_rows(rows) is rows and on_host(rows) is rows
    with pytest.raises(ValueError, match="must use the same namespace"):
        model().fit(torch.from_numpy(X)).transform(rows)
