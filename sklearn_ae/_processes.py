"""Processes that fit one model together, each with a part of the rows.

All of them call the same methods in the same order, and get the same of them: torch's process group
carries it.
"""

import contextlib
import datetime
import traceback
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import distributed

GONE = "A process of the group is gone, or did not answer in time; the fit was given up."


# Of groups that are not all processes: by the timeout, what their fits use.
_own_groups: WeakKeyDictionary[Any, dict] = WeakKeyDictionary()


class ProcessError(RuntimeError):
    """Another process of the group failed, or is gone."""


class Processes:
    """A group of processes.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup
        Of the fit alone.

    Attributes
    ----------
    size : int
        How many there are.
    rank : int
        Which of them this is, from 0.
    """

    def __init__(self, group: Any):
        self.group = group
        self.size = distributed.get_world_size(group)
        self.rank = distributed.get_rank(group)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks for all."""
        return self.rank == 0

    def add_up(self, *tensors: torch.Tensor) -> None:
        """Replace tensors by their sums over all processes."""
        with _told():
            for tensor in tensors:
                distributed.all_reduce(tensor, group=self.group)

    def total(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        tensor = torch.tensor(value, dtype=torch.float64, device=self._device)
        self.add_up(tensor)
        return float(tensor)

    def any(self, flag: bool) -> bool:
        """Tell whether it is true in any of them."""
        return self.total(float(flag)) > 0

    def gathered(self, value: Any) -> list:
        """Return the value of each process; it may be any object that can be pickled."""
        values: list = [None] * self.size
        with _told():
            distributed.all_gather_object(values, value, group=self.group)
        return values

    def of_first(self, value: Any) -> Any:
        """Return the value of the first process."""
        values = [value if self.is_first else None]
        with _told():
            distributed.broadcast_object_list(values, group=self.group, group_src=0)
        return values[0]

    @torch.no_grad()
    def align(self, tensors: list[torch.Tensor]) -> None:
        """Give tensors the values of the first process: processors of other kinds round."""
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            some = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in some])
            with _told():
                distributed.broadcast(flat, group=self.group, group_src=0)
            for tensor, part in zip(some, flat.split([t.numel() for t in some]), strict=True):
                tensor.copy_(part.view_as(tensor))

    @property
    def _device(self) -> torch.device:
        """Where the group's tensors have to be."""
        if distributed.get_backend(self.group) == "nccl":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")


@contextlib.contextmanager
def together(group: Any, timeout: datetime.timedelta | None) -> Iterator[Processes]:
    """Let processes do something together that all of them end, or none.

    What fails in one ends the others: its connections to them are closed, and what it was is told
    them by the group that was given.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup or None
        The processes; None for all that there are.
    timeout : datetime.timedelta or None
        How long one may wait for another; None is as long as torch does.

    Yields
    ------
    processes : Processes
        In a group of their own.

    Raises
    ------
    ProcessError
        If another process failed.
    """
    processes = Processes(_own_group(group, timeout))
    failure: BaseException | None = None
    try:
        yield processes
    except BaseException as error:
        failure = error
        if not isinstance(failure, Exception):
            # An interrupt may have come where torch held the group.
            traceback.clear_frames(failure.__traceback__)
        _close(group, processes)
    # That a connection was closed is not why.
    cause = None if isinstance(failure, ProcessError) else failure
    mine = None if cause is None else f"{type(cause).__name__}: {cause}"
    said: list = [None] * distributed.get_world_size(group)
    try:
        distributed.all_gather_object(said, mine, group=group)
    except RuntimeError as error:
        failure = ProcessError(f"{GONE} ({error})")
    failed = [(rank, text) for rank, text in enumerate(said) if text is not None]
    if failed or failure is not None or group is None:
        _close(group, processes)
    if cause is not None:
        raise cause
    for rank, text in failed:
        raise ProcessError(
            f"Process {rank} of {len(said)} failed, so the fit was given up in all: {text}"
        )
    if failure is not None:
        raise failure


def _own_group(group: Any, timeout: datetime.timedelta | None) -> Any:
    """Return a group of the same processes; one of some processes is kept for their next fit."""
    if group is None:
        return distributed.new_group(timeout=timeout)
    # Other processes of the world know nothing of this fit. torch names such a group by its
    # processes, and finds none again under a name that was used before.
    kept = _own_groups.setdefault(group, {})
    if timeout not in kept:
        ranks = distributed.get_process_group_ranks(group)
        try:
            kept[timeout] = distributed.new_group(
                ranks, timeout=timeout, use_local_synchronization=True
            )
        except RuntimeError as error:
            raise ProcessError(
                f"group={group!r} cannot be used: a fit in it failed before, or a process is gone. "
                f"Make a new one with torch.distributed.new_group. ({error})"
            ) from error
    return kept[timeout]


def _close(group: Any, processes: Processes) -> None:
    """Close the connections of a group: torch does when nothing refers to it any more."""
    if processes.group is not None:
        if group is not None:
            _own_groups.pop(group, None)
        distributed.destroy_process_group(processes.group)
        processes.group = None


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say of what torch raises that it comes from another process."""
    try:
        yield
        return
    except RuntimeError as error:
        said = str(error)
    # Not from the error: its traceback would hold the group, and so keep it open.
    raise ProcessError(f"{GONE} ({said})")
