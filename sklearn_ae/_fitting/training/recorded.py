"""A step of training in one launch: what a device is told to do is recorded once, and replayed."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch

from sklearn_ae._fitting.training.explicit import ExplicitStep, is_of_cells
from sklearn_ae._optimizers import SGD, Adam, AdamW

# A recording begins with a wait for the device, which fails while another thread records.
_recording = threading.Lock()


def can_be_recorded(device: str, optimizer: Any, criterion: Any) -> bool:
    """Tell whether nothing in a step whose gradients are written out waits for the device."""
    known = type(optimizer) in (Adam, AdamW, SGD) and is_of_cells(criterion)
    return torch.device(device).type == "cuda" and known


def record(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record what a function has a device do, which is not done yet; return what does it.

    Raises
    ------
    torch.OutOfMemoryError
        If memory is short.
    RuntimeError
        If it fails otherwise, as where another thread waits for the device meanwhile.
    """
    graph, stream = torch.cuda.CUDAGraph(), recording_stream(device)
    try:
        # The outer stream is the current one: torch leaves its own where a recording fails.
        with _recording, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream()):
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                function()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RuntimeError(
            "A step of training could not be recorded as a CUDA graph. Start the process anew, as "
            "CUDA may be of no use in it after that, and let no other thread wait for the device "
            f"during a fit, nor take its memory: {error}"
        ) from error
    return graph.replay


@functools.cache
def recording_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of a device on which steps are recorded: each keeps memory of its own."""
    return torch.cuda.Stream(device)


class RecordedStep:
    """Takes steps of training on CUDA.

    A step of a small network is dozens of launches, and the host takes several times as long to
    launch them as the device takes for their work. A graph of them is one launch.

    The first step of a kind is taken as any other, so that all is loaded and made that is loaded
    and made once; the second is recorded. What a step is of is copied to where the recorded one
    reads.
    """

    def __init__(self) -> None:
        self._forget()
        self._kind: Any = None

    def _forget(self) -> None:
        """Let go of the memory of what was recorded."""
        self._replay: Callable[[], None] | None = None
        self._places: list[torch.Tensor] = []
        self._loss: Any = None

    def take(
        self,
        explicit: ExplicitStep,
        optimizer: torch.optim.Optimizer,
        inputs: torch.Tensor,
        rows: torch.Tensor,
        *weight: torch.Tensor,
    ) -> torch.Tensor:
        """Change the weights, and return the loss.

        Parameters
        ----------
        explicit : ExplicitStep
            Computes the gradients; of the same loss in all steps.
        optimizer : torch.optim.Optimizer
            Changes the weights.
        inputs, rows, *weight : Tensor of shape (n, n_columns)
            As `ExplicitStep.backward` takes them.

        Raises
        ------
        RuntimeError
            If a step cannot be recorded.
        """
        given = (inputs, rows, *weight, *explicit.draw(rows))
        settings = [_settings(group) for group in optimizer.param_groups]
        kind = optimizer, [tensor.shape for tensor in given], settings
        if kind != self._kind:
            self._forget()
            self._kind = kind
            return _take(explicit, optimizer, given, len(weight))
        replay = self._replay or self._record(explicit, optimizer, given, len(weight))
        for place, tensor in zip(self._places, given, strict=True):
            place.copy_(tensor)
        replay()
        return self._loss

    def _record(self, explicit, optimizer, given, n_weights):
        """Record a step of tensors like these, and return what takes it."""
        self._places = places = [tensor.clone() for tensor in given]

        def step():
            self._loss = _take(explicit, optimizer, places, n_weights)

        # Their counts of steps are on the device, but they are to say that they know.
        groups = [group for group in optimizer.param_groups if "capturable" in group]
        for group in groups:
            group["capturable"] = True
        try:
            self._replay = record(step, places[0].device)
        finally:
            for group in groups:
                group["capturable"] = False
        return self._replay

    def __reduce__(self) -> Any:
        """Let a copy begin anew."""
        return RecordedStep, ()


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Return what a step depends on of a group of parameters, but for their values."""
    which = [(id(w), w.data_ptr(), w.requires_grad) for w in group["params"]]
    return {**group, "params": which}


def _take(explicit, optimizer, given, n_weights):
    """Take a step of these tensors, as `RecordedStep.take` puts them in a row."""
    inputs, rows, *rest = given
    weight, asked = rest[:n_weights], rest[n_weights:]
    optimizer.zero_grad()
    loss, _ = explicit.backward(inputs, rows, *weight, asked=asked)
    optimizer.step()
    return loss
