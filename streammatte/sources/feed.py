"""The camera of a show: drained by a thread of its own, noticed when it is gone, found again."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import InputError, StreamMatteError
from streammatte.frames import VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import camera
from streammatte.sources.camera import Converter, SystemCapture, V4l2Capture, Wish, parse_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from streammatte.frames import Frame
    from streammatte.live.base import Condition
    from streammatte.sources.camera import Capture

GLANCE = 0.1
"""Seconds that a read may take."""
SILENT = 1.0
"""Seconds without a picture after which a camera counts as stalled, ..."""
DEAD = 3.0
"""... and after which it is opened anew."""
AGAIN = 0.5
"""Seconds between two looks for a camera that is gone."""
ENDING = 1.0
"""Seconds that closing takes at the most."""


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
        self._first = True
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
        # By the clock, not by the thread, which may hang in a driver.
        if time.monotonic() - self._heard > SILENT:
            return "stalled"
        return "starting" if self._first else "running"

    @property
    def reason(self) -> str:
        """Why it is not running; empty if it is."""
        return self._reason if self.condition == "lost" else ""

    @property
    def dropped(self) -> int:
        """Pictures that nobody took in time, so far."""
        return self._missed + getattr(self._capture, "dropped", 0)

    def take(self, after: int, timeout: float) -> Frame | None:
        """Return the newest frame, if it is new; see ``live.base.Feed``."""

        def newer() -> bool:
            return self._newest is not None and self._newest.pts > after

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
            if self._capture is None:
                self._look_for_it()
                continue
            try:
                frame = self._capture.read(GLANCE)
                if frame is not None:
                    self._keep(frame)
                elif time.monotonic() - self._heard > DEAD:
                    raise InputError(f"no picture for {DEAD:.0f} seconds")  # noqa: TRY301
            except Exception as error:  # noqa: BLE001  whatever a driver does, it is looked for
                self._lose(error)
        self._let_go()

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
            self._newest, self._taken, self._first = frame, False, False
            self._heard = time.monotonic()
            self._changed.notify_all()

    def _lose(self, error: Exception) -> None:
        self._reason = str(error)
        self._missed += getattr(self._capture, "dropped", 0)
        self._let_go()

    def _let_go(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.close()

    def _look_for_it(self) -> None:
        try:
            capture = self._reopen()
        except StreamMatteError as error:
            self._reason, capture = str(error), None
        if capture is None:
            self._ending.wait(AGAIN)
            return
        self._heard = time.monotonic()
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
        return CameraFeed(SystemCapture(where, wish), lambda: SystemCapture(where, wish))
    device = camera.find(where)

    def again() -> Capture | None:
        found = camera.again(device)
        return None if found is None else V4l2Capture(found, wish)

    return CameraFeed(V4l2Capture(device, wish), again)


def _is_rehearsal(where: str) -> bool:
    if where.partition(":")[0] == "synthetic" or "://" in where:
        return True
    return not where.startswith("/dev/") and (Path(where).is_file() or bool(Path(where).suffix))
