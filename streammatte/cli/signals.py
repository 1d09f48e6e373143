"""Ctrl-C, SIGTERM and their kin: the first ends the work, the next let it be cleaned up."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streammatte.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Those of them that the system has, and that the caller does not ignore (``nohup`` does)."""
PATIENCE = 3.0
"""Seconds of cleaning up after which another signal ends the process on the spot."""


class Receiver:
    """What signals are sent to.

    Attributes:
        name: Of the signal that came first; empty if none did.
    """

    def __init__(self) -> None:
        self.name = ""
        self._since = 0.0

    def __call__(self, number: int, _frame: Any) -> None:
        """Raise what no ``except Exception`` on the way swallows; once."""
        if not self.name:
            self.name = signal.Signals(number).name
            self._since = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._since > PATIENCE:
            os._exit(Interrupted.exit_code)


@contextmanager
def interruptible(*, restore: bool) -> Iterator[Receiver]:
    """Let the signals that end a process raise ``KeyboardInterrupt`` in the block, once.

    Args:
        restore: Whether to put the handlers back afterwards; a process that ends with the block
            is not to be disturbed while it does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Receiver()
        return
    receive = Receiver()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, receive)
    try:
        yield receive
    finally:
        for number in heard:
            signal.signal(number, before[number] if restore else signal.SIG_IGN)
