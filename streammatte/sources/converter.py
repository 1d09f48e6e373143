"""Pictures of all kinds of cameras made into those of a show, in memory of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from av.video.reformatter import Interpolation, VideoReformatter

from streammatte.colour import Matrix
from streammatte.frames import Frame, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK

if TYPE_CHECKING:
    import av

    from streammatte.sources.v4l2 import Samples

HONEST = 5.0
"""Seconds that a driver's clock may be off from ours; what is further off is not that clock."""
_LIMITED, _FULL = 1, 2
_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
"""Without these swscale is up to three codes off where the matrix changes, and twice as quick."""
_KNOWN = frozenset({Matrix.BT709, Matrix.BT470BG, Matrix.SMPTE170M, Matrix.BT2020})


class Converter:
    """Makes pictures into ``LAYOUT`` and ``COLOUR``, once; from one thread alone."""

    def __init__(
        self,
        *,
        jpeg: bool = False,
        samples: Samples | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Prepare it.

        Args:
            jpeg: Whether what is not tagged follows JPEG: BT.601, full range.
            samples: What the driver says of the samples, where FFmpeg has no tags.
            size: ``(width, height)`` of the results; ``None`` for as it is, made even.
        """
        self._jpeg = jpeg
        self._samples = samples
        self._size = size
        self._scaler = VideoReformatter()

    def frame(self, native: av.VideoFrame, seconds: float) -> Frame:
        """Return a picture as a frame.

        Args:
            native: As it was decoded.
            seconds: When it was captured, by the monotonic clock; now, if that cannot be.
        """
        now = time.monotonic()
        # Some stamp a picture with the time when the next one begins.
        seconds = min(seconds, now) if abs(now - seconds) < HONEST else now
        return Frame(self.picture(native), round(seconds * 1e6), 0, TICK)

    def picture(self, native: av.VideoFrame) -> Picture:
        """Return a picture in ``LAYOUT`` and ``COLOUR``."""
        width, height = self._size or (native.width // 2 * 2, native.height // 2 * 2)
        matrix, full = self._meaning(native)
        made = self._scaler.reformat(
            native,
            width,
            height,
            LAYOUT.name,
            src_colorspace=matrix,
            dst_colorspace=int(Matrix.BT470BG),  # swscale has but one name for BT.601
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_LIMITED,
            interpolation=_scaling(
                width, native.width, exact=matrix not in (None, int(Matrix.BT470BG))
            ),
            threads=1,
        )
        picture = Picture.over(made, COLOUR)
        return picture if made is not native else Picture.of(picture.planes, LAYOUT, COLOUR)

    def _meaning(self, native: av.VideoFrame) -> tuple[int | None, bool]:
        """Return what samples mean: matrix (none for R'G'B') and whether in full range."""
        if native.format.is_rgb:
            return None, True
        told = self._samples
        tagged = int(native.colorspace) if int(native.colorspace) in _KNOWN else None
        matrix = tagged or (int(told.matrix) if told is not None else int(Matrix.BT470BG))
        full = self._jpeg or native.format.name.startswith("yuvj") or native.color_range == _FULL
        if told is not None and native.color_range not in (_LIMITED, _FULL):
            full = full or told.full_range
        return (int(Matrix.BT470BG) if matrix == Matrix.SMPTE170M else matrix), full


def _scaling(width: int, before: int, *, exact: bool) -> Interpolation:
    how = Interpolation.AREA if width < before else Interpolation.BICUBIC
    return how | _EXACT if exact else how
