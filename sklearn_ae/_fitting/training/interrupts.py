"""Tell the user's Ctrl-C from a callback that ends the training, as skorch's do, by the same."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Heard:
    """Whether the user has interrupted.

    Attributes
    ----------
    interrupt : bool
        Whether a signal has come.
    """

    interrupt: bool = False


@contextmanager
def heard_interrupts() -> Iterator[Heard]:
    """Note the user's interrupts, and pass them on to whoever handles them.

    Yields
    ------
    heard : Heard
        Says whether one has come. Only the main thread gets any.
    """
    heard = Heard()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield heard
        return

    def note(signum, frame):
        try:
            return before(signum, frame)
        except KeyboardInterrupt:
            heard.interrupt = True
            raise

    try:
        signal.signal(signal.SIGINT, note)
        yield heard
    finally:
        # Somebody else's, set meanwhile, stays.
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)
