"""Ctrl-C, SIGTERM and their kin: the first ends the work, the next let it be cleaned up.

Where that takes long, as inside a large network, which cannot be interrupted, the user is told
after ``threads.PATIENCE`` that another one ends the process on the spot; and so it does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from streammatte.errors import Interrupted
from streammatte.threads import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Those of them that the system has, and that the caller does not ignore (``nohup`` does)."""
_STDERR = 2
_SHOW_CURSOR = b"\x1b[?25h\n"


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
            end_now(Interrupted.exit_code)


def end_now(code: int) -> NoReturn:
    """End the process without waiting for anything, but leave the terminal as it was."""
    with suppress(OSError):
        if os.isatty(_STDERR):
            os.write(_STDERR, _SHOW_CURSOR)  # not by sys.stderr, which may be in the middle of it
    os._exit(code)


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
