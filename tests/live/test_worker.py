"""Threads of the show: what fails is told and tried again, and none is as urgent as sending."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from streammatte.live import worker
from streammatte.live.worker import Worker


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no urgency of their own")
def test_they_are_less_urgent_than_what_sends() -> None:
    found: list[int] = []
    around = threading.Event()

    def look() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        thread = threading.Thread(
            target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        )
        thread.start()  # as a runtime's own
        thread.join()
        around.set()

    mine = os.getpriority(os.PRIO_PROCESS, 0)
    one = Worker("test", look, pytest.fail)
    one.start()
    assert around.wait(10)
    one.end()
    one.join(10)
    assert found[:2] == [min(19, mine + worker.STEPS_BACK)] * 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_what_fails_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAUSE", 0.001)
    told: list[Exception] = []
    rounds = threading.Semaphore(0)

    def fail() -> None:
        rounds.release()
        raise ValueError("once more")

    one = Worker("test", fail, told.append, fail)
    one.start()
    for _ in range(4):
        assert rounds.acquire(timeout=10)
    one.end()
    one.join(10)
    assert one.begun.is_set()
    assert len(told) >= 3
    assert {str(error) for error in told} == {"once more"}
