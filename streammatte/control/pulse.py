"""The state of the show for whoever listens: asked for once for all, and only while they do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streammatte.control.thumbnails import with_thumbnails

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streammatte.control.hands import Hands
    from streammatte.live.base import Desk

BEAT = 0.25
"""Seconds between two looks at the meters."""


@dataclass(frozen=True, slots=True)
class News:
    """What the desk said."""

    turn: int
    """Grows with each time it was asked."""
    snapshot: dict[str, Any]

    def told_after(self, last: News | None) -> dict[str, Any]:
        """Return the message for somebody who knows the last news: meters, or everything."""
        meters = self.snapshot.get("meters", {})
        if last is not None and {**last.snapshot, "meters": meters} == self.snapshot:
            return {"event": "meters", "meters": meters}
        return {"event": "state", **self.snapshot}


class Pulse:
    """Asks the desk a few times a second, and at once when something was changed from here."""

    def __init__(self, desk: Desk, hands: Hands, failed: Callable[[Exception], None]) -> None:
        """Ask a desk.

        Args:
            desk: The show.
            hands: Where it is asked.
            failed: Told of exceptions that it should not have raised.
        """
        self._desk = desk
        self._hands = hands
        self._failed = failed
        self._listeners = 0
        self._news: News | None = None
        self._told = asyncio.Condition()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def snapshot(self) -> dict[str, Any]:
        """Return all that the desk says, its backgrounds with the addresses of thumbnails."""
        return await self._hands.call(self._ask)

    def hurry(self) -> None:
        """Ask again at once."""
        self._hurry.set()

    @asynccontextmanager
    async def felt(self) -> AsyncIterator[None]:
        """Keep asking while the block runs."""
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task, self._news = None, None

    async def newer(self, than: News | None) -> News:
        """Return the newest there is, other than that."""
        async with self._told:
            while self._news is None or self._news is than:
                await self._told.wait()
            return self._news

    async def _beat(self) -> None:
        turn = 0
        while True:
            self._hurry.clear()
            try:
                turn += 1
                self._news = News(turn, await self.snapshot())
            except Exception as error:  # noqa: BLE001  the page says that it hears nothing
                self._failed(error)
            async with self._told:
                self._told.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._hurry.wait()

    def _ask(self) -> dict[str, Any]:
        said = self._desk.snapshot()
        choices = said.get("choices", {})
        return {
            **said,
            "choices": {**choices, "backgrounds": with_thumbnails(choices.get("backgrounds", ()))},
        }
