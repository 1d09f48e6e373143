"""Threads that go round and round while the show lasts, whatever happens in a round."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE = 0.1
"""Seconds after a round that failed."""


class Worker(threading.Thread):
    """Does a round over and over until it is told to end.

    A round that raises is told and tried again: the show goes on without what the round would have
    given, which all that is downstream takes for "there is nothing to trust".
    """

    def __init__(
        self,
        name: str,
        around: Callable[[], None],
        failed: Callable[[Exception], None],
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the thread.

        Args:
            name: Of the thread.
            around: One round; returns within a fraction of a second, or when its work is done.
            failed: Told what a round raised.
            begin: Done once, before the first round.
        """
        super().__init__(name=f"streammatte-{name}", daemon=True)
        self.ending = threading.Event()
        self.begun = threading.Event()
        """Set when what is done once is done."""
        self._around = around
        self._failed = failed
        self._begin = begin

    def run(self) -> None:
        """Go round until told to end."""
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001  likewise
            self._failed(error)
        self.begun.set()
        while not self.ending.is_set():
            try:
                self._around()
            except Exception as error:  # noqa: BLE001  whatever it is, the show must go on
                self._failed(error)
                self.ending.wait(PAUSE)

    def end(self) -> None:
        """Let the round that goes on be the last one."""
        self.ending.set()
