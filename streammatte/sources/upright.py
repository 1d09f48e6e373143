"""Stored pixels made upright: phones and cameras leave turning them to the player."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from streammatte.convert import convert
from streammatte.frames import Layout, Picture
from streammatte.sources.deinterlace import filter_chain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streammatte.colour import Colour


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pixels become upright: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @staticmethod
    def of(frame: av.VideoFrame) -> Orientation:
        """Read FFmpeg's display matrix, rounded to quarter turns (as libavutil/display.h)."""
        for data in _side_data(frame):
            if data.type == SideDataType.DISPLAYMATRIX:
                a, b, _, c, d, *_ = np.frombuffer(data, np.int32)
                if abs(int(a)) >= abs(int(b)):
                    return Orientation(mirror_x=bool(a < 0), mirror_y=bool(d < 0))
                return Orientation(True, bool(c < 0), bool(b < 0))
        return Orientation()

    def __bool__(self) -> bool:
        return self.transpose or self.mirror_x or self.mirror_y

    def upright(self, picture: Picture, colour: Colour) -> Picture:
        """Return a copy of ``picture`` with its pixels turned."""
        width, height = picture.width, picture.height
        if self.transpose:
            width, height = height, width
            picture = convert(picture, _turnable(picture.layout), colour)
        old = picture.layout
        x, y = (old.chroma_y, old.chroma_x) if self.transpose else (old.chroma_x, old.chroma_y)
        turned = Picture.empty(width, height, replace(old, chroma_x=x, chroma_y=y), colour)
        for target, plane in zip(turned.planes, picture.planes, strict=True):
            target[:] = self._turn(plane)
        if turned.alpha is not None and picture.alpha is not None:
            turned.alpha[:] = self._turn(picture.alpha)
        return turned

    def _turn(self, plane: Any) -> Any:
        if self.transpose:
            plane = cv2.transpose(plane)
        if self.mirror_x or self.mirror_y:
            code = {(True, False): 1, (False, True): 0, (True, True): -1}
            plane = cv2.flip(plane, code[self.mirror_x, self.mirror_y])
        return plane


def _turnable(layout: Layout) -> Layout:
    """Return the layout itself, or 4:4:4 if FFmpeg cannot store it lying on its side."""
    lying = replace(layout, chroma_x=layout.chroma_y, chroma_y=layout.chroma_x)
    try:
        av.VideoFormat(lying.name)
    except ValueError:
        return replace(layout, chroma_x=0, chroma_y=0)
    return layout


def _side_data(frame: av.VideoFrame) -> list[Any]:
    """Return the side data of a frame that PyAV can be trusted with.

    Of kinds that it does not know, such as the EXIF of every photograph, PyAV makes an error; and
    that of a colour profile it frees twice, which ends the process. A filter takes those away.
    """
    known = len(SideDataType)
    gone = (SideDataType.ICC_PROFILE.value, *range(known, known + 16))
    filters = (("sidedata", f"mode=delete:type={kind}") for kind in gone)
    graph = filter_chain(frame, Fraction(1), *filters)
    graph.push(frame)
    return list(cast("Iterable[Any]", cast("av.VideoFrame", graph.pull()).side_data))
