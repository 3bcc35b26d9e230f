"""A fit and its epochs as tasks that scikit-learn's callbacks are told of (1.9 and later)."""

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback


class FitTask:
    """A fit, as scikit-learn's callbacks see it.

    Parameters
    ----------
    estimator : estimator
        What is fitted; without callbacks, nobody is told of anything.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.context: Any = None
        if hasattr(estimator, "_skl_callbacks"):
            self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)

    def begin(self, X: Any, y: Any) -> None:
        """Tell that the fit of these rows begins."""
        self.told = {"estimator": self.estimator, "X": X, "y": y}
        if self.context is not None:
            self.context.call_on_fit_task_begin(**self.told)

    def end(self) -> None:
        """Tell that it ended: the estimator is fitted."""
        if self.context is not None:
            self.context.call_on_fit_task_end(**self.told, reconstruction_attributes={})

    def epochs(self, fitted: Callable[[], dict]) -> list[Callback]:
        """Return what skorch has to call, so that each epoch is a task.

        Parameters
        ----------
        fitted : callable
            Returns the attributes of the estimator as if its fit had stopped now.
        """
        return [] if self.context is None else [EpochTasks(self, fitted)]


class EpochTasks(Callback):
    """Tells of each epoch.

    Attributes
    ----------
    finished : bool
        Whether a callback asks for the end of the training.
    """

    finished = False

    def __init__(self, task: FitTask, fitted: Callable[[], dict]):
        self.task = task
        self.fitted = fitted

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Tell that an epoch begins."""
        self.epoch = self.task.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.task.told, reconstruction_attributes=self.fitted)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Tell that it ended."""
        told = self.task.told
        self.finished = bool(
            self.epoch.call_on_fit_task_end(**told, reconstruction_attributes=self.fitted)
        )
