"""A piece of the rows: summed up, sampled, trained on, and now and then judged."""

import contextlib
import copy
import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sklearn_ae._device import own_settings, resolve_device, seeded_globals, threads_for
from sklearn_ae._fitting.choice import is_surely_lower
from sklearn_ae._fitting.closed_form import solve
from sklearn_ae._fitting.errors import Errors, measure_errors
from sklearn_ae._fitting.fit import Fit, Going, Learner
from sklearn_ae._fitting.lessons import learn
from sklearn_ae._fitting.network import build_pca, check_code_layer, count_operations
from sklearn_ae._fitting.ordered import solve_prefixes
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.pieces import Piece, Published, is_due, rows_of, slots
from sklearn_ae._fitting.rows import SummedRows
from sklearn_ae._fitting.sizes import most_components
from sklearn_ae._fitting.start import MANY_ROWS, Start, find_start, principal_components
from sklearn_ae._fitting.steps import (
    Task,
    begin,
    choose,
    end,
    find_size,
    finish,
    make_nested,
    make_net,
    pca_of_all,
    sizes_to_solve,
    solved_start,
    train,
    variance,
)
from sklearn_ae._fitting.training import check_training
from sklearn_ae._fitting.training.loss import check_range, make_loss
from sklearn_ae._fitting.training.net import net_of
from sklearn_ae._fitting.whitening import whitening_of_pca
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder, Nested
from sklearn_ae.modules.refined import refined

# A network is started anew when there are so many times as many different rows: what it does far
# out, and its linear path, are those of the rows that it was started at.
GROWTH = 1.1
# Passes that it is then given over the rows that are kept: pieces that are sorted leave others none
# of their own.
START_PASSES = 2


@dataclass
class Refreshed:
    """What a piece changes that is not judged.

    Attributes
    ----------
    mean, variance, n_rows, pca, variances, going
        As of a fit.
    whitening : tuple of two ndarrays of shape (n_components,) or None
        Mean and deviation of the codes of PCA, where they are asked for.
    history : list of dict
        What is recorded of each pass.
    """

    mean: np.ndarray
    variance: float
    n_rows: int
    pca: Nested | None
    variances: list[float] | None
    whitening: tuple[np.ndarray, np.ndarray] | None
    history: list
    going: Going | None = None


def fit_piece(
    spec: NetworkSpec, training: TrainingSpec, X: Any, going: Going, published: Published
) -> Fit | Refreshed:
    """Go on with more rows.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    training : TrainingSpec
        How it is trained: one pass over the rows, unless `max_iter` is 0.
    X : ndarray, CSR matrix or Source of shape (n_rows, n_columns)
        Validated rows.
    going : Going
        What they are added to; stays as it is.
    published : Published
        What the estimator is now.

    Returns
    -------
    fit : Fit or Refreshed
        With what the next piece goes on from. Where the network was not judged, the rest of the
        fit stays.
    """
    device = resolve_device(training.device)
    # Each call draws anew, and as a call after a file was read would.
    draw = int(np.random.SeedSequence((going.seen.seed, going.n_calls)).generate_state(1)[0] >> 1)
    borrowed = seeded_globals(draw, device) if training.foreign else contextlib.nullcontext()
    with own_settings(device), borrowed:
        return _fit_piece(spec, training, X, going, published, device, draw)


def _fit_piece(spec, training, X, going, published, device, draw):
    n_columns = X.shape[1]
    check_training(training, n_columns)
    if going.seen.sums is None:
        # What is wrong with users' modules shows before a row is read.
        _make_parts(spec, n_columns, most_components(spec, *X.shape), going.seen.seed)
    with threads_for(X.shape[0] * n_columns * min(X.shape), device):
        count = functools.partial(most_components, spec, n_columns=n_columns)
        n_slots = functools.partial(slots, spec, n_columns=n_columns)
        seen, index = going.seen.with_rows(X, n_slots, device)
    check_range(training.loss, seen.sums)
    most = count(seen.sums.count) if seen.merged is None else len(seen.merged.components)
    if going.learner is not None:
        most = max(most, len(going.learner.nested.ratios))
    learner, history = going.learner, list(published.history)
    if learner is not None and training.max_iter > 0:
        learner, history = learn(learner, spec, training, X, index, seen, history, draw, device)
    piece = Piece(spec, training, going.seen.seed, draw, seen, most, device, history, X.dtype)
    n_judged = going.n_judged
    if is_due(piece, n_judged, published):
        found, learner = _judged(piece, learner, published)
        n_judged = seen.sums.count
    else:
        found = _refreshed(piece, published)
    found.going = Going(seen, learner, going.n_calls + 1, n_judged)
    return found


def _make_parts(spec, n_columns, n, seed):
    """Draw the parts of the network, and check that it has the layer of the codes."""
    parts = make_parts(spec, n_columns, n, torch.Generator("cpu").manual_seed(seed))
    check_code_layer(Autoencoder(parts.encoder, parts.decoder), spec.code_layer)
    return parts


@dataclass(frozen=True)
class _New:
    """A network that was started: its fit, what goes on, and its errors.

    The last two are None where nothing was trained.
    """

    fit: Fit
    learner: Learner | None
    errors: Errors | None


def _judged(piece, learner, published):
    """Return the fit of all rows so far, and the network to go on with."""
    n_different, new = piece.seen.n_different, None
    if learner is not None and piece.training.max_iter > 0:
        if n_different >= GROWTH * learner.n_different:
            new = _started(piece)
            learner = replace(learner, n_different=n_different)
        old = _gone_on(piece, learner, published, new)
        if old is not None:
            return old, learner
    new = new or _started(piece)
    return new.fit, new.learner


def _task(piece, rows, start, pca):
    """Return what the steps of a fit are given."""
    linear = functools.cache(
        lambda n: build_pca(piece.spec, pca.first(n), rows.scaling).to(piece.device)
    )
    training = replace(piece.training, max_iter=min(piece.training.max_iter, START_PASSES))
    generator = torch.Generator("cpu").manual_seed(piece.draw)
    return Task(piece.spec, training, piece.seed, generator, rows, start, None, linear)


def _started(piece):
    """Fit a network anew, in a few passes over the rows that are kept; PCA alone of too few."""
    spec, seen = piece.spec, piece.seen
    rows, may_learn = rows_of(piece, seen.sums.scaling())
    n_columns = len(seen.sums.centre)
    pca = principal_components(rows.train, piece.most, piece.seed)
    n = find_size(spec, rows, pca, None)
    # Rows to come may lie elsewhere.
    start = replace(find_start(rows, pca.first(n)), all_ordinary=False)
    task = _task(piece, rows, start, pca)
    nested = make_nested(task, _make_parts(spec, n_columns, n, piece.seed), piece.device)
    net, measured, trained = make_net(task, nested)
    fit = begin(task, pca, measured, net, nested, piece.dtype)
    learner = errors = None
    if may_learn and task.is_learnable:
        n_operations = 3 * count_operations(net.module_, n_columns, piece.device)
        with threads_for(n_operations * net.batch_size, piece.device):
            train(fit, task, lambda now: [])
            if fit.interrupted:
                raise KeyboardInterrupt
            learner = Learner(
                copy.deepcopy(nested), rows.scaling, start.unit(spec.at_pca), trained,
                seen.n_different, copy.deepcopy(net.optimizer_.state_dict()),
            )  # fmt: skip
            with solved_start(fit, task):
                errors = finish(fit, task)
                choose(fit, task, errors, measured, trained)
    elif not task.is_ordered:
        # Codes that PCA does not have are those of the network as it was drawn.
        drawn = measure_errors(
            refined(net.module_.eval(), spec.n_steps), rows.choosing, net.criterion_
        )
        choose(fit, task, drawn, measured, trained)
    _record(fit, piece.history)
    end(fit, task)
    return _New(fit, learner, errors)


def _record(fit, history):
    """Put the passes before those of a fit."""
    if fit.best_iter:
        fit.best_iter += len(history)
    fit.net.history_ = type(fit.net.history)([*map(dict, history), *fit.net.history])


def _gone_on(piece, learner, published, new):
    """Judge the network that is trained, or what was published.

    Returns its fit; None where a new network is better, or where PCA is on the training rows: they
    lie elsewhere than those that the network was started at, and held-out ones may be few.
    """
    n_steps = piece.spec.n_steps
    rows, _ = rows_of(piece, learner.scaling)
    pca = principal_components(rows.train, piece.most, piece.seed)
    nested = copy.deepcopy(learner.nested).to(piece.device)
    start = Start.unbounded(pca.first(len(nested.ratios)), learner.unit)
    task = _task(piece, rows, start, pca)
    net, measured, trained = make_net(task, nested)
    fit: Any = begin(task, pca, measured, net, nested, piece.dtype)
    _record(fit, piece.history)
    fit.best_iter = len(piece.history)
    if rows.held_out is not None and piece.history:
        net.history[-1]["valid_loss"] = net.watched_loss(rows.held_out)
    n_operations = count_operations(net.module_, len(pca.mean), piece.device)
    with threads_for(n_operations * net.batch_size, piece.device):
        errors = solve(nested.network, rows, net.criterion_, n_steps)
        before = copy.deepcopy(published.nested)
        if before is not None:
            network = refined(before.to(piece.device).network, n_steps)
            earlier = measure_errors(network, rows.choosing, net.criterion_)
            if not errors.loss < earlier.loss:
                fit.nested, fit.net, errors = before, net_of(net, before.network), earlier
                fit.best_iter = published.best_iter
        if _is_replaced(new, fit, task, learner) or _is_stale(fit, task):
            return None
        if task.is_ordered and fit.nested is nested:
            sizes = sizes_to_solve(task, len(nested.ratios))
            solve_prefixes(nested, rows, net.criterion_, n_steps, sizes)
        choose(fit, task, errors, measured, trained)
    end(fit, task)
    return fit


def _is_replaced(new, fit, task, learner):
    """Tell whether the network that was trained is not surely better than a new one.

    The new one knows where all rows lie, of which few held-out ones say little.
    """
    if new is None or new.learner is None:
        return False
    theirs = new.learner
    if len(theirs.nested.ratios) != len(fit.nested.ratios):
        return True
    # One unit for both.
    unit = theirs.unit * (theirs.scaling.scale / learner.scaling.scale)
    criterion = make_loss(task.training.loss, unit, learner.scaling).to(fit.net.device)
    network = refined(fit.net.module_, task.spec.n_steps)
    return not is_surely_lower(measure_errors(network, task.rows.choosing, criterion), new.errors)


def _is_stale(fit, task):
    """Tell whether PCA misses less of the training rows than a network that started at it."""
    if not task.is_ordered:
        return False
    some, criterion = task.rows.train.rows.sample(MANY_ROWS), fit.net.criterion_
    ours = measure_errors(refined(fit.net.module_, task.spec.n_steps), some, criterion)
    theirs = measure_errors(task.linear(len(fit.nested.ratios)), some, criterion)
    return not ours.loss <= theirs.loss


def _refreshed(piece, published):
    """Return what is PCA's, of all rows so far."""
    seen, scaling, most = piece.seen, published.scaling, len(published.is_pca)
    rows = SummedRows(None, np.empty(0, int), seen.sums, scaling, None, seen.merged)
    n_rows = seen.sums.count
    found = Refreshed(
        seen.sums.mean.astype(piece.dtype), variance(rows), n_rows, None, None, None, piece.history
    )
    if any(published.is_pca):
        pca, module, found.variances = pca_of_all(piece.spec, rows, most, piece.seed)
        found.pca = module.to(piece.device)
        if piece.spec.whiten:
            found.whitening = whitening_of_pca(pca, n_rows, scaling.scale)
    return found
