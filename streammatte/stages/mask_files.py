"""Masks that people drew: out of pictures, sequences of them, and videos.

A mask is data, not colour: what its samples say, from black to white, is taken as it is, at all the
depth that it has. A picture that has an alpha which is not opaque throughout means its alpha, any
other its brightness.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from streammatte.colour import black_level, rgb_from_samples, white_level
from streammatte.digests import files_of
from streammatte.errors import DependencyError, InputError
from streammatte.numbered import ranges
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture
    from streammatte.sources.base import Window

    Floats = NDArray[np.float32]

_STILLS = {".exr", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".dpx", ".tga"}
_NUMBER = re.compile(r"(-?[0-9]+)$")
_GREY, _GREY_AND_ALPHA, _COLOUR, _COLOUR_AND_ALPHA = 1, 2, 3, 4
_SLACK = 1e-3
"""Seconds: clocks that count in milliseconds are off by as much."""
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Masks(Protocol):
    """Masks for the frames of footage."""

    @property
    def notes(self) -> list[str]:
        """What has to be known of them, one sentence each; complete after the last frame."""

    def at(self, frame: Frame) -> Floats | None:
        """Return the mask for a frame: float32 ``[h, w]`` in 0..1, at any size.

        Args:
            frame: One after the other, each once.

        Returns:
            ``None`` if it has none of its own.

        Raises:
            InputError: if it cannot be read.
        """

    def close(self) -> None:
        """Let go of files."""


def open_masks(
    where: str, window: Window | None = None, first: int = 0, *, hold: bool = True
) -> Masks:
    """Open a picture, a video, a sequence as ``mask.%04d.png`` or ``mask.####.exr``, or its folder.

    Args:
        where: Which.
        window: The part of the footage that is used: a video is cut alike, so that it goes along.
        first: The number of the first frame, for footage whose frames have none.
        hold: Whether frames without a mask have the one before, or the first, rather than none.

    Raises:
        InputError: if it is none of these.
    """
    files = files_of(where)
    if files is None or not files.paths:
        raise InputError(
            f"{where}: there is no such mask; give a picture, a video, or a sequence as "
            "mask.%04d.png"
        )
    if files.alone:
        path = files.paths[0]
        return Still(path) if path.suffix.lower() in _STILLS else Clip(path, window, hold=hold)
    numbers = files.numbers or None
    named = zip(numbers, files.paths, strict=True) if numbers else _by_number(files.paths)
    return Numbered(where, dict(named), first, hold=hold)


def _by_number(paths: tuple[Path, ...]) -> list[tuple[int, Path]]:
    """Return a folder's pictures by the numbers that their names end in."""
    found: dict[int, Path] = {}
    for path in paths:
        match = _NUMBER.search(path.stem)
        if match is None or path.suffix.lower() not in _STILLS:
            continue
        number = abs(int(match[1]))  # what comes before it is a dash
        if number in found:
            raise InputError(
                f"{path.parent}: both {found[number].name} and {path.name} are frame {number}; "
                "name one of them as mask.%04d.png"
            )
        found[number] = path
    if not found:
        raise InputError(f"{paths[0].parent}: no picture there has a number, such as mask.0001.png")
    return sorted(found.items())


class Still:
    """One mask for all frames."""

    def __init__(self, path: Path) -> None:
        self._mask = read_mask(path)

    @property
    def notes(self) -> list[str]:
        """None."""
        return []

    def at(self, frame: Frame) -> Floats:  # noqa: ARG002  the contract
        """Return it."""
        return self._mask

    def close(self) -> None:
        """Nothing to let go of."""


class Numbered:
    """A sequence, whose files have the numbers of the frames that they are for."""

    def __init__(self, where: str, paths: dict[int, Path], first: int, *, hold: bool) -> None:
        self._where = where
        self._paths = paths
        self._next = first
        self._hold = hold
        self._without: list[int] = []
        self._last: Path | None = None
        self._mask: Floats | None = None

    @property
    def notes(self) -> list[str]:
        """Which frames had to do with another's mask."""
        if not (self._hold and self._without):
            return []
        return [f"{self._where} has no mask for frames {ranges(self._without)}: the last is held"]

    def at(self, frame: Frame) -> Floats | None:
        """Return the mask that has the frame's number."""
        number = self._next if frame.number is None else frame.number
        self._next = number + 1
        path = self._paths.get(number)
        if path is None:
            self._without.append(number)
            if not self._hold:
                return None
            before = [known for known in self._paths if known < number]
            path = self._paths[max(before, default=min(self._paths))]
        if path != self._last:
            self._last, self._mask = path, read_mask(path)
        return self._mask

    def close(self) -> None:
        """Nothing to let go of."""


class Clip:
    """A video, which begins where the footage begins, and goes on by the clock."""

    def __init__(self, path: Path, window: Window | None, *, hold: bool) -> None:
        self._hold = hold
        self._clip = VideoFile(path, window)
        self._frames: Iterator[Frame] = self._clip.frames()
        self._ahead: Frame | None = next(self._frames)
        self._begin = self._ahead.seconds
        self._footage: float | None = None
        self._end = 0.0
        self._mask: Floats | None = None
        self._by_alpha = False
        self._held = False

    @property
    def notes(self) -> list[str]:
        """How much of the footage is longer, and what the file has lost."""
        held = f"{self._clip.path} is shorter than the footage: its last mask is held"
        return [*([held] if self._held else []), *self._clip.damage.notes]

    def at(self, frame: Frame) -> Floats | None:
        """Return the mask that is shown at the frame's time."""
        if self._footage is None:
            self._footage = frame.seconds
        time = frame.seconds - self._footage + self._begin + _SLACK
        now: Frame | None = None
        while self._ahead is not None and self._ahead.seconds <= time:
            now, self._ahead = self._ahead, next(self._frames, None)
        if now is not None:
            self._mask, self._by_alpha = _of_picture(now.picture, by_alpha=self._by_alpha)
            length = now.duration * now.time_base or 1 / self._clip.info.rate
            self._end = now.seconds + float(length)
        elif self._ahead is None and time >= self._end:
            if not self._hold:
                return None
            self._held = True
        return self._mask

    def close(self) -> None:
        """Close the file."""
        self._clip.close()


def read_mask(path: Path) -> Floats:
    """Return a picture's mask, float32 ``[h, w]`` in 0..1.

    Raises:
        InputError: if it cannot be read.
        DependencyError: if it is in OpenEXR and the package that reads that is missing.
    """
    if path.suffix.lower() == ".exr":
        return _checked(_read_exr(path))
    try:
        samples = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if samples is None:
        with VideoFile(path) as file:  # what OpenCV does not know, FFmpeg may
            return _of_picture(next(file.frames()).picture, by_alpha=False)[0]
    if samples.dtype.kind == "f":
        share = samples.astype(np.float32)
    else:
        share = samples / np.float32(np.iinfo(samples.dtype).max)
    if share.ndim == 2:  # noqa: PLR2004
        return _checked(share)
    count = share.shape[2]
    if count in (_GREY_AND_ALPHA, _COLOUR_AND_ALPHA) and (share[..., -1] < 1).any():
        return _checked(share[..., -1])
    if count in (_GREY, _GREY_AND_ALPHA):
        return _checked(share[..., 0])
    return _checked(_brightness(share[..., 2], share[..., 1], share[..., 0]))


def _read_exr(path: Path) -> Floats:
    try:
        import OpenEXR
    except ImportError as error:
        raise DependencyError(
            "masks in OpenEXR need its package: pip install 'streammatte[vfx]'"
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            header = dict(file.header())
            planes = {
                name: np.array(each.pixels, np.float32) for name, each in file.channels().items()
            }
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    mask = _of_channels(planes)
    (left, top), (right, bottom) = header["displayWindow"]
    (x, y), _ = header["dataWindow"]
    # What lies outside of the data window is black.
    whole = np.zeros((bottom - top + 1, right - left + 1), np.float32)
    height, width = mask.shape
    rows = slice(max(y - top, 0), max(y - top + height, 0))
    columns = slice(max(x - left, 0), max(x - left + width, 0))
    part = mask[max(top - y, 0) :, max(left - x, 0) :]
    target = whole[rows, columns]
    target[:] = part[: target.shape[0], : target.shape[1]]
    return whole


def _of_channels(planes: dict[str, Floats]) -> Floats:
    """Return the plane that is meant: a matte's layer, an alpha, or the brightness of the rest."""
    for name in ("matte.A", "matte.Y", "A"):
        if name in planes and (name != "A" or len(planes) == 1 or (planes[name] < 1).any()):
            return planes[name]
    if "Y" in planes:
        return planes["Y"]
    if {"R", "G", "B"} <= set(planes):
        return _brightness(planes["R"], planes["G"], planes["B"])
    return next(iter(planes.values()))


def _brightness(red: Floats, green: Floats, blue: Floats) -> Floats:
    """Return luminance, exactly the samples themselves where they are grey."""
    return np.asarray(green + _LUMA[0] * (red - green) + _LUMA[2] * (blue - green), np.float32)


def _of_picture(picture: Picture, *, by_alpha: bool) -> tuple[Floats, bool]:
    """Return a video's mask, and whether it is its alpha: once it has been, it stays so."""
    layout = picture.layout
    if picture.alpha is not None and (by_alpha or (picture.alpha < layout.peak).any()):
        return _checked(picture.alpha / np.float32(layout.peak)), True
    if layout.family == "rgb":
        matrix = rgb_from_samples(picture.colour, layout.depth)
        green, blue, red = (
            plane * matrix[0, 0] + matrix[0, 3] if not layout.is_float else plane
            for plane in picture.planes
        )
        return _checked(_brightness(red, green, blue)), False
    black, white = (level(picture.colour, layout.depth) for level in (black_level, white_level))
    share: Any = (picture.planes[0].astype(np.float32) - black) / np.float32(white - black)
    return _checked(share), False


def _checked(mask: NDArray[Any]) -> Floats:
    return np.asarray(np.clip(np.nan_to_num(mask, nan=0.0), 0, 1), np.float32)
