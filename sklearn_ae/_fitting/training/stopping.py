"""When training stops, when its rate is cut, and which weights it keeps."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae._rows import Rows

# A plateau of a third of the patience cuts the learning rate to this share.
RATE_CUT = 0.5
# Epochs of more steps count as several: of a million rows, one is as long as the whole training of
# a few thousand. Yet one is at most this part of the patience, so that a lower rate is tried.
STEPS_AN_EPOCH = 250
PATIENCE_PART = 3


@dataclass(frozen=True)
class Kept:
    """Weights that were the best when they were copied.

    Attributes
    ----------
    loss : float
        Their loss.
    epoch : int
        Their epoch, 0 for the start.
    state : dict
        State of the module, as `state_dict` gives it.
    """

    loss: float
    epoch: int
    state: dict[str, Any]


class KeepBest(Callback):
    """Keep the best weights in memory, cut the learning rate on a plateau, stop without progress.

    Parameters
    ----------
    valid : Rows or None
        Rows whose loss is watched; None watches the training loss.
    n_iter_no_change : int
        Epochs without progress after which training stops.
    tol : float
        What counts as progress, relative to the best value so far.
    cut_rate : bool
        Whether to cut the learning rate after a third of these epochs.

    Attributes
    ----------
    kept : Kept
        The best weights.
    diverged : bool
        Whether a loss was no longer finite.
    finished : bool
        Whether training has to stop once every callback has seen the epoch.
    """

    def __init__(self, valid: Rows | None, n_iter_no_change: int, tol: float, *, cut_rate: bool):
        self.valid = valid
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.cut_rate = cut_rate

    @property
    def monitor(self) -> str:
        """Key of the history that is watched; lower is better."""
        return "train_loss" if self.valid is None else "valid_loss"

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Take the weights at the start as the best so far."""
        self.diverged = self.finished = False
        self._idle = self._uncut = 0.0
        self._epoch = 0
        self._spare: dict[str, Any] = {}
        # Only clean rows tell what the start is worth: a training loss would not compare. Without
        # an epoch there is nothing to compare.
        known = self.valid is not None and net.max_epochs > 0
        loss = net.watched_loss(self.valid) if known else math.inf
        self.kept = Kept(loss, 0, self._copied(net))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the epoch with the best one."""
        self._epoch += 1
        losses = net.history[-1]
        if not math.isfinite(losses["train_loss"]) or not math.isfinite(losses[self.monitor]):
            self.diverged = self.finished = True
            return
        loss, best = losses[self.monitor], self.kept.loss
        if loss < best:
            before = self.kept.state
            # In one step: an interrupt while weights are copied leaves those that were kept.
            self.kept = Kept(loss, self._epoch, self._copied(net))
            self._spare = before
        n_epochs = losses["train_batch_count"] / STEPS_AN_EPOCH
        n_epochs = max(min(n_epochs, self.n_iter_no_change), 1)
        progress = 1 - max(1 - self.tol, 0.0) ** n_epochs
        if best == math.inf or best - loss > progress * abs(best):
            self._idle = self._uncut = 0.0
            return
        n_epochs = max(min(n_epochs, self.n_iter_no_change / PATIENCE_PART), 1)
        self._idle += n_epochs
        self._uncut += n_epochs
        if self._idle >= self.n_iter_no_change:
            self.finished = True
            return
        if self.cut_rate and self._uncut >= max(self.n_iter_no_change // PATIENCE_PART, 1):
            self._uncut = 0.0
            for group in net.optimizer_.param_groups:
                group["lr"] *= RATE_CUT

    def _copied(self, net: Any) -> dict[str, Any]:
        """Copy the state, weights to where those of the best but one were."""
        copied = {}
        for name, value in net.module_.state_dict().items():
            spare: Any = self._spare.get(name)
            if torch.is_tensor(value) and _kind(spare) == _kind(value):
                copied[name] = spare.copy_(value)
            else:  # the first copies, and what a user's module may have (`get_extra_state`)
                copied[name] = copy.deepcopy(value)
        return copied

    def restore(self, net: Any) -> None:
        """Put the best weights back into the net."""
        load_state(net.module_, self.kept.state)


def load_state(module: nn.Module, state: dict[str, Any]) -> None:
    """Put a state back into a module in training.

    Raises
    ------
    ValueError
        If it is of other tensors, or of other shapes.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            "A module changed the names or shapes of its buffers in training, so that earlier "
            "weights do not fit it. Register them in its constructor, in the shape that they keep: "
            f"{error}"
        ) from error


def _kind(value: Any) -> tuple | None:
    """Return what two tensors share of which one may be written over by the other."""
    return (value.shape, value.dtype, value.device) if torch.is_tensor(value) else None
