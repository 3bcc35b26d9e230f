"""One fit, from rows to the network that is kept.

`_fit` is the whole of it, from top to bottom. Each stage is a file here that knows nothing of those
after it: parts, rows, start, network, training, errors, closed_form, choice.
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
from sklearn_ae._fitting.network import (
    build_network,
    build_pca,
    check_code_layer,
    count_operations,
)
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.start import (
    MANY_ROWS,
    SMALLEST_RESIDUAL,
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
from sklearn_ae._fitting.training.net import ReconstructionNet, rows_for
from sklearn_ae._rows import Scaling
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder
from sklearn_ae.modules.refined import refined
from sklearn_ae.pretraining import pretrain

# So many codes say what a number of the code changes on average.
SOME_CODES = 256


@dataclass
class Fit:
    """What a fit found.

    Attributes
    ----------
    net : ReconstructionNet
        Its module works on rows in the units of `scaling`.
    scaling : Scaling
        How rows were centred and scaled.
    best_iter : int
        Epoch whose weights are kept; 0 is the start.
    loss : float or None
        Loss of what is kept, on the rows that chose; without any, on training rows.
    score : float or None
        Share of the variance of the rows that chose which it explains.
    pca_loss, pca_score : float or None
        The same of PCA.
    is_pca : bool
        Whether what is kept is PCA.
    interrupted : bool
        Whether the user ended the training.
    mean : ndarray of shape (n_columns,)
        Of all rows, in the units of the user, in their dtype.
    n_rows : int
        How many there are.
    codes : ndarray of shape (n_codes, n_components) or None
        Codes of some of the rows that chose, in the units of the user; None of PCA, which changes
        all alike.
    whitening : tuple of two ndarrays of shape (n_components,) or None
        Mean and deviation of the codes.
    """

    net: ReconstructionNet
    scaling: Scaling
    mean: np.ndarray
    n_rows: int
    best_iter: int = 0
    loss: float | None = None
    score: float | None = None
    pca_loss: float | None = None
    pca_score: float | None = None
    is_pca: bool = False
    interrupted: bool = False
    codes: np.ndarray | None = None
    whitening: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Previous:
    """The fit that is gone on from.

    Attributes
    ----------
    network : Autoencoder
        Its network.
    scaling : Scaling
        The units of the network.
    seed : int
        What its held-out rows were drawn with: the same are held out again.
    """

    network: Autoencoder
    scaling: Scaling
    seed: int


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
    parts = make_parts(spec, X.shape[1], generator)
    check_code_layer(Autoencoder(parts.encoder, parts.decoder), spec.code_layer)
    check_training(training, X.shape[1])

    with threads_for(X.shape[0] * X.shape[1] * min(X.shape), device):
        rows, start = _find_start(spec, training, X, seed, device, previous)
    network = _make_network(spec, parts, rows, start, seed, device, previous)
    net = _make_net(spec, training, network, rows, start, seed, generator, previous)
    fit = Fit(net, rows.scaling, rows.all.sums.mean.astype(X.dtype), len(rows.all.rows))
    _train(fit, spec, training, rows, start, seed, generator, previous, listen)
    if spec.whiten and not fit.is_pca:
        fit.whitening = _whitening(fit.net.module_, spec, rows)
    return fit


def _train(fit, spec, training, rows, start, seed, generator, previous, listen):
    """Train the network and solve what can be solved; keep PCA where that is not beaten."""
    net = fit.net
    network, device = net.module_, torch.device(net.device)
    # PCA has no hidden layers to take the codes from.
    may_fall_back = spec.at_pca and spec.code_layer is None
    fall_back = functools.partial(_fall_back, fit, spec, training, rows, seed)
    linear = build_pca(spec, start.pca, rows.scaling).to(device)
    if rows.held_out is not None:
        pca_errors = measure_errors(linear, rows.held_out, net.criterion_)
        total = mean_square(rows.held_out)
        fit.pca_loss, fit.pca_score = pca_errors.loss, explained(pca_errors.square, total)
    if may_fall_back and start.residual <= SMALLEST_RESIDUAL:
        fall_back("leaves only rounding errors")
        return

    n_operations = count_operations(network, rows.train.rows.n_columns, device)
    # A backward pass costs twice a forward one.
    with threads_for(3 * n_operations * net.batch_size, device):
        _tell_unit(spec, training)
        listeners = listen(functools.partial(_as_of_now, fit, spec, rows))
        keeper, fit.interrupted = train_net(net, rows.train.rows, training, listeners)
        fit.best_iter = keeper.kept.epoch
        errors = _finish(fit, spec, training, rows, previous, generator)
        without_rows(net)
        fit.codes = errors.codes[:SOME_CODES].cpu().double().numpy() * rows.scaling.scale
        if rows.held_out is None:
            fit.loss = _training_loss(net, spec, rows)
            return
    fit.loss, fit.score = errors.loss, explained(errors.square, total)
    if may_fall_back:
        trained = net.mean_loss(rows.train.rows.sample(MANY_ROWS), linear)
        sizes = spec.n_components, len(rows.train.rows), len(rows.held_out)
        if not beats_pca(errors, pca_errors, trained, *sizes):
            fall_back("was not beaten on the held-out rows")


def _find_start(spec, training, X, seed, device, previous):
    """Sum up the rows, scale and split them, and find PCA of those that train."""
    sums = sum_up_for(X, spec.n_components, device)
    check_range(training.loss, sums)
    scaling = previous.scaling if previous else sums.scaling()
    fraction, drawn = training.validation_fraction, previous.seed if previous else seed
    chosen = draw_rows(X.shape[0], fraction, drawn)
    rows = split_rows(X, sums, scaling, chosen, device, hold_out=fraction is not None)
    pca = principal_components(rows.train, spec.n_components, seed)
    rows, pca = train_on_lone_rows(rows, pca, seed)
    return rows, find_start(rows, pca)


def _make_network(spec, parts, rows, start, seed, device, previous):
    """Build the network where it starts, pretrained if it is to be; or copy that of before."""
    if previous:
        return copy.deepcopy(previous.network).to(device)
    network = build_network(spec, parts, rows.scaling, start if spec.at_pca else None).to(device)
    if spec.pretraining is not None:
        pretrain(spec.pretraining, network, rows.train.rows, seed)
    return network


def _make_net(spec, training, network, rows, start, seed, generator, previous):
    """Make what trains the network: its loss, its noise, its rows."""
    device = rows.train.rows.device
    unit = start.residual if spec.at_pca else 1.0
    criterion = make_loss(training.loss, unit, rows.scaling).to(device)
    denoising = None
    if training.noise is not None:
        noise = torch.Generator(device).manual_seed(seed)
        denoising = make_denoising(training.noise, rows.scaling, spec.image_shape, noise)
    # Not where the units are of an earlier fit: its bounds are of other rows.
    inside = spec.at_pca and start.all_ordinary and previous is None
    return prepare(
        training,
        network,
        criterion,
        rows.train.rows,
        rows.held_out,
        denoising,
        generator,
        inside=inside,
    )


def _finish(fit, spec, training, rows, previous, generator):
    """Solve what can be solved in closed form; keep the network of before where it was better."""
    network, criterion = fit.net.module_, fit.net.criterion_
    if fit.best_iter == 0 and not (previous or fit.interrupted):
        # Training found nothing better than the start: its hidden layers are as drawn.
        solve(network, rows, criterion, 0, generator)
    if training.max_iter > 0 and not fit.interrupted:
        errors = solve(network, rows, criterion, spec.n_steps)
    else:
        errors = measure_errors(refined(network, spec.n_steps), rows.choosing, criterion)
    if previous:
        before = copy.deepcopy(previous.network).to(fit.net.device)
        earlier = measure_errors(refined(before, spec.n_steps), rows.choosing, criterion)
        if not errors.loss < earlier.loss:
            network.load_state_dict(before.state_dict())
            errors, fit.best_iter = earlier, 0
    return errors


def _training_loss(net, spec, rows):
    """Return the loss on training rows, of many on some."""
    some = rows.train.rows.sample(MANY_ROWS)
    return measure_errors(refined(net.module_, spec.n_steps), some, net.criterion_).loss


def _as_of_now(fit, spec, rows):
    """Return what the fit would be if it ended now."""
    net = object.__new__(type(fit.net))  # skorch would copy by way of files
    net.__dict__.update(fit.net.__dict__)
    net.module_, net.history_ = copy.deepcopy((fit.net.module_, fit.net.history_))
    drop_unfinished(net)
    whitening = _whitening(net.module_, spec, rows) if spec.whiten else None
    return replace(fit, net=net, whitening=whitening)


@torch.inference_mode()
def _whitening(network, spec, rows):
    """Return mean and deviation of the codes, of many rows of some, in the units of the user."""
    encoder = refined(network, spec.n_steps).eval().encoder
    blocks = rows.all.rows.sample(MANY_ROWS).blocks()
    codes = torch.cat([encoder(block).double().cpu() for block in blocks]).numpy()
    return codes.mean(axis=0) * rows.scaling.scale, _divisors(codes.std(axis=0, ddof=1), rows)


def _divisors(deviations, rows):
    """Return deviations in the units of the user; a number that is always the same stays so."""
    found = deviations > np.finfo(np.float32).eps * deviations.max()
    return np.where(found, deviations, 1.0) * rows.scaling.scale


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


def _fall_back(fit, spec, training, rows, seed, why):
    """Keep PCA itself, of all rows."""
    if training.verbose:
        print(f"{training.name}: PCA {why}; the fitted model is PCA, on all rows.")
    pca = principal_components(rows.all, spec.n_components, seed)
    module = build_pca(spec, pca, fit.scaling, torch.float64)
    net = fit.net
    net.module = net.module_ = module.to(net.device)
    net.dataset = rows_for(module)
    net.initialize_optimizer()
    fit.is_pca, fit.loss, fit.score = True, fit.pca_loss, fit.pca_score
    fit.codes = None
    if spec.whiten:
        n = fit.n_rows
        deviations = _divisors(pca.deviations * np.sqrt(n / (n - 1)), rows)
        fit.whitening = np.zeros(spec.n_components), deviations
    without_rows(net)
