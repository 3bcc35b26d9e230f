"""Training: what it is told, turned into a net of skorch that trains until nothing gets better."""

import copy
import functools
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, LRScheduler, PrintLog
from skorch.helper import predefined_split
from torch import nn

from sklearn_ae._fitting.training.denoising import Denoising, check_corruption
from sklearn_ae._fitting.training.interrupts import heard_interrupts
from sklearn_ae._fitting.training.loss import check_loss
from sklearn_ae._fitting.training.net import ReconstructionNet, make_net
from sklearn_ae._fitting.training.prefixes import Prefixes
from sklearn_ae._fitting.training.recorded import RecordedStep
from sklearn_ae._fitting.training.resuming import restore, state_of
from sklearn_ae._fitting.training.stopping import KeepBest
from sklearn_ae._optimizers import SGD, Adam, AdamW
from sklearn_ae._rows import Rows
from sklearn_ae._specs import TrainingSpec
from sklearn_ae._warnings import warn
from sklearn_ae.modules import Autoencoder

# Rows a batch, and the batches that an epoch of few rows has all the same.
BATCH_ROWS = 128
LEAST_BATCH_ROWS = 16
LEAST_BATCHES = 16
# Without validation rows: weights with more than so many times the loss of the start are spoiled.
SPOILED = 2.0
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": functools.partial(SGD, momentum=0.9, nesterov=True),
}


def check_training(spec: TrainingSpec, n_columns: int) -> None:
    """Try what users give to train with, before a row is read.

    Raises
    ------
    ValueError
        If a loss, an optimizer or a corruption fails or returns what it should not.
    """
    check_loss(spec.loss, n_columns)
    if spec.noise is not None:
        check_corruption(spec.noise, n_columns)
    if not isinstance(spec.optimizer, str):
        layer = nn.Linear(2, 2, device="cpu", dtype=torch.float32)
        some = [{"params": list(layer.parameters())}]
        make_optimizer(some, 1.0, kind=spec.optimizer, weight_decay=0.0)


def make_optimizer(
    params: list, lr: float, *, kind: str | Callable, weight_decay: float
) -> torch.optim.Optimizer:
    """Make the optimizer of a kind, or a user's, over groups of parameters.

    Raises
    ------
    ValueError
        If a user's callable fails, or returns something else.
    """
    if isinstance(kind, str):
        fused = params[0]["params"][0].device.type in ("cpu", "cuda")
        return OPTIMIZERS[kind](params, lr=lr, weight_decay=weight_decay, fused=fused)
    wanted = f"optimizer={kind!r} must return a torch.optim.Optimizer"
    try:
        made = kind(params)
    except Exception as error:
        raise ValueError(f"{wanted} for groups of parameters; it failed: {error}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise ValueError(f"{wanted}, got {type(made).__name__}.")
    return made


def batch_rows(n_rows: int) -> int:
    """Return the rows of a step, where that is left to the number of rows."""
    return min(BATCH_ROWS, max(LEAST_BATCH_ROWS, n_rows // LEAST_BATCHES))


def prepare(
    spec: TrainingSpec,
    network: Autoencoder,
    criterion: nn.Module,
    train: Rows,
    valid: Rows | None,
    denoising: Denoising | None,
    generator: torch.Generator,
    *,
    inside: bool,
    prefixes: Prefixes | None,
) -> ReconstructionNet:
    """Make the net that trains the network.

    Parameters
    ----------
    spec : TrainingSpec
        How to train.
    network : Autoencoder
        What is trained, on its device.
    criterion : nn.Module
        The loss, there too.
    train, valid : Rows
        Rows to train on and to choose by; no `valid` chooses by the training loss.
    denoising : Denoising or None
        How batches are corrupted.
    generator : torch.Generator
        Draws the order of the rows.
    inside : bool
        Whether the training rows are known to lie where the encoder's correction is not bounded.
    prefixes : Prefixes or None
        What is asked of prefixes of the codes.
    """
    batch_size = spec.batch_size
    if batch_size is None:
        batch_size = batch_rows(len(train))
    processes = train.processes
    if processes is not None and valid is not None:
        # All have the same; each looks at a part.
        first, last = (len(valid) * (processes.rank + i) // processes.size for i in (0, 1))
        valid = valid.part(first, last)
    keeper = KeepBest(
        valid, spec.n_iter_no_change, spec.tol, cut_rate=not any(map(_schedules, spec.callbacks))
    )
    return make_net(
        network,
        criterion,
        train.device,
        train.n_columns,
        denoising=denoising,
        inside=inside,
        prefixes=prefixes,
        processes=processes,
        optimizer=functools.partial(
            make_optimizer, kind=spec.optimizer, weight_decay=spec.weight_decay
        ),
        lr=spec.learning_rate_init,
        max_epochs=spec.max_iter,
        batch_size=min(batch_size, len(train)),
        iterator_train__generator=generator,
        train_split=predefined_split(valid) if valid is not None else None,
        # First, so that it has seen the epoch in which another callback stops training.
        callbacks=[("keep_best", keeper), *spec.callbacks],
        # skorch prints by another sink than its own whatever `verbose` says.
        callbacks__print_log=PrintLog(sink=_print) if spec.verbose else None,
        verbose=spec.verbose,
    )


def _schedules(callback: Any) -> bool:
    """Tell whether a callback, perhaps with a name, sets the learning rate."""
    return isinstance(callback[1] if isinstance(callback, tuple) else callback, LRScheduler)


def _print(line: str) -> None:
    """Print a line, without skorch's colours where nobody would see them."""
    print(line if sys.stdout.isatty() else re.sub(r"\x1b\[\d+m", "", line))


def train_net(
    net: ReconstructionNet, train: Rows, spec: TrainingSpec, listeners: list[Callback]
) -> tuple[KeepBest, bool]:
    """Train until there is no progress, and put the best weights back.

    Parameters
    ----------
    net : ReconstructionNet
        As `prepare` makes it.
    train : Rows
        Training rows.
    spec : TrainingSpec
        How to train.
    listeners : list of skorch callbacks
        Who is told of the epochs of this training too; one with a true attribute `finished` ends
        it.

    Returns
    -------
    keeper : KeepBest
        What it saw.
    interrupted : bool
        Whether it was ended by the user's Ctrl-C.

    Warns
    -----
    ConvergenceWarning
        If the training diverged.
    """
    keeper = dict(net.callbacks_)["keep_best"]
    own = net.callbacks_
    processes = net.processes
    start = copy.deepcopy(net.module_) if keeper.valid is None else None
    net.callbacks_ = [*own, *(("listener", listener) for listener in listeners)]
    interrupted = False
    # A user's callback may change modules or the loss between epochs.
    net.recorded = None if spec.callbacks else RecordedStep()
    with heard_interrupts() as heard:
        try:
            net.notify("on_train_begin", X=train, y=None)
            finished = False
            if spec.checkpoint is not None and spec.checkpoint.saved is not None:
                saved, spec.checkpoint.saved = spec.checkpoint.saved, None
                restore(net, keeper, saved, foreign=spec.foreign)
                finished = saved["ended"]
            while len(net.history) < spec.max_iter and not finished:
                net.fit_loop(train, epochs=1)
                finished = any(callback.finished for callback in (keeper, *listeners))
                if processes is not None:
                    finished = processes.any(finished)
                # The state after the last epoch is written below.
                if spec.checkpoint is not None and not finished:
                    spec.checkpoint.write(state_of(net, keeper, foreign=spec.foreign), last=False)
        except KeyboardInterrupt as error:
            if not hasattr(keeper, "kept"):
                raise
            # skorch knows no other way to ask for the end.
            interrupted = heard.interrupt or not of_a_callback(error)
            if processes is not None:
                # The others can be told between two epochs only.
                if interrupted or not _is_complete(net):
                    raise
                processes.any(True)
        finally:
            net.callbacks_, net.recorded = own, None
        net.notify("on_train_end", X=train, y=None)
    drop_unfinished(net)
    if spec.checkpoint is not None and not interrupted:
        # Whoever ended it, a callback for one.
        state = state_of(net, keeper, foreign=spec.foreign, ended=True)
        spec.checkpoint.write(state, last=True)
    keeper.restore(net)
    if start is not None and _spoiled(net, train, start):
        net.module_.load_state_dict(start.state_dict())
        keeper.kept = replace(keeper.kept, epoch=0)
    net.module_.eval()
    if keeper.diverged:
        warn(
            f"Training diverged in epoch {len(net.history)}: the loss was no longer finite. The "
            "best weights before that are kept. Try a smaller learning_rate_init.",
            ConvergenceWarning,
        )
    return keeper, interrupted


def drop_unfinished(net: ReconstructionNet) -> None:
    """Drop the epoch that is under way from the history: it has not all of its losses."""
    while len(net.history) and not _is_complete(net):
        net.history.pop()


def _is_complete(net: ReconstructionNet) -> bool:
    """Tell whether the last epoch has all of its losses."""
    keys = {"train_loss"} | ({"valid_loss"} if net.train_split is not None else set())
    return bool(net.history) and keys <= net.history[-1].keys()


def of_a_callback(error: KeyboardInterrupt) -> bool:
    """Tell whether an interrupt came out of a callback, and asks for the end of the training."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is ReconstructionNet.notify.__code__ for frame, _ in frames)


def _spoiled(net, train, start):
    """Tell whether the weights are no longer those that the best training loss was measured on.

    It is the mean over an epoch, each batch before its step: the last steps may have led anywhere.
    """
    kept, before = (net.mean_loss(train, m, corrupted=True) for m in (net.module_, start))
    return not kept - before <= (SPOILED - 1) * abs(before)


def without_rows(net: ReconstructionNet) -> ReconstructionNet:
    """Take out of a net, in place, what it held for its training: rows, generators, gradients."""
    net.module_.zero_grad()
    net.train_split = net.denoising = net.prefixes = net.iterator_train__generator = None
    net.processes = None
    # What was known of these rows.
    net.inside = False
    net.callbacks_ = [(name, c) for name, c in net.callbacks_ if not isinstance(c, KeepBest)]
    net.callbacks = [c for c in net.callbacks if not (isinstance(c, tuple) and c[0] == "keep_best")]
    return net
