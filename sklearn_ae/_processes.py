"""Processes that fit one model together, each with a part of the rows.

All of them call the same methods in the same order, and get the same of them: torch's process group
carries it.
"""

import contextlib
import datetime
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
    ranks = distributed.get_process_group_ranks(group or distributed.group.WORLD)
    # Not all processes of the world need to be in the group, and so to know of this.
    own = distributed.new_group(ranks, timeout=timeout, use_local_synchronization=True)
    processes = Processes(own)
    failure: BaseException | None = None
    try:
        yield processes
    except BaseException as error:
        failure = error
    distributed.destroy_process_group(own)
    # torch closes the connections of a group that nothing refers to, and the traceback of a failure
    # refers to all that its frames have.
    del own, processes.group
    # That a connection was closed is not why.
    cause = None if isinstance(failure, ProcessError) else failure
    said: list = [None] * len(ranks)
    mine = None if cause is None else f"{type(cause).__name__}: {cause}"
    gone = None
    try:
        distributed.all_gather_object(said, mine, group=group)
    except RuntimeError as error:
        gone = ProcessError(f"{GONE} ({error})")
    if cause is not None:
        raise cause
    for rank, of_rank in enumerate(said):
        if of_rank is not None:
            raise ProcessError(
                f"Process {rank} of {len(ranks)} failed, so the fit was given up in all: {of_rank}"
            ) from failure
    failure = gone or failure
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say of what torch raises that it comes from another process."""
    try:
        yield
    except RuntimeError as error:
        # Without torch's frames, which refer to the group.
        raise ProcessError(f"{GONE} ({error})") from error.with_traceback(None)
