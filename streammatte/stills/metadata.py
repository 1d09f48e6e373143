"""What a photograph says beside its pixels: EXIF, the colour profile, the resolution."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streammatte.stills.ifd import ORIENTATION, entry_offset, order_of

_SHORT = 3


@dataclass(frozen=True)
class Tags:
    """What goes along from a photograph to the results that are made of it."""

    exif: bytes = b""
    """A TIFF block, as JPEG, PNG and WebP hold it; empty if there is none."""
    profile: bytes = b""
    """The ICC profile; empty for sRGB, or what nobody knows."""
    dpi: tuple[float, float] | None = None
    """Pixels an inch, across and down."""


def orientation(exif: bytes) -> int:
    """Return how stored pixels become upright: 1 (as they are) to 8, as EXIF numbers it."""
    place = entry_offset(exif, ORIENTATION)
    if place is None:
        return 1
    kind, value = (struct.unpack_from(order_of(exif) + "H", exif, place + at)[0] for at in (2, 8))
    return int(value) if kind == _SHORT and 1 <= value <= 8 else 1  # noqa: PLR2004


def upright(exif: bytes) -> bytes:
    """Return EXIF for pixels that were made upright and changed; every other byte stays.

    The preview picture goes, which would still show the old background.
    """
    order = order_of(exif)
    if not order:
        return b""
    changed = bytearray(exif)
    place = entry_offset(exif, ORIENTATION)
    if place is not None:
        struct.pack_into(order + "HIHH", changed, place + 2, _SHORT, 1, 1, 0)
    return bytes(_without_preview(changed, order))


def _without_preview(exif: bytearray, order: str) -> bytearray:
    """Unlink the second directory, and overwrite the JPEG that it names."""
    (first,) = struct.unpack_from(order + "I", exif, 4)
    if first + 2 > len(exif):
        return exif
    (count,) = struct.unpack_from(order + "H", exif, first)
    link = first + 2 + 12 * count
    if link + 4 > len(exif):
        return exif
    (second,) = struct.unpack_from(order + "I", exif, link)
    struct.pack_into(order + "I", exif, link, 0)
    values = [entry_offset(exif, tag, second) for tag in (0x0201, 0x0202)]
    if second and None not in values:
        start, length = (struct.unpack_from(order + "I", exif, (at or 0) + 8)[0] for at in values)
        if start + length == len(exif):
            del exif[start:]
        elif start + length < len(exif):
            exif[start : start + length] = bytes(length)
    return exif


def profile_space(profile: bytes) -> str:
    """Return what a profile's pixels are: ``RGB``, ``GRAY``, ``CMYK``, ...; empty if damaged."""
    if len(profile) < 128 or profile[36:40] != b"acsp":  # noqa: PLR2004  the size of its header
        return ""
    return profile[16:20].decode("ascii", "replace").strip()
