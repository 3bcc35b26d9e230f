"""Choose the device, and keep torch's global state as the caller has it."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

# Operations of a step below which it is done by one thread.
SMALL_STEP = 3 * 10**8
# What computes products of matrices, and in which precision.
MATMULS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
)
# torch's global generators are shared by all threads: only one fit at a time may borrow them.
_global_generators = threading.RLock()


def _available() -> list[str]:
    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def nearest_device(device: str) -> torch.device:
    """Return where an estimator goes that was saved on `device`: as near as there is one here.

    Parameters
    ----------
    device : str
        A torch device string, as `resolve_device` gave it.
    """
    wanted = torch.device(device)
    if wanted.type != "cuda" or not torch.cuda.is_available():
        return torch.device("cpu")
    return wanted if (wanted.index or 0) < torch.cuda.device_count() else torch.device("cuda", 0)


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


class _OneThread(contextlib.AbstractContextManager):
    """Let torch work with one thread.

    torch's number of threads belongs to the thread that sets it, and a new thread starts with the
    last one set by any. So a thread that is found with one thread while others are in here may have
    begun after they came in, and gets back what they had.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: list[int] = []  # of those in here
        self._mine = threading.local()

    def __enter__(self) -> None:
        with self._lock:
            mine = vars(self._mine).setdefault("before", [])
            n_threads = torch.get_num_threads()
            if n_threads == 1 and self._before and not mine:
                n_threads = self._before[0]
            self._before.append(n_threads)
            mine.append(n_threads)
            torch.set_num_threads(1)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            n_threads = self._mine.before.pop()
            self._before.remove(n_threads)
            torch.set_num_threads(n_threads)


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


class _FullPrecision(contextlib.AbstractContextManager):
    """Compute products of matrices in float32 in full, and convolutions alike each time.

    torch sets both for all threads. The first to come in remembers what was set, the last to leave
    sets it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock, contextlib.ExitStack() as undo:
            if self._users == 0:
                _compute_products_in_full(undo)
                _convolve_alike(undo)
                self._undo = undo.pop_all()
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._undo.close()


def _compute_products_in_full(undo: contextlib.ExitStack) -> None:
    """Let all digits be computed; what sets again what was set is added to `undo`."""
    found = [(backend, backend.fp32_precision) for backend in MATMULS]
    if not {"tf32", "bf16"} & {precision for _, precision in found}:
        return
    for backend, precision in found:
        backend.fp32_precision = "none"
        # What was set to the same as all have looks inherited, too.
        is_inherited = backend.fp32_precision == precision
        backend.fp32_precision = "ieee"
        undo.callback(setattr, backend, "fp32_precision", "none" if is_inherited else precision)
    # torch's setting for all of them can be asked for where they agree. It is put back first.
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    undo.callback(torch.set_float32_matmul_precision, before)


def _convolve_alike(undo: contextlib.ExitStack) -> None:
    """Let the same seed give the same bits on CUDA, too, where torch lets that be set."""
    cudnn = torch.backends.cudnn
    if not cudnn.is_available() or torch.backends.flags_frozen():
        return
    for name, wanted in (("deterministic", True), ("benchmark", False)):
        before = getattr(cudnn, name)
        if before != wanted:
            setattr(cudnn, name, wanted)
            undo.callback(setattr, cudnn, name, before)


_full_precision = _FullPrecision()


@contextlib.contextmanager
def own_settings(device: torch.device) -> Iterator[None]:
    """Compute with gradients, on the CPU unless asked, in the precision asked for.

    Whatever the caller has set around us: inference mode, a default device, autocast, faster
    products of matrices. The precision of convolutions stays the caller's, or torch's default,
    which is TF32 on CUDA.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(_full_precision)
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
