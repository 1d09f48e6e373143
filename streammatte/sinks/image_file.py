"""A sink for one picture: PNG, JPEG, WebP, TIFF or BMP by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.colour import SRGB, needs_light, through_light
from streammatte.convert import to_rgb
from streammatte.errors import OutputError, UsageError
from streammatte.sinks.base import InTwoSteps, PartFile, writable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture, VideoInfo
    from streammatte.stills.metadata import Tags

_DEEP = (".png", ".tif", ".tiff")
"""What can hold 16 bits a channel."""
_CLEAR = (".png", ".webp", ".tif", ".tiff")
"""What can hold alpha."""
_PARAMETERS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 95],
}


class TooLargeError(OutputError):
    """A kind of image cannot hold a picture of this size."""


def described(path: Path, *, alpha: bool) -> str:
    """Return what an image of that name is, in words.

    Raises:
        UsageError: if its kind cannot hold alpha and should.
    """
    suffix = path.suffix.lower()
    if alpha and suffix not in _CLEAR:
        raise UsageError(f"{path.suffix} carries no alpha; use {', '.join(_CLEAR)}")
    return f"{suffix[1:].upper()} image{' with alpha' if alpha else ''}"


class ImageFile(InTwoSteps):
    """Writes the one frame that it is given."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        alpha: bool,
        multiplied: bool = False,
        tags: Tags | None = None,
    ) -> None:
        """Prepare to write ``path`` for a photograph like ``info``.

        Args:
            path: Its name.
            info: What it is like.
            alpha: Whether it has alpha.
            multiplied: Whether its colours are multiplied by that, which only TIFF can say.
            tags: What it says beside its pixels.

        Raises:
            UsageError: if its kind cannot hold alpha and should.
        """
        suffix = path.suffix.lower()
        self.description = described(path, alpha=alpha)
        self.bytes_expected: int | None = None
        self.path = path
        self._alpha = alpha
        self._multiplied = multiplied
        self._tags = tags
        self._file = PartFile(path)
        self._suffix = suffix
        self.notes: list[str] = []
        if info.layout.depth > 8 and suffix not in _DEEP:  # noqa: PLR2004
            self.notes.append(f"{info.layout.depth} bit reduced to 8: use .png or .tif for more")

    def write(self, frame: Frame) -> None:
        """Encode the picture and write it beside its final name."""
        pixels = _pixels(frame.picture, deep=self._suffix in _DEEP)
        try:
            done, content = cv2.imencode(self._suffix, pixels, _PARAMETERS.get(self._suffix, []))
        except cv2.error:
            done = False
        if not done:
            width, height = frame.picture.width, frame.picture.height
            raise TooLargeError(f"{self._suffix} cannot hold {width}x{height} pixels; use .png")
        written = content.tobytes()
        if self._tags is not None:
            from streammatte.stills.tagged import tagged

            written = tagged(
                written,
                self._suffix,
                self._tags,
                alpha=self._alpha,
                multiplied=self._multiplied,
            )
        with writable(self._file.path):
            self._file.part.write_bytes(written)

    def finish(self) -> None:
        """Nothing is left to write."""

    def commit(self) -> None:
        """See ``InTwoSteps``."""
        self._file.commit()

    def abandon(self) -> None:
        """See ``InTwoSteps``."""
        self._file.discard()


def _pixels(picture: Picture, *, deep: bool) -> NDArray[np.uint8 | np.uint16]:
    """Return B, G, R[, A] as OpenCV wants them, exact to rounding; 16 bits for deep pictures."""
    kind = np.uint16 if deep and picture.layout.depth > 8 else np.uint8  # noqa: PLR2004
    peak = np.iinfo(kind).max
    plain = picture.layout.family == "rgb" and picture.colour.full_range
    if plain and picture.layout.peak == peak and not needs_light(picture.colour, SRGB):
        green, blue, red = picture.planes
        more = [] if picture.alpha is None else [picture.alpha]
        return np.asarray(cv2.merge([blue, green, red, *more]))
    rgb = to_rgb(picture)
    if needs_light(picture.colour, SRGB):
        rgb = through_light(rgb, picture.colour, SRGB)
    channels: list[NDArray[Any]] = [rgb[..., 2], rgb[..., 1], rgb[..., 0]]
    if picture.alpha is not None:
        channels.append(picture.alpha / np.float32(picture.layout.peak))
    pixels = np.stack(channels, axis=-1)
    return np.asarray(np.clip(np.rint(pixels * peak), 0, peak), kind)
