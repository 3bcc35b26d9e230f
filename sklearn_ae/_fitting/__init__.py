"""One fit, from rows to the network that is kept.

`_fit` is the whole of it, from top to bottom. Each stage is a file here that knows nothing of those
after it: parts, rows, start, errors, sizes, network, training, closed_form, choice, ordered, fit,
whitening.
"""

import contextlib
import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_ae._device import own_settings, resolve_device, seeded_globals, threads_for
from sklearn_ae._fitting.choice import beats_pca
from sklearn_ae._fitting.closed_form import solve
from sklearn_ae._fitting.errors import explained, mean_square, measure_errors
from sklearn_ae._fitting.fit import Fit, Previous
from sklearn_ae._fitting.network import (
    build_network,
    build_pca,
    check_code_layer,
    count_operations,
)
from sklearn_ae._fitting.ordered import (
    Sizes,
    choose_prefixes,
    losses_of_pca,
    measured_pca,
    sizes_of_pca,
    solve_prefixes,
    some_rows,
    watched_rows,
)
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.rows import FitRows, draw_rows, split_rows
from sklearn_ae._fitting.sizes import (
    left_by_pca,
    most_components,
    trained_size,
    used_size,
    watched_sizes,
)
from sklearn_ae._fitting.start import (
    MANY_ROWS,
    SMALLEST_RESIDUAL,
    Start,
    find_start,
    principal_components,
    sum_up_for,
    train_on_lone_rows,
)
from sklearn_ae._fitting.training import (
    check_training,
    drop_unfinished,
    prepare,
    train_net,
    without_rows,
)
from sklearn_ae._fitting.training.denoising import make_denoising
from sklearn_ae._fitting.training.loss import check_range, make_loss
from sklearn_ae._fitting.training.prefixes import Prefixes
from sklearn_ae._fitting.whitening import mean_and_deviation, whitening_of_sizes
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder, Corrected, CorrectedProbabilities, Nested
from sklearn_ae.modules.idle import without_idle_layers
from sklearn_ae.modules.refined import refined
from sklearn_ae.pretraining import pretrain

__all__ = ["Fit", "Previous", "fit_network", "used_size"]

# So many codes say what a number of the code changes on average.
SOME_CODES = 256


@dataclass(frozen=True)
class _Task:
    """What all stages of a fit know."""

    spec: NetworkSpec
    training: TrainingSpec
    seed: int
    generator: torch.Generator
    rows: FitRows
    start: Start
    previous: Previous | None
    # Makes PCA of the training rows, of a size.
    linear: Callable[[int], Autoencoder]

    @property
    def is_ordered(self) -> bool:
        """Whether codes of every size are wanted, PCA where it is not beaten.

        PCA has no hidden layers to take the codes from.
        """
        return self.spec.at_pca and self.spec.code_layer is None


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
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
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
    task = _Task(spec, training, seed, generator, rows, start, previous, linear)

    nested = _make_nested(task, parts, device)
    net, trained = _make_net(task, nested)
    if net.processes is not None:
        net.processes.align(list(net.module_.state_dict().values()))
    measured = measured_pca(linear, some_rows(watched_rows(rows)), net.criterion_)
    sizes = sizes_of_pca(pca, measured, rows)
    mean = rows.all.sums.mean.astype(X.dtype)
    fit = Fit(
        net, rows.scaling, mean, _variance(rows), X.shape[0], sizes, task.is_ordered, nested
    )  # fmt: skip
    if rows.held_out is not None:
        fit.watched_pca_loss = float(sizes.pca_loss[n - 1])
        if net.prefixes is not None:
            fit.watched_pca_loss = net.prefixes.watched_of(sizes.pca_loss)
    learnable = start.residual > SMALLEST_RESIDUAL or not task.is_ordered
    if learnable:
        # A backward pass costs twice a forward one.
        n_operations = 3 * count_operations(net.module_, n_columns, device)
        with threads_for(n_operations * net.batch_size, device):
            _train(fit, task, listen)
            with _solved_start(fit, task):
                errors = _finish(fit, task)
                _choose(fit, task, errors, measured, trained)
    of_all = _keep_pca(fit, task)
    if spec.whiten:
        fit.whitening = whitening_of_sizes(fit, rows, spec.n_steps, of_all)
    if training.verbose and sizes.is_pca[n - 1]:
        why = "was not beaten on the held-out rows" if learnable else "leaves only rounding errors"
        what = "the fitted model is PCA" if sizes.is_pca.all() else f"codes of {n} numbers are PCA"
        print(f"{training.name}: PCA {why}; {what}, on all rows.")
    without_rows(net)
    return fit


def _find_rows(spec, training, X, most, seed, device, previous):
    """Sum up the rows, scale and split them, and find PCA and the size that is trained."""
    sums = sum_up_for(X, most, device)
    check_range(training.loss, sums)
    scaling = previous.scaling if previous else sums.scaling()
    fraction, drawn = training.validation_fraction, previous.seed if previous else seed
    chosen = draw_rows(X.shape[0], fraction, drawn)
    rows = split_rows(X, sums, scaling, chosen, device, hold_out=fraction is not None)
    pca = principal_components(rows.train, most, seed)
    n = _find_size(spec, rows, pca, previous)
    more = train_on_lone_rows(rows, pca.first(n), seed)
    if more is not rows:
        rows, pca = more, principal_components(more.train, most, seed)
        n = _find_size(spec, rows, pca, previous)
    return rows, pca, n


def _find_size(spec, rows, pca, previous):
    """Return the size of the code that is trained."""
    if previous:
        return len(previous.nested.ratios)
    if not spec.at_pca or spec.code_layer is not None:
        return len(pca.components)
    return trained_size(spec, rows, pca)


def _variance(rows):
    """Return the variance of all rows, summed over the columns."""
    products = rows.all.sums.products(rows.scaling.scale)
    square = products.trace() if products.ndim == 2 else products.sum()
    return float(square) / (len(rows.all.rows) - 1)


def _make_nested(task, parts, device):
    """Build the network where it starts, pretrained if it is to be; or copy that of before."""
    if task.previous:
        return copy.deepcopy(task.previous.nested).to(device)
    spec, rows, start = task.spec, task.rows, task.start
    network = build_network(spec, parts, rows.scaling, start if spec.at_pca else None).to(device)
    if spec.pretraining is not None:
        pretrain(spec.pretraining, network, rows.train.rows, task.seed)
    decoder, ratios = network.decoder, np.ones(len(start.pca.components))
    if isinstance(decoder, Corrected) and not isinstance(decoder, CorrectedProbabilities):
        # Logits have one unit, whatever PCA leaves.
        ratios = np.maximum(start.pca.residuals()[1:] / start.residual, 1.0)
    return Nested(network, ratios)


def _make_net(task, nested):
    """Make what trains the network: its loss, its noise, its rows; and PCA's losses on these."""
    spec, training, rows, start = task.spec, task.training, task.rows, task.start
    device, n = rows.train.rows.device, len(nested.ratios)
    unit = start.residual if spec.at_pca else 1.0
    criterion = make_loss(training.loss, unit, rows.scaling).to(device)
    denoising = None
    if training.noise is not None:
        # Of rows that are spread, each process corrupts its own.
        processes = rows.train.rows.processes
        rank = 0 if processes is None else processes.rank
        noise = torch.Generator(device).manual_seed(task.seed + rank)
        denoising = make_denoising(training.noise, rows.scaling, spec.image_shape, noise)
    prefixes = trained = None
    if task.is_ordered:
        some = some_rows(rows.train.rows)
        left = left_by_pca(start.pca, some)[1:]
        trained = losses_of_pca(left, measured_pca(task.linear, some, criterion))
        if n > 1:
            draw = np.random.default_rng(task.seed)
            prefixes = Prefixes(nested.ratios, trained.tolist(), watched_sizes(n), draw)
    net = prepare(
        training,
        nested.network,
        criterion,
        rows.train.rows,
        rows.held_out,
        denoising,
        task.generator,
        # Not where the units are of an earlier fit: its bounds are of other rows.
        inside=spec.at_pca and start.all_ordinary and task.previous is None,
        prefixes=prefixes,
    )
    return net, trained


def _train(fit, task, listen):
    """Train the network."""
    _tell_unit(task.spec, task.training)
    listeners = listen(functools.partial(_as_of_now, fit, task))
    keeper, fit.interrupted = train_net(fit.net, task.rows.train.rows, task.training, listeners)
    fit.best_iter = keeper.kept.epoch


@contextlib.contextmanager
def _solved_start(fit, task):
    """Solve a network that training did not improve, and do without its idle layers meanwhile."""
    if fit.best_iter > 0 or task.previous or fit.interrupted:
        yield
        return
    network = fit.net.module_
    # Its hidden layers are as drawn.
    solve(network, task.rows, fit.net.criterion_, 0, task.generator)
    with without_idle_layers(network):
        yield


def _finish(fit, task):
    """Solve what can be solved in closed form; keep the network of before where it was better."""
    network, criterion = fit.net.module_, fit.net.criterion_
    rows, previous, n_steps = task.rows, task.previous, task.spec.n_steps
    trains = task.training.max_iter > 0
    if trains and not fit.interrupted:
        errors = solve(network, rows, criterion, n_steps)
    else:
        errors = measure_errors(refined(network, n_steps), rows.choosing, criterion)
    if previous:
        before = copy.deepcopy(previous.nested.network).to(fit.net.device)
        earlier = measure_errors(refined(before, n_steps), rows.choosing, criterion)
        if not errors.loss < earlier.loss:
            network.load_state_dict(before.state_dict())
            errors, fit.best_iter = earlier, 0
    if task.is_ordered and not fit.interrupted and (trains or not previous):
        solve_prefixes(fit.nested, rows, criterion, n_steps if trains else 0)
    return errors


def _choose(fit, task, errors, measured, trained):
    """Measure the codes of every size, and keep PCA where it is not beaten."""
    rows, sizes, n_steps = task.rows, fit.sizes, task.spec.n_steps
    criterion, n = fit.net.criterion_, len(fit.nested.ratios)
    fit.codes = errors.codes[:SOME_CODES].cpu().double().numpy() * rows.scaling.scale
    watched = rows.held_out
    if watched is None:
        watched = rows.train.rows.sample(MANY_ROWS)
        errors = measure_errors(refined(fit.net.module_, n_steps), watched, criterion)
    total = mean_square(watched)
    # Without an order there is no other size.
    sizes.is_pca[n - 1 if task.is_ordered else slice(None)] = False
    sizes.loss[n - 1], sizes.score[n - 1] = errors.loss, explained(errors.square, total)
    if rows.held_out is not None:
        pca_errors = measure_errors(task.linear(n), rows.held_out, criterion)
        sizes.pca_loss[n - 1] = pca_errors.loss
    if not task.is_ordered:
        return
    if rows.held_out is not None:
        counts = n, len(rows.train.rows), len(rows.held_out)
        if not beats_pca(errors, pca_errors, trained[n - 1], *counts):
            sizes.fall_back(n)
            if fit.best_iter == 0 and not (task.previous or task.spec.pretraining):
                # Layers that were drawn, for a code whose last numbers are noise.
                return
    choose_prefixes(sizes, fit.nested, measured, rows, criterion, trained, n_steps)


def _keep_pca(fit, task):
    """Find PCA of all rows where codes of some size are PCA; forget the network where all are."""
    most = len(fit.sizes.is_pca)
    if not fit.sizes.is_pca.any():
        return None
    pca = principal_components(task.rows.all, most, task.seed)
    module = build_pca(task.spec, pca, fit.scaling, torch.float64)
    fit.pca = Nested(module.to(fit.net.device), np.ones(most))
    fit.variances = (np.square(pca.deviations) * fit.n_rows / (fit.n_rows - 1)).tolist()
    if fit.sizes.is_pca.all():
        fit.nested = fit.codes = None
    return pca


def _as_of_now(fit, task):
    """Return what the fit would be if it ended now: the network, in the size that is trained."""
    net = object.__new__(type(fit.net))  # skorch would copy by way of files
    net.__dict__.update(fit.net.__dict__)
    net.module_, net.history_ = copy.deepcopy((fit.net.module_, fit.net.history_))
    drop_unfinished(net)
    n = len(fit.nested.ratios)
    now = replace(
        fit, net=net, nested=Nested(net.module_, fit.nested.ratios), sizes=Sizes.unknown(n)
    )
    if task.spec.whiten:
        n_steps = task.spec.n_steps
        now.whitening = {n: mean_and_deviation(now.nested, n, task.rows, n_steps)}
    return now


def _tell_unit(spec, training):
    """Say what the losses are in that skorch prints."""
    if not (training.verbose and training.max_iter):
        return
    unit = "in units of what PCA leaves" if spec.at_pca else "in units of the variance"
    if spec.probabilities:
        unit = "in nats a cell"
    elif not isinstance(training.loss, str):
        unit = f"as {type(training.loss).__name__} gives them"
    print(f"{training.name}: losses {unit}")
