"""ONNX: an autoencoder alone, or as a step of a pipeline that skl2onnx converts (extra "onnx")."""

import copy
import importlib
import sys
import warnings
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_ae._autoencoder import AutoencoderTransformer
from sklearn_ae._denoising import DenoisingAutoencoderTransformer
from sklearn_ae.modules import AttentionEncoder, RefinedEncoder

KINDS = AutoencoderTransformer, DenoisingAutoencoderTransformer
PARTS = ("transform", "inverse_transform", "reconstruct")
# Rows to trace with: neither of the numbers that torch takes for constants.
ROWS = 3


def to_onnx(estimator: Any, part: str = "transform") -> Any:
    """Convert a fitted autoencoder to ONNX.

    It computes in float64, as the estimator does of float64 rows, and includes the steps that
    improve the codes (`transform_max_iter`). Activations and convolutions, which onnxruntime has in
    float32 alone, are written with operators that it has in float64.

    Parameters
    ----------
    estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
        A fitted one.
    part : {"transform", "inverse_transform", "reconstruct"}, default="transform"
        The method that the model computes.

    Returns
    -------
    model : onnx.ModelProto
        Its input "X", of shape (n_samples, n_columns) with any number of rows, and its output "Y"
        are float32.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    TypeError
        If the estimator is none of these, or `part` is no str.
    ValueError
        If `part` is none of these, the codes of a hidden layer were to be decoded, or a module of
        the user cannot be converted.
    NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.onnx import to_onnx
    >>> autoencoder = AutoencoderTransformer(max_iter=0).fit(load_iris().data)
    >>> model = to_onnx(autoencoder)
    >>> model.graph.input[0].name, model.graph.output[0].name
    ('X', 'Y')
    """
    if not isinstance(estimator, KINDS):
        raise TypeError(
            f"estimator must be an {' or '.join(kind.__name__ for kind in KINDS)}, not of type "
            f"{type(estimator).__name__}. A pipeline around it is converted by skl2onnx.to_onnx, "
            "after sklearn_ae.onnx.register()."
        )
    check_is_fitted(estimator)
    parts = ", ".join(map(repr, PARTS))
    if not isinstance(part, str):
        raise TypeError(
            f"part must be one of {parts}, not of type {type(part).__name__}: no rows are needed."
        )
    if part not in PARTS:
        raise ValueError(f"part={part!r} must be one of {parts}.")
    if part == "inverse_transform" and estimator._code_layer is not None:
        raise ValueError(
            f"part='inverse_transform' cannot decode the activations of hidden layer "
            f"code_layer={estimator._code_layer!r}. Fit with code_layer=None, or use "
            "part='reconstruct'."
        )
    return _convert(estimator, part, torch.float32)


def register() -> None:
    """Teach skl2onnx to convert the autoencoders, alone and in pipelines.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import sklearn_ae.onnx
    >>> sklearn_ae.onnx.register()
    >>> X = load_iris().data.astype(np.float32)
    >>> pipe = make_pipeline(StandardScaler(), sklearn_ae.AutoencoderTransformer(max_iter=0))
    >>> model = skl2onnx.to_onnx(pipe.fit(X), X[:1])
    """
    skl2onnx = _needed("skl2onnx")
    for cls in KINDS:
        skl2onnx.update_registered_converter(
            cls, f"SklearnAe{cls.__name__}", _set_shape, _add_to_pipeline
        )


def _needed(name: str) -> Any:
    """Import an optional package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"This needs {name}: pip install 'sklearn_ae[onnx]'") from error


def _set_shape(operator):
    """Tell skl2onnx the type and shape of the codes."""
    kind = type(operator.inputs[0].type)
    operator.outputs[0].type = kind([None, operator.raw_operator._n_features_out])


def _add_to_pipeline(scope, operator, container):
    """Add the operators of the autoencoder to those of the pipeline."""
    integration = _needed("skl2onnx.helpers.integration")
    types = _needed("skl2onnx.common.data_types")
    double = isinstance(operator.inputs[0].type, types.DoubleTensorType)
    dtype = torch.float64 if double else torch.float32
    model = _convert(operator.raw_operator, "transform", dtype)
    integration.add_onnx_graph(scope, operator, container, model)


class _Converted(nn.Module):
    """What is converted: a part of the autoencoder, from rows of a type to rows of that type."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map rows to codes or back."""
        return self.module(x.double()).to(x.dtype)


def _convert(estimator, part, dtype):
    """Trace a part of the autoencoder, gradients inside of it included, and export the trace."""
    onnx = _needed("onnx")
    _needed("onnxscript")
    from torch.fx.experimental.proxy_tensor import make_fx

    from sklearn_ae.onnx._operators import DECOMPOSITIONS, keep_scalars

    modules = {
        "transform": estimator._coder,
        "inverse_transform": estimator.module_.decoder,
        "reconstruct": estimator.module_,
    }
    module = _Converted(copy.deepcopy(modules[part])).cpu().eval().requires_grad_(False)
    for layer in module.modules():
        if isinstance(layer, AttentionEncoder):
            layer.most_rows = sys.maxsize  # a graph takes all rows at once
        if isinstance(layer, RefinedEncoder):
            layer.by_products = False
    n_columns = estimator.n_components_ if part == "inverse_transform" else estimator.n_features_in_
    x = torch.zeros(ROWS, n_columns, dtype=dtype)
    n = torch.export.Dim("n", min=2)
    try:
        with warnings.catch_warnings():
            # torch's own, of a class that its exporter copies.
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec", FutureWarning)
            traced = make_fx(
                module, DECOMPOSITIONS, tracing_mode="symbolic", _allow_non_fake_inputs=True
            )(x)
            keep_scalars(traced)
            exported = torch.export.export(traced, (x,), dynamic_shapes=({0: n},))
            program: Any = torch.onnx.export(
                exported, dynamo=True, input_names=["X"], output_names=["Y"], verbose=False
            )
    except Exception as error:
        message, *_ = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"{type(estimator).__name__} cannot be converted: {message} Modules of your own must "
            "do the same operations whatever the values and the number of rows, with operators "
            "that torch.onnx knows."
        ) from error
    model = program.model_proto
    onnx.checker.check_model(model)
    return model
