"""Choose the device, and keep torch's global state as the caller has it."""

import contextlib
import threading
from collections.abc import Iterator

import torch

# Operations of a step below which it is done by one thread.
SMALL_STEP = 3 * 10**8
# torch's global generators are shared by all threads: only one fit at a time may borrow them.
_global_generators = threading.RLock()


def _available() -> list[str]:
    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def resolve_device(device: str) -> torch.device:
    """Turn the parameter `device` into a torch device that can be used here.

    Parameters
    ----------
    device : str
        "auto" (cuda if there is one, else cpu), or a torch device string of either.

    Returns
    -------
    device : torch.device
        Of CUDA with its number, as tensors name theirs.

    Raises
    ------
    ValueError
        If torch does not know the device, it is not there, or it is another kind: Apple's, for
        one, have no float64.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())
    message = f"device={device!r} cannot be used. Available here: {', '.join(_available())}."
    try:
        resolved = torch.device(device)
        # Allocating is the only test that holds, and the tensor knows its number.
        found = torch.empty(1, device=resolved).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(message) from error
    if found.type not in ("cpu", "cuda"):
        raise ValueError(message)
    return found


class _OneThread(contextlib.ContextDecorator):
    """Let torch work with one thread.

    torch's number of threads belongs to the thread that sets it, and a new thread starts with the
    last one set by any: the number from before is that before the first of fits that overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = torch.get_num_threads()
            self._users += 1
            torch.set_num_threads(1)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            torch.set_num_threads(self._before)


_one_thread = _OneThread()


def threads_for(operations: int, device: torch.device) -> contextlib.AbstractContextManager:
    """Return a context with as many threads as work of this size is done fastest with.

    Parameters
    ----------
    operations : int
        Floating point operations of one step. Waking and joining threads costs a small step more
        than they save, and many times more where other processes want the same cores.
    device : torch.device
        Only the CPU has threads to spare.
    """
    if device.type == "cpu" and operations < SMALL_STEP:
        return _one_thread
    return contextlib.nullcontext()


@contextlib.contextmanager
def training_mode() -> Iterator[None]:
    """Allow gradients, whatever the caller has switched off around us."""
    held = torch.get_default_device().type != "cpu"
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.device("cpu") if held else contextlib.nullcontext(),
    ):
        yield


@contextlib.contextmanager
def seeded_globals(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for code that is not ours, and put them back after.

    Our own modules draw from generators of their own; a user's module (its initial weights, its
    dropout) knows only the global ones. Fits in other threads wait.
    """
    devices = [device] if device.type == "cuda" else []
    with _global_generators, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
