"""A key screen's light, taken out of the subject that it fell on.

How much of it a pixel has is told by its green (or blue) beyond a limit. The usual limits are the
larger of the other two channels, which leaves much of the spill on warm colours, and their average,
which takes green out of skin. Skin's green never exceeds its red, so the first is the limit where
the subject is opaque; the clearer a pixel is, the more of the screen shone round it, and the nearer
the limit comes to the average.

What is taken away is light of the screen's own colour, not green alone, which would leave the
screen's blue behind as a tint; part of its luminance is given back in grey, or edges would look
burnt. In Y'CbCr all of this depends on chroma only, so luma is touched where there is spill, and
nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from streammatte.colour import (
    SRGB,
    black_level,
    rgb_from_samples,
    samples_from_rgb,
    to_linear,
)
from streammatte.frames import Picture
from streammatte.stages.foreground import plane_alphas
from streammatte.stages.kernels import compiled, whole
from streammatte.stages.refine import opaque
from streammatte.stages.scenes import is_other_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Matte
    from streammatte.options import Despill

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]
    Scalar = Any

RESTORED = 0.2
"""How much of the luminance that is taken away comes back as grey."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
PAINTS = {"green": (0, 177, 64), "blue": (0, 71, 187)}
"""What screens are painted with, R'G'B', for those that are not seen."""
CLEAR = 0.02
"""Alpha below which a pixel shows the old background alone."""
LEAST_CLEAR = 0.03
"""Share of the picture that has to be, or nothing is known of it."""
LEAST_SCREEN = 0.4
"""Share of that which has to look like a screen."""


class Kind(NamedTuple):
    """What one colour of screens looks like, and lawns and skies do not."""

    channel: int
    """Of R, G, B: the one that is larger than the others, ..."""
    excess: float
    """... by so much, of white, ..."""
    saturation: float
    """... the least by so much, of itself, ..."""
    lawn: tuple[int, int]
    """Which of the other two is larger in lawns, or skies, ..."""
    lean: float
    """... and by how much at the most, of the distance from the largest to the least."""


KINDS = {
    "green": Kind(1, 0.1, 0.35, (0, 2), 0.3),
    "blue": Kind(2, 0.2, 0.7, (1, 0), 0.55),
}
MOST_LEAN = 0.6
"""By how much that may be smaller."""


class Light(NamedTuple):
    """The light of a screen."""

    channel: int
    """Of R, G, B: the one there is most of."""
    rgb: tuple[float, float, float]
    """Non-linear R'G'B', with 1 in that channel."""


class Screen:
    """Tells what a clip's key screen is like: once a shot, so that nothing changes within it."""

    def __init__(self, wish: Despill) -> None:
        """Prepare for a clip.

        Args:
            wish: Its colour; ``auto`` for what is seen where the subject is not, ``off`` for none.
        """
        self._wish = wish
        self._last: Bytes | None = None
        self._decided = False
        self._light: Light | None = None

    def behind(self, matte: Matte) -> Light | None:
        """Return the screen's light; ``None`` if there is no screen.

        Args:
            matte: Of the frames of a clip, one after the other.
        """
        if self._wish == "off":
            return None
        if self._last is not None and is_other_scene(self._last, matte.view):
            self._decided, self._light = False, None
        self._last = matte.view
        if not self._decided:
            self._decided, self._light = self._look(matte)
        return self._light

    def _look(self, matte: Matte) -> tuple[bool, Light | None]:
        height, width = matte.view.shape[:2]
        alpha = cv2.resize(matte.alpha, (width, height), interpolation=cv2.INTER_AREA)
        around = matte.view[alpha < CLEAR]
        known = len(around) >= LEAST_CLEAR * alpha.size
        if self._wish == "auto":
            found = [light for kind in KINDS.values() if (light := _seen(around, kind))]
            return known, found[0] if known and found else None
        kind = KINDS[self._wish]
        light = _seen(around, kind) if known else None
        return True, light or _light(np.array(PAINTS[self._wish]), kind.channel)


def _seen(around: Bytes, kind: Kind) -> Light | None:
    """Return a screen's light if that is what pixels, uint8 ``[n, 3]``, mostly show."""
    rgb = around.astype(np.float32)
    most = rgb[:, kind.channel]
    others = np.delete(rgb, kind.channel, 1)
    least = others.min(1)
    there = most - others.max(1) >= 255 * kind.excess
    there &= most - least >= kind.saturation * most
    lean = rgb[:, kind.lawn[0]] - rgb[:, kind.lawn[1]]
    there &= lean <= kind.lean * (most - least)
    there &= lean >= -MOST_LEAN * (most - least)
    if np.count_nonzero(there) < LEAST_SCREEN * max(len(around), 1):
        return None
    return _light(np.median(rgb[there], 0), kind.channel)


def _light(rgb: NDArray[Any], channel: int) -> Light:
    red, green, blue = (float(value) for value in rgb / rgb[channel])
    return Light(channel, (red, green, blue))


def despilled(picture: Picture, alpha: Samples, light: Light, amount: float) -> Picture:
    """Take a screen's light out of the subject's colours.

    Args:
        picture: The subject's own colours, straight.
        alpha: uint8, uint16 or float32 ``[h, w]``.
        light: What is taken out.
        amount: 0 leaves it all, 1 takes all of it.

    Returns:
        A new picture; the same one if there is nothing to do.
    """
    if not amount:
        return picture
    result = Picture.of(
        picture.planes if picture.alpha is None else [*picture.planes, picture.alpha],
        picture.layout,
        picture.colour,
    )
    if picture.layout.family == "rgb":
        _clean_rgb(result, alpha, light, amount)
    else:
        _clean_yuv(result, alpha, light, amount)
    return result


class _Way(NamedTuple):
    """A screen's light in a picture's own terms, as the kernels take it."""

    light: Floats
    """Of R, G, B."""
    change: Floats
    """What one unit of it takes from R, G and B, part of its luminance given back."""

    @staticmethod
    def of(light: Light, picture: Picture) -> _Way:
        rgb = np.array(light.rgb, np.float32)
        if picture.colour.is_linear:
            rgb = to_linear(rgb, SRGB)
        return _Way(rgb, np.float32(RESTORED) * (LUMINANCE @ rgb) - rgb)


def _clean_rgb(picture: Picture, alpha: Samples, light: Light, amount: float) -> None:
    way = _Way.of(light, picture)
    green, blue, red = (whole(plane) for plane in picture.planes)
    first, second, third = ([red, green, blue][index] for index in _order(light))
    black = np.float32(black_level(picture.colour, picture.layout.depth))
    top = np.float32(np.inf if picture.layout.is_float else picture.layout.peak)
    share, wish = np.float32(1 / opaque(alpha)), np.float32(amount)
    colour, change = way.light[_order(light)], way.change[_order(light)]
    size, coverage = picture.width, whole(alpha)
    _clean(first, second, third, coverage, size, colour, change, black, top, share, wish)


def _order(light: Light) -> list[int]:
    """Return R, G and B by number, the screen's own first."""
    return [light.channel, *(index for index in range(3) if index != light.channel)]


def _clean_yuv(picture: Picture, alpha: Samples, light: Light, amount: float) -> None:
    way, depth = _Way.of(light, picture), picture.layout.depth
    luma, first, second = picture.planes
    size = (first.shape[1], first.shape[0])
    thinned = luma
    if luma.shape != first.shape:
        thinned = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
    coverage = whole(plane_alphas(picture, alpha)[1])
    spill = np.zeros(first.shape, np.float32)
    to_rgb = rgb_from_samples(picture.colour, depth)[_order(light)]
    colour, share = way.light[_order(light)], np.float32(1 / opaque(alpha))
    planes = (whole(thinned), whole(first), whole(second))
    if not _find_spill(spill, *planes, coverage, to_rgb, colour, share, np.float32(amount)):
        return
    lines = np.flatnonzero(spill.any(1))
    top, bottom = int(lines[0]), int(lines[-1]) + 1
    few = spill[top:bottom]
    change = samples_from_rgb(picture.colour, depth)[:, :3] @ way.change
    _add(first[top:bottom], few * change[1], 0, picture.layout.peak)
    _add(second[top:bottom], few * change[2], 0, picture.layout.peak)
    rows = luma[top << picture.layout.chroma_y : bottom << picture.layout.chroma_y]
    if luma.shape != first.shape:
        few = np.asarray(cv2.resize(few, (rows.shape[1], rows.shape[0])), np.float32)
    _add(rows, few * change[0], black_level(picture.colour, depth), picture.layout.peak)


def _add(plane: Samples, change: Floats, least: int, peak: int) -> None:
    """Change samples in place, none to below ``least`` that was not there before."""
    plane[:] = np.clip(np.rint(plane + change), np.minimum(plane, least), peak)


@compiled
def _spilt(
    most: Scalar, one: Scalar, other: Scalar, clear: Scalar, light: Floats, amount: Scalar
) -> Scalar:
    """Return how much of a screen's light a pixel has; at most as leaves no channel negative."""
    half = np.float32(0.5)
    top = max(one, other)
    beyond = most - top + clear * (top - half * (one + other))
    if not beyond > np.float32(0):
        return np.float32(0)
    crest = max(light[1], light[2])
    apart = light[0] - crest + clear * (crest - half * (light[1] + light[2]))
    return min(amount * beyond / apart, max(most, np.float32(0)) / light[0])


@compiled
def _clean(
    most: Samples,
    one: Samples,
    other: Samples,
    alpha: Samples,
    width: int,
    light: Floats,
    change: Floats,
    black: Scalar,
    peak: Scalar,
    share: Scalar,
    amount: Scalar,
) -> None:
    """Clean planes in place: the screen's own channel first, as in ``light`` and ``change``."""
    zero = np.float32(0)
    floating = np.isinf(peak)
    for y in range(most.shape[0]):
        for x in range(width):
            p, q, r = (
                np.float32(most[y, x]) - black,
                np.float32(one[y, x]) - black,
                np.float32(other[y, x]) - black,
            )
            if not (p > q or p > r):
                continue
            clear = np.float32(1) - np.float32(alpha[y, x]) * share
            spill = _spilt(p, q, r, clear, light, amount)
            if spill > np.float32(0):
                # What is given back makes no channel larger than the largest was.
                crest = min(max(p, q, r), peak - black)
                p = min(max(p + spill * change[0], min(p, zero)), crest) + black
                q = min(max(q + spill * change[1], min(q, zero)), crest) + black
                r = min(max(r + spill * change[2], min(r, zero)), crest) + black
                if not floating:
                    p, q, r = np.rint(p), np.rint(q), np.rint(r)
                most[y, x], one[y, x], other[y, x] = p, q, r


@compiled
def _find_spill(
    spill: Floats,
    luma: Samples,
    first: Samples,
    second: Samples,
    alpha: Samples,
    to_rgb: Floats,
    light: Floats,
    share: Scalar,
    amount: Scalar,
) -> bool:
    """Write how much of a screen's light chroma samples have; return whether any has.

    Args:
        spill: float32 ``[h, w]`` of zeros, of chroma's size.
        luma: There.
        first: Cb.
        second: Cr.
        alpha: There.
        to_rgb: float32 ``[3, 4]``, as of ``rgb_from_samples``, the screen's own channel first.
        light: float32 ``[3]``, likewise.
        share: What one step of alpha is.
        amount: How much is wanted.
    """
    found = False
    for y in range(spill.shape[0]):
        for x in range(spill.shape[1]):
            u, v = np.float32(first[y, x]), np.float32(second[y, x])
            p = to_rgb[0, 1] * u + to_rgb[0, 2] * v + to_rgb[0, 3]
            q = to_rgb[1, 1] * u + to_rgb[1, 2] * v + to_rgb[1, 3]
            r = to_rgb[2, 1] * u + to_rgb[2, 2] * v + to_rgb[2, 3]
            if not (p > q or p > r):
                continue
            clear = np.float32(1) - np.float32(alpha[y, x]) * share
            bright = to_rgb[0, 0] * np.float32(luma[y, x])
            there = _spilt(p + bright, q + bright, r + bright, clear, light, amount)
            if there > np.float32(0):
                spill[y, x] = there
                found = True
    return found
