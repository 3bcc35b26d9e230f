"""ONNX: onnxruntime computes what the estimator does."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sklearn_ae.onnx as ours
from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")

X, y = load_digits(return_X_y=True)
X, y = X[:400], y[:400]
# A step of refinement: each more takes a second to convert.
SMALL = {
    "n_components": 4,
    "hidden_layer_sizes": (16,),
    "max_iter": 5,
    "transform_max_iter": 1,
    "random_state": 0,
}
IMAGES = {"encoder": "conv", "image_shape": (1, 8, 8), "hidden_layer_sizes": (4, 8)}
SETTINGS = {
    "plain codes": {"transform_max_iter": 0},
    "three steps": {"transform_max_iter": 3},
    "pca": {"max_iter": 0, "n_components": 60},
    "random": {"init": "random"},
    "conv to dense": {**IMAGES, "decoder": "dense", "transform_max_iter": 0},
    "attention": {"encoder": "attention", "image_shape": (1, 8, 8), "hidden_layer_sizes": (8,)},
    "tied": {"tied_weights": True, "activation": "tanh"},
    "hidden layer": {"code_layer": 0},
    "linear": {"decoder": "linear"},
    "probabilities": {"loss": "binary_log_loss"},
    "pca of probabilities": {"loss": "binary_log_loss", "max_iter": 0, "n_components": 60},
    **{a: {"activation": a} for a in ("logistic", "relu", "elu", "silu")},
}


def run(model, rows):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"X": rows})


def assert_near(found, expected):
    """Agree to 1e-5 of the spread."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.std(expected))


@pytest.mark.parametrize("params", SETTINGS.values(), ids=SETTINGS)
def test_onnxruntime_agrees(params):
    rows = (X / 16 if "loss" in params else X).astype(np.float32)
    model = AutoencoderTransformer(**SMALL | params).fit(rows)
    expected = model.reconstruct(rows.astype(np.float64))
    converted = ours.to_onnx(model, "reconstruct")
    for few in (rows, rows[:7], rows[:1]):
        (found,) = run(converted, few)
        assert found.dtype == np.float32
        assert_near(found, expected[: len(few)])


def test_there_and_back():
    model = DenoisingAutoencoderTransformer(**SMALL | IMAGES).fit(X)
    rows = X.astype(np.float32)
    (codes,) = run(ours.to_onnx(model), rows)
    assert_near(codes, model.transform(rows.astype(np.float64)))
    (rebuilt,) = run(ours.to_onnx(model, "inverse_transform"), codes)
    assert_near(rebuilt, model.inverse_transform(codes.astype(np.float64)))


@pytest.mark.parametrize(
    "params, dtype",
    [({}, np.float32), (IMAGES | {"transform_max_iter": 0}, np.float64)],
    ids=["dense", "conv"],
)
def test_pipeline(params, dtype):
    ours.register()
    ours.register()  # again does no harm
    pipe = make_pipeline(
        StandardScaler(),
        DenoisingAutoencoderTransformer(**SMALL | params),
        LogisticRegression(max_iter=5000),
    ).fit(X, y)
    model = skl2onnx.to_onnx(pipe, X[:1].astype(dtype), options={"zipmap": False})
    for rows in (X, X[:1]):
        labels, probabilities = run(model, rows.astype(dtype))
        np.testing.assert_array_equal(labels, pipe.predict(rows))
        np.testing.assert_allclose(probabilities, pipe.predict_proba(rows), rtol=0, atol=1e-5)


def test_denoising_head_is_left_out():
    model = DenoisingAutoencoderTransformer(**SMALL, corruption_loss_weight=0.5).fit(X)
    rows = X.astype(np.float32)
    (found,) = run(ours.to_onnx(model, "reconstruct"), rows)
    assert_near(found, model.reconstruct(rows.astype(np.float64)))


def test_errors():
    model = AutoencoderTransformer(**SMALL)
    with pytest.raises(NotFittedError):
        ours.to_onnx(model)
    model.set_params(code_layer=0).fit(X)
    with pytest.raises(ValueError, match="part='encode' must be one of 'transform'"):
        ours.to_onnx(model, "encode")
    # As skl2onnx is called.
    with pytest.raises(TypeError, match=r"part must be one of 'transform', .* no rows are needed"):
        ours.to_onnx(model, X[:1])
    with pytest.raises(TypeError, match=r"not of type Pipeline\. .*register\(\)"):
        ours.to_onnx(make_pipeline(model))
    with pytest.raises(ValueError, match="code_layer=0"):
        ours.to_onnx(model, "inverse_transform")


class Branching(nn.Linear):
    """Does one thing or another, by the values."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def test_a_module_that_cannot_be_converted():
    model = AutoencoderTransformer(**SMALL, encoder=Branching(64, 4), init="random").fit(X)
    with pytest.raises(ValueError, match=r"cannot be converted: .* Modules of your own"):
        ours.to_onnx(model)


def test_the_estimator_stays_as_it_was():
    model = AutoencoderTransformer(**SMALL).fit(X)
    before = model.transform(X)
    ours.to_onnx(model)
    np.testing.assert_array_equal(model.transform(X), before)
    assert not model.module_.training


def test_without_onnx_the_message_says_what_to_install(monkeypatch):
    model = AutoencoderTransformer(**SMALL | {"max_iter": 0}).fit(X)
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(ImportError, match="sklearn_ae\\[onnx\\]"):
        ours.to_onnx(model)
