"""Runs stages ahead of their consumer, on threads that never outlive their scope.

A stage is a generator: it takes an iterator and yields another. Chained, stages
run one after the other on the caller's thread; ``Threads.ahead`` puts everything
upstream of it on a thread of its own, and changes nothing else: the same items
come out in the same order, then the same end or the same exception.

A frame is 3 to 25 MB, so whatever passes one on lets go of it (``del``) before it
asks for the next.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 2.0
"""Seconds of waiting for threads after which it is said that they are waited for."""
_GLANCE = 0.1
"""Seconds between two looks at them; a main thread on Windows hears of Ctrl-C only then."""


class Overflow(enum.Enum):
    """What a stage that runs ahead does when its buffer is full."""

    WAIT = "wait"
    """Wait for the consumer: every item arrives (rendering a file)."""
    DROP_OLDEST = "drop-oldest"
    """Forget the stalest item: latency stays bounded (live)."""


class Threads:
    """A scope for worker threads: leaving it ends and joins every one of them.

    Generators that were not exhausted are closed on the thread that ran them; what their cleaning
    up raises is raised on leaving, unless another exception is on its way already.

    A thread inside a native call, such as a large network's, cannot be interrupted; it is waited
    for as long as the call takes, and after ``PATIENCE`` that is said. ``KeyboardInterrupt`` ends
    the waiting and is raised at once: the threads that are left then end with their calls.
    """

    def __init__(
        self,
        *,
        serial: bool = False,
        patience: float = PATIENCE,
        waiting: Callable[[list[str]], None] | None = None,
    ) -> None:
        """Open the scope.

        Args:
            serial: Start no threads: every stage runs when its consumer asks.
            patience: Seconds of waiting on leaving after which it is said, once.
            waiting: Called then with the names of the threads that are waited for; ``None`` to log
                a warning.
        """
        self._serial = serial
        self._patience = patience
        self._waiting = waiting or log_waiting
        self._workers: list[_Worker[Any]] = []
        self._upstreams: list[Iterable[Any]] = []

    def ahead(
        self,
        upstream: Iterable[T],
        name: str,
        *,
        capacity: int = 1,
        overflow: Overflow = Overflow.WAIT,
    ) -> Iterator[T]:
        """Iterate ``upstream`` on a new thread, at most ``capacity`` items ahead."""
        if self._serial:
            self._upstreams.append(upstream)
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
        self._join()
        failures = [worker.failure for worker in self._workers]
        failures += [_close(upstream) for upstream in reversed(self._upstreams)]
        failure = next((failure for failure in failures if failure is not None), None)
        if failure is not None and exc_value is None:
            raise failure

    def _join(self) -> None:
        begun, told = time.monotonic(), False
        while True:
            for worker in self._workers:  # some may have been started meanwhile, by the others
                worker.buffer.abandon()
            alive = [worker for worker in self._workers if worker.is_alive()]
            if not alive:
                return
            if not told and time.monotonic() - begun >= self._patience:
                told = True
                with contextlib.suppress(Exception):  # the threads are waited for all the same
                    self._waiting([worker.name for worker in alive])
            alive[0].join(_GLANCE)


def in_order(pool: Executor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Yield ``work(item)`` for every item, in their order, a few being worked on ahead.

    Args:
        pool: Does the work.
        work: Is done to each.
        items: Which.
        ahead: How many results may wait.
    """
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


class _Inline(Executor):
    """Does the work where it is asked for."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do it, and return the result as if it had been awaited."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)
        return future


@contextlib.contextmanager
def pool(workers: int, name: str, *, serial: bool) -> Iterator[Executor]:
    """Give a pool of threads; what it has not begun when the block ends is not begun any more."""
    threads = _Inline() if serial else ThreadPoolExecutor(workers, f"streammatte-{name}")
    try:
        yield threads
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def any_left() -> bool:
    """Whether a thread of any scope runs, such as one that was no longer waited for."""
    return any(isinstance(thread, _Worker) for thread in threading.enumerate())


def log_waiting(names: list[str]) -> None:
    """Log a warning, so that what is waited for does not look like a hang."""
    logging.getLogger("streammatte").warning(
        "waiting for what cannot be interrupted, as a frame in the network: %s", ", ".join(names)
    )


class _Abandoned(BaseException):
    """The consumer is gone; the worker unwinds quietly, like a generator that is closed."""


def _close(upstream: Iterable[Any]) -> BaseException | None:
    """End a generator that was left early; return what its cleaning up raised, if anything."""
    try:
        if isinstance(upstream, Generator):
            upstream.close()
    except BaseException as error:  # noqa: BLE001  the scope raises it
        return error
    return None


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
            self._error = None if self._abandoned else error
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._items.clear()
            self._error = None
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
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # it would keep this frame alive, and with it all stages that it passed


class _Worker(threading.Thread, Generic[T]):
    def __init__(self, upstream: Iterable[T], name: str, buffer: _Buffer[T]) -> None:
        super().__init__(name=f"streammatte-{name}", daemon=True)
        self.buffer = buffer
        self.failure: BaseException | None = None
        """What went wrong after the consumer had gone."""
        self._stage = name
        self._upstream = upstream

    def run(self) -> None:
        try:
            for item in self._upstream:
                self.buffer.put(item)
                del item
        except _Abandoned:
            self.buffer.end()
        except BaseException as error:  # noqa: BLE001  it is raised again, in the consumer
            if not hasattr(error, "__notes__"):
                error.add_note(f"in the {self._stage} thread")
            self.buffer.end(error)
        else:
            self.buffer.end()
        finally:
            self.failure = _close(self._upstream)
