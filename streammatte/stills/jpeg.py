"""JPEG: what its segments say, and results that say the same."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streammatte.stills.metadata import Tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.stills.headers import Bytes

EXIF, PROFILE, JFIF = b"Exif\0\0", b"ICC_PROFILE\0", b"JFIF\0"
_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_SCAN, _END = 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MOST = 65533
"""Bytes that a segment holds."""
_INCH_IN_CM = 2.54


def segments(data: Bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of every segment before the pixels."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (_SCAN, _END):  # noqa: PLR2004
            return
        if marker == 0xFF:  # noqa: PLR2004  filling
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, bytes(data[at + 4 : at + 2 + length])
        at += 2 + max(length, 2)


def frame_of(data: Bytes) -> tuple[int, int, int] | None:
    """Return width, height and the number of components; ``None`` if it does not say."""
    for marker, content in segments(data):
        if marker in _FRAMES and len(content) >= 6:  # noqa: PLR2004
            _, height, width, components = struct.unpack_from(">BHHB", content)
            return width, height, components
    return None


def tags_of(data: Bytes) -> Tags:
    """Return what the file says beside its pixels."""
    exif, dpi, parts = b"", None, dict[int, bytes]()
    for marker, content in segments(data):
        if marker == _APP1 and content.startswith(EXIF) and not exif:
            exif = content[len(EXIF) :]
        elif marker == _APP2 and content.startswith(PROFILE) and len(content) > 14:  # noqa: PLR2004
            parts[content[12]] = content[14:]
        elif marker == _APP0 and content.startswith(JFIF) and len(content) >= 12:  # noqa: PLR2004
            dpi = _dpi(*struct.unpack_from(">BHH", content, 7))
    return Tags(exif, b"".join(parts[number] for number in sorted(parts)), dpi)


def _dpi(unit: int, across: int, down: int) -> tuple[float, float] | None:
    factor = {1: 1.0, 2: _INCH_IN_CM}.get(unit)
    return (across * factor, down * factor) if factor and across and down else None


def tagged(content: bytes, tags: Tags) -> bytes:
    """Return a JPEG, as OpenCV writes it, that says what ``tags`` does."""
    body = content[2:]
    if body[:2] == b"\xff\xe0":  # ours has the resolution
        body = body[2 + struct.unpack_from(">H", body, 2)[0] :]
    across, down = (round(side) for side in tags.dpi or (0, 0))
    fits = all(0 < side < 1 << 16 for side in (across, down))
    density = (1, across, down) if fits else (0, 1, 1)
    head = [_segment(_APP0, JFIF + struct.pack(">BBBHHBB", 1, 1, *density, 0, 0))]
    if tags.exif and len(EXIF + tags.exif) <= _MOST:
        head.append(_segment(_APP1, EXIF + tags.exif))
    most = _MOST - len(PROFILE) - 2
    pieces = [tags.profile[i : i + most] for i in range(0, len(tags.profile), most)]
    for number, piece in enumerate(pieces, 1):
        head.append(_segment(_APP2, PROFILE + bytes([number, len(pieces)]) + piece))
    return content[:2] + b"".join(head) + body


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
