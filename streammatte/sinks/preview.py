"""A window that shows the result, where there is a screen."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Picture, VideoInfo

TITLE = "StreamMatte"
CLOSED = "the window was closed"
_ESCAPE = 27


class Window:
    """A window of OpenCV's, on a thread of its own; see ``live.base.Output``."""

    def __init__(self, info: VideoInfo) -> None:
        """Open it.

        Raises:
            OutputError: if there is no screen.
            DependencyError: if this OpenCV has no windows.
        """
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
            raise OutputError("there is no screen for a window; leave --preview out")
        self.description = f"a window, {info.width}x{info.height}"
        self.notes: list[str] = []
        self._size = info.width, info.height
        self._newest: NDArray[np.uint8] | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._opened = threading.Event()
        self._error = ""
        self._thread = threading.Thread(target=self._show, name="streammatte-window", daemon=True)
        self._thread.start()
        self._opened.wait(5)
        if self._error:
            raise DependencyError(
                "this OpenCV has no windows; pip uninstall opencv-python-headless, then "
                "pip install opencv-python"
            )

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  it is shown at once
        """Show it; see ``live.base.Output``."""
        if self._ended:
            raise OutputError(CLOSED)
        planes = [np.ascontiguousarray(plane).ravel() for plane in picture.planes]
        samples = np.concatenate(planes).reshape(picture.height * 3 // 2, picture.width)
        with self._changed:
            self._newest = samples.astype(np.uint8, copy=False)
            self._changed.notify_all()

    @property
    def readers(self) -> int | None:
        """Somebody looks while it is open."""
        return 0 if self._ended else 1

    def _show(self) -> None:
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
            cv2.resizeWindow(TITLE, *self._size)
        except cv2.error as error:
            self._error = str(error)
            self._ended = True
            self._opened.set()
            return
        self._opened.set()
        while not self._ended:
            with self._changed:
                self._changed.wait(0.1)
                samples, self._newest = self._newest, None
            if samples is not None:
                cv2.imshow(TITLE, cv2.cvtColor(samples, cv2.COLOR_YUV2BGR_I420))
            pressed = cv2.waitKey(1) & 0xFF
            gone = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
            self._ended = self._ended or pressed == _ESCAPE or gone
        cv2.destroyWindow(TITLE)

    def close(self) -> None:
        """Close it; see ``live.base.Output``."""
        self._ended = True
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(1)
