"""Photographs of products: cut down to the subject, with room around it, on a canvas.

Picture and matte are brought there together and before anything is put behind, so that a
background fills the result and not the photograph.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.errors import UsageError
from streammatte.frames import Matte, Picture
from streammatte.options import LARGEST
from streammatte.stages.composite import full_size
from streammatte.stages.refine import opaque
from streammatte.stills.shadow import REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.options import Refine, StillOptions

    Floats = NDArray[np.float32]

LEAST_SOLID = 0.1
"""The alpha from which a pixel belongs to the subject's outline; below lies haze."""


class Box(NamedTuple):
    """A part of a picture, in pixels; it may reach beyond its edges."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Rows."""
        return self.bottom - self.top

    @property
    def middle(self) -> tuple[float, float]:
        """The point in its middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


class Place(NamedTuple):
    """How a photograph lies on its canvas."""

    size: tuple[int, int]
    """``(width, height)`` of the canvas."""
    scale: float
    """Of the photograph."""
    corner: tuple[int, int]
    """Where the scaled photograph's left upper corner lies on the canvas."""


def outline(alpha: Floats) -> Box | None:
    """Return the least box around the subject; ``None`` if there is none.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
    """
    solid = alpha >= LEAST_SOLID
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not rows.size:
        return None
    return Box(*(float(x) for x in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))


def place(whole: tuple[int, int], subject: Box | None, wish: StillOptions) -> Place:
    """Decide where a photograph lies.

    Args:
        whole: Its ``(width, height)``.
        subject: Where its subject is; ``None`` if there is none.
        wish: What is asked for.

    Raises:
        UsageError: if the result would be larger than any file holds.
    """
    photograph = Box(0, 0, *whole)
    shown = subject if wish.trim and subject is not None else photograph
    if wish.shadow != "off" and shown is subject:
        shown = _with_room_for_shadow(shown)
    anchor = (subject if wish.centre and subject is not None else shown).middle
    if wish.canvas is None:
        pad = wish.pad_pixels + wish.pad_share * max(shown.width, shown.height)
        size, scale = (round(shown.width + 2 * pad), round(shown.height + 2 * pad)), 1.0
    else:
        size = wish.canvas
        pad = wish.pad_pixels + wish.pad_share * min(size)
        scale = min((size[0] - 2 * pad) / shown.width, (size[1] - 2 * pad) / shown.height)
    scaled = [max(1, round(side * scale)) for side in whole]
    if max(*size, *scaled) > 2 * LARGEST:
        raise UsageError(f"--pad and --canvas ask for {size[0]}x{size[1]} pixels; ask for less")
    corner = [round(side / 2 - at * scale) for side, at in zip(size, anchor, strict=True)]
    return Place(size, scale, (corner[0], corner[1]))


def _with_room_for_shadow(box: Box) -> Box:
    room = REACH * max(box.width, box.height)
    return Box(box.left - room, box.top, box.right + room, box.bottom + room)


def placed(matte: Matte, how: Refine, wish: StillOptions) -> tuple[Matte, Box | None]:
    """Bring a photograph and its matte to where they are wanted.

    Args:
        matte: Of the photograph.
        how: How its matte comes to the photograph's size.
        wish: What is asked for.

    Returns:
        The matte, at its frame's size, and where the subject is now; ``None`` if there is none.
    """
    picture = matte.frame.picture
    samples = full_size(matte, how)
    alpha = np.asarray(samples / np.float32(opaque(samples)), np.float32)
    subject = outline(alpha)
    where = place((picture.width, picture.height), subject, wish)
    frame = replace(matte.frame, picture=_moved(picture, where))
    if matte.frame.shown is not None:
        frame = replace(frame, shown=_moved(matte.frame.shown, where))
    size = _scaled_size(picture, where)
    if size != (picture.width, picture.height):
        how_ = cv2.INTER_AREA if where.scale < 1 else cv2.INTER_CUBIC
        alpha = np.clip(cv2.resize(alpha, size, interpolation=how_), 0, 1)
    canvas = np.zeros((where.size[1], where.size[0]), np.float32)
    _lay(canvas, alpha, where.corner, edge=False)
    return replace(matte, frame=frame, alpha=canvas), outline(canvas) if subject else None


def _scaled_size(picture: Picture, where: Place) -> tuple[int, int]:
    width, height = (max(1, round(side * where.scale)) for side in (picture.width, picture.height))
    return width, height


def _moved(picture: Picture, where: Place) -> Picture:
    """Return a picture of R, G and B on its canvas; what lies beyond it continues its edges."""
    size = _scaled_size(picture, where)
    if size != (picture.width, picture.height):
        picture = picture.scaled(*size, picture.layout, VideoReformatter())
    if (size, where.corner) == (where.size, (0, 0)):
        return picture
    result = Picture.empty(*where.size, picture.layout, picture.colour)
    for target, plane in zip(result.planes, picture.planes, strict=True):
        _lay(target, plane, where.corner, edge=True)
    if result.alpha is not None and picture.alpha is not None:
        result.alpha[:] = 0
        _lay(result.alpha, picture.alpha, where.corner, edge=False)
    return result


def _lay(
    canvas: NDArray[np.generic], patch: NDArray[np.generic], corner: tuple[int, int], *, edge: bool
) -> None:
    """Lay ``patch`` on ``canvas``, cropping what hangs over.

    Args:
        canvas: Written to.
        patch: What is laid on it.
        corner: ``(x, y)`` of its left upper corner.
        edge: Whether its edges are continued over the rest of the canvas.
    """
    columns, rows = (
        np.arange(length) - start for length, start in zip(canvas.shape[::-1], corner, strict=True)
    )
    if edge:
        rows, columns = (
            np.clip(index, 0, length - 1)
            for index, length in zip((rows, columns), patch.shape, strict=True)
        )
        canvas[:] = patch[rows[:, None], columns]
        return
    inside = [
        np.flatnonzero((index >= 0) & (index < length))
        for index, length in zip((rows, columns), patch.shape, strict=True)
    ]
    if all(index.size for index in inside):
        (top, bottom), (left, right) = ((index[0], index[-1] + 1) for index in inside)
        canvas[top:bottom, left:right] = patch[
            rows[top] : rows[bottom - 1] + 1, columns[left] : columns[right - 1] + 1
        ]
