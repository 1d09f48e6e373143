"""Small pictures of the backgrounds that can be chosen, and of no other file."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.video.reformatter import VideoReformatter

from streammatte.control.looks import encoded
from streammatte.errors import InputError, UsageError
from streammatte.options import BackgroundSpec
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WIDTH, HEIGHT = 256, 144
"""Pixels that it fills, at the least, in one direction, and does not exceed in the other."""


def with_thumbnails(choices: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the choices, each file among them with the address of its ``thumbnail``."""
    return [_with_thumbnail(choice) for choice in choices]


def file_of(choices: Iterable[Mapping[str, Any]], key: str) -> Path | None:
    """Return the file among the choices whose thumbnail has that key."""
    for choice in choices:
        value = str(choice["value"])
        if _is_file(value) and _key(value) == key:
            return Path(value)
    return None


def thumbnail(path: Path) -> bytes:
    """Return a JPEG of a picture, or of the first one of a video.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}") from error
    return _made(path, changed)


@lru_cache(maxsize=256)
def _made(path: Path, _changed: int) -> bytes:
    with VideoFile(path) as clip:
        frame = next(clip.frames(), None)
        if frame is None:
            raise InputError(f"{path.name} holds no picture")
        picture = frame.picture
        scale = min(WIDTH / picture.width, HEIGHT / picture.height, 1.0)
        size = max(2, round(picture.width * scale)), max(2, round(picture.height * scale))
        return encoded(picture.view(*size, VideoReformatter()))


def _with_thumbnail(choice: Mapping[str, Any]) -> dict[str, Any]:
    value = str(choice["value"])
    if not _is_file(value):
        return dict(choice)
    return {**choice, "thumbnail": f"/api/thumbnails/{_key(value)}.jpg"}


@lru_cache(maxsize=1024)
def _is_file(value: str) -> bool:
    try:
        return BackgroundSpec.parse(value).kind == "file"
    except UsageError:
        return False


@lru_cache(maxsize=1024)
def _key(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:16]
