"""A feed over captures that stall, break, come back in another size, and hang."""

from __future__ import annotations

import sys
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streammatte.errors import InputError, UsageError
from streammatte.frames import Frame, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import feed as module
from streammatte.sources import v4l2
from streammatte.sources.feed import CameraFeed, open_feed
from streammatte.sources.modes import parse_mode
from streammatte.sources.v4l2 import Device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def until(what: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.002)


class Capture:
    """A camera that does what a test says."""

    def __init__(self, width: int = 64, height: int = 32, name: str = "one") -> None:
        self.width, self.height, self.rate = width, height, Fraction(30)
        self.description = name
        self.dropped = 0
        self.pictures = threading.Semaphore(0)
        self.error: Exception | None = None
        self.hang = threading.Event()
        self.hang.set()
        self.hangs = False
        self.closed = False
        self.value = 0

    def read(self, timeout: float) -> Frame | None:
        self.hangs = not self.hang.is_set()
        self.hang.wait(30)
        if self.error is not None:
            raise self.error
        if not self.pictures.acquire(timeout=min(timeout, 0.02)):
            return None
        self.value += 1
        luma = np.full((self.height, self.width), self.value, np.uint8)
        grey = np.full((self.height // 2, self.width // 2), 128, np.uint8)
        picture = Picture.of([luma, grey, grey], LAYOUT, COLOUR)
        return Frame(picture, round(time.monotonic() * 1e6), 0, TICK)

    def close(self) -> None:
        self.closed = True


class Set:
    def __init__(self) -> None:
        self.capture = Capture()
        self.next: Any = None
        self.looks = 0
        self.feed = CameraFeed(self.capture, self._reopen)

    def _reopen(self) -> Any:
        self.looks += 1
        if isinstance(self.next, Exception):
            raise self.next
        return self.next


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    made = Set()
    yield made
    made.capture.hang.set()
    made.feed.close()


def test_the_newest_picture_is_taken_and_the_others_are_counted(rig: Set) -> None:
    for _ in range(5):
        rig.capture.pictures.release()
    until(lambda: rig.capture.value == 5 and rig.feed.dropped == 4)
    frame = rig.feed.take(-1, 20)
    assert frame is not None
    assert int(frame.picture.planes[0][0, 0]) == 5
    assert rig.feed.take(frame.pts, 0) is None
    assert rig.feed.dropped == 4


def test_who_waits_is_woken(rig: Set) -> None:
    threading.Timer(0.05, rig.capture.pictures.release).start()
    assert rig.feed.take(-1, 20) is not None
    assert rig.feed.condition == "running"


def test_before_the_first_picture_it_is_starting(rig: Set) -> None:
    assert rig.feed.condition == "starting"
    assert rig.feed.take(-1, 0) is None


def test_silence_is_noticed(rig: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT", 0.05)
    rig.capture.pictures.release()
    assert rig.feed.take(-1, 20) is not None
    until(lambda: rig.feed.condition == "stalled")
    assert "no picture for" in rig.feed.reason
    rig.capture.pictures.release()
    until(lambda: rig.feed.condition == "running")


def test_a_driver_that_hangs_is_noticed(rig: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is inside the driver; the clock tells all the same."""
    rig.capture.pictures.release()
    assert rig.feed.take(-1, 20) is not None
    monkeypatch.setattr(module, "SILENT", 0.05)
    rig.capture.hang.clear()
    until(lambda: rig.feed.condition == "stalled")


def test_a_slow_camera_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT", 0.05)
    capture = Capture()
    capture.rate = Fraction(1, 2)
    feed = CameraFeed(capture, lambda: None)
    try:
        capture.pictures.release()
        frame = feed.take(-1, 20)
        assert frame is not None
        assert feed.take(frame.pts, 0.2) is None
        assert feed.condition == "running"
    finally:
        feed.close()


def test_silence_for_too_long_opens_it_anew(rig: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.next = Capture(name="two")
    monkeypatch.setattr(module, "DEAD", 0.05)
    until(lambda: rig.feed.description == "two")
    assert rig.capture.closed


@pytest.mark.parametrize(
    "error",
    [
        InputError("it was unplugged"),
        OSError(19, "No such device"),
        ValueError("odd"),
        IndexError(),
    ],
)
def test_a_camera_that_is_lost_is_looked_for_and_found(rig: Set, error: Exception) -> None:
    rig.capture.pictures.release()
    first = rig.feed.take(-1, 20)
    assert first is not None
    rig.next = InputError("there is no /dev/video0")
    rig.capture.error = error
    until(lambda: rig.feed.condition == "lost" and rig.looks > 2)
    assert rig.capture.closed
    assert rig.feed.reason == "there is no /dev/video0"
    rig.next = Capture(name="two")
    until(lambda: rig.feed.description == "two")
    assert rig.feed.condition == "lost", "what is shown is still the old picture"
    assert "without a picture" in rig.feed.reason
    rig.next.pictures.release()
    frame = rig.feed.take(first.pts, 20)
    assert frame is not None
    assert rig.feed.condition == "running"
    assert not rig.feed.reason


def test_why_it_was_lost_is_said_until_it_is_looked_for(rig: Set) -> None:
    rig.capture.error = InputError("it was unplugged")
    until(lambda: rig.feed.condition == "lost")
    until(lambda: rig.feed.reason == "it was unplugged")


def test_one_that_breaks_as_soon_as_it_is_back_is_not_hammered(
    rig: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 60)
    rig.capture.pictures.release()
    assert rig.feed.take(-1, 20) is not None
    rig.next = Capture()
    rig.next.error = OSError(5, "Input/output error")
    rig.capture.error = InputError("it was unplugged")
    until(lambda: rig.next.closed)
    until(lambda: "Input/output" in rig.feed.reason)
    assert rig.looks == 1
    rig.feed.close()
    assert rig.feed.condition == "ended"
    assert rig.looks == 1


def test_an_opener_that_raises_anything_is_asked_again(rig: Set) -> None:
    rig.next = RuntimeError("odd")
    rig.capture.error = InputError("it was unplugged")
    until(lambda: rig.looks > 2)
    assert rig.feed.condition == "lost"
    assert rig.feed.reason == "odd"


def test_a_camera_that_comes_back_larger_is_made_small(rig: Set) -> None:
    rig.next = Capture(128, 96, "large")
    rig.capture.error = InputError("it was unplugged")
    until(lambda: rig.feed.description == "large")
    rig.next.pictures.release()
    frame = rig.feed.take(-1, 20)
    assert frame is not None
    assert (frame.picture.width, frame.picture.height) == (64, 32)
    assert (rig.feed.info.width, rig.feed.info.height) == (64, 32)


def test_time_never_stands_still_or_goes_back(rig: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    stamps = []
    for _ in range(3):
        rig.capture.pictures.release()
        frame = rig.feed.take(stamps[-1] if stamps else -1, 20)
        assert frame is not None
        stamps.append(frame.pts)
    assert stamps == sorted(set(stamps))


def test_it_is_closed_in_the_middle_of_anything(rig: Set) -> None:
    rig.feed.close()
    rig.feed.close()
    assert rig.capture.closed
    assert rig.feed.condition == "ended"
    assert rig.feed.take(-1, 20) is None


def test_it_is_closed_while_a_driver_hangs(rig: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDING", 0.05)
    rig.capture.hang.clear()
    until(lambda: rig.capture.hangs)
    rig.feed.close()
    assert rig.feed.condition == "ended"
    assert not rig.capture.closed, "its thread lets go of it, when it can"
    rig.capture.hang.set()
    until(lambda: rig.capture.closed)


# --- what is opened


def test_a_mode_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="is no mode"):
        open_feed("auto", "fast")


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")
def test_a_camera_is_opened_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one that it was, in the mode that was asked for."""
    first, moved = (Device(f"/dev/video{n}", "C920", "uvcvideo", "usb", True, False) for n in "27")
    known = [first]
    opened: list[tuple[str, Any]] = []

    def made(device: Device, wish: Any) -> Capture:
        opened.append((device.path, wish))
        return Capture(name=device.path)

    monkeypatch.setattr(module, "V4l2Capture", made)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    monkeypatch.setattr(v4l2, "cameras", lambda **_: known)
    monkeypatch.setattr(v4l2, "inspect", lambda path: known[0] if known[0].path == path else None)
    feed = open_feed("C920", "720p")
    try:
        capture: Any = feed._capture
        known[:] = [moved]
        capture.error = OSError(19, "No such device")
        until(lambda: feed.description == "/dev/video7")
    finally:
        feed.close()
    assert opened == [("/dev/video2", parse_mode("720p")), ("/dev/video7", parse_mode("720p"))]


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_cameras_of_other_systems_are_opened_again(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device("@pnp_1", "C920", "dshow", "", True, False)
    known = [device]
    captures: list[Any] = []

    def made(found: Device, _wish: Any, _system: str) -> Capture:
        captures.append(Capture(name=found.name))
        return captures[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(module.sys, "platform", system)
    monkeypatch.setattr(module, "SystemCapture", made)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    monkeypatch.setattr(module.camera, "system_cameras", lambda _: known)
    feed = open_feed("auto")
    try:
        known[:] = [Device("@pnp_2", "BRIO", "dshow", "", True, False)]
        captures[0].error = OSError(5, "Input/output error")
        until(lambda: feed.condition == "lost")
        known.append(device)
        until(lambda: len(captures) == 2)
    finally:
        feed.close()


def test_a_picture_that_is_not_there_is_no_camera(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_feed(str(tmp_path / "gone.mp4"))
