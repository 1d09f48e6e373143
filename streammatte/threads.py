"""Runs stages ahead of their consumer, on threads that never outlive their scope.

A stage is a generator: it takes an iterator and yields another. Chained, stages
run one after the other on the caller's thread; ``Threads.ahead`` puts everything
upstream of it on a thread of its own, and changes nothing else: the same items
come out in the same order, then the same end or the same exception.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class Overflow(enum.Enum):
    """What a stage that runs ahead does when its buffer is full."""

    WAIT = "wait"
    """Wait for the consumer: every item arrives (rendering a file)."""
    DROP_OLDEST = "drop-oldest"
    """Forget the stalest item: latency stays bounded (live)."""


class Threads:
    """A scope for worker threads: leaving it ends and joins every one of them."""

    def __init__(self, join_timeout: float = 5.0, *, serial: bool = False) -> None:
        """Open the scope.

        Args:
            join_timeout: Seconds to wait for a worker that does not stop.
            serial: Start no threads: every stage runs when its consumer asks.
        """
        self._serial = serial
        self._join_timeout = join_timeout
        self._workers: list[_Worker[Any]] = []

    def ahead(
        self,
        upstream: Iterable[T],
        name: str,
        *,
        capacity: int = 4,
        overflow: Overflow = Overflow.WAIT,
    ) -> Iterator[T]:
        """Iterate ``upstream`` on a new thread, at most ``capacity`` items ahead."""
        if self._serial:
            return iter(upstream)
        worker = _Worker(upstream, name, _Buffer[T](capacity, overflow))
        self._workers.append(worker)
        worker.start()
        return iter(worker.buffer)

    @property
    def dropped(self) -> int:
        """Items forgotten so far by all buffers of this scope."""
        return sum(worker.buffer.dropped for worker in self._workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.buffer.abandon()
        for worker in self._workers:
            worker.join(self._join_timeout)
        stuck = [worker.name for worker in self._workers if worker.is_alive()]
        if stuck and exc_value is None:
            raise RuntimeError(f"still running after {self._join_timeout} s: {', '.join(stuck)}")


class _Abandoned(Exception):  # noqa: N818  it is no error
    """The consumer is gone; the worker unwinds quietly."""


class _Buffer(Generic[T]):
    """A bounded queue from one producer to one consumer that ends like an iterator."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.dropped = 0
        self._capacity = capacity
        self._overflow = overflow
        self._items: deque[T] = deque()
        self._ended = False
        self._error: BaseException | None = None
        self._abandoned = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        with self._changed:
            if self._overflow is Overflow.DROP_OLDEST and len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._changed.wait_for(lambda: self._abandoned or len(self._items) < self._capacity)
            if self._abandoned:
                raise _Abandoned
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                # The timeout lets Ctrl-C reach a main thread that waits here on Windows.
                while not (self._items or self._ended or self._abandoned):
                    self._changed.wait(timeout=0.1)
                if self._abandoned:
                    raise _Abandoned
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class _Worker(threading.Thread, Generic[T]):
    def __init__(self, upstream: Iterable[T], name: str, buffer: _Buffer[T]) -> None:
        super().__init__(name=f"streammatte-{name}", daemon=True)
        self.buffer = buffer
        self._stage = name
        self._upstream = upstream

    def run(self) -> None:
        try:
            for item in self._upstream:
                self.buffer.put(item)
        except _Abandoned:
            self.buffer.end()
        except BaseException as error:  # noqa: BLE001  it is raised again, in the consumer
            if not hasattr(error, "__notes__"):
                error.add_note(f"in the {self._stage} thread")
            self.buffer.end(error)
        else:
            self.buffer.end()
        finally:
            if isinstance(self._upstream, Generator):
                self._upstream.close()
