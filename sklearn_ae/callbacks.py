"""Callbacks of our own for the parameter `callbacks`, beside skorch's."""

import contextlib
import os
import pickle
import time
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback

from sklearn_ae._processes import Processes

try:
    import fcntl
except ImportError:  # Windows: two processes are not kept from each other there
    fcntl = None  # type: ignore[assignment]

__all__ = ["FitCheckpoint"]

FORMAT = 2


class FitCheckpoint(Callback):
    """Write down a fit as it goes on, so that one that was killed can go on where it was.

    A fit with the same rows and parameters, in a new process for one, finds what the last one
    wrote, and ends with the bits of a fit that was not interrupted. What comes before the training
    is done again. Of skorch's callbacks, learning rate schedules go on as well; others begin anew,
    so that with `EarlyStopping`, for one, the fit may end elsewhere. `fit` alone calls this one:
    it has none of skorch's hooks.

    Parameters
    ----------
    path : str or path-like
        The file. It is replaced in one step, and holds no pickled objects: loading it runs no code.
        Beside it lies a file of the same name with ``.lock``.
    every_n_epochs : int, default=1
        Write after so many epochs.
    every_seconds : float, default=0
        But not before so many seconds after the last time.
    keep : bool, default=False
        Leave the file where it is when the fit has ended. A fit that finds it then does not train.

    Raises
    ------
    ValueError
        By `fit`, before any work: if the file is of other rows, parameters or versions, is no such
        file, is in use by another fit, or if a parameter is out of range.

    Warns
    -----
    UserWarning
        If the file cannot be written; the fit goes on.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.callbacks import FitCheckpoint
    >>> X, _ = load_iris(return_X_y=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "fit")
    >>> checkpoint = FitCheckpoint(path, keep=True)
    >>> model = AutoencoderTransformer(2, max_iter=2, callbacks=[checkpoint], random_state=0).fit(X)
    >>> os.path.exists(path)
    True
    """

    def __init__(
        self,
        path: str | os.PathLike,
        every_n_epochs: int = 1,
        every_seconds: float = 0,
        *,
        keep: bool = False,
    ):
        self.path = path
        self.every_n_epochs = every_n_epochs
        self.every_seconds = every_seconds
        self.keep = keep

    @contextlib.contextmanager
    def opened(
        self, decided_by: dict[str, str], seed: int, processes: Processes | None = None
    ) -> Iterator[int]:
        """Lock the file, and read what is there.

        Parameters
        ----------
        decided_by : dict of str to str
            All that decides the fit, by name.
        seed : int
            The seed of a fit that is begun.
        processes : Processes or None, default=None
            Those that fit together: the first has the file.

        Yields
        ------
        seed : int
            That of the fit that is gone on with.
        """
        self._has_file = processes is None or processes.is_first
        self._check()
        path = Path(self.path)
        with self._locked(path) if self._has_file else contextlib.nullcontext():
            self.saved = self._read(path, decided_by) if self._has_file else None
            if processes is not None:
                self.saved = processes.of_first(self.saved)
            if self.saved is not None:
                seed = self.saved["seed"]
            self._head = {"format": FORMAT, "decided_by": decided_by, "seed": seed}
            self._written, self._n_epochs = time.monotonic(), 0
            self._is_readable = False
            yield seed

    def end(self) -> None:
        """Remove the file where it is not kept: the fit has ended."""
        if self._has_file and not self.keep:
            with contextlib.suppress(OSError):
                Path(self.path).unlink(missing_ok=True)

    def write(self, state: dict[str, Any], *, last: bool) -> None:
        """Write the state of the training: after an epoch if it is time to, the last if kept."""
        if last:
            due = self.keep
        else:
            self._n_epochs += 1
            due = self._n_epochs % self.every_n_epochs == 0
            due = due and time.monotonic() - self._written >= self.every_seconds
        if not (due and self._has_file):
            return
        path = Path(self.path)
        beside = path.with_name(path.name + ".new")
        try:
            with open(beside, "wb") as file:
                torch.save(self._head | state, file)
                file.flush()
                os.fsync(file.fileno())
            if not self._is_readable:
                _check_readable(beside)
                self._is_readable = True
            os.replace(beside, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            # torch's writer turns what the system says into errors of its own.
            if not isinstance(error, Exception):
                raise
            warnings.warn(
                f"FitCheckpoint could not write {str(path)!r}: {error}. The fit goes on without.",
                stacklevel=2,
            )
        self._written = time.monotonic()

    def _check(self) -> None:
        if not (isinstance(self.every_n_epochs, Integral) and self.every_n_epochs >= 1):
            raise ValueError(
                f"FitCheckpoint: every_n_epochs={self.every_n_epochs!r} must be a whole number of "
                "1 or more."
            )
        if not (isinstance(self.every_seconds, Real) and float(self.every_seconds) >= 0):
            raise ValueError(
                f"FitCheckpoint: every_seconds={self.every_seconds!r} must be a number of 0 or "
                "more."
            )
        if not isinstance(self.path, str | os.PathLike):
            raise ValueError(f"FitCheckpoint: path={self.path!r} must be the name of a file.")
        parent = Path(self.path).parent
        if self._has_file and not parent.is_dir():
            raise ValueError(
                f"FitCheckpoint: path={str(self.path)!r} is in a folder that is not there. Make it."
            )

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Keep the file for this fit; the system lets go of it when the process ends."""
        beside = path.with_name(path.name + ".lock")
        try:
            file = open(beside, "a")
        except OSError:
            # In a folder that cannot be written nothing is written.
            yield
            return
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise ValueError(
                        f"FitCheckpoint: {str(path)!r} is in use by another fit. Give each fit a "
                        "file of its own."
                    ) from error
            yield

    def _read(self, path: Path, decided_by: dict[str, str]) -> dict[str, Any] | None:
        """Return what was saved of the same fit, None where nothing was."""
        if not path.exists():
            return None
        advice = "Remove it, or give another path, to begin anew."
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            number, before = saved["format"], saved["decided_by"]
        except Exception as error:
            raise ValueError(
                f"FitCheckpoint: {str(path)!r} cannot be read: it is no checkpoint, or not whole. "
                f"{advice}"
            ) from error
        if number != FORMAT:
            raise ValueError(
                f"FitCheckpoint: {str(path)!r} has format {number!r}, and {FORMAT} is read. "
                f"{advice}"
            )
        names = {**before, **decided_by}
        others = [name for name in names if before.get(name) != decided_by.get(name)]
        if others:
            raise ValueError(
                f"FitCheckpoint: {str(path)!r} is of another fit, by {', '.join(others)}. {advice}"
            )
        return saved


def _check_readable(path: Path) -> None:
    """Check that what a module keeps beside its weights is read without running code."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "what `get_extra_state` of a module returns could not be read back. It has to return "
            "tensors and plain values of Python"
        ) from error
