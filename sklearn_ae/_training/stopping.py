"""When training stops, when its rate is cut, and which weights it keeps."""

import math
from typing import Any

from skorch.callbacks import Callback

# A plateau of a third of the patience cuts the learning rate to this share.
RATE_CUT = 0.5


class StopTraining(KeyboardInterrupt):
    """Ends skorch's loop, which knows no other signal than an interrupt."""


class KeepBest(Callback):
    """Keep the best weights in memory, cut the learning rate on a plateau, stop without progress.

    Parameters
    ----------
    monitor : str
        Key of the history that is watched; lower is better.
    n_iter_no_change : int
        Epochs without progress after which training stops.
    tol : float
        What counts as progress, relative to the best value so far.
    cut_rate : bool
        Whether to cut the learning rate after a third of these epochs.

    Attributes
    ----------
    best_loss_ : float
        Lowest value seen.
    best_epoch_ : int
        Its epoch, 0 for the start.
    diverged_ : bool
        Whether training was stopped because a loss was no longer finite.
    stopped_ : bool
        Whether training was stopped because there was no progress.
    """

    def __init__(self, monitor: str, n_iter_no_change: int, tol: float, *, cut_rate: bool):
        self.monitor = monitor
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.cut_rate = cut_rate

    @property
    def finished(self) -> bool:
        """Whether training has to stop once every callback has seen the epoch."""
        return self.diverged_ or self.stopped_

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take the weights at the start as the best so far."""
        self.best_loss_, self.best_epoch_ = math.inf, 0
        self.diverged_ = self.stopped_ = False
        self._idle = self._uncut = self._epoch = 0
        self._keep(net)
        valid = X[1]
        if valid is not None:
            # Only clean rows tell what the start is worth: a training loss would not compare.
            self.best_loss_ = net.mean_loss(valid, net.module_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the epoch with the best one."""
        self._epoch += 1
        losses = net.history[-1]
        if not math.isfinite(losses["train_loss"]) or not math.isfinite(losses[self.monitor]):
            self.diverged_ = True
            return
        loss, previous_best = losses[self.monitor], self.best_loss_
        if loss < previous_best:
            self.best_loss_, self.best_epoch_ = loss, self._epoch
            self._keep(net)
        if previous_best == math.inf or previous_best - loss > self.tol * abs(previous_best):
            self._idle = self._uncut = 0
            return
        self._idle += 1
        self._uncut += 1
        if self._idle >= self.n_iter_no_change:
            self.stopped_ = True
            return
        if self.cut_rate and self._uncut >= max(self.n_iter_no_change // 3, 1):
            self._uncut = 0
            for group in net.optimizer_.param_groups:
                group["lr"] *= RATE_CUT

    def _keep(self, net: Any) -> None:
        state = net.module_.state_dict()
        if not getattr(self, "_best", None):
            self._best = {name: tensor.clone() for name, tensor in state.items()}
            return
        for name, tensor in state.items():
            self._best[name].copy_(tensor)

    def restore(self, net: Any) -> None:
        """Put the best weights back into the net, and let go of them."""
        net.module_.load_state_dict(self._best)
        self._best = {}
