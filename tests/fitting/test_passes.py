"""How often a fit goes through its rows before the first epoch."""

import numpy as np
import pytest
import torch
from curves import make, parabola
from skorch.callbacks import Callback

from sklearn_ae import _fitting as fitting
from sklearn_ae._fitting import closed_form, errors, ordered, start
from sklearn_ae._fitting.rows import draw_rows
from sklearn_ae._rows import KeptRows, ScaledRows, Sums
from sklearn_ae._rows import scaling as scaling_module

N_ROWS = 20_000


@pytest.fixture
def read(monkeypatch):
    """Count the rows that are summed up, scaled, and gone through."""
    counts = {"summed": 0, "scaled": 0, "gone through": 0}

    def counting(cls, name, key, size):
        of = getattr(cls, name)

        def method(self, *args):
            counts[key] += size(*args)
            return of(self, *args)

        monkeypatch.setattr(cls, name, method)

    counting(Sums, "add", "summed", len)
    counting(ScaledRows, "_scaled", "scaled", len)
    for cls in (KeptRows, ScaledRows):
        counting(cls, "slice", "gone through", lambda first, last: last - first)
    return counts


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("max_iter", [0, 1])
def test_three_passes_at_most(read, max_iter, kept, monkeypatch):
    """One sums up; one finds where codes lie, and scales rows that are kept; one solves."""
    if not kept:
        monkeypatch.setattr(scaling_module, "LARGE_BYTES", 0)
    monkeypatch.setattr(start, "MANY_ROWS", N_ROWS)
    before = {}

    class Begin(Callback):
        def on_train_begin(self, net, **kwargs):
            before.update(read)

    make(max_iter=max_iter, hidden_layer_sizes=(8,), callbacks=[Begin()]).fit(parabola(N_ROWS))
    n_train, n_held_out = 18_000, 2_000
    # All, and those that are held out once more, to take them out of the sums.
    assert before["summed"] == N_ROWS + n_held_out
    # By then it is known what PCA of each size leaves of the held-out rows, and the keeper of the
    # best weights has measured the start.
    # Rows that are kept are gone through once more, as they are scaled.
    passes = (2 if kept else 1) * n_train + 7 * n_held_out
    assert before["gone through"] <= passes
    assert before["scaled"] <= n_train + 7 * n_held_out + ordered.SOME_ROWS
    if max_iter == 0:
        n_some = closed_form.ROWS_FOR_MEANS + closed_form.ROWS_TO_CHOOSE
        # The closed form solves on training rows, and what is chosen is measured on both.
        assert read["gone through"] <= passes + 2 * n_train + 9 * n_held_out + n_some
        assert read["summed"] == before["summed"]


def test_many_rows_are_summed_up_once_more_only_where_pca_leaves_little(read, monkeypatch):
    monkeypatch.setattr(start, "MANY_PRODUCTS", 0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 6))
    for noise, passes in ((1.0, 1), (1e-4, 2)):
        read["summed"] = 0
        start.sum_up_for(X + noise * rng.normal(size=X.shape), 3, torch.device("cpu"))
        assert read["summed"] == passes * 500


@pytest.mark.parametrize("vary", [True, False])
def test_few_columns_tell_first_that_pca_leaves_enough(monkeypatch, vary):
    """Where these vary, and not only the others."""
    decomposed = []
    of = start._largest
    monkeypatch.setattr(
        start, "_largest", lambda products, n: decomposed.append(len(products)) or of(products, n)
    )
    monkeypatch.setattr(start, "MANY_PRODUCTS", 0)
    X = np.random.default_rng(0).normal(size=(200, 40))
    X[:, ::4] *= vary
    start.sum_up_for(X, 3, torch.device("cpu"))
    assert decomposed == ([10] if vary else [10, 40])


def test_refined_held_out_rows_are_computed_once_by_each_decoder(monkeypatch):
    """By the one that was trained and the one that was solved."""
    refined = []
    of = errors.measure_errors

    def measure(network, rows, criterion):
        refined.append(type(network.encoder).__name__)
        return of(network, rows, criterion)

    for module in (fitting, closed_form):
        monkeypatch.setattr(module, "measure_errors", measure)
    model = make(max_iter=20).fit(parabola(400))
    assert model.best_iter_ > 0
    assert refined.count("RefinedEncoder") == 2


@pytest.mark.parametrize(
    "n_rows, fraction, n_chosen",
    [(2, 0.9, 1), (1_000, 0.1, 100), (1_001, 0.1, 101), (1_000, None, 100), (10**6, 0.1, 20_000)],
)
def test_how_many_rows_choose(n_rows, fraction, n_chosen):
    chosen = draw_rows(n_rows, fraction, 0)
    assert len(np.unique(chosen)) == len(chosen) == n_chosen
    assert chosen.min() >= 0
    assert chosen.max() < n_rows


def test_of_many_rows_some_are_enough_to_solve_on(monkeypatch):
    found = []

    def recorded(decoder, encode, train, chosen, codes):
        found.append((len(train), len(chosen)))

    monkeypatch.setattr(closed_form, "solve_decoder", recorded)
    monkeypatch.setattr(closed_form, "MOST_ROWS", 500)
    monkeypatch.setattr(ordered, "SOME_ROWS", 60)
    make(n_components=2, hidden_layer_sizes=(8,)).fit(parabola(1_000))
    # The whole code, and a prefix: twice, for codes that are refined for the layer that was solved.
    assert found[0] == (500, 100)
    assert set(found[1:]) == {(500, 60)}
    found.clear()
    # Of wide rows fewer, but not so few.
    monkeypatch.setattr(closed_form, "LEAST_ROWS", 50)
    for cells, n_rows in ((4 * 400, 400), (4 * 10, 50)):
        monkeypatch.setattr(closed_form, "MOST_CELLS", cells)
        found.clear()
        make(n_components=2, hidden_layer_sizes=(8,)).fit(parabola(1_000))
        assert found[0] == (n_rows, 100)
