"""Rows: read through one door, scaled, summed up, in blocks and in batches."""

from sklearn_ae._rows.batches import Batches
from sklearn_ae._rows.blocks import block_size, dense, row_blocks
from sklearn_ae._rows.rows import DenseRows, KeptRows, Rows, ScaledRows, SparseRows, StreamedRows
from sklearn_ae._rows.scaling import Scaling, scaled_rows
from sklearn_ae._rows.sources import Source, as_source, check_matrix, fingerprint, is_lazy
from sklearn_ae._rows.spread import Spread
from sklearn_ae._rows.sums import Sums, self_products, sum_of_squares, sum_up

__all__ = [
    "Batches",
    "DenseRows",
    "KeptRows",
    "Rows",
    "ScaledRows",
    "Scaling",
    "Source",
    "SparseRows",
    "Spread",
    "StreamedRows",
    "Sums",
    "as_source",
    "block_size",
    "check_matrix",
    "dense",
    "fingerprint",
    "is_lazy",
    "row_blocks",
    "scaled_rows",
    "self_products",
    "sum_of_squares",
    "sum_up",
]
