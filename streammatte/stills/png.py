"""PNG: what its chunks say, and results that say the same."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from streammatte.stills.metadata import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.stills.headers import Bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = len(SIGNATURE) + 25
_INCH = 0.0254
"""In metres."""
_LARGEST_PROFILE = 1 << 24


def chunks(data: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield every chunk's name, and where its content begins and ends."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, min(at + 8 + length, len(data))
        at += 12 + length


def size_of(data: Bytes) -> tuple[int, int] | None:
    """Return width and height; ``None`` if it does not say."""
    if len(data) < _HEADER or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def moves(data: Bytes) -> bool:
    """Whether it is an animation."""
    for name, _, _ in chunks(data):
        if name in (b"acTL", b"IDAT"):
            return name == b"acTL"
    return False


def tags_of(data: Bytes) -> Tags:
    """Return what the file says beside its pixels."""
    exif, profile, dpi = b"", b"", None
    for name, begin, end in chunks(data):
        if name == b"eXIf":
            exif = bytes(data[begin:end])
        elif name == b"iCCP":
            profile = _inflated(bytes(data[begin:end]))
        elif name == b"pHYs" and end - begin == 9:  # noqa: PLR2004
            across, down, unit = struct.unpack_from(">IIB", data, begin)
            dpi = (across * _INCH, down * _INCH) if unit == 1 and across and down else None
    return Tags(exif, profile, dpi)


def _inflated(content: bytes) -> bytes:
    with suppress(zlib.error):
        packed = content.partition(b"\0")[2][1:]
        return zlib.decompressobj().decompress(packed, _LARGEST_PROFILE)
    return b""


def tagged(content: bytes, tags: Tags) -> bytes:
    """Return a PNG, as OpenCV writes it, that says what ``tags`` does."""
    more = b""
    if tags.profile:
        more += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(tags.profile))
    if tags.exif:
        more += _chunk(b"eXIf", tags.exif)
    if tags.dpi:
        more += _chunk(b"pHYs", struct.pack(">IIB", *(round(x / _INCH) for x in tags.dpi), 1))
    return content[:_HEADER] + more + content[_HEADER:]


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
