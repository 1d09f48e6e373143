"""Meters charge every stage with its own time, on any thread, and lose no item."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from streammatte import meters as module
from streammatte.meters import Meters

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """A clock that moves only when told; CPU time passes half as fast as the wall's."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.now / 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_stage_is_not_charged_for_the_stages_it_waits_for(clock: Clock) -> None:
    meters = Meters()

    def source() -> Iterator[int]:
        for i in range(3):
            clock.now += 1.0
            yield i

    def double(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            clock.now += 0.25
            with meters.measure("part"):
                clock.now += 0.125
            yield 2 * item

    stages = meters.watch("double", double(meters.watch("decode", source())))
    assert list(stages) == [0, 2, 4]
    assert meters.milliseconds(3) == {
        "decode": {"cpu": 500.0, "wall": 1000.0},
        "part": {"cpu": 62.5, "wall": 125.0},
        "double": {"cpu": 125.0, "wall": 250.0},
    }


def test_the_parts_add_up_to_the_whole(clock: Clock) -> None:
    meters = Meters()
    with meters.measure("outer"):
        clock.now += 1
        with meters.measure("inner"):
            clock.now += 2
            with meters.measure("innermost"):
                clock.now += 4
        with meters.measure("inner"):
            clock.now += 8
    assert {name: stage.wall for name, stage in meters.stages.items()} == {
        "innermost": 4,
        "inner": 10,
        "outer": 1,
    }
    assert meters.stages["inner"].calls == 2


def test_what_the_consumer_does_between_items_is_not_charged(clock: Clock) -> None:
    meters = Meters()
    for _ in meters.watch("s", range(5)):
        clock.now += 1
    assert meters.stages["s"].wall == 0


def test_a_failing_stage_is_charged_and_its_exception_passes(clock: Clock) -> None:
    meters = Meters()

    def failing() -> Iterator[int]:
        clock.now += 2
        raise ValueError("boom")
        yield 0

    with pytest.raises(ValueError, match="boom"), meters.measure("outer"):
        next(meters.watch("s", failing()))
    assert meters.stages["s"].wall == 2
    assert meters.stages["outer"].wall == 0


def test_leaving_early_closes_the_stage() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append(True)

    watched = Meters().watch("s", source())
    assert next(watched) == 0
    watched.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_threads_do_not_mix_their_stages() -> None:
    meters = Meters()
    inside = threading.Barrier(2, timeout=10)

    def work(name: str) -> None:
        with meters.measure(name):
            inside.wait()
            with meters.measure(f"{name} inner"):
                inside.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(meters.stages) == ["a", "a inner", "b", "b inner"]
    assert all(stage.calls == 1 and stage.wall >= 0 for stage in meters.stages.values())


def test_no_frames_is_no_division_by_zero() -> None:
    meters = Meters()
    with meters.measure("s"):
        pass
    assert set(meters.milliseconds(0)) == {"s"}
