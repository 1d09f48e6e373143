"""Foreground and matte side by side in one ordinary video, for players that know no alpha.

The picture is twice as wide: on the left the colours, on the right, at the same place, the matte
as grey, white being opaque. Each half has the footage's size, rounded up to even numbers by
repeating its last column and row. Samples are limited range, 8 bit, 4:2:0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.colour import Matrix
from streammatte.convert import convert
from streammatte.frames import Layout, Picture
from streammatte.sinks.base import InTwoSteps

if TYPE_CHECKING:
    from streammatte.frames import Frame, VideoInfo
    from streammatte.options import Pass
    from streammatte.sinks.video_file import VideoFileSink

HALF = Layout("yuv", 8, 1, 1)


def packed_info(info: VideoInfo) -> VideoInfo:
    """Return what side-by-side pictures are like, if results are like ``info``."""
    width, height = _even(info.width), _even(info.height)
    layout = HALF if info.layout.family == "yuv" else Layout("rgb", 8)
    colour = info.colour
    if layout.family == "yuv":
        colour = replace(colour, full_range=False, centred_chroma=False)
    return replace(info, width=2 * width, height=height, layout=layout, colour=colour)


def _even(size: int) -> int:
    return size + size % 2


class Packed(InTwoSteps):
    """Puts two passes side by side and hands them to a video file."""

    def __init__(self, video: VideoFileSink, colours: Pass = "fgr") -> None:
        """Take over an open file.

        Args:
            video: Where pictures go; opened for ``packed_info``.
            colours: The pass on the left.
        """
        self.path = video.path
        self._video = video
        self._layout, self._colour = video.plan.layout, video.plan.colour
        self._colours: Pass = colours
        self.bytes_expected = video.bytes_expected
        self.description = f"{video.description}: {colours} on the left, matte on the right"

    @property
    def notes(self) -> list[str]:
        """What the file has to say."""
        return self._video.notes

    def write(self, frame: Frame) -> None:
        """Write the two passes of a frame."""
        # As if it were colour of the same kind: no transfer function may touch a matte.
        alike = replace(self._colour, matrix=Matrix.RGB, full_range=True)
        matte = replace(frame.layers["matte"], colour=alike)
        picture = self._beside(frame.layers[self._colours], matte)
        self._video.write(replace(frame, picture=picture, layers={}))

    def _beside(self, left: Picture, right: Picture) -> Picture:
        plain = self._layout.with_alpha(alpha=False)
        halves = [convert(_padded(half), plain, self._colour) for half in (left, right)]
        planes = [np.hstack(pair) for pair in zip(*(half.planes for half in halves), strict=True)]
        return Picture.of(planes, plain, self._colour)

    def finish(self) -> None:
        """See ``InTwoSteps``."""
        self._video.finish()

    def commit(self) -> None:
        """See ``InTwoSteps``."""
        self._video.commit()

    def abandon(self) -> None:
        """See ``InTwoSteps``."""
        self._video.abandon()


def _padded(picture: Picture) -> Picture:
    """Return a picture of even size, without alpha: the last column and row are repeated."""
    width, height = _even(picture.width), _even(picture.height)
    layout = picture.layout.with_alpha(alpha=False)
    if (width, height) == (picture.width, picture.height):
        return picture
    planes: list[Any] = []
    result = Picture.empty(width, height, layout, picture.colour)
    for plane, target in zip(picture.planes, result.planes, strict=True):
        more = [(0, new - old) for new, old in zip(target.shape, plane.shape, strict=True)]
        planes.append(np.pad(plane, more, "edge"))
    return Picture.of(planes, layout, picture.colour)
