"""The camera of a show: drained by a thread of its own, noticed when it is gone, found again."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import InputError
from streammatte.frames import VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import camera
from streammatte.sources.camera import SystemCapture, V4l2Capture
from streammatte.sources.converter import Converter
from streammatte.sources.modes import Wish, parse_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from streammatte.frames import Frame
    from streammatte.live.base import Condition
    from streammatte.sources.camera import Capture

GLANCE = 0.1
"""Seconds that a read may take."""
SILENT = 0.8
"""Seconds without a picture after which a camera counts as stalled, ..."""
MISSED = 2.5
"""... but so many pictures at the least, where it is a slow one, ..."""
DEAD = 3.0
"""... and after which it is opened anew."""
AGAIN = 0.5
"""Seconds between two looks for a camera that is gone."""
ENDING = 0.9
"""Seconds that closing waits for a driver, at the most."""


class CameraFeed:
    """A ``live.base.Feed`` over anything that captures."""

    def __init__(self, capture: Capture, reopen: Callable[[], Capture | None]) -> None:
        """Begin to drain it.

        Args:
            capture: What is open already.
            reopen: Opens it again, wherever it is; returns ``None`` or raises if it is not back.
        """
        self.info = VideoInfo(
            None, capture.width, capture.height, LAYOUT, COLOUR, TICK, capture.rate
        )
        self.description = capture.description
        self._capture: Capture | None = capture
        self._reopen = reopen
        self._reason = ""
        self._newest: Frame | None = None
        self._taken = True
        self._missed = 0
        self._heard = time.monotonic()
        """When there was a picture last, or the camera was opened."""
        self._is_new = True
        """Whether there was no picture since it was opened, ..."""
        self._was_running = False
        """... and whether there ever was one."""
        self._ending = threading.Event()
        self._changed = threading.Condition()
        self._resize: Converter | None = None
        self._thread = threading.Thread(target=self._drain, name="streammatte-feed", daemon=True)
        self._thread.start()

    @property
    def condition(self) -> Condition:
        """How it is; see ``live.base.Feed``."""
        if self._ending.is_set():
            return "ended"
        if self._capture is None:
            return "lost"
        if self._is_new:
            return "lost" if self._was_running else "starting"
        # By the clock, not by the thread, which may hang in a driver.
        return "stalled" if self._silence > self._patience else "running"

    @property
    def reason(self) -> str:
        """Why it is not running; empty if it is."""
        condition = self.condition
        if condition == "stalled":
            return f"no picture for {self._silence:.1f} s"
        if condition == "lost":
            return self._reason if self._capture is None else "it is back, without a picture yet"
        return "it was closed" if condition == "ended" else ""

    @property
    def _silence(self) -> float:
        return time.monotonic() - self._heard

    @property
    def _patience(self) -> float:
        return max(SILENT, MISSED / float(self.info.rate))

    @property
    def dropped(self) -> int:
        """Pictures that nobody took in time, so far."""
        return self._missed + getattr(self._capture, "dropped", 0)

    def take(self, after: int, timeout: float) -> Frame | None:
        """Return the newest frame, if it is new; see ``live.base.Feed``."""

        def newer() -> bool:
            return self._newest is not None and self._newest.pts > after

        if self._ending.is_set():
            time.sleep(min(timeout, GLANCE))  # who asks on and on shall not spin
        with self._changed:
            if not self._changed.wait_for(lambda: newer() or self._ending.is_set(), timeout):
                return None
            if not newer():
                return None
            self._taken = True
            return self._newest

    def close(self) -> None:
        """End the thread and let go of the camera; see ``live.base.Feed``."""
        self._ending.set()
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(ENDING)

    def _drain(self) -> None:
        while not self._ending.is_set():
            try:
                if self._capture is None:
                    self._look_for_it()
                else:
                    self._read(self._capture)
            except Exception as error:  # noqa: BLE001  whatever a driver does, it is looked for
                self._lose(error)
        self._let_go()

    def _read(self, capture: Capture) -> None:
        frame = capture.read(GLANCE)
        if frame is not None:
            self._keep(frame)
        elif self._silence > max(DEAD, self._patience):
            raise InputError(f"no picture for {self._silence:.0f} seconds")

    def _keep(self, frame: Frame) -> None:
        picture, info = frame.picture, self.info
        if (picture.width, picture.height) != (info.width, info.height):
            if self._resize is None:
                self._resize = Converter(size=(info.width, info.height))
            frame = replace(frame, picture=self._resize.picture(picture.native))
        with self._changed:
            if self._newest is not None and frame.pts <= self._newest.pts:
                frame = replace(frame, pts=self._newest.pts + 1)
            self._missed += not self._taken
            self._newest, self._taken = frame, False
            self._is_new, self._was_running = False, True
            self._heard = time.monotonic()
            self._changed.notify_all()

    def _lose(self, error: Exception) -> None:
        self._reason = str(error) or type(error).__name__
        self._missed += getattr(self._capture, "dropped", 0)
        in_vain = self._capture is None or self._is_new
        self._let_go()
        if in_vain:
            self._ending.wait(AGAIN)

    def _let_go(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            with contextlib.suppress(Exception):  # it is gone one way or another
                capture.close()

    def _look_for_it(self) -> None:
        capture = self._reopen()
        if capture is None:
            self._ending.wait(AGAIN)
            return
        self._heard, self._is_new = time.monotonic(), True
        self.description = capture.description
        self._capture = capture


def open_feed(where: str = "auto", mode: str | None = None) -> CameraFeed:
    """Open a camera, or what stands in for one.

    Args:
        where: ``auto`` (the first), a number, a path, a part of its name; a file or
            ``synthetic[:...]``, played over and over; or an address such as ``rtsp://...``.
        mode: See ``camera.parse_mode``; ``None`` for a sensible one.

    Raises:
        InputError: if it is not there, busy, or gives no pictures.
        DependencyError: if it may not be used.
        UsageError: if the mode makes no sense.
    """
    wish = parse_mode(mode) if mode is not None else Wish()
    if _is_rehearsal(where):
        from streammatte.sources.rehearsal import ClipCapture, StreamCapture

        kind = StreamCapture if "://" in where else ClipCapture
        return CameraFeed(kind(where), lambda: kind(where))
    if sys.platform != "linux":
        return _system_feed(where, wish, sys.platform)
    device = camera.find(where)
    capture, identity = V4l2Capture(device, wish), camera.identity(device)

    def again() -> Capture | None:
        found = camera.again(identity)
        return None if found is None else V4l2Capture(found, wish)

    return CameraFeed(capture, again)


def _system_feed(where: str, wish: Wish, system: str) -> CameraFeed:
    device = camera.system_find(where, system)

    def again() -> Capture | None:
        found = camera.system_again(device, system)
        return None if found is None else SystemCapture(found, wish, system)

    return CameraFeed(SystemCapture(device, wish, system), again)


def _is_rehearsal(where: str) -> bool:
    if where.partition(":")[0] == "synthetic" or "://" in where:
        return True
    return not where.startswith("/dev/") and (Path(where).is_file() or os.sep in where)
