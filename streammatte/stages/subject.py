"""Who is the subject: all that the network found, or the largest; zones that always or never are.

Done twice. To mattes at the network's size (``chosen``), before they are steadied: what is dropped
leaves no trail, and what is kept counts as subject when colours are estimated. There a zone stays
``INSET`` pixels short of its edge, or what is steadied, snapped and enlarged afterwards would carry
it beyond. And at last to mattes at the frame's size, where it is exact: ``zones.finished``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Matte
    from streammatte.options import Choice
    from streammatte.stages.zones import Garbage

    Floats = NDArray[np.float32]

PRESENT = 0.1
"""Alpha from which a pixel belongs to somebody: hair hangs together with its head."""
LOYALTY = 1.5
"""How much larger somebody else must be to take the place of who was there in the last frame."""


INSET = 2
"""Pixels of the network's input that a zone there stays short of its edge."""


def chosen(
    mattes: Iterable[Matte], choice: Choice, garbage: Garbage | None = None
) -> Iterator[Matte]:
    """Leave of every matte what is wanted, at the size that it has.

    Args:
        mattes: As they come from the network.
        choice: What is wanted.
        garbage: Its zones, which are applied where they are 1 and ``INSET`` pixels around them are.

    Raises:
        InputError: if a mask cannot be read.
    """
    last: NDArray[np.bool_] | None = None
    for matte in mattes:
        alpha = matte.alpha
        if choice.largest:
            alpha, last = largest(alpha, last)
        if garbage:
            kept, dropped = garbage.at(matte.frame, alpha.shape[1], alpha.shape[0])
            if kept is not None:
                alpha = np.where(_inside(kept), np.float32(1), alpha)
            if dropped is not None:
                alpha = np.where(_inside(dropped), np.float32(0), alpha)
        yield replace(matte, alpha=alpha)
        del matte


def _inside(mask: Floats) -> NDArray[np.bool_]:
    """Return where a mask is 1, and so it is for ``INSET`` pixels around."""
    square = np.ones((2 * INSET + 1, 2 * INSET + 1), np.uint8)
    return np.asarray(cv2.erode((mask >= 1).astype(np.uint8), square) > 0)


def largest(
    alpha: Floats, last: NDArray[np.bool_] | None = None
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Leave only who takes most of the picture, and stay with who it was.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        last: Where it was in the last frame, as returned for that.

    Returns:
        The alpha, 0 where others are; and where the one is, ``None`` if nobody is there.
    """
    count, labels = cv2.connectedComponents((alpha >= PRESENT).astype(np.uint8), connectivity=8)
    if count == 1:
        return alpha, None
    weights = np.bincount(labels.ravel(), alpha.ravel(), minlength=count)
    weights[0] = 0
    best = int(weights.argmax())
    if last is not None and last.shape == alpha.shape:
        overlap = np.bincount(labels[last], minlength=count)
        overlap[0] = 0
        same = int(overlap.argmax())
        if overlap[same] and weights[best] < LOYALTY * weights[same]:
            best = same
    there = np.asarray(labels == best)
    return np.asarray(np.where(there | (labels == 0), alpha, np.float32(0)), np.float32), there
