"""The steps of a fit that are given all that it knows: from the network to what is kept."""

import contextlib
import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sklearn_ae._fitting.choice import beats_pca
from sklearn_ae._fitting.closed_form import solve
from sklearn_ae._fitting.errors import explained, mean_square, measure_errors
from sklearn_ae._fitting.fit import Fit, Previous
from sklearn_ae._fitting.network import build_network, build_pca
from sklearn_ae._fitting.ordered import (
    MeasuredPCA,
    Sizes,
    choose_prefixes,
    losses_of_pca,
    sizes_of_pca,
    solve_prefixes,
    some_rows,
    watched_rows,
)
from sklearn_ae._fitting.rows import FitRows, SummedRows
from sklearn_ae._fitting.sizes import (
    coarse_sizes,
    left_by_pca,
    solved_sizes,
    trained_size,
    watched_sizes,
)
from sklearn_ae._fitting.start import (
    MANY_ROWS,
    SMALLEST_RESIDUAL,
    PrincipalComponents,
    Start,
    principal_components,
)
from sklearn_ae._fitting.training import drop_unfinished, prepare, train_net, without_rows
from sklearn_ae._fitting.training.denoising import make_denoising
from sklearn_ae._fitting.training.loss import make_loss
from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._fitting.training.prefixes import Prefixes
from sklearn_ae._fitting.whitening import mean_and_deviation, whitening_of_sizes
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder, Corrected, CorrectedProbabilities, Nested
from sklearn_ae.modules.idle import without_idle_layers
from sklearn_ae.modules.refined import refined
from sklearn_ae.pretraining import pretrain

# So many codes say what a number of the code changes on average.
SOME_CODES = 256


@dataclass(frozen=True)
class Task:
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
        return is_ordered(self.spec)

    @property
    def is_learnable(self) -> bool:
        """Whether PCA leaves anything to learn."""
        return self.start.residual > SMALLEST_RESIDUAL or not self.is_ordered


def is_ordered(spec: NetworkSpec) -> bool:
    """Tell whether codes of every size are wanted."""
    return spec.at_pca and spec.code_layer is None


def find_size(spec, rows, pca, previous):
    """Return the size of the code that is trained."""
    if previous:
        return len(previous.nested.ratios)
    if not spec.at_pca or spec.code_layer is not None:
        return len(pca.components)
    return trained_size(spec, rows, pca)


def variance(rows):
    """Return the variance of all rows, summed over the columns."""
    products = rows.sums.products(rows.scaling.scale)
    square = products.trace() if products.ndim == 2 else products.sum()
    return float(square) / max(rows.sums.count - 1, 1)


def make_nested(task, parts, device):
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


def make_net(task, nested):
    """Make what trains the network: its loss, its noise, its rows; and PCA's losses.

    Those are, of each size, its errors on some of the watched rows (`watched_rows`), and its losses
    on some of those that train.
    """
    spec, training, rows, start = task.spec, task.training, task.rows, task.start
    device, n = rows.train.rows.device, len(nested.ratios)
    criterion = make_loss(training.loss, start.unit(spec.at_pca), rows.scaling).to(device)
    denoising = None
    if training.noise is not None:
        processes, rank, donors = rows.train.rows.processes, 0, None
        if processes is not None:
            # Each process corrupts its own rows.
            rank = processes.rank
            if training.noise.swaps:
                some = rows.train.rows.sample(MANY_ROWS)
                donors = some.slice(0, len(some))
        noise = torch.Generator(device).manual_seed(task.seed + rank)
        denoising = make_denoising(training.noise, rows.scaling, spec.image_shape, noise, donors)
    prefixes = trained = None
    if task.is_ordered:
        some = some_rows(rows.train.rows)
        left = left_by_pca(start.pca, some)[1:]
        trained = losses_of_pca(left, MeasuredPCA(task.linear, some, criterion))
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
    if net.processes is not None:
        net.processes.align(list(net.module_.state_dict().values()))
    return net, MeasuredPCA(task.linear, some_rows(watched_rows(rows)), criterion), trained


def begin(
    task: Task,
    pca: PrincipalComponents,
    measured: MeasuredPCA,
    net: ReconstructionNet,
    nested: Nested,
    dtype: Any,
) -> Fit:
    """Return what is known of a fit before the network is trained: PCA.

    Parameters
    ----------
    task : Task
        The fit.
    pca : PrincipalComponents
        Of the training rows, as large as a code can be.
    measured : MeasuredPCA
        Of some of the watched rows.
    net : ReconstructionNet
        What will train.
    nested : Nested
        Its network.
    dtype : numpy.dtype
        Of the rows.
    """
    rows, n = task.rows, len(nested.ratios)
    sizes = sizes_of_pca(pca, measured, rows)
    sums = rows.all.sums
    fit = Fit(
        net, rows.scaling, sums.mean.astype(dtype), variance(rows.all), sums.count, sizes,
        task.is_ordered, nested,
    )  # fmt: skip
    if rows.held_out is not None:
        fit.watched_pca_loss = float(sizes.pca_loss[n - 1])
        if net.prefixes is not None:
            fit.watched_pca_loss = net.prefixes.watched_of(sizes.pca_loss.tolist())
    return fit


def train(fit, task, listen):
    """Train the network."""
    _tell_unit(task.spec, task.training)
    listeners = listen(functools.partial(as_of_now, fit, task))
    keeper, fit.interrupted = train_net(fit.net, task.rows.train.rows, task.training, listeners)
    fit.best_iter = keeper.kept.epoch


@contextlib.contextmanager
def solved_start(fit, task):
    """Solve a network that training did not improve, and do without its idle layers meanwhile."""
    if fit.best_iter > 0 or task.previous or fit.interrupted:
        yield
        return
    network = fit.net.module_
    # Its hidden layers are as drawn.
    solve(network, task.rows, fit.net.criterion_, 0, task.generator)
    with without_idle_layers(network):
        yield


def finish(fit, task):
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
        sizes = sizes_to_solve(task, len(fit.nested.ratios))
        solve_prefixes(fit.nested, rows, criterion, n_steps if trains else 0, sizes)
    return errors


def sizes_to_solve(task: Task, n: int) -> list[int]:
    """Return the sizes of prefixes to solve, below `n`; fewer of a start: it has little time."""
    if task.training.max_iter == 0:
        return coarse_sizes(n)
    return solved_sizes(n, task.rows.train.rows.n_columns)


def choose(fit, task, errors, measured, trained):
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
    pca = MeasuredPCA(task.linear, watched, criterion)
    sizes.pca_loss[n - 1], sizes.pca_score[n - 1] = pca(n).loss, explained(pca.left(n), total)
    if not task.is_ordered:
        return
    if rows.held_out is not None:
        counts = n, rows.train.n, len(rows.held_out)
        if not beats_pca(errors, pca(n), trained[n - 1], *counts):
            sizes.fall_back(n)
            if fit.best_iter == 0 and not (task.previous or task.spec.pretraining):
                # Layers that were drawn, for a code whose last numbers are noise.
                return
    choose_prefixes(sizes, fit.nested, measured, rows, criterion, trained, n_steps)


def keep_pca(fit, task):
    """Find PCA of all rows where codes of some size are PCA; forget the network where all are."""
    if not fit.sizes.is_pca.any():
        return None
    most = len(fit.sizes.is_pca)
    pca, fit.pca, fit.variances = pca_of_all(task.spec, task.rows.all, most, task.seed)
    fit.pca.to(fit.net.device)
    if fit.sizes.is_pca.all():
        fit.nested = fit.codes = None
    return pca


def pca_of_all(
    spec: NetworkSpec, rows: SummedRows, most: int, seed: int
) -> tuple[PrincipalComponents, Nested, list[float]]:
    """Find PCA of rows, the model that is PCA, and the variance of each component.

    Parameters
    ----------
    spec : NetworkSpec
        What the network is.
    rows : SummedRows
        The rows.
    most : int
        How many components.
    seed : int
        For the randomized solver.
    """
    pca = principal_components(rows, most, seed)
    # No loss is asked of what it gives: rows of zeros and ones come back as they were.
    module = build_pca(spec, pca, rows.scaling, torch.float64, nearest=0.0)
    n_rows = rows.sums.count
    variances = np.square(pca.deviations) * n_rows / max(n_rows - 1, 1)
    return pca, Nested(module, np.ones(most)), variances.tolist()


def end(fit: Fit, task: Task) -> PrincipalComponents | None:
    """Keep PCA and whiten; return PCA of all rows, where codes of some size are."""
    nested: Any = fit.nested
    n, spec = len(nested.ratios), task.spec
    fit.sizes = task.rows.train.rows.agreed(fit.sizes)
    of_all = keep_pca(fit, task)
    if spec.whiten:
        fit.whitening = whitening_of_sizes(fit, task.rows, spec.n_steps, of_all)
    if task.training.verbose and fit.sizes.is_pca[n - 1]:
        why = (
            "was not beaten on the held-out rows"
            if task.is_learnable
            else "leaves only rounding errors"
        )
        whole = fit.sizes.is_pca.all()
        what = "the fitted model is PCA" if whole else f"codes of {n} numbers are PCA"
        print(f"{task.training.name}: PCA {why}; {what}, on all rows.")
    without_rows(fit.net)
    return of_all


def as_of_now(fit, task):
    """Return what the fit would be if it ended now: the network, in the size that is trained."""
    net = object.__new__(type(fit.net))  # skorch would copy by way of files
    net.__dict__.update(fit.net.__dict__)
    net.module_, net.history_ = copy.deepcopy((fit.net.module_, fit.net.history_))
    net.recorded = None
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
