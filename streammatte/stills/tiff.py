"""TIFF: what its tags say, and results that say the same."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from streammatte.stills import ifd
from streammatte.stills.ifd import EXIF_DIRECTORY, GPS_DIRECTORY, Directory, Entry
from streammatte.stills.metadata import Tags

if TYPE_CHECKING:
    from streammatte.stills.headers import Bytes

_WIDTH, _HEIGHT, _PACKED, _INK = 256, 257, 259, 262
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
"""What the picture shows, camera, its model, program, time, artist, copyright."""
_ACROSS, _DOWN, _UNIT, _PROFILE = 282, 283, 296, 34675
_CMYK = 5
_ALPHA, _MULTIPLIED, _STRAIGHT = 338, 1, 2
_PLAINLY_PACKED = (0, 1, 5, 8, 32773, 32946)
"""Kinds of compression that FFmpeg undoes: none, LZW, Deflate, PackBits. JPEG it makes black."""
_SHORT, _RATIONAL, _BYTES = 3, 5, 7


class Frame(NamedTuple):
    """What a file says of its pixels."""

    width: int
    height: int
    ink: bool
    """Whether they are for print (CMYK)."""
    rare: bool
    """Whether they are packed as JPEG, or in another way that FFmpeg does not undo."""
    multiplied: bool
    """Whether their colours are multiplied by their alpha."""


def _first(entry: Entry | None, order: str) -> int:
    if entry is None or entry.kind not in (_SHORT, 4):
        return 0
    return int(struct.unpack_from(order + ("H" if entry.kind == _SHORT else "I"), entry.data)[0])


def frame_of(data: Bytes) -> Frame | None:
    """Return what the file says of its pixels; ``None`` if it has no size."""
    order, entries = ifd.order_of(data), ifd.read(data).entries
    told = (_WIDTH, _HEIGHT, _INK, _PACKED, _ALPHA)
    width, height, ink, packed, alpha = (_first(entries.get(tag), order) for tag in told)
    if not (width and height):
        return None
    rare = packed not in _PLAINLY_PACKED
    return Frame(width, height, ink == _CMYK, rare, alpha == _MULTIPLIED)


def tags_of(data: Bytes) -> Tags:
    """Return what the file says beside its pixels, the descriptive tags as EXIF."""
    order, all_ = ifd.order_of(data), ifd.read(data)
    kept = {tag: all_.entries[tag] for tag in _DESCRIPTIVE if tag in all_.entries}
    if ifd.ORIENTATION in all_.entries:
        kept[ifd.ORIENTATION] = all_.entries[ifd.ORIENTATION]
    below = {
        tag: each for tag, each in all_.below.items() if tag in (EXIF_DIRECTORY, GPS_DIRECTORY)
    }
    exif = b""
    if kept or below:
        head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
        exif = head + ifd.write(Directory(kept, below), order, 8)
    profile = all_.entries.get(_PROFILE)
    return Tags(exif, profile.data if profile else b"", _dpi(all_, order))


def _dpi(directory: Directory, order: str) -> tuple[float, float] | None:
    unit = _first(directory.entries.get(_UNIT), order) or 2
    sides = []
    for tag in (_ACROSS, _DOWN):
        entry = directory.entries.get(tag)
        if entry is None or entry.kind != _RATIONAL:
            return None
        over, under = struct.unpack_from(order + "II", entry.data)
        sides.append(over / under * (2.54 if unit == 3 else 1) if under else 0.0)  # noqa: PLR2004
    return (sides[0], sides[1]) if unit in (2, 3) and all(sides) else None


def tagged(content: bytes, tags: Tags, *, alpha: bool = False, multiplied: bool = False) -> bytes:
    """Return a TIFF, as OpenCV writes it, that says what ``tags`` does.

    Args:
        content: The file.
        tags: What it is to say.
        alpha: Whether its fourth channel is an alpha, which OpenCV does not say.
        multiplied: Whether its colours are multiplied by that.
    """
    order = ifd.order_of(content)
    if not order:
        return content
    own = ifd.read(content)
    if tags.exif:
        from_ = ifd.order_of(tags.exif)
        told = ifd.in_order(ifd.read(tags.exif), from_, order)
        own.entries |= {tag: each for tag, each in told.entries.items() if tag in _DESCRIPTIVE}
        own.below |= told.below
    if tags.profile:
        own.entries[_PROFILE] = Entry(_BYTES, len(tags.profile), tags.profile)
    if tags.dpi:
        for tag, side in zip((_ACROSS, _DOWN), tags.dpi, strict=True):
            ratio = Fraction(side).limit_denominator(1000)
            value = struct.pack(order + "II", ratio.numerator, ratio.denominator)
            own.entries[tag] = Entry(_RATIONAL, 1, value)
        own.entries[_UNIT] = Entry(_SHORT, 1, struct.pack(order + "H", 2))
    if alpha:
        kind = _MULTIPLIED if multiplied else _STRAIGHT
        own.entries[_ALPHA] = Entry(_SHORT, 1, struct.pack(order + "H", kind))
    at = len(content) + len(content) % 2
    head = content[:4] + struct.pack(order + "I", at) + content[8:]
    return head.ljust(at, b"\0") + ifd.write(own, order, at)
