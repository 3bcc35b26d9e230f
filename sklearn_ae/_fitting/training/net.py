"""A thin skorch net: its loop, history and callbacks, on rows that lie on the device."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae._fitting.training.averaging import (
    align,
    average_gradients,
    put_back,
    remembered,
)
from sklearn_ae._fitting.training.denoising import Denoising
from sklearn_ae._fitting.training.explicit import ExplicitStep, can_be_explicit
from sklearn_ae._fitting.training.prefixes import Prefixes, whole_loss
from sklearn_ae._fitting.training.recorded import RecordedStep, can_be_recorded
from sklearn_ae._optimizers import SGD
from sklearn_ae._processes import Processes
from sklearn_ae._rows import Batches, DenseRows, Rows, block_size
from sklearn_ae.modules.light import is_light

AT_BATCHES = ("on_batch_begin", "on_batch_end")


class ReconstructionNet(NeuralNet):
    """Trains a module to rebuild its input.

    Three of skorch's methods do other than in skorch. `run_single_epoch` keeps the losses on the
    device, `train_step_single` is where batches are corrupted, and prefixes rebuilt, and
    `validation_step` where those are watched.

    Parameters
    ----------
    module : nn.Module
        Maps rows to rows of the same shape.
    denoising : Denoising or None, default=None
        How the rows are corrupted in training; None trains on clean rows.
    inside : bool, default=False
        Whether clean rows are known to lie where the correction of the encoder is not bounded.
    prefixes : Prefixes or None, default=None
        What is asked of prefixes of the codes; None rebuilds from whole codes alone.
    processes : Processes or None, default=None
        Those that train together; None where this one has all rows.
    **kwargs
        skorch's.
    """

    def __init__(
        self,
        module: nn.Module,
        *args: Any,
        denoising: Denoising | None = None,
        inside: bool = False,
        prefixes: Prefixes | None = None,
        processes: Processes | None = None,
        **kwargs: Any,
    ):
        super().__init__(module, *args, **kwargs)
        self.denoising = denoising
        self.inside = inside
        self.prefixes = prefixes
        self.processes = processes
        # What outlasts an epoch, where nothing but steps changes the network.
        self.recorded: RecordedStep | None = None

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch and its gradient."""
        _, rows = batch
        # Where it is kept over an epoch, `run_single_epoch` hands it on.
        explicit = fit_params["explicit"] if "explicit" in fit_params else self._explicit_step()
        if self.processes is None:
            loss, y_pred = self._backwards(rows, explicit)
        else:
            loss, y_pred = self._backwards_together(self.processes, rows, explicit)
        return {"loss": loss, "y_pred": y_pred}

    def _backwards(
        self, rows: torch.Tensor, explicit: ExplicitStep | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the gradient of the loss of rows; return the loss, and the rows rebuilt."""
        if explicit is not None:
            inputs, weight = self._inputs(rows)
            return explicit.backward(inputs, rows, *weight)
        network, criterion = self.module_, self.criterion_
        decoded = whole_loss if self.prefixes is None else self.prefixes.loss
        if self.denoising is None:
            encode = network.encoder.inside if self.inside else network.encoder
            loss, y_pred = decoded(network.decoder, criterion, encode(rows), rows)
        else:
            loss, y_pred = self.denoising.loss(network, criterion, rows, decoded)
        loss.backward()
        return loss, y_pred

    def _inputs(self, rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return what the network sees of rows and, if not all count alike, the cells' weights."""
        return (rows, []) if self.denoising is None else self.denoising.inputs(rows)

    def _explicit_step(self) -> ExplicitStep | None:
        """Return what computes gradients without autograd, if all of the network is known."""
        if not can_be_explicit(self.module_):
            return None
        # Corrupted rows may lie anywhere.
        inside = self.inside and self.denoising is None
        return ExplicitStep(self.module_, self.criterion_, inside, self.prefixes)

    def _recorded_step(
        self, batch: Any, explicit: ExplicitStep, recorded: RecordedStep
    ) -> dict[str, torch.Tensor]:
        """Do what `train_step` does, in a step that is recorded."""
        _, rows = batch
        if len(rows) != self.batch_size:  # the last one
            return self.train_step(batch, explicit=explicit)
        inputs, weight = self._inputs(rows)
        return {"loss": recorded.take(explicit, self.optimizer_, inputs, rows, *weight)}

    def _backwards_together(
        self, processes: Processes, rows: torch.Tensor, explicit: ExplicitStep | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the gradient of the loss of a batch, of which these rows are here."""
        n_rows = len(rows)
        if n_rows > 1:
            loss, y_pred = self._backwards(rows, explicit)
        elif n_rows == 1:
            # Some modules need two rows; what they remember would not be of two.
            before = remembered(self.module_)
            loss, y_pred = self._backwards(rows.tile(2, 1), explicit)
            put_back(self.module_, before)
        else:
            loss, y_pred = rows.new_zeros(()), rows
            if self.prefixes is not None:
                # As the others do.
                self.prefixes.draw()
        return average_gradients(processes, self.module_, loss, n_rows), y_pred[:n_rows]

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, torch.Tensor]:
        """Compute the loss of a batch that is held out."""
        _, rows = batch
        self._set_training(False)
        with torch.no_grad():
            loss, y_pred = self._watched(rows)
        return {"loss": loss, "y_pred": y_pred}

    def _watched(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss that is watched, and the rows rebuilt."""
        network, criterion = self.module_, self.criterion_
        codes = network.encoder(rows)
        if self.prefixes is None:
            return whole_loss(network.decoder, criterion, codes, rows)
        return self.prefixes.watched(network.decoder, criterion, codes, rows)

    @torch.no_grad()
    def watched_loss(self, rows: Rows) -> float:
        """Return the loss that is watched, over rows."""
        self.module_.eval()
        blocks = rows.blocks(light=is_light(self.module_))
        total = sum(float(self._watched(block)[0]) * len(block) for block in blocks)
        if self.processes is None:
            return total / len(rows)
        return self.processes.total(total) / self.processes.total(len(rows))

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
        listened = listens(self, *AT_BATCHES)
        self._set_training(training)
        before = {} if self.processes is None else remembered(self.module_)
        # In one piece: small tensors that stay, one a step, would break up the heap.
        losses = torch.empty(len(iterator), dtype=torch.float64, device=self.device)
        sizes = iterator.sizes
        if not listened:
            # Callbacks that look for a batch, as Checkpoint does, find one without records.
            self.history.new_batch()
        # A callback between steps may change modules or the loss.
        if training and not listens(self, "on_grad_computed", *AT_BATCHES):
            explicit = fit_params["explicit"] = self._explicit_step()
            alone = explicit is not None and self.processes is None
            if alone and can_be_recorded(self.device, self.optimizer_, self.criterion_):
                fit_params["recorded"] = self.recorded or RecordedStep()
                step_fn = self._recorded_step
        for i, batch in enumerate(iterator):
            if listened:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses[i] = step["loss"].detach()
            if listened:
                self.history.record_batch(prefix + "_loss", step["loss"].item())
                self.history.record_batch(prefix + "_batch_size", sizes[i])
                self.notify("on_batch_end", batch=batch, training=training, **step)
        weights = torch.tensor(sizes, dtype=torch.float64, device="cpu")
        total, n_rows = float(losses.cpu() @ weights), float(sum(sizes))
        if self.processes is not None:
            if training:
                align(self.processes, self.module_, before, len(iterator.rows.here))
            else:
                total, n_rows = self.processes.total(total), self.processes.total(n_rows)
        loss = total / n_rows
        key = f"{prefix}_loss"
        earlier = [row[key] for row in self.history[:-1]]
        self.history.record(key, loss)
        self.history.record(key + "_best", not earlier or loss < min(earlier))
        self.history.record(prefix + "_batch_count", len(sizes))

    def mean_loss(self, rows: Rows, module: nn.Module, *, corrupted: bool = False) -> float:
        """Return the mean loss of a module over rows, clean or corrupted, in evaluation mode."""
        module.eval()
        total = 0.0
        with torch.no_grad():
            for block in rows.here.blocks(light=is_light(module)):
                inputs = self.denoising.corrupt(block) if corrupted and self.denoising else block
                total += float(self.criterion_(module(inputs), block)) * len(block)
        return rows.summed(total) / len(rows)


def listens(net: NeuralNet, *events: str) -> bool:
    """Tell whether any callback of a net listens to any of some events."""
    return any(
        event in vars(callback)
        or getattr(type(callback), event, None) is not getattr(Callback, event)
        for _, callback in net.callbacks_
        for event in events
    )


def as_rows(X: Any, y: Any = None, *, dtype: torch.dtype) -> DenseRows:
    """Make rows of an array, for `forward` and `predict` of a net that is fitted."""
    return DenseRows(torch.as_tensor(np.asarray(X), dtype=dtype, device="cpu"))


def rows_for(module: nn.Module) -> Callable:
    """Return what makes rows in the precision of a module."""
    return functools.partial(as_rows, dtype=next(module.parameters()).dtype)


def net_of(net: ReconstructionNet, module: nn.Module) -> ReconstructionNet:
    """Return a net like another, but of another module, which it could train."""
    if module is net.module_:
        return net
    found = object.__new__(type(net))
    found.__dict__.update(net.__dict__)
    found.module = found.module_ = module
    found.dataset = rows_for(module)
    found.initialize_optimizer()
    return found


def make_net(
    module: nn.Module, criterion: nn.Module, device: torch.device, n_columns: int, **params: Any
) -> ReconstructionNet:
    """Make a net, initialized.

    Parameters
    ----------
    module : nn.Module
        Maps rows to rows; it is not copied.
    criterion : nn.Module
        The loss, which learns nothing itself.
    device : torch.device
        Where both are.
    n_columns : int
        Width of a row.
    **params
        More parameters of skorch.
    """
    return ReconstructionNet(
        module,
        criterion=criterion.requires_grad_(False),
        dataset=rows_for(module),
        iterator_train=Batches,
        iterator_valid=Batches,
        iterator_valid__batch_size=block_size(n_columns, device=device, light=is_light(module)),
        # The net records these itself.
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        device=str(device),
        **params,
    ).initialize()


def restored_net(
    module: nn.Module, criterion: nn.Module, device: torch.device, n_columns: int, saved: Any
) -> ReconstructionNet:
    """Make the net of a fit that was saved: its modules and history.

    Parameters
    ----------
    module, criterion : nn.Module
        As they were fitted.
    device : torch.device
        Where they are.
    n_columns : int
        Width of a row.
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
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"The saved net is damaged: {error!r}.") from error
    net = make_net(
        module, criterion, device, n_columns,
        optimizer=SGD, verbose=0, train_split=None, batch_size=batch_size, max_epochs=max_epochs,
    )  # fmt: skip
    net.history.extend(history)
    return net
