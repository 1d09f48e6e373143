"""Streams of the virtual GPU: queues whose operations happen as late, early or oddly as they may.

What must be in order is what CUDA promises and no more: a stream does one thing after another, and
waits where it was told to. A ``Policy`` decides about the rest.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fakes.memory import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fakes.memory import Span


@dataclass(eq=False)
class Mark:
    """A moment in a stream: one recording of an event."""

    stream: Stream
    clock: Clock
    """What is over once it has come."""
    come: bool = False
    at: int = 0
    """How many operations the whole GPU had done by then."""


@dataclass(eq=False)
class Operation:
    """Something in a queue."""

    do: Callable[[], None]
    needs: Mark | None = None
    """Must have come before."""

    @property
    def ready(self) -> bool:
        return self.needs is None or self.needs.come


class Work(Protocol):
    """Something that touches memory: a copy or a computation."""

    name: str
    reads: list[Span]
    writes: list[Span]

    def asked(self) -> None:
        """Called when it is put into a queue, which for a graph is when that is launched."""

    def do(self) -> None:
        """Called when it happens."""


@dataclass(eq=False)
class Capture:
    """What is noted down instead of being done."""

    thread: int
    work: list[Work] = field(default_factory=list)
    valid: bool = True


@dataclass(eq=False)
class Stream:
    """A queue."""

    number: int
    device: int
    queue: deque[Operation] = field(default_factory=deque)
    clock: Clock = field(default_factory=Clock)
    """What is over before whatever is asked of it next."""
    capture: Capture | None = None
    alive: bool = True

    def __str__(self) -> str:
        return f"stream {self.number:#x}" if self.number else "the default stream"

    def step(self) -> None:
        """Do what is first in the queue."""
        self.queue.popleft().do()


@dataclass(eq=False)
class Event:
    """What streams and the CPU can wait for."""

    number: int
    timed: bool
    mark: Mark | None = None
    """The last recording; one that was never recorded counts as having come."""
    alive: bool = True


@dataclass(eq=False)
class Graph:
    """Work that was noted down; ``executable`` once it was instantiated."""

    number: int
    work: list[Work]
    executable: bool = False
    last: Mark | None = None
    """The end of its last launch: no two of them are under way at the same time."""
    alive: bool = True


class Policy:
    """``latest``: nothing happens until somebody waits for it, and then no more than he must.

    The worst that can be: whoever reads too early, or overwrites too early, finds out.
    """

    def asked(self, streams: Iterable[Stream]) -> None:
        """Called after something was put into a queue."""

    def passing(self, streams: Iterable[Stream]) -> None:
        """Called with every call of CUDA: time passes."""


class Eager(Policy):
    """``eager``: everything happens at once, so whoever writes too late finds out."""

    def asked(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            while stream.queue and stream.queue[0].ready:
                stream.step()


class Random(Policy):
    """``random``: at any call, any stream may go on for a while, or none."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def passing(self, streams: Iterable[Stream]) -> None:
        streams = list(streams)
        while self._dice.random() < 0.5:
            ready = [one for one in streams if one.queue and one.queue[0].ready]
            if not ready:
                return
            self._dice.choice(ready).step()


def policy(name: str, seed: int) -> Policy:
    """Return that of a name."""
    return {"latest": Policy, "eager": Eager}[name]() if name != "random" else Random(seed)


def reach(mark: Mark) -> None:
    """Let happen what must happen for a mark to come, and nothing else."""
    while not mark.come:
        first = mark.stream.queue[0]
        if first.needs is not None:
            reach(first.needs)
        mark.stream.step()
