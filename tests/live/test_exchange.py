from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from streammatte.live.exchange import MOST_WAITING, Answer, Exchange


def sight(pts: int) -> Any:
    return SimpleNamespace(frame=SimpleNamespace(pts=pts), scene=1)


def stamps(sights: list[Any]) -> list[int]:
    return [each.frame.pts for each in sights]


def filled(*stamps: int) -> Exchange:
    exchange = Exchange()
    for pts in stamps:
        exchange.add(sight(pts))
    return exchange


def test_the_network_gets_the_newest_frame_once() -> None:
    exchange = filled(1, 2, 3)
    assert exchange.ask(1, 0).frame.pts == 3
    assert exchange.ask(1, 0) is None
    exchange.add(sight(4))
    assert exchange.ask(1, 0).frame.pts == 4


def test_the_network_sees_every_so_manieth_frame() -> None:
    exchange = filled(1, 2, 3)
    exchange.ask(3, 0)
    seen = []
    for pts in range(4, 13):
        exchange.add(sight(pts))
        if (asked := exchange.ask(3, 0)) is not None:
            seen.append(asked.frame.pts)
    assert seen == [6, 9, 12]


def test_frames_are_taken_in_order_up_to_one() -> None:
    exchange = filled(1, 2, 3, 4)
    assert stamps(exchange.until(3)) == [1, 2, 3]
    assert stamps(exchange.until(9)) == [4]
    assert exchange.until(9) == []


def test_the_newest_frame_lets_go_of_those_before() -> None:
    exchange = filled(1, 2, 3)
    assert exchange.latest(0).frame.pts == 3
    assert exchange.latest(0) is None
    assert exchange.dropped == 2


def test_too_many_let_go_of_the_oldest() -> None:
    exchange = filled(*range(MOST_WAITING + 2))
    assert exchange.dropped == 2
    assert stamps(exchange.until(10**9)) == list(range(2, MOST_WAITING + 2))


def answer(pts: int) -> Answer:
    return Answer(sight(pts), np.zeros((2, 2), np.float32))


def test_an_answer_is_taken_once() -> None:
    exchange = filled(1, 2)
    assert exchange.answered(0) is None
    exchange.answer(answer(2))
    assert exchange.answered(0).sight.frame.pts == 2
    assert exchange.answered(0) is None
    assert stamps(exchange.until(2)) == [1, 2]


def test_who_is_too_slow_for_answers_gets_the_newest_and_its_frame_alone() -> None:
    exchange = filled(1, 2, 3, 4, 5)
    for pts in (1, 2, 4):
        exchange.answer(answer(pts))
    assert exchange.answered(0).sight.frame.pts == 4
    assert exchange.answered(0) is None
    assert stamps(exchange.until(4)) == [4]
    assert exchange.dropped == 3


def test_who_waits_is_woken() -> None:
    exchange, found = Exchange(), []
    thread = threading.Thread(target=lambda: found.append(exchange.ask(1, 20)))
    thread.start()
    exchange.add(sight(7))
    thread.join(20)
    assert stamps(found) == [7]


def test_only_what_has_waited_too_long_is_overdue() -> None:
    import time

    now = round(time.monotonic() * 1e6)
    exchange = filled(now - 3_000_000, now - 1_000_000, now + 60_000_000)
    assert stamps(exchange.overdue(2)) == [now - 3_000_000]
    assert stamps(exchange.overdue(0)) == [now - 1_000_000]
    exchange.clear()
    assert exchange.overdue(-1000) == []
