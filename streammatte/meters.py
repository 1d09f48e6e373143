"""Where the time goes: CPU and wall milliseconds per stage, measured as the frames go by."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


@dataclass(slots=True)
class Stage:
    """What one stage has used so far, without the stages it waited for."""

    calls: int = 0
    cpu: float = 0.0
    """Seconds of processor time on the stage's own thread."""
    wall: float = 0.0
    """Seconds by the clock."""


class Meters:
    """Measures stages that pull from one another, on any number of threads.

    A stage that runs inside another one on the same thread is taken off the outer one's time, so
    the figures of a thread add up. Threads that libraries start themselves (decoders, encoders)
    are not seen.
    """

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self._local = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Charge the block to the stage ``name``."""
        stack: list[list[float]] = self._local.__dict__.setdefault("stack", [])
        inner = [0.0, 0.0]
        stack.append(inner)
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            stack.pop()
            if stack:
                stack[-1][0] += cpu
                stack[-1][1] += wall
            with self._lock:
                stage = self.stages.setdefault(name, Stage())
                stage.calls += 1
                stage.cpu += cpu - inner[0]
                stage.wall += wall - inner[1]

    def watch(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Pass ``items`` on and charge the time it takes to make each one to ``name``."""
        iterator = iter(items)
        try:
            while True:
                with self.measure(name):
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                yield item
                del item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def milliseconds(self, frames: int) -> dict[str, dict[str, float]]:
        """Return ``{stage: {"cpu": ms, "wall": ms}}`` a frame."""
        each = 1000 / max(frames, 1)
        return {
            name: {"cpu": round(stage.cpu * each, 2), "wall": round(stage.wall * each, 2)}
            for name, stage in self.stages.items()
        }
