"""One fit, from rows to the network that is kept.

`_fit` is the whole of it, from top to bottom. Each stage is a file here that knows nothing of those
after it: parts, rows, start, errors, sizes, network, training, closed_form, choice, ordered, fit,
whitening. What `partial_fit` does is in `partial`, `pieces`, `lessons` and `saving`, and `steps`
has what both do.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from skorch.callbacks import Callback

from sklearn_ae._device import own_settings, resolve_device, seeded_globals, threads_for
from sklearn_ae._fitting.fit import Fit, Going, Learner, Previous
from sklearn_ae._fitting.network import build_pca, check_code_layer, count_operations
from sklearn_ae._fitting.partial import Refreshed, fit_piece
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.pieces import Published
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.saving import packed, unpacked
from sklearn_ae._fitting.sizes import most_components, used_size
from sklearn_ae._fitting.start import (
    find_start,
    principal_components,
    sum_up_for,
    train_on_lone_rows,
)
from sklearn_ae._fitting.steps import (
    Task,
    begin,
    choose,
    end,
    find_size,
    finish,
    make_nested,
    make_net,
    solved_start,
    train,
)
from sklearn_ae._fitting.training import check_training
from sklearn_ae._fitting.training.loss import check_range
from sklearn_ae._rows import Seen
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder

__all__ = [
    "Fit",
    "Going",
    "Previous",
    "Published",
    "Refreshed",
    "fit_network",
    "fit_piece",
    "packed",
    "unpacked",
    "used_size",
]


def fit_network(
    spec: NetworkSpec,
    training: TrainingSpec,
    X: Any,
    seed: int,
    previous: Previous | None,
    listen: Callable[[Callable[[], Fit]], list[Callback]],
) -> Fit:
    """Fit a network to rows.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    training : TrainingSpec
        How it is trained.
    X : ndarray, CSR matrix, Source, TensorMatrix or Spread of shape (n_rows, n_columns)
        Validated rows.
    seed : int
        Seeds the split, the weights, the order of the rows and the corruption.
    previous : Previous or None
        The fit to go on from (`warm_start`).
    listen : callable
        Given what returns the fit as it is now, returns callbacks that are to be told of the
        epochs.
    """
    device = resolve_device(training.device)
    borrowed = seeded_globals(seed, device) if training.foreign else contextlib.nullcontext()
    with own_settings(device), borrowed:
        return _fit(spec, training, X, seed, device, previous, listen)


def _fit(
    spec: NetworkSpec,
    training: TrainingSpec,
    X: Any,
    seed: int,
    device: torch.device,
    previous: Previous | None,
    listen: Callable,
) -> Fit:
    # What is wrong with users' modules and losses shows before a row is read.
    generator = torch.Generator("cpu").manual_seed(seed)
    n_columns, most = X.shape[1], most_components(spec, *X.shape)
    if previous:
        most = max(most, len(previous.nested.ratios))
    parts = make_parts(spec, n_columns, most, generator)
    check_code_layer(Autoencoder(parts.encoder, parts.decoder), spec.code_layer)
    check_training(training, n_columns)

    with threads_for(X.shape[0] * n_columns * min(X.shape), device):
        rows, pca, n = _find_rows(spec, training, X, most, seed, device, previous)
        start = find_start(rows, pca.first(n))
    if n != most:
        parts = make_parts(spec, n_columns, n, generator.manual_seed(seed))
    linear = functools.cache(lambda n: build_pca(spec, pca.first(n), rows.scaling).to(device))
    task = Task(spec, training, seed, generator, rows, start, previous, linear)

    nested = make_nested(task, parts, device)
    net, measured, trained = make_net(task, nested)
    fit = begin(task, pca, measured, net, nested, X.dtype)
    if task.is_learnable:
        # A backward pass costs twice a forward one.
        n_operations = 3 * count_operations(net.module_, n_columns, device)
        with threads_for(n_operations * net.batch_size, device):
            train(fit, task, listen)
            with solved_start(fit, task):
                errors = finish(fit, task)
                choose(fit, task, errors, measured, trained)
    learner = Learner(nested, rows.scaling, start.unit(spec.at_pca), trained, X.shape[0])
    of_all = end(fit, task)
    merged = None
    if not rows.all.sums.has_products:
        merged = (of_all or pca).merged(rows.all.sums, rows.scaling.scale)
    seen = Seen.nothing(seed, fraction=training.validation_fraction)
    seen = replace(
        seen, sums=rows.all.sums, merged=merged, train_merged=merged, n_before=X.shape[0]
    )
    fit.going = Going(seen, None if fit.nested is None else learner, 0, X.shape[0])
    return fit


def _find_rows(spec, training, X, most, seed, device, previous):
    """Sum up the rows, scale and split them, and find PCA and the size that is trained."""
    sums = sum_up_for(X, most, device)
    check_range(training.loss, sums)
    scaling = previous.scaling if previous else sums.scaling()
    fraction, drawn = training.validation_fraction, previous.seed if previous else seed
    chosen = draw_rows(X.shape[0], fraction, drawn)
    rows = split_rows(X, sums, scaling, chosen, device, hold_out=fraction is not None)
    pca = rows.train.rows.agreed(principal_components(rows.train, most, seed))
    n = find_size(spec, rows, pca, previous)
    more = train_on_lone_rows(rows, pca.first(n), seed)
    if more is not rows:
        rows, pca = more, more.train.rows.agreed(principal_components(more.train, most, seed))
        n = find_size(spec, rows, pca, previous)
    return rows, pca, n
