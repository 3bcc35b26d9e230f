"""What a network learns of a piece of the rows: each of them once, among rows of before."""

import copy
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_ae._device import threads_for
from sklearn_ae._fitting.fit import Learner
from sklearn_ae._fitting.network import count_operations
from sklearn_ae._fitting.sizes import watched_sizes
from sklearn_ae._fitting.training import batch_rows, drop_unfinished, of_a_callback, prepare
from sklearn_ae._fitting.training.denoising import make_denoising
from sklearn_ae._fitting.training.interrupts import heard_interrupts
from sklearn_ae._fitting.training.loss import make_loss
from sklearn_ae._fitting.training.prefixes import Prefixes
from sklearn_ae._rows import (
    Replay,
    Rows,
    Sample,
    ScaledRows,
    Seen,
    SparseRows,
    scaled_rows,
    stacked,
)
from sklearn_ae._specs import NetworkSpec, TrainingSpec
from sklearn_ae._warnings import warn
from sklearn_ae.modules import Nested


def learn(
    learner: Learner,
    spec: NetworkSpec,
    training: TrainingSpec,
    X: Any,
    index: np.ndarray,
    seen: Seen,
    history: list[dict],
    draw: int,
    device: torch.device,
) -> tuple[Learner, list[dict]]:
    """Train on rows that came, half of each batch, and on as many of those that are kept.

    Rows that are fewer than half a batch wait for others.

    Parameters
    ----------
    learner : Learner
        The network; stays as it is.
    spec : NetworkSpec
        What it is.
    training : TrainingSpec
        How it is trained.
    X : ndarray, CSR matrix or Source of shape (n_rows, n_columns)
        Where the rows are.
    index : ndarray of int
        Which of them train.
    seen : Seen
        What is known of all rows, these too.
    history : list of dict
        What is recorded of each pass.
    draw : int
        Seeds what is drawn.
    device : torch.device
        Where to train.

    Returns
    -------
    learner : Learner
        The network after the pass.
    history : list of dict
        With this pass, if there was one.

    Warns
    -----
    ConvergenceWarning
        If the training diverged; the network is then that of before.
    """
    size = training.batch_size or batch_rows(int(seen.n_different))
    half = max(size // 2, 1)
    waiting, kept, held = learner.waiting, cast("Sample", seen.kept), cast("Sample", seen.held)
    n_waiting = 0 if waiting is None else waiting.shape[0]
    n_rows = n_waiting + len(index)
    if n_rows < half:
        rows = X[index] if waiting is None else stacked(waiting, X[index])
        return replace(learner, waiting=rows), history
    index, left = np.split(index, [len(index) - n_rows % half])
    parts = [scaled_rows(X, index, learner.scaling, device)]
    if n_waiting:
        parts.append(scaled_rows(waiting, np.arange(n_waiting), learner.scaling, device))
    copies, _ = seen.copies()
    draws = np.random.default_rng(draw)
    drawn = draws.choice(len(copies), len(index) + n_waiting, p=copies / copies.sum())
    before, is_held = kept.rows, drawn >= len(kept)
    if is_held.any():
        # Some that are held out repeat, and so train, too.
        before = stacked(kept.rows[drawn[~is_held]], held.rows[drawn[is_held] - len(kept)])
        drawn = draws.permutation(len(drawn))
    rows = Replay([part for part in parts if len(part)], _in_place(before, drawn, learner, device))
    nested = copy.deepcopy(learner.nested).to(device)
    net = _make_net(learner, spec, replace(training, batch_size=size), nested, rows, draw)
    net.history.extend(map(dict, history))
    n_operations = 3 * count_operations(net.module_, X.shape[1], device)
    with threads_for(n_operations * size, device):
        _pass(net, rows)
    learner = replace(learner, waiting=X[left] if len(left) else None)
    losses = [row["train_loss"] for row in net.history[len(history) :]]
    if not np.isfinite(losses).all() or _diverged(nested, before=learner.nested):
        warn(
            "Training diverged: the loss was no longer finite. The weights of the call before are "
            "kept. Try a smaller learning_rate_init.",
            ConvergenceWarning,
        )
        return learner, history
    nested.network.eval()
    nested.zero_grad()
    optimizer = copy.deepcopy(net.optimizer_.state_dict())
    return replace(learner, nested=nested, optimizer=optimizer), list(net.history)


def _diverged(module: nn.Module, *, before: nn.Module) -> bool:
    """Tell whether a weight or a buffer is no longer finite, which may be what a buffer is for."""
    earlier, found = (dict([*m.named_parameters(), *m.named_buffers()]) for m in (before, module))
    kept = [(now, earlier[name]) for name, now in found.items() if name in earlier]
    return any(bool(was.isfinite().all() and not now.isfinite().all()) for now, was in kept)


def _pass(net: Any, rows: Rows) -> None:
    """Go through the rows once, as far as callbacks let it."""
    with heard_interrupts() as heard:
        try:
            net.notify("on_train_begin", X=rows, y=None)
            net.fit_loop(rows, epochs=1)
        except KeyboardInterrupt as error:
            if heard.interrupt or not of_a_callback(error):
                raise
            drop_unfinished(net)
        net.notify("on_train_end", X=rows, y=None)


def _in_place(X: Any, drawn: np.ndarray, learner: Learner, device: torch.device) -> Rows:
    """Return rows that are scaled as they are read: there are many others."""
    kind = ScaledRows if isinstance(X, np.ndarray) else SparseRows
    return kind(X, drawn, learner.scaling.shift, learner.scaling.scale, device)


def _make_net(
    learner: Learner,
    spec: NetworkSpec,
    training: TrainingSpec,
    nested: Nested,
    rows: Rows,
    draw: int,
) -> Any:
    """Make what trains the network, where its optimizer was."""
    n, denoising, prefixes = len(nested.ratios), None, None
    if training.noise is not None:
        noise = torch.Generator(rows.device).manual_seed(draw)
        denoising = make_denoising(training.noise, learner.scaling, spec.image_shape, noise)
    if learner.losses is not None and n > 1:
        sizes = np.random.default_rng(draw)
        prefixes = Prefixes(nested.ratios, learner.losses.tolist(), watched_sizes(n), sizes)
    net = prepare(
        training,
        nested.network,
        make_loss(training.loss, learner.unit, learner.scaling).to(rows.device),
        rows,
        None,
        denoising,
        torch.Generator("cpu").manual_seed(draw),
        # New rows may lie anywhere.
        inside=False,
        prefixes=prefixes,
    )
    if learner.optimizer is not None:
        # Its tensors are written to.
        net.optimizer_.load_state_dict(copy.deepcopy(learner.optimizer))
        if isinstance(training.optimizer, str):
            for group in net.optimizer_.param_groups:
                group["lr"] = training.learning_rate_init
                group["weight_decay"] = training.weight_decay
    return net
