"""One fit, from rows to the network that is kept: split, start at PCA, train, choose."""

import contextlib
import copy
import functools
import math
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import LRScheduler
from torch import nn

from sklearn_ae._build_network import Start, build_network, build_pca, check_code_layer
from sklearn_ae._build_training import (
    build_loss,
    check_probabilities,
    copy_callbacks,
    make_optimizer,
)
from sklearn_ae._closed_form import solve_decoder, widen_features
from sklearn_ae._guarantee import beats_pca, measure_errors
from sklearn_ae._initialization import (
    full_pca,
    ordinary_codes,
    ordinary_rows,
    principal_components,
)
from sklearn_ae._tasks import FitTask
from sklearn_ae._training.device import (
    resolve_device,
    seeded_globals,
    threads_for,
    training_mode,
)
from sklearn_ae._training.net import ReconstructionNet
from sklearn_ae._training.rows import Rows, blocks, sum_of_squares
from sklearn_ae._training.scaling import Scaling, scale_rows
from sklearn_ae._training.stopping import KeepBest
from sklearn_ae.modules import Autoencoder, Corrected, Transposed
from sklearn_ae.modules.hidden import WEIGHTED
from sklearn_ae.modules.refined import refined
from sklearn_ae.pretraining import pretrain

# Below this share of the data's spread, PCA's residual is the rounding of float32, in which the
# networks compute: there is nothing to learn from.
SMALLEST_RESIDUAL = 1e-5
# Without validation rows: weights with more than so many times the loss of the start are spoiled.
SPOILED = 2.0
# Rows a batch, and the batches that an epoch of few rows has all the same.
BATCH_ROWS = 128
LEAST_BATCH_ROWS = 16
LEAST_BATCHES = 16


@dataclass
class Fit:
    """What a fit found.

    Attributes
    ----------
    net : ReconstructionNet
        Its module works on rows in the units of `scaling`.
    scaling : Scaling
        How rows were centred and scaled.
    keeper : KeepBest or None
        What it saw of the epochs; None where there was nothing to train.
    is_pca : bool
        Whether the module is PCA, on all rows.
    pca_loss : float or None
        Loss of PCA on the validation rows.
    pca_score, score : float or None
        Share of the variance of the validation rows that PCA and the module explain.
    """

    net: ReconstructionNet
    scaling: Scaling
    keeper: KeepBest | None = None
    is_pca: bool = False
    pca_loss: float | None = None
    pca_score: float | None = None
    score: float | None = None


def fit_network(
    estimator: Any,
    X: Any,
    seed: int,
    previous: tuple[Autoencoder, Scaling] | None,
    task: FitTask,
) -> Fit:
    """Fit the network that the parameters of the estimator describe.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read, nothing is written.
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Validated rows.
    seed : int
        Seeds the split, the weights, the order of the rows and the corruption.
    previous : tuple of (Autoencoder, Scaling) or None
        The network to go on from, and its units (`warm_start`).
    task : FitTask
        Whom to tell of the epochs.
    """
    device = resolve_device(estimator.device)
    names = ("encoder", "decoder", "activation", "loss", "optimizer", "corruption")
    parts = [getattr(estimator, name, None) for name in names] + (estimator.callbacks or [])
    foreign = not all(part is None or isinstance(part, str) for part in parts)
    borrowed = seeded_globals(seed, device) if foreign else contextlib.nullcontext()
    with training_mode(), borrowed:
        return _fit(estimator, X, seed, device, previous, task)


def _fit(estimator, X, seed, device, previous, task):
    n_rows, n_features = X.shape
    order, n_train = _split(n_rows, estimator, seed)
    callbacks = copy_callbacks(estimator.callbacks)
    if estimator.loss == "binary_log_loss":
        check_probabilities(X)
    rows, scaling = scale_rows(X, order, device, previous and previous[1])
    denoising = estimator._denoising(scaling, device, seed)
    train = rows.part(0, n_train)
    valid = rows.part(n_train, n_rows) if n_train < n_rows else None
    at_pca = estimator.init == "pca"
    start: Any = None
    pca: Any = None
    if at_pca or valid is not None:
        with threads_for(n_train * n_features * min(n_train, n_features), device):
            start, pca = _start(estimator, train, valid, scaling, seed)
    unit = start.residual if at_pca else 1.0
    criterion = build_loss(estimator.loss, unit, scaling).to(device)

    generator = torch.Generator("cpu").manual_seed(seed)
    if previous is None:
        network = build_network(
            estimator, n_features, scaling, start if at_pca else None, generator
        ).to(device)
    else:
        network = copy.deepcopy(previous[0]).to(device)
    check_code_layer(network, estimator.code_layer)
    if previous is None and estimator.pretraining is not None:
        pretrain(estimator, network, train, seed)
    net = _make_net(
        estimator, network, unit, n_train, generator, device,
        criterion=criterion, callbacks=callbacks, denoising=denoising,
    )  # fmt: skip
    # PCA has no hidden layers to take the codes from.
    may_fall_back = at_pca and estimator.code_layer is None
    fit = Fit(net, scaling)
    if valid is not None:
        total = _mean_square(valid, start.pca.mean)
        pca_errors = measure_errors(net, pca, valid)
        fit.pca_score = _explained(pca_errors.square, total)
        fit.pca_loss = float(pca_errors.loss)
    if may_fall_back and start.residual <= SMALLEST_RESIDUAL:
        return _fall_back(estimator, X, fit, seed, "leaves only rounding errors")

    # A backward pass costs twice a forward one.
    operations = 3 * _operations(network, n_features, device) * net.batch_size
    with threads_for(operations, device):
        listeners = task.epochs(lambda: estimator._attributes_of(_as_of_now(fit)))
        fit.keeper = keeper = _train(net, estimator.max_iter, train, valid, listeners)
        if previous is None and keeper.best_epoch_ == 0:
            # Training found nothing better than the start: its hidden layers are as drawn.
            _solve(net, network, train, valid, generator)
        whole = refined(network, estimator.transform_max_iter)
        if previous is None and estimator.max_iter > 0:
            _solve(net, whole, train, valid)
        if valid is None:
            return fit
        errors = measure_errors(net, whole, valid)
        fit.score = _explained(errors.square, total)
        if not may_fall_back:
            return fit
        sizes = (estimator.n_components, n_train, n_rows - n_train)
        if beats_pca(errors, pca_errors, net.mean_loss(train, pca), *sizes):
            return fit
    return _fall_back(estimator, X, fit, seed, "was not beaten on the validation rows")


def _operations(network, n_features, device):
    """Count the operations of a row on its way through the network's layers."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        # A convolution applies its weights at many places. The first axis of the weights is that of
        # the outputs, but where a layer is the transpose of another.
        backwards = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | Transposed)
        cells = inputs[0] if backwards else output
        total += 2 * layer.weight.numel() * cells.numel() // layer.weight.shape[0]

    handles = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, WEIGHTED)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, n_features, device=device, dtype=torch.float32))
    for handle in handles:
        handle.remove()
    return total


def _start(estimator, train, valid, scaling, seed):
    """Find where the network starts, and the linear autoencoder that is PCA of the same rows."""
    components = principal_components(train, estimator.n_components, seed)
    pca = build_pca(components, estimator.loss, scaling).to(train.device)
    residual = math.sqrt(_squared_error(pca, train))
    if residual < SMALLEST_RESIDUAL and valid is not None:
        # Few training rows leave PCA nothing; new rows do.
        residual = math.sqrt(_squared_error(pca, valid))
    start = Start(
        components,
        max(residual, SMALLEST_RESIDUAL),
        (scaling.low, scaling.high),
        ordinary_rows(train, components.mean),
        *ordinary_codes(train, pca.encoder),
    )
    return start, pca


def _split(n_rows, estimator, seed):
    """Return an order of the rows, and how many of them, from the front, are for training."""
    if not estimator.early_stopping:
        return np.arange(n_rows), n_rows
    n_valid = min(math.ceil(estimator.validation_fraction * n_rows), n_rows - 1)
    return np.random.default_rng(seed).permutation(n_rows), n_rows - n_valid


def _make_net(
    estimator, network, unit, n_train, generator, device, *, criterion, callbacks, denoising
):
    """Make the skorch net around the network."""
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = min(BATCH_ROWS, max(LEAST_BATCH_ROWS, n_train // LEAST_BATCHES))
    scheduled = any(isinstance(c[1] if isinstance(c, tuple) else c, LRScheduler) for c in callbacks)
    keeper = KeepBest(
        "valid_loss" if estimator.early_stopping else "train_loss",
        estimator.n_iter_no_change,
        estimator.tol,
        cut_rate=not scheduled,
    )
    net = ReconstructionNet(
        network,
        criterion=criterion,
        make_optimizer=functools.partial(
            make_optimizer,
            optimizer=estimator.optimizer,
            learning_rate_init=estimator.learning_rate_init,
            weight_decay=estimator.weight_decay,
            unit=unit,
        ),
        shuffle_generator=generator if estimator.shuffle else None,
        denoising=denoising,
        max_epochs=estimator.max_iter,
        batch_size=min(int(batch_size), n_train),
        # First, so that it has seen the epoch in which another callback stops training.
        callbacks=[("keep_best", keeper), *callbacks],
        device=str(device),
        verbose=int(estimator.verbose),
    )
    return net.initialize()


def _as_of_now(fit):
    """Return what the fit would be if it ended now."""
    net = object.__new__(type(fit.net))  # skorch would copy by way of files
    net.__dict__.update(fit.net.__dict__)
    net.module_, net.history_ = copy.deepcopy((fit.net.module_, fit.net.history_))
    return replace(fit, net=net)


def _train(net, max_iter, train, valid, listeners):
    """Train, keep the best weights, and say where it went wrong."""
    (keeper,) = (callback for _, callback in net.callbacks_ if isinstance(callback, KeepBest))
    own = net.callbacks_
    net.callbacks_ = [*own, *(("listener", listener) for listener in listeners)]
    start = copy.deepcopy(net.module_) if valid is None else None
    try:
        net.partial_fit((train, valid), epochs=max_iter)
    except KeyboardInterrupt:
        # The epoch that was interrupted has no losses.
        while len(net.history) and keeper.monitor not in net.history[-1]:
            net.history.pop()
        warnings.warn(
            "Training interrupted by user: the best weights so far are kept.", stacklevel=7
        )
    finally:
        net.callbacks_ = own
    keeper.restore(net)
    if start is not None and _spoiled(net, train, start):
        net.module_.load_state_dict(start.state_dict())
        keeper.best_epoch_, keeper.best_loss_ = 0, math.inf
    net.module_.eval()
    if keeper.diverged_:
        warnings.warn(
            f"Training diverged in epoch {len(net.history)}: the loss was no longer finite. The "
            "best weights before that are kept. Try a smaller learning_rate_init.",
            ConvergenceWarning,
            stacklevel=7,
        )
    return keeper


def _spoiled(net, train, start):
    """Tell whether the weights are no longer those that the best training loss was measured on.

    It is the mean over an epoch, each batch before its step: the last steps may have led anywhere.
    """
    kept, before = (net.mean_loss(train, m, corrupted=True) for m in (net.module_, start))
    return not kept - before <= (SPOILED - 1) * abs(before)


def _solve(net, network, train, valid, generator=None):
    """Solve the decoder in closed form, where it can be and where that helps.

    With a generator, on random features of the codes instead of the hidden layers.
    """
    if not (isinstance(network.decoder, Corrected) and network.decoder.is_solvable):
        return
    if valid is None:
        # The last tenth chooses; a single row does both.
        n_train = max(len(train) - len(train) // 10 - 1, 1)
        valid = train.part(n_train, len(train)) if n_train < len(train) else train
        train = train.part(0, n_train)
    before, solved = network, copy.deepcopy(network)
    if generator is not None:
        # The correction of the encoder is zero yet, and need not be computed.
        before, solved = (Autoencoder(n.encoder.linear, n.decoder) for n in (before, solved))
        widen_features(solved, train, generator)
    solve_decoder(solved, train, valid)
    if net.mean_loss(valid, solved) < net.mean_loss(valid, before):
        network.decoder.load_state_dict(solved.decoder.state_dict())


def _squared_error(module: nn.Module, rows: Rows) -> float:
    """Return the mean squared error of the reconstruction over all cells."""
    total = 0.0
    with torch.inference_mode():
        for block in blocks(rows):
            total += sum_of_squares(module(block) - block)
    return total / (len(rows) * rows.n_columns)


def _mean_square(rows: Rows, mean: np.ndarray) -> float:
    """Return the mean square over all cells about the mean of the columns."""
    centre = torch.from_numpy(mean.astype(np.float32)).to(rows.device)
    total = sum(sum_of_squares(block - centre) for block in blocks(rows))
    return total / (len(rows) * rows.n_columns)


def _explained(error: float, total: float) -> float:
    """Return the share of variance explained; data without variance is explained by its mean."""
    if total > 0:
        return 1 - error / total
    return float(error == 0)


def _fall_back(estimator, X, fit, seed, why):
    """Make the module PCA itself, fitted on all rows."""
    if estimator.verbose:
        print(f"{type(estimator).__name__}: PCA {why}; the fitted model is PCA, on all rows.")
    # With a user's integer it is the very PCA that scikit-learn would give.
    state = estimator.random_state if isinstance(estimator.random_state, Integral) else seed
    full = full_pca(X, fit.scaling, estimator.n_components, state)
    fit.net.module_ = build_pca(full, estimator.loss, fit.scaling, torch.float64).to(fit.net.device)
    fit.is_pca, fit.score = True, fit.pca_score
    return fit
