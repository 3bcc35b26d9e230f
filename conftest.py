"""Which examples in docstrings need what is not installed."""

from importlib.util import find_spec

collect_ignore = []
if not (find_spec("skl2onnx") and find_spec("onnxscript")):
    collect_ignore.append("sklearn_ae/onnx/__init__.py")
if not (find_spec("dask") and find_spec("distributed")):
    collect_ignore.append("sklearn_ae/dask.py")
