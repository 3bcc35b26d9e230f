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
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def resolve_device(device: str) -> torch.device:
    """Turn the parameter `device` into a torch device that can be used here.

    Parameters
    ----------
    device : str
        "auto" (cuda if there is one, else cpu) or a torch device string.

    Raises
    ------
    ValueError
        If torch does not know the device, or it is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    message = f"device={device!r} cannot be used. Available here: {', '.join(_available())}."
    try:
        resolved = torch.device(device)
        # Allocating is the only test that holds for every kind of device.
        torch.empty(1, device=resolved).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(message) from error
    return resolved


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return the widest float of the device: Apple's have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


class _OneThread(contextlib.ContextDecorator):
    """Let torch work with one thread, until the last fit that asked for it is done.

    The number of threads is one for the whole process; fits in several threads overlap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._before = torch.get_num_threads()
                torch.set_num_threads(1)
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
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
