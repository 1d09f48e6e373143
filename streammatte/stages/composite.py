"""The subject before its new background: planar, exact to rounding, in the clip's own colour.

Where alpha is 1 the result's sample is the camera's sample, bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.colour import FLOAT, LARGEST_HALF, black_level, white_level
from streammatte.convert import convert
from streammatte.frames import Layout, Picture
from streammatte.light import AS_IT_IS
from streammatte.meters import Meters
from streammatte.options import EdgeOptions, LookOptions
from streammatte.stages import kernels, refine
from streammatte.stages.despill import Screen, despilled
from streammatte.stages.edges import shaped
from streammatte.stages.foreground import black, local_means, plane_alphas
from streammatte.stages.look import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Matte
    from streammatte.light import Working
    from streammatte.options import Decontaminate, Pass, Refine
    from streammatte.stages.backgrounds import Background
    from streammatte.stages.despill import Light

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]


_BLEND = {
    "uint8": kernels.blend8,
    "uint16": kernels.blend16,
    "float32": kernels.blend_float,
}
_ALMOST = np.float32(1 - 2**-12)
"""From here on half precision has nothing but 1."""


class Edges(NamedTuple):
    """How the edges of mattes are made."""

    refine: Refine = "fast"
    """How a matte comes to the frame's size; see ``stages.refine``."""
    decontaminate: Decontaminate = "fast"
    """How soft pixels get the subject's own colour, instead of the mixture with the old background
    that the camera saw; see ``stages.foreground``."""
    by_hand: EdgeOptions = EdgeOptions()
    """How they are moved, softened and bent at last."""


class Wanted(NamedTuple):
    """What becomes of layers."""

    passes: tuple[Pass, ...] = ("comp",)
    premultiplied: bool = False
    """Whether the colours of a comp without a background are."""
    look: LookOptions = LookOptions()
    """How the subject's colours meet the background's."""

    @property
    def shows_colours(self) -> bool:
        """Whether any pass has the subject's colours in it."""
        return bool({"comp", "fgr", "premult"}.intersection(self.passes))


def layers(
    mattes: Iterable[Matte],
    background: Background | None,
    meters: Meters,
    edges: Edges = Edges(),  # noqa: B008  it is frozen
    wanted: Wanted = Wanted(),  # noqa: B008  likewise
    working: Working = AS_IT_IS,
) -> Iterator[Frame]:
    """Make of every matte all pictures that are wanted.

    Args:
        mattes: What to composite.
        background: What goes behind; ``None`` for nothing.
        meters: Told what the parts take.
        edges: How edges are made.
        wanted: Which pictures.
        working: What layers are put together in.

    Yields:
        The frames, ``layers`` having all pictures by name and ``picture`` being the first.
    """
    scaler, screen = VideoReformatter(), Screen(wanted.look.despill)
    for matte in mattes:
        front = replace(matte.frame, picture=working.enter(matte.frame.picture))
        behind = None
        if background is not None and "comp" in wanted.passes:
            with meters.measure("background"):
                behind = background.behind(front, matte.alpha)
        means = None
        if wanted.shows_colours:
            with meters.measure("foreground"):
                means = _means(front.picture, matte.alpha, scaler, edges.decontaminate)
        with meters.measure("enlarge"):
            alpha = _alpha(matte, edges, scaler, front.picture.layout)
        seen = _Seen(matte, front.picture, behind, alpha, means, screen.behind(matte))
        parts = _Parts(seen, edges, wanted, working)
        pictures: dict[str, Picture] = {name: parts.picture(name) for name in wanted.passes}
        first = pictures[wanted.passes[0]]
        yield replace(matte.frame, picture=first, layers=pictures, shown=None)
        del matte, front, behind, parts, pictures, first


def over(
    mattes: Iterable[Matte],
    background: Background,
    meters: Meters,
    edges: Edges = Edges(),  # noqa: B008  it is frozen
) -> Iterator[Frame]:
    """Put every matte's subject before the background; arguments as for ``layers``."""
    return layers(mattes, background, meters, edges)


def cut_out(
    mattes: Iterable[Matte],
    edges: Edges = Edges(),  # noqa: B008  it is frozen
) -> Iterator[Frame]:
    """Give every matte's subject an alpha and nothing behind it: straight, not premultiplied.

    Where edges are decontaminated, colours reach a little beyond the subject, so that no fringe
    shows when the result is scaled; without, what is fully transparent is black. Either way
    nothing of the old background stays.
    """
    return layers(mattes, None, Meters(), edges)


class _Seen(NamedTuple):
    """All that is known of a frame."""

    matte: Matte
    front: Picture
    behind: Picture | None
    alpha: Samples
    means: Floats | None
    spill: Light | None
    """The key screen's light, if it is to be taken out."""


class _Parts:
    """One frame's layers, and the pictures that are made of them."""

    def __init__(self, seen: _Seen, edges: Edges, wanted: Wanted, working: Working) -> None:
        self._seen = seen
        self._edges = edges
        self._wanted = wanted
        self._working = working

    def picture(self, name: Pass) -> Picture:
        """Return a pass, as a sink gets it."""
        if name == "matte":
            return self._grey(self._deep_alpha())
        if name == "confidence":
            return self._grey(_confidence(self._seen.matte, self._seen.front))
        made = {
            "comp": self._comp,
            "fgr": self._foreground,
            "premult": self._premultiplied,
            "plate": self._plate,
        }
        return made[name]()

    def _plate(self) -> Picture:
        """The footage as it came: for those who key it themselves, with the matte as a hint."""
        front = self._seen.front
        return self._left(convert(front, front.layout.with_alpha(alpha=False), front.colour))

    def _comp(self) -> Picture:
        _, front, behind, alpha, means, spill = self._seen
        if behind is None:
            return self._premultiplied() if self._wanted.premultiplied else self._left(self._own)
        if spill is None:
            comp = blend(front, behind, alpha, means)
        else:
            own = convert(self._own, behind.layout, front.colour)
            comp = blend(own, behind, alpha, None)
        return self._left(wrapped(comp, behind, alpha, self._wanted.look.light_wrap))

    def _foreground(self) -> Picture:
        own = self._own
        return self._left(convert(own, own.layout.with_alpha(alpha=False), own.colour))

    def _premultiplied(self) -> Picture:
        # Last, for a curve knows nothing of alpha: code(a * F) is not a * code(F).
        return premultiplied(self._left(self._own))

    def _left(self, picture: Picture) -> Picture:
        return self._working.leave(picture)

    @cached_property
    def _own(self) -> Picture:
        """The subject's own colours, straight, with its alpha."""
        _, front, _, alpha, means, spill = self._seen
        own = isolate(with_room(front), alpha, means)
        if spill is None:
            return own
        return despilled(own, alpha, spill, self._wanted.look.despill_amount)

    def _deep_alpha(self) -> Samples:
        """Return the alpha in 16 bits or more, however few the plate has."""
        matte, alpha = self._seen.matte, self._seen.alpha
        if alpha.dtype != np.uint8:
            return alpha
        return _alpha(matte, self._edges, VideoReformatter(), Layout("rgb", 16))

    def _grey(self, samples: Samples) -> Picture:
        layout = Layout("rgb", FLOAT if samples.dtype == np.float32 else 16)
        return Picture.of([samples] * 3, layout, self._working.data)


def _alpha(matte: Matte, edges: Edges, scaler: VideoReformatter, layout: Layout) -> Samples:
    """Return a matte's alpha at the frame's size and in a layout's depth, its edges as wanted."""
    alpha = full_size(matte, edges.refine, scaler, layout)
    if edges.by_hand:
        alpha = shaped(alpha, edges.by_hand)
    # What half precision cannot tell from 1 is 1, so that colours there are the plate's as well.
    return np.where(alpha > _ALMOST, np.float32(1), alpha) if layout.is_float else alpha


def _confidence(matte: Matte, front: Picture) -> Samples:
    """Return how sure a matte is at every pixel: 1 where it is 0 or 1, 0 where it is a half.

    What was carried along the motion, rather than seen by the network, counts half.
    """
    sure = np.abs(2 * matte.alpha - 1) * np.float32(1 if matte.inferred else 0.5)
    deep = Layout("rgb", FLOAT if front.layout.is_float else 16)
    return refine.enlarge(sure, front.width, front.height, deep)


def premultiplied(picture: Picture) -> Picture:
    """Return a picture with alpha whose colours are multiplied by it; clear is black."""
    assert picture.alpha is not None
    result = Picture.empty(picture.width, picture.height, picture.layout, picture.colour)
    assert result.alpha is not None
    result.alpha[:] = picture.alpha
    whole = np.float32(picture.layout.peak)
    for index, coverage in enumerate(plane_alphas(picture, picture.alpha)):
        level = black(picture)[index]
        scaled = level + coverage / whole * (picture.planes[index] - level)
        result.planes[index][:] = scaled if picture.layout.is_float else np.rint(scaled)
    return result


def with_room(picture: Picture) -> Picture:
    """Return the picture in a layout that can have alpha as well: nearly always itself."""
    layout = picture.layout.with_alpha(alpha=True)
    return convert(picture, replace(layout, alpha=picture.layout.alpha), picture.colour)


def full_size(
    matte: Matte,
    quality: Refine = "fast",
    scaler: VideoReformatter | None = None,
    layout: Layout | None = None,
) -> Samples:
    """Return a matte's alpha at the frame's size: uint8, uint16 or float32.

    Args:
        matte: The matte.
        quality: How it is enlarged; see ``refine``.
        scaler: Used from this thread alone; a new one if it is not given.
        layout: Whose depth it gets; the frame's own if it is not given.
    """
    picture = matte.frame.picture
    layout = layout or picture.layout
    if quality == "fine" and matte.alpha.shape != (picture.height, picture.width):
        guide = matte.frame.looks
        fine = refine.enlarge_fine(matte.alpha, guide, scaler or VideoReformatter())
        return refine.in_depth(fine, layout)
    return refine.enlarge(matte.alpha, picture.width, picture.height, layout)


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
    if layout.is_float and means is not None:
        front, means = convert(isolate(front, alpha, means), layout, front.colour), None
    result = Picture.empty(front.width, front.height, layout, front.colour)
    kernel = _BLEND[alpha.dtype.name]
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
            unmix = kernels.unmix_float if layout.is_float else kernels.unmix
            unmix(target, plane, coverage, means[index], *_limits(front, index))
    assert result.alpha is not None
    opaque = refine.opaque(alpha)
    if layout.peak == opaque:
        result.alpha[:] = alpha
    else:
        result.alpha[:] = np.rint(alpha * np.float32(layout.peak / opaque))
    return result


def _limits(picture: Picture, index: int) -> tuple[np.float32, np.float32]:
    """Return the least and greatest sample that an estimated colour may have."""
    depth, colour = picture.layout.depth, picture.colour
    if picture.layout.is_float:
        return np.float32(0), np.float32(LARGEST_HALF)
    if index == 0 or picture.layout.family == "rgb":
        return np.float32(black_level(colour, depth)), np.float32(white_level(colour, depth))
    if colour.full_range:
        return np.float32(0), np.float32(picture.layout.peak)
    return np.float32(16 << (depth - 8)), np.float32(240 << (depth - 8))
