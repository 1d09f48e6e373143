"""Where each place of a picture is in another one some time away: slower than ``motion``.

Dense inverse search again, with the variational refinement that ``motion`` does without. At the rim
of what moves, a flow is that of the wrong side as often as not: so every place may also take the
flow of a place nearby, if its surroundings match better there. That is the step in which flows are
handed on to neighbours in PatchMatch (Barnes, Shechtman, Finkelstein and Goldman: A Randomized
Correspondence Algorithm for Structural Image Editing, 2009), once, over a distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.stages.motion import LEAST_SIDE, STILL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.stages.motion import Look

    Floats = NDArray[np.float32]

REACH = 12
"""How far away a flow is borrowed from, in pixels of the small picture."""
BORROWED = 1.0
"""Codes by which a borrowed flow must match better."""
SHARP = 1.0
"""Standard deviation, in pixels, of the surroundings that are compared."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where the things in one picture are in another, and how alike they look there."""

    flow: Floats
    """``[h, w, 2]``: x and y, in pixels of the small picture, from here to there."""
    difference: Floats
    """``[h, w]``: codes."""
    start: Floats
    """``[h, w, 2]``: the flow before anything was borrowed, for the next search to begin with."""
    noise: float
    """Codes by which half of the picture differs, or less, from where ``start`` leads."""
    still: bool = False
    """Whether nothing moved at all."""


def match(now: Look, then: Look, guess: Floats | None = None) -> Match:
    """Find every place of a picture in another one.

    Args:
        now: The picture in question.
        then: Where to look; of the same size.
        guess: What the flow may be: float32 ``[h, w, 2]``.
    """
    zero = np.zeros((*now.luma.shape, 2), np.float32)
    plain = difference(now, then, zero)
    if plain.max() <= STILL:
        return Match(zero, plain, zero, 0.0, still=True)
    if min(now.luma.shape) < LEAST_SIDE:
        return Match(zero, plain, zero, float(np.median(plain)))
    start = _flow(now, then, guess)
    least = difference(now, then, start)
    noise = float(np.median(least[::2, ::2]))
    flow = start.copy()
    for x, y in ((REACH, 0), (-REACH, 0), (0, REACH), (0, -REACH)):
        lent = _shifted(start, x, y)
        unlike = difference(now, then, lent) + np.float32(BORROWED)
        cv2.copyTo(lent, cv2.compare(unlike, least, cv2.CMP_LT), flow)
        least = np.minimum(least, unlike, out=least)
    return Match(flow, least, start, noise)


def difference(now: Look, then: Look, flow: Floats, spread: float = SHARP) -> Floats:
    """Return by how many codes each place differs from where a flow leads.

    Args:
        now: The picture where the flow starts.
        then: The picture where it ends.
        flow: float32 ``[h, w, 2]`` in pixels.
        spread: Standard deviation, in pixels, of the surroundings that are compared.

    Returns:
        float32 ``[h, w]`` in 0..255, of the channel that differs most.
    """
    places = flow + _places(*flow.shape[:2])
    there: NDArray[Any] = cv2.remap(
        then.colours, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    red, green, blue = cv2.split(cv2.absdiff(now.colours, there))
    most = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(most, (0, 0), spread))


def outside(flow: Floats) -> NDArray[np.bool_]:
    """Return from where a flow leads out of the picture: bool ``[h, w]``."""
    height, width = flow.shape[:2]
    places = flow + _places(height, width)
    x, y = places[..., 0], places[..., 1]
    return np.asarray((x < 0) | (x > width - 1) | (y < 0) | (y > height - 1))


def _flow(now: Look, then: Look, guess: Floats | None) -> Floats:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(now.luma, then.luma, guess), np.float32)


def _shifted(flow: Floats, x: int, y: int) -> Floats:
    """Return a flow as it is so many pixels to the left and above; its rim goes on for ever."""
    height, width = flow.shape[:2]
    kept = flow[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    rims = max(y, 0), max(-y, 0), max(x, 0), max(-x, 0)
    return np.asarray(cv2.copyMakeBorder(kept, *rims, cv2.BORDER_REPLICATE), np.float32)


@lru_cache(maxsize=8)
def _places(height: int, width: int) -> Floats:
    """Return every pixel's own place: float32 ``[h, w, 2]``, x and y."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([x, y], -1)
    places.flags.writeable = False
    return places
