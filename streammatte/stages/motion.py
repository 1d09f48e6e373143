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

MOST_PIXELS = 384 * 216
"""Of the small picture: smaller ones lose thin things, larger ones gain little."""
LEAST_SIDE = 32
"""Of the small picture, in pixels, or no flow is looked for: its patches would not fit."""
SOFTENING = 1.5
"""Standard deviation, in pixels, over which the unexplained difference is averaged."""
LEAST_NOISE, MOST_NOISE = 1.5, 4.0
"""Codes between which the noise is believed to be: where most of a picture stands perfectly still
the rest is not carried without rounding, and one that differs everywhere is not noisy but another
one."""
EXPLAINED, UNEXPLAINED = 1.5, 4.0
"""Differences, in units of the noise, up to which a flow is believed, and from which it is not."""
STILL = 0.75
"""Codes: pictures that nowhere differ by more are the same one."""
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


def look(view: NDArray[np.uint8]) -> Look:
    """Return a small picture of a frame.

    Args:
        view: R'G'B' ``[h, w, 3]``, of any size.
    """
    height, width = view.shape[:2]
    scale = (MOST_PIXELS / (height * width)) ** 0.5
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        view = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA))
    return Look(view, np.asarray(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)))


def motion(now: Look, before: Look) -> Motion:
    """Find where the things that one picture shows were in another.

    Args:
        now: What is to be explained.
        before: What is to explain it; an earlier picture or a later one.

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
        return Motion(zero, _trust(difference, zero))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = np.asarray(search.calc(now.luma, before.luma, None), np.float32)
    return Motion(flow, _trust(_difference(now.colours, _pulled(before.colours, flow)), flow))


def carried(plane: Floats, motion: Motion) -> Floats:
    """Return what belongs to the other picture, brought to where its things are in this one.

    Args:
        plane: float32 ``[h, w]`` of any size, over the same field of view as the pictures were.
        motion: From this picture to the other.

    Returns:
        float32 ``[h, w]``; ``plane`` itself if nothing moved.
    """
    return plane if motion.still else _pulled(plane, _at(motion.flow, plane.shape))


def trusted(motion: Motion, shape: tuple[int, ...]) -> Floats:
    """Return how far the flow explains the picture, at another size: float32 ``shape`` in 0..1."""
    if motion.trust.shape == shape:
        return motion.trust
    return np.asarray(
        cv2.resize(motion.trust, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
    )


def _at(flow: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a flow for pictures of another size, in their pixels."""
    height, width = flow.shape[:2]
    if (height, width) == shape:
        return flow
    larger = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger * np.array([shape[1] / width, shape[0] / height], np.float32))


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


def _trust(difference: Floats, flow: Floats) -> Floats:
    """Return how far a flow that leaves such a difference explains a picture."""
    noise = float(np.clip(np.median(difference[::2, ::2]), LEAST_NOISE, MOST_NOISE))
    beyond = (difference / noise - EXPLAINED) * np.float32(1 / (UNEXPLAINED - EXPLAINED))
    beyond = np.clip(beyond, 0, 1, out=beyond)
    trust = 1 - beyond * beyond * (3 - 2 * beyond)
    trust[_outside(flow)] = 0
    # What lies beside the unexplained is likely to belong to it, as an edge does to its object.
    trust = np.asarray(cv2.erode(trust, np.ones((3, 3), np.uint8)), np.float32)
    return trust if float(trust.mean()) >= LEAST_TRUST else np.zeros_like(trust)


def _outside(flow: Floats) -> NDArray[np.bool_]:
    """Return from where the flow points out of the picture."""
    height, width = flow.shape[:2]
    places = flow + _places(height, width)
    x, y = places[..., 0], places[..., 1]
    return np.asarray((x < 0) | (x > width - 1) | (y < 0) | (y > height - 1))
