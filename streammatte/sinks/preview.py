"""A window that shows the result, where there is a screen."""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.errors import DependencyError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.errors import StreamMatteError
    from streammatte.frames import Picture, VideoInfo

TITLE = "StreamMatte"
CLOSED = "the window was closed"
OPENING = 5.0
"""Seconds that a window may take to appear."""
LISTENING = 0.1
"""Seconds between two looks at keys and buttons while nothing new is to be shown."""
_ESCAPE = 27


class Window:
    """A window of OpenCV's, on a thread of its own; see ``live.base.Output``."""

    def __init__(self, info: VideoInfo) -> None:
        """Open it.

        Raises:
            OutputError: if there is no screen, or it refuses.
            DependencyError: if this OpenCV has no windows.
        """
        _check_screen()
        self.description = f"a window, {info.width}x{info.height}"
        self.notes: list[str] = []
        self._size = info.width, info.height
        self._newest: NDArray[np.uint8] | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._opened = threading.Event()
        self._error: cv2.error | None = None
        self._thread = threading.Thread(target=self._live, name="streammatte-window", daemon=True)
        self._thread.start()
        self._opened.wait(OPENING)
        if self._error is not None:
            raise _refused(self._error)

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  it is shown at once
        """Show it; see ``live.base.Output``."""
        if self._ended:
            raise OutputError(CLOSED if self._error is None else str(_refused(self._error)))
        samples = np.concatenate([plane.ravel() for plane in picture.planes])
        with self._changed:
            self._newest = samples.astype(np.uint8, copy=False)
            self._changed.notify_all()

    @property
    def readers(self) -> int | None:
        """Somebody looks while it is open."""
        return 0 if self._ended else 1

    def _live(self) -> None:
        """Open the window, show what comes, and close it: OpenCV wants that of one thread."""
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
            cv2.resizeWindow(TITLE, *self._size)
            self._opened.set()
            while not self._ended:
                self._show()
                pressed = cv2.waitKey(1) & 0xFF
                gone = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
                if gone or pressed == _ESCAPE:
                    break
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1:
                cv2.destroyWindow(TITLE)
        except cv2.error as error:
            self._error = error
        finally:
            self._ended = True
            self._opened.set()

    def _show(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended, LISTENING)
            samples, self._newest = self._newest, None
        if samples is not None:
            width, height = self._size
            planes = samples.reshape(height * 3 // 2, width)
            cv2.imshow(TITLE, cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420))

    def close(self) -> None:
        """Close it; see ``live.base.Output``."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(1)


def _check_screen() -> None:
    """Refuse where no window can be opened from here.

    Raises:
        OutputError: saying why.
    """
    if sys.platform == "darwin":  # it ends programs that open windows on other threads
        raise OutputError(
            "macOS opens no window beside a show; leave --preview out and use --control"
        )
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise OutputError("there is no screen for a window; leave --preview out or use --control")


def _refused(error: cv2.error) -> StreamMatteError:
    """Return what to raise for an error of OpenCV's windows."""
    if "not implemented" in str(error):
        return DependencyError(
            "this OpenCV has no windows; pip uninstall opencv-python-headless, then "
            "pip install opencv-python"
        )
    told = re.sub(r"^.*?error: \([^)]*\) ", "", str(error).strip()).split(" in function ")[0]
    return OutputError(f"the window cannot be shown: {told or 'no reason given'}")
