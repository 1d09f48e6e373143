"""Outputs that may come and go: one that fails is looked for again, and the others go on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from streammatte.errors import StreamMatteError
from streammatte.sinks.apart import Apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from streammatte.frames import Picture
    from streammatte.live.base import Output
    from streammatte.sinks.apart import Pace

AGAIN = 2.0
"""Seconds between two looks for an output that is gone."""


class Outlet:
    """An output, opened again when it was gone."""

    def __init__(
        self, output: Output, reopen: Callable[[], Output] | None, tell: Callable[[str], None]
    ) -> None:
        """Take over an output that is open.

        Args:
            output: Which.
            reopen: Opens it anew; ``None`` if it is not worth it, as for a window that was closed.
            tell: Told what happens.
        """
        self.description = output.description
        self.notes: list[str] = []
        self._output: Output | None = output
        self._reopen = reopen
        self._tell = tell
        self._opening: threading.Thread | None = None
        self._closed = False
        self._next = 0.0

    @property
    def readers(self) -> int | None:
        """How many programs look at it; ``None`` if nobody can know."""
        output = self._output
        try:
            return None if output is None else output.readers
        except StreamMatteError:  # it is gone, which the next picture will find, too
            return None

    @property
    def pace(self) -> Pace | None:
        """How it went, if it is fed by a process of its own."""
        output = self._output
        return output.pace if isinstance(output, Apart) else None

    def send(self, picture: Picture, pts: int) -> None:
        """Pass a picture on, if the output is there."""
        output = self._output
        if output is None:
            self._look()
            return
        try:
            output.send(picture, pts)
        except Exception as error:  # noqa: BLE001  one output must not take the others along
            self._lose(output, str(error) or type(error).__name__)

    def _lose(self, output: Output, reason: str) -> None:
        self._tell(f"{self.description} is gone: {reason}")
        self._output = None
        self._next = time.monotonic() + AGAIN
        output.close()
        self.notes += [*output.notes, reason]

    def _look(self) -> None:
        """Look for it on another thread, from time to time."""
        busy = self._opening is not None and self._opening.is_alive()
        if self._reopen is None or busy or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + AGAIN
        self._opening = threading.Thread(
            target=self._opened, name="streammatte-output", daemon=True
        )
        self._opening.start()

    def _opened(self) -> None:
        assert self._reopen is not None
        try:
            output = self._reopen()
        except StreamMatteError:
            return  # still gone
        if self._closed:
            output.close()
            return
        self._output = output
        self._tell(f"{output.description} is back")

    def close(self) -> None:
        """Finish it."""
        self._closed = True
        output, self._output = self._output, None
        if output is not None:
            output.close()
            self.notes += output.notes
