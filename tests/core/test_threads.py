"""Threads change the timing and nothing else, and never outlive their scope."""

from __future__ import annotations

import itertools
import threading
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.threads import Overflow, Threads, any_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds after which something hangs."""


@pytest.fixture(autouse=True)
def no_thread_outlives_a_test() -> Iterator[None]:
    yield
    assert not ours()


def ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("streammatte-")]


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do the work on another thread, so that a hang is a failure."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work()
        except BaseException as error:  # noqa: BLE001
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "hung"
    if "error" in outcome:
        raise outcome["error"]
    result: T = outcome["result"]
    return result


def stage(
    upstream: Iterable[int],
    fail_at: int | None = None,
    fault: BaseException | None = None,
    log: list[str] | None = None,
) -> Iterator[int]:
    log = [] if log is None else log
    try:
        log.append("opened")
        for i, x in enumerate(upstream):
            if i == fail_at:
                assert fault is not None
                raise fault
            yield x + 1
    finally:
        log.append("closed")
        del fault  # an exception that knows itself is freed late, and all that it passed with it


def chain(
    count: int,
    faults: dict[int, tuple[int, BaseException]],
    capacities: dict[int, int],
    *,
    sink_fails: int | None = None,
    takes: int | None = None,
    serial: bool = False,
    log: list[str] | None = None,
) -> list[int]:
    """A source, three stages and a sink; ``capacities`` says after which a thread boundary lies."""
    out: list[int] = []
    with Threads(serial=serial) as threads:
        items: Iterator[int] = iter(range(count))
        for k in range(4):
            items = stage(items, *faults.get(k, (None, None)), log=log)
            if k in capacities:
                items = threads.ahead(items, f"s{k}", capacity=capacities[k])
        for i, x in enumerate(itertools.islice(items, takes)):
            if i == sink_fails:
                raise OSError("disk full")
            out.append(x)
    return out


def outcome(work: Callable[[], list[int]]) -> tuple[object, ...]:
    try:
        return ("items", work())
    except (ValueError, OSError, KeyboardInterrupt) as error:
        return ("error", type(error), str(error))


FAULTS = st.sampled_from([ValueError, OSError, KeyboardInterrupt])


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(0, 25),
    fails=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 25), FAULTS),
    capacities=st.dictionaries(st.integers(0, 3), st.integers(1, 5)),
    sink=st.none() | st.integers(0, 25),
    takes=st.none() | st.integers(0, 25),
    serial=st.booleans(),
)
def test_threads_change_nothing_but_timing(
    count: int,
    fails: tuple[int, int, type[BaseException]] | None,
    capacities: dict[int, int],
    sink: int | None,
    takes: int | None,
    serial: bool,
) -> None:
    """Same items, same order, same end, same exception; every stage is closed by the end."""

    def run(boundaries: dict[int, int], *, serial: bool) -> tuple[object, ...]:
        faults = {} if fails is None else {fails[0]: (fails[1], fails[2](f"stage {fails}"))}
        log: list[str] = []
        result = outcome(
            lambda: chain(
                count, faults, boundaries, sink_fails=sink, takes=takes, serial=serial, log=log
            )
        )
        faults.clear()
        assert log.count("closed") == log.count("opened")
        return result

    threaded = within(PATIENCE, lambda: run(capacities, serial=serial))
    assert threaded == run({}, serial=False)
    assert not ours()


def test_an_exception_surfaces_once_and_says_where() -> None:
    fault = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as caught:
        chain(9, {1: (3, fault)}, {1: 1, 2: 1, 3: 1})
    assert caught.value is fault
    assert fault.__notes__ == ["in the s1 thread"]
    assert any(frame.name == "stage" for frame in traceback.extract_tb(fault.__traceback__))


def test_an_exception_comes_after_the_items_before_it_and_then_the_end() -> None:
    with Threads() as threads:
        items = threads.ahead(stage(range(9), 3, ValueError("boom")), "s", capacity=8)
        assert [next(items) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(ValueError, match="boom"):
            next(items)
        assert list(items) == []


def test_an_exception_of_a_stage_behind_does_not_wait_for_a_stalled_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    release = threading.Event()

    def stalled() -> Iterator[int]:
        yield 0
        release.wait(PATIENCE)

    def run() -> None:
        with Threads() as threads:
            camera = threads.ahead(stalled(), "camera")
            for _ in threads.ahead(stage(camera, 0, ValueError("boom")), "gpu"):
                pass

    timer = threading.Timer(0.2, release.set)
    timer.start()
    with pytest.raises(ValueError, match="boom"):
        within(PATIENCE, run)
    timer.join()
    assert capfd.readouterr().err == ""  # no thread told of it on its own


@pytest.mark.parametrize("serial", [False, True])
def test_a_consumer_that_leaves_early_closes_an_endless_source(serial: bool) -> None:
    log: list[str] = []
    with Threads(serial=serial) as threads:
        items = threads.ahead(stage(itertools.count(), log=log), "endless")
        assert list(itertools.islice(items, 5)) == [1, 2, 3, 4, 5]
    assert log == ["opened", "closed"]


@pytest.mark.parametrize("serial", [False, True])
def test_an_interrupted_consumer_leaves_no_thread_and_no_open_stage(serial: bool) -> None:
    log: list[str] = []

    def interrupted() -> None:
        with Threads(serial=serial) as threads:
            items = threads.ahead(stage(itertools.count(), log=log), "one")
            items = threads.ahead(stage(items, log=log), "two")
            next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(log) == ["closed", "closed", "opened", "opened"]
    assert not ours()


def test_boundaries_nest() -> None:
    """A stage may itself open a boundary, on its own thread."""
    with Threads() as threads:

        def outer() -> Iterator[int]:
            yield from threads.ahead(stage(range(50)), "inner", capacity=2)

        items = threads.ahead(stage(threads.ahead(outer(), "outer", capacity=1)), "last")
        assert within(PATIENCE, lambda: list(items)) == list(range(2, 52))


def test_leaving_wakes_every_thread_of_a_full_chain() -> None:
    with Threads() as threads:
        items: Iterator[int] = threads.ahead(stage(itertools.count()), "s0", capacity=1)
        for k in range(1, 6):
            items = threads.ahead(stage(items), f"s{k}", capacity=1)
        next(items)
    assert not ours()


def test_a_stage_that_catches_exceptions_does_not_keep_its_thread() -> None:
    """Leaving is told to the stages like the closing of a generator, not like an error."""

    def stubborn(upstream: Iterator[int]) -> Iterator[int]:
        while True:
            try:
                yield next(upstream)
            except Exception:  # noqa: BLE001
                continue

    with Threads() as threads:
        slow = threads.ahead(stage(itertools.count()), "upstream", capacity=1)
        next(threads.ahead(stubborn(slow), "stubborn", capacity=1))
    assert not ours()


@pytest.mark.parametrize("serial", [False, True])
def test_what_cleaning_up_raises_is_raised_on_leaving(serial: bool) -> None:
    def untidy() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            raise OSError("cannot let go")

    def leave(error: BaseException | None) -> None:
        with Threads(serial=serial) as threads:
            next(threads.ahead(untidy(), "untidy"))
            if error is not None:
                raise error

    with pytest.raises(OSError, match="cannot let go"):
        leave(None)
    with pytest.raises(ValueError, match="worse"):
        leave(ValueError("worse"))


class Call:
    """A stage that is inside a call which nothing interrupts, until it returns."""

    def __init__(self) -> None:
        self.entered, self.returns = threading.Event(), threading.Event()

    def stage(self) -> Iterator[int]:
        yield 1
        self.entered.set()
        self.returns.wait(PATIENCE)


@pytest.mark.parametrize("fault", [None, ValueError("no room"), KeyboardInterrupt()])
def test_a_call_that_cannot_be_interrupted_is_waited_for(fault: BaseException | None) -> None:
    """However long; it is said once, and what ended the work is what comes out."""
    call, told = Call(), []

    def waiting(names: list[str]) -> None:
        told.append(names)
        threading.Timer(0.3, call.returns.set).start()  # several looks later
        raise RuntimeError("a listener that fails changes nothing")

    def run() -> None:
        with Threads(patience=0.05, waiting=waiting) as threads:
            items = threads.ahead(stage(call.stage()), "network")
            next(threads.ahead(items, "quick"))
            assert call.entered.wait(PATIENCE)
            if fault is not None:
                raise fault
        assert not ours()

    if fault is None:
        run()
    else:
        with pytest.raises(type(fault)) as caught:
            run()
        assert caught.value is fault
    assert told == [["streammatte-network"]]
    assert not ours()


def test_what_is_quick_to_end_is_not_worth_a_word() -> None:
    told: list[list[str]] = []
    with Threads(waiting=told.append) as threads:
        next(threads.ahead(stage(itertools.count()), "quick"))
    assert told == []


def test_without_a_listener_the_waiting_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    call = Call()
    timer = threading.Timer(0.3, call.returns.set)
    with Threads(patience=0.05) as threads:
        next(threads.ahead(call.stage(), "network"))
        timer.start()
    assert [record.name for record in caplog.records] == ["streammatte"]
    assert "streammatte-network" in caplog.text


def test_an_interruption_ends_the_waiting_at_once() -> None:
    call = Call()

    def waiting(_: list[str]) -> None:
        raise KeyboardInterrupt

    def run() -> None:
        with Threads(patience=0.05, waiting=waiting) as threads:
            next(threads.ahead(call.stage(), "network"))
            raise ValueError("no room")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert ours() == ["streammatte-network"]
    assert any_left()
    call.returns.set()
    for thread in threading.enumerate():
        if thread.name in ours():
            thread.join(PATIENCE)
    assert not any_left()


def test_dropping_keeps_the_newest_in_order_and_counts() -> None:
    done = threading.Event()

    def burst() -> Iterator[int]:
        yield from range(10)
        done.set()

    with Threads() as threads:
        items = threads.ahead(burst(), "burst", capacity=3, overflow=Overflow.DROP_OLDEST)
        assert done.wait(PATIENCE)
        assert list(items) == [7, 8, 9]
        assert threads.dropped == 7


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 60), capacity=st.integers(1, 5), fails=st.booleans())
def test_dropping_never_reorders_repeats_or_loses_the_end(
    count: int, capacity: int, fails: bool
) -> None:
    def source() -> Iterator[int]:
        yield from range(count)
        if fails:
            raise ValueError("boom")

    got: list[int] = []
    failed = False
    with Threads() as threads:
        try:
            got.extend(
                threads.ahead(source(), "s", capacity=capacity, overflow=Overflow.DROP_OLDEST)
            )
        except ValueError:
            failed = True
        dropped = threads.dropped
    assert failed == fails
    if not fails:
        assert got == sorted(set(got))
        assert got[-min(capacity, count) :] == list(range(count))[-min(capacity, count) :]
        assert len(got) + dropped == count


@settings(max_examples=30, deadline=None)
@given(capacity=st.integers(1, 6), taken=st.integers(0, 6))
def test_capacity_bounds_what_is_ahead(capacity: int, taken: int) -> None:
    """No more than the buffer, and one in the hand of the thread that waits to put it there."""
    made: list[int] = []
    full = threading.Event()

    def source() -> Iterator[int]:
        for i in itertools.count():
            made.append(i)
            if i == taken + capacity:
                full.set()
            yield i

    with Threads() as threads:
        items = threads.ahead(source(), "s", capacity=capacity)
        assert list(itertools.islice(items, taken)) == list(range(taken))
        assert full.wait(PATIENCE)
        assert len(made) <= taken + capacity + 1
        assert next(items) == taken


def test_a_buffer_holds_at_least_one() -> None:
    with Threads() as threads, pytest.raises(ValueError, match="at least 1"):
        threads.ahead([1], "none", capacity=0)


def test_serial_starts_no_thread() -> None:
    with Threads(serial=True) as threads:
        items = threads.ahead(stage(range(4)), "s0")
        assert next(items) == 1
        assert not ours()
        assert list(threads.ahead(stage(items), "s1")) == [3, 4, 5]
        assert threads.dropped == 0
