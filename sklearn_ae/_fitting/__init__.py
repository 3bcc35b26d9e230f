"""One fit, from rows to the network that is kept.

`fit_network` is the whole of it, a line a stage. Each stage is a file here that knows nothing of
those after it: parts, start, network, training, closed_form, choice.
"""

import contextlib
import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_ae._device import own_settings, resolve_device, seeded_globals, threads_for
from sklearn_ae._fitting.choice import beats_pca, explained, mean_square, measure_errors
from sklearn_ae._fitting.closed_form import is_solvable, solve_decoder, widen_features
from sklearn_ae._fitting.network import (
    build_network,
    build_pca,
    check_code_layer,
    count_operations,
)
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.start import (
    MANY_ROWS,
    SMALLEST_RESIDUAL,
    find_start,
    principal_components,
    sum_up_for,
)
from sklearn_ae._fitting.training import prepare, train_net, without_rows
from sklearn_ae._fitting.training.denoising import make_denoising
from sklearn_ae._fitting.training.loss import check_loss, check_range, make_loss
from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._rows import Scaling, scaled_rows
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae.modules import Autoencoder
from sklearn_ae.modules.refined import refined
from sklearn_ae.pretraining import pretrain

# Where no rows are held out, this share of the rows still chooses the closed form.
CHOOSING_SHARE = 0.1


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
    """

    net: ReconstructionNet
    scaling: Scaling
    best_iter: int = 0
    loss: float | None = None
    score: float | None = None
    pca_loss: float | None = None
    pca_score: float | None = None
    is_pca: bool = False
    interrupted: bool = False


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
    previous: Previous | None = None,
    listen: Callable[[Callable[[], Fit]], list[Callback]] = lambda now: [],
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
    previous : Previous or None, default=None
        The fit to go on from (`warm_start`).
    listen : callable
        Given what returns the fit as it is now, returns callbacks that are to be told of the
        epochs.
    """
    device = resolve_device(training.device)
    borrowed = seeded_globals(seed, device) if training.foreign else contextlib.nullcontext()
    with own_settings(device), borrowed:
        return _fit(spec, training, X, seed, device, previous, listen)


def _fit(spec, training, X, seed, device, previous, listen):
    n_rows, n_columns = X.shape
    # What is wrong with the parameters shows before a row is read.
    generator = torch.Generator("cpu").manual_seed(seed)
    parts = make_parts(spec, n_columns, generator)
    check_code_layer(Autoencoder(parts.encoder, parts.decoder), spec.code_layer)
    check_loss(training.loss, n_columns)

    with threads_for(n_rows * n_columns * min(n_rows, n_columns), device):
        sums = sum_up_for(X, spec.n_components, device)
        check_range(training.loss, sums)
        scaling = previous.scaling if previous else sums.scaling()
        order, n_train, n_chosen = _split(n_rows, training, previous.seed if previous else seed)
        rows = scaled_rows(X, order, scaling, device)
        train, chosen = rows.part(0, n_train), rows.part(n_rows - n_chosen, n_rows)
        pca = principal_components(X, sums, rows, scaling, spec.n_components, seed)
        start = find_start(sums, train, scaling, pca) if spec.at_pca else None

    criterion = make_loss(training.loss, start.residual if start else 1.0, scaling).to(device)
    if previous:
        network = copy.deepcopy(previous.network).to(device)
    else:
        network = build_network(spec, parts, scaling, start).to(device)
        if spec.pretraining is not None:
            pretrain(spec.pretraining, network, train, seed)
    learned = rows.part(0, n_rows - n_chosen)
    held_out = chosen if n_train < n_rows else None
    net = prepare(
        training, network, criterion, train, held_out,
        training.noise
        and make_denoising(training.noise, scaling, spec.image_shape, _generator(seed, device)),
        generator,
    )  # fmt: skip
    fit = Fit(net, scaling)
    if held_out is not None:
        theirs = measure_errors(build_pca(spec, pca, scaling).to(device), held_out, criterion)
        total = mean_square(held_out, pca.mean)
        fit.pca_loss, fit.pca_score = theirs.loss, explained(theirs.square, total)
    # PCA has no hidden layers to take the codes from.
    may_fall_back = spec.at_pca and spec.code_layer is None
    if may_fall_back and pca.residual <= SMALLEST_RESIDUAL:
        return _fall_back(fit, spec, training, pca, "leaves only rounding errors")

    # A backward pass costs twice a forward one.
    operations = 3 * count_operations(network, n_columns, device) * net.batch_size
    with threads_for(operations, device):
        _tell_unit(spec, training)
        keeper, fit.interrupted = train_net(
            net, train, training, listen(functools.partial(_as_of_now, fit))
        )
        fit.best_iter = keeper.kept.epoch
        fresh = previous is None and not fit.interrupted
        if fresh and fit.best_iter == 0:
            # Training found nothing better than the start: its hidden layers are as drawn.
            _solve(network, 0, learned, chosen, criterion, generator)
        if fresh and training.max_iter > 0:
            errors = _solve(network, spec.n_steps, learned, chosen, criterion)
        else:
            errors = measure_errors(refined(network, spec.n_steps), chosen, criterion)
        without_rows(net)
        if held_out is None:
            fit.loss = measure_errors(
                refined(network, spec.n_steps), train.sample(MANY_ROWS), criterion
            ).loss
            return fit
    fit.loss, fit.score = errors.loss, explained(errors.square, total)
    if not may_fall_back or beats_pca(errors, theirs):
        return fit
    return _fall_back(fit, spec, training, pca, "was not beaten on the held-out rows")


def _split(n_rows, training, seed):
    """Return an order of the rows, and how many of them train and choose.

    Those that choose come last, in a random order, so that any share of them is like all. Those
    before stay in the order in which they lie, to be read forwards: batches are drawn from them.
    """
    share = training.validation_fraction or CHOOSING_SHARE
    n_chosen = min(math.ceil(share * n_rows), n_rows - 1)
    order = np.random.default_rng(seed).permutation(n_rows)
    order[:-n_chosen].sort()
    n_train = n_rows if training.validation_fraction is None else n_rows - n_chosen
    return order, n_train, n_chosen


def _generator(seed, device):
    return torch.Generator(device).manual_seed(seed)


def _as_of_now(fit):
    """Return what the fit would be if it ended now."""
    net = object.__new__(type(fit.net))  # skorch would copy by way of files
    net.__dict__.update(fit.net.__dict__)
    net.module_, net.history_ = copy.deepcopy((fit.net.module_, fit.net.history_))
    return replace(fit, net=net)


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


def _solve(network, n_steps, train, chosen, criterion, generator=None):
    """Solve the decoder in closed form, where it can be and where that helps.

    With a generator, on random features of the codes instead of the hidden layers. Returns the
    errors of what is kept on the rows that choose, which are encoded once by each decoder.
    """
    errors = measure_errors(refined(network, n_steps), chosen, criterion)
    if not is_solvable(network.decoder):
        return errors
    solved = copy.deepcopy(network)
    decoder, encode = solved.decoder, refined(solved, n_steps).encoder
    if generator is not None:
        # The correction of the encoder is zero yet, and need not be computed.
        encode = solved.encoder.linear
        widen_features(decoder, encode, train, generator)
    solve_decoder(decoder, encode, train, chosen, errors.codes)
    found = measure_errors(refined(solved, n_steps), chosen, criterion)
    if not found.loss < errors.loss:
        return errors
    network.decoder.load_state_dict(decoder.state_dict())
    return found


def _fall_back(fit, spec, training, pca, why):
    """Keep PCA itself."""
    if training.verbose:
        print(f"{training.name}: PCA {why}; the fitted model is PCA, on all rows.")
    module = build_pca(spec, pca, fit.scaling, torch.float64)
    fit.net.module_ = module.to(fit.net.device)
    fit.is_pca, fit.loss, fit.score = True, fit.pca_loss, fit.pca_score
    without_rows(fit.net)
    return fit
