"""A fit with prefixes before its training, and its rows."""

import functools

import numpy as np
import torch
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._fitting.errors import measure_errors
from sklearn_ae._fitting.network import build_network, build_pca
from sklearn_ae._fitting.ordered import (
    MeasuredPCA,
    choose_prefixes,
    losses_of_pca,
    sizes_of_pca,
    solve_prefixes,
    watched_rows,
)
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.sizes import left_by_pca, solved_sizes
from sklearn_ae._fitting.start import find_start, principal_components
from sklearn_ae._parameters import read_parameters
from sklearn_ae._rows import sum_up
from sklearn_ae.modules import Nested

CPU = torch.device("cpu")
K = 6
SIZES = solved_sizes(K, 8)
LOSS = nn.MSELoss()


def rows_of(curved, *, hold_out=True):
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(600, 2))
    X = (
        np.hstack([np.cos(3 * t), np.sin(3 * t), t**3, t**2])
        if curved
        else rng.normal(size=(600, 8))
    )
    X = X + 0.05 * rng.normal(size=X.shape)
    sums = sum_up(X, torch.float64, CPU)
    chosen = draw_rows(len(X), 0.2, 0)
    return split_rows(X, sums, sums.scaling(), chosen, CPU, hold_out=hold_out)


class Case:
    """A fit before its training: hidden layers as drawn, in units of what PCA leaves."""

    def __init__(self, *, curved=True, hold_out=True):
        params = AutoencoderTransformer(K, hidden_layer_sizes=(64,)).get_params(deep=False)
        spec, _ = read_parameters(params, "A")
        self.rows = rows_of(curved, hold_out=hold_out)
        self.pca = principal_components(self.rows.train, K, 0)
        start = find_start(self.rows, self.pca)
        parts = make_parts(spec, 8, K, torch.Generator("cpu").manual_seed(0))
        network = build_network(spec, parts, self.rows.scaling, start).eval()
        self.nested = Nested(network, start.pca.residuals()[1:] / start.residual)
        self.linear = functools.cache(
            lambda n: build_pca(spec, self.pca.first(n), self.rows.scaling)
        )
        train = self.rows.train.rows
        left = left_by_pca(self.pca, train)[1:]
        self.trained = losses_of_pca(left, MeasuredPCA(self.linear, train, LOSS))
        self.loss, self.measured = LOSS, self.measured_with(LOSS)
        self.sizes = sizes_of_pca(self.pca, self.measured, self.rows)

    @classmethod
    def solved(cls, loss=LOSS, *, without=None):
        """Return one whose prefixes are solved, but for one, and whose whole code beats PCA."""
        case = cls()
        case.loss, case.measured = loss, case.measured_with(loss)
        solve_prefixes(case.nested, case.rows, loss, 0, SIZES)
        if without is not None:
            forget(case.nested, without)
        case.sizes.is_pca[K - 1] = False
        return case

    def measured_with(self, loss):
        return MeasuredPCA(self.linear, watched_rows(self.rows), loss)

    def error(self, n):
        some = self.rows.held_out or self.rows.train.rows
        return measure_errors(self.nested.prefix(n), some, LOSS)

    def choose(self):
        choose_prefixes(
            self.sizes, self.nested, self.measured, self.rows, self.loss, self.trained, n_steps=0
        )
        return self.sizes


def forget(nested, n):
    """Drop the layer of a size."""
    at = nested.sizes.index(n)
    del nested.sizes[at], nested.layers[at]
