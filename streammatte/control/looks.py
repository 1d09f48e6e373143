"""Pictures of the show for whoever looks: encoded once for all, and only while somebody looks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import cv2
import numpy as np

from streammatte.live.base import View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from numpy.typing import NDArray

    from streammatte.control.hands import Hands
    from streammatte.live.base import Desk

VIEWS: tuple[View, ...] = get_args(View)
FASTEST = 30.0
"""Pictures a second."""
STEADY = 1.0
"""Seconds after which a picture that has not changed is sent again, as a sign of life."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shot:
    """What was to be seen."""

    turn: int
    """Grows with each look."""
    serial: int
    """The desk's number of the picture."""
    jpeg: bytes


class Eye:
    """Looks at one view, as often as the most eager of those that watch wants it."""

    def __init__(
        self, view: View, desk: Desk, hands: Hands, failed: Callable[[Exception], None]
    ) -> None:
        """Look at a view.

        Args:
            view: What to look at.
            desk: Who shows it.
            hands: Where the work is done.
            failed: Told of an exception that the desk should not have raised.
        """
        self._view: View = view
        self._desk = desk
        self._hands = hands
        self._failed = failed
        self._rates: list[float] = []
        self._shot: Shot | None = None
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watched(self, rate: float) -> AsyncIterator[None]:
        """Keep looking, at least ``rate`` times a second, while the block runs."""
        self._rates.append(rate)
        if self._task is None:
            self._task = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            self._rates.remove(rate)
            if not self._rates and self._task is not None:
                self._task.cancel()
                self._task, self._shot = None, None

    async def newer(self, than: Shot | None) -> Shot:
        """Return the newest picture: at once if it is another one, else after ``STEADY``."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + STEADY
        turn, serial = (than.turn, than.serial) if than else (0, None)
        while True:
            shot = self._shot
            late = loop.time() >= patience
            if shot is not None and shot.turn > turn and (late or shot.serial != serial):
                return shot
            async with self._news:
                await self._news.wait()

    async def _look_on(self) -> None:
        while True:
            try:
                shot = await self._hands.call(self.look, self._shot)
            except Exception as error:  # noqa: BLE001  the page says that there is no picture
                self._failed(error)
                shot = None
            if shot is not None:
                self._shot = shot
            async with self._news:
                self._news.notify_all()
            await asyncio.sleep(1 / max(self._rates, default=FASTEST))

    def look(self, last: Shot | None = None) -> Shot | None:
        """Return what is to be seen now, encoded anew if it is not the last; on any thread."""
        seen = self._desk.look(self._view)
        if seen is None:
            return None
        serial, picture = seen
        turn = last.turn + 1 if last else 1
        if last is not None and last.serial == serial:
            return Shot(turn, serial, last.jpeg)
        return Shot(turn, serial, encoded(picture))


def encoded(picture: NDArray[np.uint8]) -> bytes:
    """Return uint8 R'G'B' ``[h, w, 3]`` as a JPEG."""
    bgr = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(jpeg.tobytes())
