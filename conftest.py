"""Which examples in docstrings need what is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("skl2onnx") and find_spec("onnxscript") else ["sklearn_ae/onnx.py"]
