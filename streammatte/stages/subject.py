"""Who is the subject: all that the network found, or the largest; zones that always or never are.

Done to mattes at the network's size, before they are steadied: what is dropped leaves no trail.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Matte
    from streammatte.options import Choice, Zone

    Floats = NDArray[np.float32]

PRESENT = 0.1
"""Alpha from which a pixel belongs to somebody: hair hangs together with its head."""
LOYALTY = 1.5
"""How much larger somebody else must be to take the place of who was there in the last frame."""


def mask_of(zone: Zone, width: int, height: int) -> Floats:
    """Return a zone at a size: float32 ``[height, width]``, 1 inside.

    Raises:
        InputError: if its picture cannot be read.
    """
    if zone.corners is None:
        return _painted(zone.path, width, height)
    left, top, right, bottom = zone.corners
    mask = np.zeros((height, width), np.float32)
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    mask[rows, columns] = 1
    return mask


def _painted(path: str, width: int, height: int) -> Floats:
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise InputError(f"{path} is no picture that can be read; give a PNG or a JPEG")
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255), np.float32)


def chosen(mattes: Iterable[Matte], choice: Choice) -> Iterator[Matte]:
    """Leave of every matte what is wanted.

    Raises:
        InputError: if a zone's picture cannot be read.
    """
    masks: tuple[Floats | None, Floats | None] | None = None
    last: NDArray[np.bool_] | None = None
    for matte in mattes:
        alpha = matte.alpha
        if choice.largest:
            alpha, last = largest(alpha, last)
        if masks is None:
            size = (alpha.shape[1], alpha.shape[0])
            masks = _joined(choice.keep, size), _joined(choice.drop, size)
        kept, dropped = masks
        if kept is not None:
            alpha = np.maximum(alpha, kept)
        if dropped is not None:
            alpha = alpha * (1 - dropped)
        yield replace(matte, alpha=alpha)
        del matte


def _joined(zones: tuple[Zone, ...], size: tuple[int, int]) -> Floats | None:
    masks = [mask_of(zone, *size) for zone in zones]
    return np.maximum.reduce(masks) if masks else None


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
