"""Processes that fit one model together, each with a part of the rows.

All of them call the same methods in the same order, and get the same of them: torch's process group
carries it.
"""

import contextlib
import datetime
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed

GONE = "A process of the group is gone, or did not answer in time; the fit was given up."


class ProcessError(RuntimeError):
    """Another process of the group failed, or is gone."""


class Processes:
    """A group of processes.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup
        Whose collectives are called by nobody else meanwhile.

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
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
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
    def align(self, values: list[Any]) -> None:
        """Give the tensors in a list the values of the first process: others may have rounded."""
        tensors = [value for value in values if torch.is_tensor(value)]
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            some = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in some])
            with _told():
                distributed.broadcast(flat, group=self.group, group_src=0)
            for tensor, part in zip(some, flat.split([t.numel() for t in some]), strict=True):
                tensor.copy_(part.view_as(tensor))

    @property
    def device(self) -> torch.device:
        """Where the group's tensors have to be."""
        if distributed.get_backend(self.group) == "nccl":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")


@contextlib.contextmanager
def together(group: Any, timeout: datetime.timedelta | None) -> Iterator[Processes]:
    """Let processes do something together that all of them end, or none.

    What fails in one ends the others: its connections to them are closed, and what it was is told
    them by a group that is made for that. Groups that are given are used as they are, where others
    find out by waiting.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup or None
        The processes; None for all that there are.
    timeout : datetime.timedelta or None
        How long one may wait for another; None is as long as torch does.

    Yields
    ------
    processes : Processes
        They are to be used within.

    Raises
    ------
    ProcessError
        If another process failed.
    """
    if group is not None:
        yield Processes(group)
        return
    try:
        own, telling = (distributed.new_group(timeout=timeout) for _ in range(2))
    except RuntimeError as error:
        raise ProcessError(f"{GONE} ({error})") from error
    processes, failure = Processes(own), None
    del own
    try:
        yield processes
    except BaseException as error:
        failure = error
        if not isinstance(failure, Exception):
            # An interrupt may have come where torch held the group.
            traceback.clear_frames(failure.__traceback__)
    # torch closes connections when nothing refers to their group any more.
    distributed.destroy_process_group(processes.group)
    processes.group = None
    # That a connection was closed is not why.
    cause = None if isinstance(failure, ProcessError) else failure
    mine = None if cause is None else f"{type(cause).__name__}: {cause}"
    said: list = [None] * distributed.get_world_size()
    try:
        distributed.all_gather_object(said, mine, group=telling)
    except RuntimeError as error:
        failure = failure or ProcessError(f"{GONE} ({error})")
    distributed.destroy_process_group(telling)
    if cause is not None:
        raise cause
    for rank, text in enumerate(said):
        if text is not None:
            raise ProcessError(
                f"Process {rank} of {len(said)} failed, so the fit was given up in all: {text}"
            )
    if failure is not None:
        raise failure


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
