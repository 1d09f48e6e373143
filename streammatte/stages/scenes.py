"""Scene cuts: whether two pictures show the same place, whatever the light and the pan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Known = TypeVar("Known")

LUMA = 2
"""Dimensions of a picture without colours."""
LONGEST_GAP = 0.5
"""Seconds between frames beyond which the past says nothing."""
FLASH = 0.2
"""Seconds after a cut within which the scene before may come back: that was a flash, no cut."""
SAME = 0.6
"""A scene is new if its luma correlates less than this with the last one's, ..."""
MOVED = 6.0
"""... and differs from it by more than so many codes on average, the mean brightness apart, ...
(At cuts between dark scenes correlation is below 0.3 and the difference near 20, though colours
hardly change; a lamp that is switched on leaves the correlation above 0.98.)"""
PANNED = 0.9
"""... and no half of it correlates more than this with a part of the last one: that is a pan."""
PLAIN = 2.0
"""Codes of contrast below which there is nothing to know a place by."""


def is_other_scene(last: NDArray[np.uint8], view: NDArray[np.uint8]) -> bool:
    """Whether two pictures, uint8 R'G'B' ``[h, w, 3]``, show different scenes."""
    return differ(thumbnail(last), thumbnail(view))


def differ(one: Floats, other: Floats) -> bool:
    """Whether two thumbnails show different scenes."""
    if resemblance(one, other) >= SAME or float(np.abs(one - other).mean()) <= MOVED:
        return False
    return overlap(one, other) < PANNED


def thumbnail(view: NDArray[np.uint8]) -> Floats:
    """Return a picture's luma, tiny and without its mean: float64 ``[18, 32]``.

    Args:
        view: uint8 R'G'B' ``[h, w, 3]``, or luma alone ``[h, w]``.
    """
    tiny = cv2.resize(view, (32, 18), interpolation=cv2.INTER_AREA)
    luma = tiny if tiny.ndim == LUMA else cv2.cvtColor(tiny, cv2.COLOR_RGB2GRAY)
    return np.asarray(luma - luma.mean(), np.float64)


def resemblance(one: Floats, other: Floats) -> float:
    """Return how alike two thumbnails are whatever the light: their correlation, -1 to 1."""
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-6))


def overlap(one: Floats, other: Floats) -> float:
    """Return how well half of one thumbnail is found in another: the best correlation, -1 to 1."""
    rows, columns = (size // 2 for size in one.shape)
    small, whole = one.astype(np.float32), other.astype(np.float32)
    halves = small[:rows], small[rows:], small[:, :columns], small[:, columns:]
    return max(_found(half, whole) for half in halves)


def _found(part: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
    """Return the best correlation of a part with any place in the whole; plain ones match none."""
    ones = np.ones_like(part)
    total = cv2.matchTemplate(whole, ones, cv2.TM_CCORR)
    spread = cv2.matchTemplate(whole * whole, ones, cv2.TM_CCORR) - total * total / ones.size
    own = float(part.var()) * ones.size
    shared = cv2.matchTemplate(whole, part - part.mean(), cv2.TM_CCORR)
    scale = np.sqrt(np.maximum(spread, 0) * own) + ones.size * PLAIN**2
    return float((shared / scale).max())


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What tells whether a frame goes on with the scene of an earlier one."""

    seconds: float
    size: tuple[int, ...]
    """Of all that is kept of frames: what differs in it cannot be compared."""
    thumbnail: Floats

    def goes_on_from(self, earlier: Glimpse, longest: float = LONGEST_GAP) -> bool:
        """Whether this is the same scene, and soon enough after."""
        if self.seconds - earlier.seconds > longest or self.size != earlier.size:
            return False
        return not differ(earlier.thumbnail, self.thumbnail)


def glimpse(view: NDArray[np.uint8], seconds: float, size: tuple[int, ...]) -> Glimpse:
    """Return what there is to remember of a frame.

    Args:
        view: uint8 R'G'B' ``[h, w, 3]``, or luma alone ``[h, w]``.
        seconds: Presentation time.
        size: Of what goes with it, such as its matte.
    """
    return Glimpse(seconds, (*view.shape, *size), thumbnail(view))


class Story(Generic[Known]):
    """What is known of the scene so far; it survives a flash, after which the scene goes on."""

    def __init__(self) -> None:
        self._last: tuple[Glimpse, Known] | None = None
        self._left: tuple[Glimpse, Known] | None = None
        """The end of the scene before the last cut."""

    def continued_by(self, now: Glimpse) -> Known | None:
        """Return what is known of the frame that this one goes on from; ``None`` after a cut."""
        if self._last is not None and now.goes_on_from(self._last[0]):
            return self._last[1]
        if self._left is not None and now.goes_on_from(self._left[0], FLASH):
            known, self._left = self._left[1], None
            return known
        if self._left is None or now.seconds - self._left[0].seconds > FLASH:
            self._left = self._last
        return None

    def add(self, now: Glimpse, known: Known) -> None:
        """Remember a frame."""
        self._last = now, known
