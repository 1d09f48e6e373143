"""What moved where between two frames, and how far that explains the picture.

Dense inverse search (Kroeger, Timofte, Dai and Van Gool: Fast Optical Flow using Dense Inverse
Search, 2016) on small pictures, which takes about a millisecond. A flow is believed only where the
picture, carried along it, looks like the picture that it should explain: the difference is counted
in units of what the whole picture differs by, which is its noise. So grain and compression are no
motion, and what was covered before, left the picture or is blurred beyond finding is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST_PIXELS = 288 * 162
"""Of the small picture: smaller ones lose thin things; 352 x 201 holds mattes no stiller (within
0.3 % of dtSSD) and takes half as long again."""
FINEST = 1
"""Halvings of the small picture down to which is searched: whole it takes five times as long, at a
quarter of its size the edges of what moves are not found."""
LEAST_SIDE = 32
"""Of the small picture, in pixels, or no flow is looked for: its patches would not fit."""
STRIDE = 5
"""Pixels between its patches of 8; 4 takes half as long again."""
SOFTENING = 1.5
"""Standard deviation, in pixels, over which the unexplained difference is averaged."""
LEAST_NOISE, MOST_NOISE = 1.5, 4.0
"""Codes between which the noise is believed to be: where most of a picture stands perfectly still
the rest is not carried without rounding, and one that differs everywhere is not noisy but another
one."""
EXPLAINED, UNEXPLAINED = 1.5, 6.0
"""Differences, in units of the noise, up to which a flow is believed, and from which it is not."""
STILL = 0.75
"""Codes: pictures that nowhere differ by more are the same one."""
ROUNDING = 1e-6
LEAST_TRUST = 0.35
"""Mean trust below which a flow explains nothing: the few places that fit do so by chance."""


@dataclass(frozen=True, slots=True)
class Look:
    """A small picture of a frame, to find motion in; made once a frame."""

    colours: NDArray[np.uint8]
    """R'G'B' ``[h, w, 3]``."""
    luma: NDArray[np.uint8]
    """``[h, w]``."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the things in one picture were in another one."""

    flow: Floats
    """``[h, w, 2]``: x and y, in pixels of the small picture, from here to where it was there."""
    trust: Floats
    """``[h, w]`` in 0..1: how far the flow explains what is seen here."""
    still: bool = False
    """Whether nothing moved at all; the flow is 0 then."""
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None = None
    """The flow as OpenCV takes it quickest, for mattes that are carried along it more than once."""


def look(view: NDArray[np.uint8]) -> Look:
    """Return a small picture of a frame.

    Args:
        view: R'G'B' ``[h, w, 3]``, of any size.
    """
    height, width = view.shape[:2]
    scale = (MOST_PIXELS / (height * width)) ** 0.5
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # Averaging whole pixels is slow, and not needed where few go into one.
        way = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # noqa: PLR2004
        view = np.asarray(cv2.resize(view, size, interpolation=way))
    return Look(view, np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)))


def motion(now: Look, before: Look, unexplained: float = UNEXPLAINED) -> Motion:
    """Find where the things that one picture shows were in another.

    Args:
        now: What is to be explained.
        before: What is to explain it; an earlier picture or a later one.
        unexplained: The difference, in units of the noise, from which a flow is not believed.

    Raises:
        ValueError: if their sizes differ.
    """
    if now.luma.shape != before.luma.shape:
        raise ValueError(f"pictures of {now.luma.shape} and {before.luma.shape} show no motion")
    zero = np.zeros((*now.luma.shape, 2), np.float32)
    difference = _difference(now.colours, before.colours)
    if difference.max() <= STILL:
        return Motion(zero, np.ones(now.luma.shape, np.float32), still=True)
    if min(now.luma.shape) < LEAST_SIDE:
        return Motion(zero, _trust(difference, zero, unexplained))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(FINEST)
    search.setPatchStride(STRIDE)
    flow = np.asarray(search.calc(now.luma, before.luma, None), np.float32)
    difference = _difference(now.colours, _pulled(before.colours, flow))
    return Motion(flow, _trust(difference, flow, unexplained))


def carried(alpha: Floats, motion: Motion) -> Floats:
    """Return another picture's matte, brought to where its things are in this one.

    Cubic, for what is carried from frame to frame would be blurred a little more each time.

    Args:
        alpha: float32 ``[h, w]`` in 0..1 of any size, over the same field of view as the pictures.
        motion: From this picture to the other.

    Returns:
        float32 ``[h, w]`` in 0..1; ``alpha`` itself if nothing moved.
    """
    if motion.still:
        return alpha
    pulled = _along(alpha, motion, cv2.INTER_CUBIC)
    # Cubic weights add up to 1 but for rounding; what is solid is to stay so exactly.
    pulled = pulled * np.float32(1 + 2 * ROUNDING) - np.float32(ROUNDING)
    return np.asarray(np.clip(pulled, 0, 1, out=pulled), np.float32)


def carried_weight(weight: Floats, motion: Motion) -> Floats:
    """Return what another picture's matte weighs, brought to where its things are in this one.

    Args:
        weight: float32 ``[h, w]``, 0 or more, of any size.
        motion: From this picture to the other.

    Returns:
        float32 ``[h, w]``; never beyond what was there. ``weight`` itself if nothing moved.
    """
    return weight if motion.still else _along(weight, motion, cv2.INTER_LINEAR)


def at_size(motion: Motion, shape: tuple[int, ...]) -> Motion:
    """Return a motion for mattes of a size, ``(h, w)``: with trust of that size, and maps.

    What is done with it afterwards, at that size, is done quickest; the flow stays as small as it
    is, for these are kept.
    """
    known = motion.still or motion.maps is not None
    if known and motion.trust.shape == shape:
        return motion
    trust = motion.trust
    if trust.shape != shape:
        trust = np.asarray(cv2.resize(trust, shape[::-1], interpolation=cv2.INTER_LINEAR))
    maps = None if motion.still else _maps(motion.flow, shape)
    return Motion(motion.flow, trust, motion.still, maps)


def _maps(flow: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Return where each pixel of a matte of a size was."""
    height, width = flow.shape[:2]
    places = _places(*shape[:2])
    if (height, width) != shape:
        flow = flow * np.array([shape[1] / width, shape[0] / height], np.float32)
        flow = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR)
    whole, part = cv2.convertMaps(cv2.add(flow, places), None, cv2.CV_16SC2)
    return np.asarray(whole, np.int16), np.asarray(part, np.uint16)


def _along(plane: Floats, motion: Motion, interpolation: int) -> Floats:
    """Return a matte of another picture as it looks from this one; its edge goes on for ever."""
    maps = at_size(motion, plane.shape).maps
    assert maps is not None
    return np.asarray(
        cv2.remap(plane, *maps, interpolation, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _pulled(picture: NDArray[Any], flow: Floats) -> NDArray[Any]:
    """Return a picture as it looks from where the flow starts; its edge goes on for ever."""
    places = flow + _places(*flow.shape[:2])
    return np.asarray(
        cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


@lru_cache(maxsize=8)
def _places(height: int, width: int) -> Floats:
    """Return every pixel's own place: float32 ``[h, w, 2]``, x and y."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([x, y], -1)
    places.flags.writeable = False
    return places


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Floats:
    """Return by how many codes two pictures differ in the channel that differs most, softened."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    most = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(most, (0, 0), SOFTENING))


def _trust(difference: Floats, flow: Floats, unexplained: float) -> Floats:
    """Return how far a flow that leaves such a difference explains a picture."""
    noise = float(np.clip(np.median(difference[::2, ::2]), LEAST_NOISE, MOST_NOISE))
    beyond = (difference / noise - EXPLAINED) * np.float32(1 / (unexplained - EXPLAINED))
    beyond = np.clip(beyond, 0, 1, out=beyond)
    trust = 1 - beyond * beyond * (3 - 2 * beyond)
    trust[_outside(flow)] = 0
    # What lies beside the unexplained is likely to belong to it, as an edge does to its object.
    trust = np.asarray(cv2.erode(trust, np.ones((3, 3), np.uint8)), np.float32)
    return trust if float(trust.mean()) >= LEAST_TRUST else np.zeros_like(trust)


def _outside(flow: Floats) -> NDArray[np.bool_]:
    """Return from where the flow points out of the picture."""
    height, width = flow.shape[:2]
    places = cv2.add(flow, _places(height, width))
    inside = cv2.inRange(places, (0, 0), (width - 1, height - 1))
    return np.asarray(inside == 0)
