"""Opening media files with FFmpeg: what can be wrong with them, and which stream is the picture.

This module and ``sinks/video_file.py`` are the two that know FFmpeg's errors.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError, InvalidDataError

from streammatte.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.stream import VideoStream

SECOND = av.time_base
"""FFmpeg's ticks a second for whole containers."""
_PHOTO_BRANDS = ("avif", "heic", "heix", "mif1")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors on ``path`` into an ``InputError`` that says what to do."""
    try:
        yield
    except InvalidDataError as error:
        raise InputError(
            f"{path} is not a video, or too damaged to read "
            "(an mp4 that was cut off has lost its index); try to open it in a player"
        ) from error
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}") from error


def open_input(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a media file.

    Args:
        path: Of the file.
        hwaccel: What decodes its pictures; ``None`` for the CPU.

    Raises:
        InputError: if it is missing, empty, a folder, not readable or not media.
    """
    if ":/" in str(path) and not path.exists():
        raise InputError(f"{path} is an address; download it first and give the file")
    with reading(path):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the spelling and the folder")
        if path.is_dir():
            raise InputError(f"{path} is a folder; give a video or image file")
        if not path.is_file():  # FFmpeg would wait for it for ever; sound needs a second reading
            raise InputError(f"{path} is a pipe or a device; give a video or image file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy it again from where it came from")
        # Absolute, so that no colon in a name is taken for a protocol; a % in the name of an
        # image is not the pattern of a sequence.
        container = av.open(
            str(path.absolute()),
            options={"pattern_type": "none"},
            metadata_errors="replace",
            hwaccel=hwaccel,
        )
    if container.format.name == "tty":  # FFmpeg would make a film of the letters
        container.close()
        raise InputError(f"{path} is a text file; give a video or image file")
    if container.metadata.get("major_brand") in ("heic", "heix"):  # tiles, and PyAV gives one
        container.close()
        raise InputError(f"{path} is a HEIC photograph, which is not read yet; save it as JPEG")
    return container


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the best stream of moving pictures, or the still; never a cover picture.

    Raises:
        InputError: if there is none.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    best = container.streams.best("video")
    if best in moving:
        return best
    if moving:
        return moving[0]
    if container.streams.audio:
        raise InputError(f"{path} has sound but no moving picture; give a video file")
    raise InputError(f"{path} has no picture; give a video or image file")


def timed_streams(container: InputContainer) -> list[Any]:
    """Return the streams whose packets a ``Clock`` must see: pictures, sound and subtitles."""
    cover = av.stream.Disposition.attached_pic
    return [
        stream
        for stream in container.streams
        if stream.type in ("video", "audio", "subtitle") and not stream.disposition & cover
    ]


def seek(container: InputContainer, time: Fraction, origin: Fraction) -> None:
    """Go to a point before ``time``, in seconds on the file's clock, where decoding may begin.

    A container that was just opened stays where it is if ``time`` is not after ``origin``, its
    beginning, or if it cannot seek: some cannot find their own first key frame again.
    """
    if time > origin:
        with suppress(FFmpegError):
            container.seek(int(time * SECOND))


def duration_tag(text: str) -> Fraction | None:
    """Read when a track ends from the tag that Matroska's writers leave: ``00:01:02.345000000``."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", text)
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + Fraction(match[3])


def timecode_tag(container: InputContainer, metadata: Mapping[str, str]) -> str:
    """Return the time code that a file begins with; empty if it says none.

    It may be told of the picture, of the whole file, or of a track that is nothing else.

    Args:
        container: The file.
        metadata: Of its picture.
    """
    places = [metadata, container.metadata, *(stream.metadata for stream in container.streams)]
    told = [text for place in places for key, text in place.items() if key.lower() == "timecode"]
    return told[0] if told else ""


def is_still(container: InputContainer) -> bool:
    """Whether a file is a photograph rather than footage."""
    names = container.format.name.split(",")
    image = any(name == "image2" or name.endswith("_pipe") for name in names)
    return image or container.metadata.get("major_brand") in _PHOTO_BRANDS


def ends_as_jpeg(path: Path) -> bool:
    """Whether the marker that ends a JPEG is there; programs may have put more behind it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65536))
        return b"\xff\xd9" in file.read()
