"""Pictures from one layout and colour to another, exact to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.colour import (
    Colour,
    Matrix,
    needs_light,
    rgb_from_parts,
    sample_levels,
    samples_from_rgb,
    through_light,
)
from streammatte.frames import Layout, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def convert(picture: Picture, layout: Layout, colour: Colour) -> Picture:
    """Return ``picture`` stored as ``layout`` with samples that mean what ``colour`` says.

    Alpha is kept if the layout has room for it, and opaque if the picture had none. Returns the
    same object if there is nothing to do.
    """
    if (picture.layout, _meaning(picture.colour)) == (layout, _meaning(colour)):
        return picture
    same = picture.layout.family == layout.family and _meaning(picture.colour) == _meaning(colour)
    if same and not (picture.layout.is_float or layout.is_float):
        planes = [
            _deepen(plane, picture.layout, layout, colour, chroma=index > 0)
            for index, plane in enumerate(_resample_chroma(picture, layout))
        ]
        result = Picture.of(planes, layout, colour)
    else:
        rgb = to_rgb(picture)
        if needs_light(picture.colour, colour):
            rgb = through_light(rgb, picture.colour, colour)
        result = from_rgb(rgb, layout, colour)
    if result.alpha is not None:
        result.alpha[:] = layout.peak if picture.alpha is None else _alpha(picture, layout)
    return result


def to_rgb(picture: Picture, *, reversible: bool = False) -> Floats:
    """Return non-linear R'G'B': float32 ``[h, w, 3]``, nominally 0..1, not clipped.

    Args:
        picture: Any.
        reversible: Bring subsampled chroma up so that ``from_rgb`` averages it to the very codes it
            came from. Plain interpolation, the default, would soften it on the way there and back.
    """
    planes = [plane.astype(np.float32) for plane in picture.planes]
    if picture.layout.family == "rgb":
        green, blue, red = planes
        planes = [red, green, blue]
    else:
        size = (picture.width, picture.height)
        if reversible:
            planes[1:] = [_crisp(plane, picture.layout) for plane in planes[1:]]
        planes[1:] = [
            _upsample(plane, size, picture.layout, picture.colour) for plane in planes[1:]
        ]
    # Divided rather than multiplied by a rounded share, so that white is 1 to the last bit.
    for plane, nothing, codes in zip(
        planes, *sample_levels(picture.colour, picture.layout.depth), strict=True
    ):
        np.subtract(plane, nothing, plane)
        np.divide(plane, codes, plane)
    parts = cv2.merge(planes)
    if picture.layout.family == "rgb":
        return np.asarray(parts, np.float32)
    return np.asarray(cv2.transform(parts, rgb_from_parts(picture.colour)), np.float32)


def from_rgb(rgb: Floats, layout: Layout, colour: Colour) -> Picture:
    """Store non-linear R'G'B' (float32 ``[h, w, 3]``, 0..1) in a new picture; alpha undefined."""
    samples = cv2.transform(
        np.ascontiguousarray(rgb, np.float32), samples_from_rgb(colour, layout.depth)
    )
    first, second, third = cv2.split(samples)
    if layout.family == "rgb":
        planes = [second, third, first]
    else:
        planes = [first, *(_downsample(plane, layout, colour) for plane in (second, third))]
    return Picture.of([_rounded(plane, layout) for plane in planes], layout, colour)


def _meaning(colour: Colour) -> tuple[Any, ...]:
    """Return the part of a colour that a conversion must heed; BT.601's two names are one."""
    matrix = Matrix.SMPTE170M if colour.matrix is Matrix.BT470BG else colour.matrix
    hdr = colour.transfer if colour.is_hdr or colour.is_linear else 0
    return matrix, colour.full_range, hdr, colour.is_wide


def _rounded(plane: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout.is_float:
        return plane
    return np.asarray(np.clip(np.rint(plane), 0, layout.peak), layout.dtype)


def _deepen(
    plane: NDArray[Any], source: Layout, target: Layout, colour: Colour, *, chroma: bool
) -> NDArray[Any]:
    """Change the number of bits: by a shift for limited range, by the peaks for full range."""
    if source.depth == target.depth:
        return plane if plane.dtype == target.dtype else _rounded(plane, target)
    if not colour.full_range:
        factor = 2.0 ** (target.depth - source.depth)
        return _rounded(plane.astype(np.float32) * factor, target)
    # Full range stretches chroma away from grey, which lies half a code above the middle.
    old, new = (source.neutral, target.neutral) if chroma and source.family == "yuv" else (0, 0)
    scaled = (plane.astype(np.float64) - old) * (target.peak / source.peak) + new
    return _rounded(scaled, target)


def _alpha(picture: Picture, layout: Layout) -> NDArray[Any]:
    assert picture.alpha is not None
    if picture.layout.depth == layout.depth:
        return picture.alpha
    scaled = picture.alpha.astype(np.float64) * (layout.peak / picture.layout.peak)
    return _rounded(scaled, layout)


def _resample_chroma(picture: Picture, layout: Layout) -> list[NDArray[Any]]:
    old = picture.layout
    if (old.chroma_x, old.chroma_y) == (layout.chroma_x, layout.chroma_y):
        return list(picture.planes)
    luma, *chroma = picture.planes
    size = (picture.width, picture.height)
    full = [_upsample(plane.astype(np.float32), size, old, picture.colour) for plane in chroma]
    return [luma, *(_downsample(plane, layout, picture.colour) for plane in full)]


_POLE = 2 * np.sqrt(2) - 3
_CRISP = np.sqrt(2) * _POLE ** np.abs(np.arange(-10, 11))
"""Undoes what ``_upsample`` and ``_downsample`` do to a row of chroma together: (1 6 1) / 8."""
_AS_IT_IS = np.ones(1)


def _crisp(plane: Floats, layout: Layout) -> Floats:
    """Sharpen a chroma plane by as much as going to luma's size and back will soften it."""
    across, down = (_CRISP if step else _AS_IT_IS for step in (layout.chroma_x, layout.chroma_y))
    sharp = cv2.sepFilter2D(plane, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT)
    return np.asarray(sharp, np.float32)


def _upsample(plane: Floats, size: tuple[int, int], layout: Layout, colour: Colour) -> Floats:
    """Bring a chroma plane to luma size ``(width, height)``, linearly, from where it lies."""
    if not (layout.chroma_x or layout.chroma_y):
        return plane
    shift_x = 0.0 if not layout.chroma_x or not colour.centred_chroma else -0.25
    shift_y = -0.25 if layout.chroma_y else 0.0
    to_chroma = np.array(
        [[0.5**layout.chroma_x, 0, shift_x], [0, 0.5**layout.chroma_y, shift_y]], np.float64
    )
    return np.asarray(
        cv2.warpAffine(
            plane,
            to_chroma,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _downsample(plane: Floats, layout: Layout, colour: Colour) -> Floats:
    """Bring a luma-sized plane to chroma size, averaging where the chroma samples lie."""
    if layout.chroma_y:
        rows = np.pad(plane, ((0, plane.shape[0] % 2), (0, 0)), "edge")
        plane = (rows[::2] + rows[1::2]) * np.float32(0.5)
    if layout.chroma_x:
        columns = np.pad(plane, ((0, 0), (1, plane.shape[1] % 2)), "edge")
        if colour.centred_chroma:
            plane = (columns[:, 1::2] + columns[:, 2::2]) * np.float32(0.5)
        else:
            left, middle, right = columns[:, :-1:2], columns[:, 1::2], columns[:, 2::2]
            plane = (left + 2 * middle + right) * np.float32(0.25)
    return plane
