"""WebP: what its chunks say, and results that say the same."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streammatte.stills.jpeg import EXIF
from streammatte.stills.metadata import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.stills.headers import Bytes

_PROFILE, _ALPHA, _EXIF, _MOVES = 0x20, 0x10, 0x08, 0x02


def chunks(data: Bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of every chunk; of pixels the first 32 bytes."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        long = name in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF")
        yield name, bytes(data[at + 8 : at + 8 + (min(length, 32) if long else length)])
        at += 8 + length + length % 2


def size_of(data: Bytes) -> tuple[int, int] | None:
    """Return width and height; ``None`` if it does not say."""
    for name, content in chunks(data):
        if name == b"VP8X" and len(content) >= 10:  # noqa: PLR2004
            return tuple(int.from_bytes(content[i : i + 3], "little") + 1 for i in (4, 7))  # type: ignore[return-value]
        if name == b"VP8 " and len(content) >= 10:  # noqa: PLR2004
            width, height = struct.unpack_from("<HH", content, 6)
            return width & 0x3FFF, height & 0x3FFF
        if name == b"VP8L" and len(content) >= 5:  # noqa: PLR2004
            bits = int.from_bytes(content[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def moves(data: Bytes) -> bool:
    """Whether it is an animation."""
    name, content = next(chunks(data), (b"", b""))
    return name == b"VP8X" and bool(content[:1]) and bool(content[0] & _MOVES)


def tags_of(data: Bytes) -> Tags:
    """Return what the file says beside its pixels."""
    exif = profile = b""
    for name, content in chunks(data):
        if name == b"EXIF":
            exif = content.removeprefix(EXIF)
        elif name == b"ICCP":
            profile = content
    return Tags(exif, profile)


def tagged(content: bytes, tags: Tags) -> bytes:
    """Return a WebP, as OpenCV writes it, that says what ``tags`` does; it has no resolution."""
    size = size_of(content)
    if size is None or not (tags.exif or tags.profile):
        return content
    body, flags = content[12:], 0
    if body[:4] == b"VP8X":
        flags, body = body[8] & _ALPHA, body[18:]
    elif body[:4] == b"VP8L":
        flags = _ALPHA * (body[12] >> 4 & 1)
    flags |= (_PROFILE if tags.profile else 0) | (_EXIF if tags.exif else 0)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    parts = _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides)
    if tags.profile:
        parts += _chunk(b"ICCP", tags.profile)
    parts += body
    if tags.exif:
        parts += _chunk(b"EXIF", tags.exif)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
