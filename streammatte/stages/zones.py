"""Zones that always or never are subject, at the frame's size: exact where they are 0 or 1.

``max(alpha, keep) * (1 - drop)``, as compositors put garbage and holdout mattes together: dropping
is stronger. A zone is a rectangle, a still, a sequence whose numbers are those of the frames, or a
video; see ``mask_files``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.frames import Layout
from streammatte.options import EdgeOptions
from streammatte.stages.composite import full_size
from streammatte.stages.edges import shaped
from streammatte.stages.mask_files import open_masks
from streammatte.stages.refine import opaque

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Matte
    from streammatte.options import Choice, Refine, Zone
    from streammatte.sources.base import Window
    from streammatte.stages.mask_files import Masks

    Floats = NDArray[np.float32]

_DEEP = Layout("rgb", 16)


class Garbage:
    """Zones that always or never are subject, frame by frame: holdout and garbage mattes.

    Videos are read from beginning to end, so each user needs one of its own.
    """

    def __init__(self, choice: Choice, window: Window | None = None, first: int = 0) -> None:
        """Open what the zones name.

        Args:
            choice: Whose zones they are.
            window: The part of the footage that is used.
            first: The number of the first frame, for footage whose frames have none.

        Raises:
            InputError: if a mask cannot be read.
        """
        self._keep = [_Mask(zone, window, first) for zone in choice.keep]
        self._drop = [_Mask(zone, window, first) for zone in choice.drop]

    def __bool__(self) -> bool:
        return bool(self._keep or self._drop)

    @property
    def notes(self) -> list[str]:
        """What has to be known of the masks; complete after the last frame."""
        return [note for mask in (*self._keep, *self._drop) for note in mask.notes]

    def at(self, frame: Frame, width: int, height: int) -> tuple[Floats | None, Floats | None]:
        """Return what is kept and what is dropped of a frame: float32 ``[height, width]`` each.

        Args:
            frame: One after the other, each once.
            width: Of the masks.
            height: Of the masks.

        Raises:
            InputError: if a mask cannot be read.
        """
        kept = [mask.at(frame, width, height) for mask in self._keep]
        dropped = [mask.at(frame, width, height) for mask in self._drop]
        return (
            np.maximum.reduce(kept) if kept else None,
            np.maximum.reduce(dropped) if dropped else None,
        )

    def close(self) -> None:
        """Let go of files."""
        for mask in (*self._keep, *self._drop):
            mask.close()


class _Mask:
    """A zone over time."""

    def __init__(self, zone: Zone, window: Window | None, first: int) -> None:
        self._zone = zone
        self._masks: Masks | None = None
        if zone.corners is None:
            self._masks = open_masks(zone.path, window, first)
        self._last: Floats | None = None
        self._sized: Floats | None = None

    @property
    def notes(self) -> list[str]:
        return self._masks.notes if self._masks is not None else []

    def at(self, frame: Frame, width: int, height: int) -> Floats:
        mask = self._masks.at(frame) if self._masks is not None else None
        if mask is not self._last or self._sized is None or self._sized.shape != (height, width):
            self._last = mask
            self._sized = (
                rectangle(self._zone, width, height) if mask is None else sized(mask, width, height)
            )
        return self._sized

    def close(self) -> None:
        if self._masks is not None:
            self._masks.close()


def rectangle(zone: Zone, width: int, height: int) -> Floats:
    """Return a zone's rectangle at a size: float32 ``[height, width]``, 1 inside."""
    assert zone.corners is not None
    left, top, right, bottom = zone.corners
    mask = np.zeros((height, width), np.float32)
    rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
    columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
    mask[rows, columns] = 1
    return mask


def sized(mask: Floats, width: int, height: int) -> Floats:
    """Return a mask, float32 ``[h, w]`` in 0..1, stretched to a size: itself if it has that."""
    if mask.shape == (height, width):
        return mask
    smaller = width < mask.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    large = cv2.resize(mask, (width, height), interpolation=how)
    return np.asarray(np.clip(large, 0, 1), np.float32)


def finished(
    mattes: Iterable[Matte],
    garbage: Garbage,
    refine: Refine = "fast",
    by_hand: EdgeOptions = EdgeOptions(),  # noqa: B008  it is frozen
) -> Iterator[Matte]:
    """Bring mattes to their frames' size, their edges as wanted, and apply zones exactly.

    Args:
        mattes: At any size.
        garbage: The zones; none is fine.
        refine: How they are enlarged; see ``stages.refine``.
        by_hand: How edges are moved, softened and bent before; no longer to be done afterwards.

    Raises:
        InputError: if a mask cannot be read.
    """
    scaler = VideoReformatter()
    for matte in mattes:
        layout = matte.frame.picture.layout
        large = full_size(matte, refine, scaler, layout if layout.is_float else _DEEP)
        large = shaped(large, by_hand)
        alpha = np.asarray(large * np.float32(1 / opaque(large)), np.float32)
        kept, dropped = garbage.at(matte.frame, alpha.shape[1], alpha.shape[0])
        if kept is not None:
            alpha = np.maximum(alpha, kept)
        if dropped is not None:
            alpha = alpha * (1 - dropped)
        yield replace(matte, alpha=alpha)
        del matte, large, alpha
