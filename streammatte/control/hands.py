"""Threads for what would hold up the event loop: asking the desk, encoding, decoding.

Not ``concurrent.futures``, which waits for its threads when the process ends: a desk that hangs
must not keep the program alive.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]

P = ParamSpec("P")
T = TypeVar("T")


class Hands:
    """A few daemon threads."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._count = count
        for number in range(count):
            name = f"streammatte-control-{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((partial(function, *args, **kwargs), loop, future))
        return await future

    def dismiss(self) -> None:
        """Let each thread end when its work is done."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, loop, future = job
            try:
                tell = partial(_fulfil, future, function(), None)
            except Exception as error:  # noqa: BLE001  whoever waits for it is to have it
                tell = partial(_fulfil, future, None, error)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(tell)


def _fulfil(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():  # given up by whoever waited
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
