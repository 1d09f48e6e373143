"""Threads of the show: none is as urgent as the one that sends."""

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
