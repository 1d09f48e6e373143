"""Takes frames from the camera as they come, and looks at them: mirrored, small, cut or no cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.frames import Picture
from streammatte.live.exchange import Sight
from streammatte.stages.motion import MOST_PIXELS, look
from streammatte.stages.scenes import differ, thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.live.base import Feed
    from streammatte.live.exchange import Exchange

PATIENCE = 0.1
"""Seconds that a round waits for a frame."""
LONGEST_GAP = 0.5
"""Seconds without a picture after which anything may be seen."""


class Intake:
    """Takes frames from a feed and lines them up."""

    def __init__(self, feed: Feed, exchange: Exchange, size: Callable[[], tuple[int, int]]) -> None:
        """Prepare it.

        Args:
            feed: Where frames come from.
            exchange: Where they go.
            size: Returns the ``(width, height)`` of what the network sees now.
        """
        self.feed = feed
        self.mirror = False
        self.frames = 0
        """So far."""
        self.last: Frame | None = None
        """To be looked at."""
        self._exchange = exchange
        self._size = size
        self._scaler = VideoReformatter()
        self._small = _small_size(feed.info.width, feed.info.height)
        self._scene = 0
        self._before: tuple[bool, float, NDArray[np.float64]] | None = None

    def around(self) -> None:
        """Wait for a frame and pass it on."""
        last = self.last
        frame = self.feed.take(-1 if last is None else last.pts, PATIENCE)
        if frame is None:
            return
        mirror = self.mirror
        if mirror:
            frame = replace(frame, picture=mirrored(frame.picture))
        self.last = frame
        self.frames += 1
        view = frame.picture.view(*self._size(), self._scaler)
        # Not of the view, whose size the governor changes: motion is found between all frames.
        small = look(frame.picture.view(*self._small, self._scaler))
        thumb = thumbnail(small.luma)
        self._scene += not self._goes_on(mirror, frame.seconds, thumb)
        self._before = mirror, frame.seconds, thumb
        self._exchange.add(Sight(frame, view, small, self._scene))

    def _goes_on(self, mirror: bool, seconds: float, thumb: NDArray[np.float64]) -> bool:
        """Whether a frame shows what the one before showed, a little later."""
        if self._before is None:
            return False
        way, then, before = self._before
        return way == mirror and seconds - then < LONGEST_GAP and not differ(before, thumb)


def _small_size(width: int, height: int) -> tuple[int, int]:
    """Return the size that motion is found at."""
    scale = min(1.0, (MOST_PIXELS / (width * height)) ** 0.5)
    return max(1, round(width * scale)), max(1, round(height * scale))


def mirrored(picture: Picture) -> Picture:
    """Return a picture as a mirror shows it."""
    result = Picture.empty(picture.width, picture.height, picture.layout, picture.colour)
    for target, plane in zip(result.planes, picture.planes, strict=True):
        target[:] = cv2.flip(np.ascontiguousarray(plane), 1)
    return result
