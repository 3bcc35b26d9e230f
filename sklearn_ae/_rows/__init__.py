"""Rows: read through one door, scaled, summed up, in blocks and in batches."""

from sklearn_ae._rows.batches import Batches
from sklearn_ae._rows.blocks import as_tensor, block_size, dense, row_blocks
from sklearn_ae._rows.merged import MergedPCA
from sklearn_ae._rows.replay import Replay
from sklearn_ae._rows.rows import DenseRows, KeptRows, Rows, ScaledRows, SparseRows, StreamedRows
from sklearn_ae._rows.scaling import Scaling, scaled_rows
from sklearn_ae._rows.seen import Sample, Seen, row_hashes, stacked
from sklearn_ae._rows.sources import Source, as_source, check_matrix, fingerprint, is_lazy
from sklearn_ae._rows.spread import Spread
from sklearn_ae._rows.sums import Sums, self_products, sum_of_squares, sum_up
from sklearn_ae._rows.tensors import TensorMatrix

__all__ = [
    "Batches",
    "DenseRows",
    "KeptRows",
    "MergedPCA",
    "Replay",
    "Rows",
    "Sample",
    "ScaledRows",
    "Scaling",
    "Seen",
    "Source",
    "SparseRows",
    "Spread",
    "StreamedRows",
    "Sums",
    "TensorMatrix",
    "as_source",
    "as_tensor",
    "block_size",
    "check_matrix",
    "dense",
    "fingerprint",
    "is_lazy",
    "row_blocks",
    "row_hashes",
    "scaled_rows",
    "self_products",
    "stacked",
    "sum_of_squares",
    "sum_up",
]
