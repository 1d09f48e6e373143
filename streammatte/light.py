"""What layers are put together in: the plate's own samples, or linear light in floating point.

Most footage stays what it is, planar Y'CbCr, from the decoder to the encoder. Linear light is for
compositors: ``--linear``, plates in OpenEXR, and what is written as OpenEXR.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streammatte.colour import (
    FLOAT,
    LARGEST_HALF,
    LINEAR,
    PRIMARIES_BT709,
    SRGB,
    TRANSFER_BT709,
    TRANSFER_LINEAR,
    Colour,
    Matrix,
    from_linear,
    through_light,
    to_linear,
)
from streammatte.convert import convert, from_rgb, to_rgb
from streammatte.frames import Layout, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import VideoInfo
    from streammatte.options import ColourOptions

    Floats = NDArray[np.float32]

LIGHT = Layout("rgb", FLOAT)
SHOWN = Layout("rgb", 16)


class Working(Protocol):
    """What layers are put together in, and the ways in and out."""

    @property
    def notes(self) -> list[str]:
        """What was assumed or lost on the way, one sentence each."""

    @property
    def data(self) -> Colour:
        """What is said of the samples of a pass that is no colour, such as a matte."""

    def inside(self, info: VideoInfo) -> VideoInfo:
        """Return what footage is like inside: for backgrounds."""

    def outside(self, info: VideoInfo) -> VideoInfo:
        """Return what results of footage are like: for sinks."""

    def enter(self, picture: Picture) -> Picture:
        """Bring a plate's picture in."""

    def adapt(self, picture: Picture, layout: Layout, colour: Colour) -> Picture:
        """Bring in any other picture, such as a background's."""

    def leave(self, picture: Picture) -> Picture:
        """Give a result the meaning that the sink writes."""

    def shown(self, picture: Picture) -> Picture | None:
        """Return what a display would show of a plate's picture, if it is not like that itself."""


class AsItIs:
    """Layers are put together in the plate's own samples."""

    def __init__(self, data: Colour = SRGB) -> None:
        self._data = data

    @property
    def data(self) -> Colour:
        """The plate's transfer function and primaries."""
        return self._data

    @property
    def notes(self) -> list[str]:
        """Nothing is lost."""
        return []

    def inside(self, info: VideoInfo) -> VideoInfo:
        """Return it."""
        return info

    def outside(self, info: VideoInfo) -> VideoInfo:
        """Return it."""
        return info

    def enter(self, picture: Picture) -> Picture:
        """Return it."""
        return picture

    def adapt(self, picture: Picture, layout: Layout, colour: Colour) -> Picture:
        """Convert it."""
        return convert(picture, layout, colour)

    def leave(self, picture: Picture) -> Picture:
        """Return it."""
        return picture

    def shown(self, picture: Picture) -> Picture | None:  # noqa: ARG002  the contract
        """Return nothing: it is."""
        return None


AS_IT_IS = AsItIs()


class Linear:
    """Layers are put together in linear light, float32 R, G and B in the plate's primaries.

    1 is white. What leaves is linear, too, or has the plate's transfer function again: where only
    the plate is seen, its values come back. The curves are those of ``colour.to_linear``.
    """

    def __init__(self, plate: Colour, *, stays: bool) -> None:
        """Prepare the way in and out.

        Args:
            plate: What the plate's samples mean.
            stays: Whether what is written is linear as well.
        """
        self._light = Colour(Matrix.RGB, True, plate.primaries, TRANSFER_LINEAR)
        curve = TRANSFER_BT709 if plate.is_linear else plate.transfer
        primaries = PRIMARIES_BT709 if plate.is_linear and not plate.is_wide else plate.primaries
        coded = Colour(Matrix.RGB, True, primaries, curve)
        self._out = self._light if stays else coded
        self._stays = stays
        self._plate = plate

    @property
    def notes(self) -> list[str]:
        """Nothing is lost."""
        return []

    @property
    def data(self) -> Colour:
        """What leaves."""
        return self._out

    def inside(self, info: VideoInfo) -> VideoInfo:
        """Return it in linear light."""
        return replace(info, layout=LIGHT, colour=self._light)

    def outside(self, info: VideoInfo) -> VideoInfo:
        """Return it as it leaves: a plate that had a transfer function is told as it was."""
        if self._stays:
            return self.inside(info)
        if self._plate.is_linear:
            return replace(info, layout=Layout("rgb", 10), colour=self._out)
        return info

    def enter(self, picture: Picture) -> Picture:
        """Linearise it."""
        if picture.layout.is_float and picture.colour.is_linear:
            return picture
        layout = LIGHT.with_alpha(alpha=picture.alpha is not None)
        light = from_rgb(
            to_linear(to_rgb(picture, reversible=True), picture.colour), layout, self._light
        )
        return with_alpha_of(picture, light)

    def adapt(self, picture: Picture, layout: Layout, colour: Colour) -> Picture:
        """Convert it."""
        return convert(picture, layout, colour)

    def leave(self, picture: Picture) -> Picture:
        """Give it the plate's transfer function again, unless it stays linear."""
        if self._stays:
            return picture
        coded = from_rgb(from_linear(to_rgb(picture), self._out), picture.layout, self._out)
        return with_alpha_of(picture, coded)

    def shown(self, picture: Picture) -> Picture | None:
        """Return a plate in linear light as a display in standard range would show it."""
        if not picture.colour.is_linear:
            return None
        if picture.colour.is_wide or not picture.layout.is_float:
            return from_rgb(through_light(to_rgb(picture), picture.colour, SRGB), SHOWN, SRGB)
        return displayed(list(picture.planes))


def displayed(planes: list[Floats]) -> Picture:
    """Return linear light of BT.709's primaries as a display in standard range would show it.

    Args:
        planes: G, B and R, float32 ``[h, w]``, 1 being white. They are looked up by the bits of
            their halves, a fifth of the work: eleven bits are enough to be looked at.
    """
    with np.errstate(over="ignore"):
        codes = [_display_codes()[plane.astype(np.float16).view(np.uint16)] for plane in planes]
    return Picture.of(codes, SHOWN, SRGB)


@lru_cache(maxsize=1)
def _display_codes() -> NDArray[np.uint16]:
    """Return what a display in standard range is sent for every number of half precision."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    light = np.nan_to_num(halves, nan=0, posinf=LARGEST_HALF, neginf=-LARGEST_HALF)
    grey = np.repeat(light[:, None], 3, axis=1)
    shown = through_light(grey, LINEAR, SRGB)
    return np.rint(shown[:, 0] * SHOWN.peak).astype(np.uint16)


def with_alpha_of(picture: Picture, result: Picture) -> Picture:
    """Give ``result``, a picture in floating point, the alpha that ``picture`` has, if any."""
    if result.alpha is not None and picture.alpha is not None:
        result.alpha[:] = picture.alpha / np.float32(picture.layout.peak)
    return result


def open_working(info: VideoInfo, options: ColourOptions, *, stays: bool) -> Working:
    """Choose what the layers of footage are put together in.

    Args:
        info: The footage.
        options: What is asked for; any space or configuration of OpenColorIO's lets that rule.
        stays: Whether what is written is linear: OpenEXR.

    Raises:
        StreamMatteError: if OpenColorIO is to rule and cannot; see ``ocio.OcioWorking``.
    """
    if options.ocio or options.input_space or options.working_space or options.output_space:
        from streammatte.ocio import OcioWorking

        return OcioWorking(options, info, stays=stays)
    if options.linear or stays or info.colour.is_linear:
        return Linear(info.colour, stays=stays)
    return AsItIs(replace(info.colour, matrix=Matrix.RGB, full_range=True, space=""))
