"""A thin skorch net: its loop, history and callbacks, on rows that lie on the device."""

from collections.abc import Callable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import nn

from sklearn_ae._training.denoising import Denoising
from sklearn_ae._training.rows import Batches, Rows, block_size
from sklearn_ae._training.stopping import KeepBest, StopTraining


class ReconstructionNet(NeuralNet):
    """Trains a module to rebuild its input.

    Parameters
    ----------
    module : nn.Module
        Maps rows to rows of the same shape.
    make_optimizer : callable
        ``module -> torch.optim.Optimizer``.
    shuffle_generator : torch.Generator or None
        Draws the order of the batches; None keeps the order of the rows.
    denoising : Denoising or None
        How the rows are corrupted in training; None trains on clean rows.
    **kwargs
        skorch's.
    """

    def __init__(
        self,
        module: nn.Module,
        *args: Any,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        shuffle_generator: torch.Generator | None = None,
        denoising: Denoising | None = None,
        **kwargs: Any,
    ):
        super().__init__(module, *args, **kwargs)
        self.make_optimizer = make_optimizer
        self.shuffle_generator = shuffle_generator
        self.denoising = denoising

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # Without skorch's scoring of every batch: `run_single_epoch` records the losses.
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> "ReconstructionNet":
        """Make the optimizer over the module's parameters."""
        self.optimizer_ = self.make_optimizer(self.module_)
        return self

    def check_data(self, X: Any, y: Any = None) -> None:
        """Accept: the estimator has validated the rows."""

    def get_split_datasets(
        self, X: tuple[Rows, Rows | None], y: Any = None, **fit_params: Any
    ) -> tuple[Rows, Rows | None]:
        """Return the (training, validation) rows, which the estimator has split."""
        return X

    def get_iterator(self, dataset: Rows, training: bool = False) -> Batches:
        """Return the batches of the rows."""
        if training:
            return Batches(dataset, self.batch_size, self.shuffle_generator)
        return Batches(dataset, block_size(dataset.n_columns))

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch and its gradient."""
        inputs, targets = batch
        if self.denoising is None:
            y_pred = self.module_(inputs)
            loss = self.criterion_(y_pred, targets)
        else:
            loss, y_pred = self.denoising.loss(self.module_, self.criterion_, targets)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}

    @torch.no_grad()
    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch of clean rows."""
        inputs, targets = batch
        y_pred = self.module_(inputs)
        return {"loss": self.criterion_(y_pred, targets), "y_pred": y_pred}

    def mean_loss(self, rows: Rows, module: nn.Module, *, corrupted: bool = False) -> float:
        """Return the mean loss of a module over rows, clean or corrupted, in evaluation mode."""
        module.eval()
        total = 0.0
        with torch.no_grad():
            for batch, _ in self.get_iterator(rows):
                inputs = self.denoising.corrupt(batch) if corrupted and self.denoising else batch
                total += float(self.criterion_(module(inputs), batch)) * len(batch)
        return total / len(rows)

    def _batch_callbacks(self) -> bool:
        """Tell whether any callback listens to batches."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in ("on_batch_begin", "on_batch_end")
        )

    def run_single_epoch(
        self,
        iterator: Batches | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, torch.Tensor]],
        **fit_params: Any,
    ) -> None:
        """Go through the batches once and record the mean loss.

        The losses stay on the device until the end of the epoch, unless a callback listens to
        batches and so may want them at once.
        """
        if iterator is None:
            return
        listened = self._batch_callbacks()
        self._set_training(training)
        # In one piece: small tensors that stay, one a step, would break up the heap.
        losses = torch.empty(len(iterator), dtype=torch.float64, device=self.device)
        sizes = []
        if not listened:
            # Callbacks that look for a batch, as Checkpoint does, find one without records.
            self.history.new_batch()
        for i, batch in enumerate(iterator):
            if listened:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses[i] = step["loss"].detach()
            sizes.append(len(batch[0]))
            if listened:
                self.history.record_batch(prefix + "_loss", step["loss"].item())
                self.history.record_batch(prefix + "_batch_size", sizes[-1])
                self.notify("on_batch_end", batch=batch, training=training, **step)
        weights = torch.tensor(sizes, dtype=torch.float64)
        loss = float(losses.cpu() @ weights / weights.sum())
        key = f"{prefix}_loss"
        earlier = [row[key] for row in self.history[:-1]]
        self.history.record(key, loss)
        self.history.record(key + "_best", not earlier or loss < min(earlier))
        self.history.record(prefix + "_batch_count", len(sizes))

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; a stop that one of them asks for is not the user's Ctrl-C."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as interrupt:
            if method_name not in ("on_epoch_end", "on_batch_end"):
                raise
            raise StopTraining from interrupt
        if method_name == "on_epoch_end":
            # Not from the callback itself: those after it, loggers, see the last epoch too.
            if any(isinstance(c, KeepBest) and c.finished for _, c in self.callbacks_):
                raise StopTraining

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Train, and let Ctrl-C through: the estimator says what became of it."""
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except StopTraining:
            pass
        finally:
            self.notify("on_train_end", X=X, y=y)
        return self


def restored_net(
    module: nn.Module, criterion: nn.Module, device: torch.device, saved: Any
) -> ReconstructionNet:
    """Make the net of a fit that was saved: its modules and history, nothing to train with.

    Parameters
    ----------
    module, criterion : nn.Module
        As they were fitted.
    device : torch.device
        Where they are.
    saved : dict
        Its "history", "batch_size" and "max_epochs". No other parameter of skorch is set: it may
        come from a file.

    Raises
    ------
    ValueError
        If one of them is missing.
    """
    try:
        history = list(saved["history"])
        batch_size, max_epochs = int(saved["batch_size"]), int(saved["max_epochs"])
    except (LookupError, TypeError) as error:
        raise ValueError(f"The saved net is damaged: {error!r}.") from error
    net = ReconstructionNet(
        module,
        criterion=criterion,
        make_optimizer=lambda module: torch.optim.SGD(module.parameters()),
        device=str(device),
        verbose=0,
        batch_size=batch_size,
        max_epochs=max_epochs,
    ).initialize()
    net.history.extend(history)
    return net
