"""The subject before its new background: planar, exact to rounding, in the clip's own colour.

Where alpha is 1 the result's sample is the camera's sample, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.colour import black_level, white_level
from streammatte.convert import convert
from streammatte.frames import Picture
from streammatte.stages import kernels, refine
from streammatte.stages.foreground import black, local_means, plane_alphas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Matte
    from streammatte.meters import Meters
    from streammatte.options import Decontaminate, Refine
    from streammatte.stages.backgrounds import Background

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]


class Edges(NamedTuple):
    """How the edges of mattes are made."""

    refine: Refine = "fast"
    """How a matte comes to the frame's size; see ``stages.refine``."""
    decontaminate: Decontaminate = "fast"
    """How soft pixels get the subject's own colour, instead of the mixture with the old background
    that the camera saw; see ``stages.foreground``."""


def over(
    mattes: Iterable[Matte],
    background: Background,
    meters: Meters,
    edges: Edges = Edges(),  # noqa: B008  it is frozen
) -> Iterator[Frame]:
    """Put every matte's subject before the background.

    Args:
        mattes: What to composite.
        background: What goes behind.
        meters: Told what the parts take.
        edges: How edges are made.
    """
    scaler = VideoReformatter()
    for matte in mattes:
        with meters.measure("background"):
            behind = background.behind(matte.frame, matte.alpha)
        with meters.measure("foreground"):
            means = _means(matte.frame.picture, matte.alpha, scaler, edges.decontaminate)
        with meters.measure("enlarge"):
            alpha = full_size(matte, edges.refine, scaler)
        picture = blend(matte.frame.picture, behind, alpha, means)
        yield replace(matte.frame, picture=picture)
        del matte, picture


def cut_out(
    mattes: Iterable[Matte],
    edges: Edges = Edges(),  # noqa: B008  it is frozen
) -> Iterator[Frame]:
    """Give every matte's subject an alpha and nothing behind it: straight, not premultiplied.

    Where edges are decontaminated, colours reach a little beyond the subject, so that no fringe
    shows when the result is scaled; without, what is fully transparent is black. Either way
    nothing of the old background stays.
    """
    scaler = VideoReformatter()
    for matte in mattes:
        picture = with_room(matte.frame.picture)
        means = _means(picture, matte.alpha, scaler, edges.decontaminate)
        alpha = full_size(matte, edges.refine, scaler)
        yield replace(matte.frame, picture=isolate(picture, alpha, means))
        del matte, picture


def with_room(picture: Picture) -> Picture:
    """Return the picture in a layout that can have alpha as well: nearly always itself."""
    layout = picture.layout.with_alpha(alpha=True)
    return convert(picture, replace(layout, alpha=picture.layout.alpha), picture.colour)


def full_size(
    matte: Matte, quality: Refine = "fast", scaler: VideoReformatter | None = None
) -> Samples:
    """Return a matte's alpha at the frame's size and depth: uint8 or uint16.

    Args:
        matte: The matte.
        quality: How it is enlarged; see ``refine``.
        scaler: Used from this thread alone; a new one if it is not given.
    """
    picture = matte.frame.picture
    if quality == "fine":
        return refine.enlarge_fine(matte.alpha, picture, scaler or VideoReformatter())
    return refine.enlarge(matte.alpha, picture.width, picture.height, picture.layout)


def _means(
    picture: Picture, alpha: Floats, scaler: VideoReformatter, how: Decontaminate
) -> Floats | None:
    """Estimate the layers' colours, if that is wanted."""
    return None if how == "off" else local_means(picture, alpha, scaler, how)


def blend(front: Picture, behind: Picture, alpha: Samples, means: Floats | None) -> Picture:
    """Return ``front`` over ``behind``, without alpha.

    Args:
        front: The camera's picture.
        behind: Same size, layout and colour.
        alpha: ``[h, w]``: uint8 for 8-bit layouts, else uint16.
        means: From ``foreground.local_means``, to correct the colours of soft pixels; or ``None``.
    """
    layout = front.layout.with_alpha(alpha=False)
    result = Picture.empty(front.width, front.height, layout, front.colour)
    kernel = kernels.blend8 if alpha.dtype == np.uint8 else kernels.blend16
    for index, coverage in enumerate(plane_alphas(front, alpha)):
        planes = (result.planes[index], front.planes[index], behind.planes[index], coverage)
        kernel(*planes)
        if means is not None:
            kernels.blend_soft(*planes, means[index], *_limits(front, index))
    return result


def isolate(front: Picture, alpha: Samples, means: Floats | None) -> Picture:
    """Return ``front`` with ``alpha``, its colours straight; arguments as for ``blend``."""
    layout = front.layout.with_alpha(alpha=True)
    result = Picture.empty(front.width, front.height, layout, front.colour)
    nothing = black(front)
    for index, coverage in enumerate(plane_alphas(front, alpha)):
        target, plane = result.planes[index], front.planes[index]
        if means is None:
            target[:] = np.where(coverage > 0, plane, plane.dtype.type(nothing[index]))
        else:
            kernels.unmix(target, plane, coverage, means[index], *_limits(front, index))
    assert result.alpha is not None
    opaque = np.iinfo(alpha.dtype).max
    if layout.peak == opaque:
        result.alpha[:] = alpha
    else:
        result.alpha[:] = np.rint(alpha * np.float32(layout.peak / opaque))
    return result


def _limits(picture: Picture, index: int) -> tuple[np.float32, np.float32]:
    """Return the least and greatest sample that an estimated colour may have."""
    depth, colour = picture.layout.depth, picture.colour
    if index == 0 or picture.layout.family == "rgb":
        return np.float32(black_level(colour, depth)), np.float32(white_level(colour, depth))
    if colour.full_range:
        return np.float32(0), np.float32(picture.layout.peak)
    return np.float32(16 << (depth - 8)), np.float32(240 << (depth - 8))
