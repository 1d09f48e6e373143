"""Directories of tags, as TIFF files and EXIF blocks have them: read, merged, written."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field

Block = bytes | bytearray | mmap.mmap
ORIENTATION = 0x0112
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY = 0x8769, 0x8825, 0xA005
_SUB = (EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY)
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Type of a value -> its bytes."""
_UNIT = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""Type of a value -> the bytes that the byte order turns round."""
_LONG = 4
_INLINE = 4


@dataclass(frozen=True)
class Entry:
    """A tag's value, its bytes as they are stored."""

    kind: int
    count: int
    data: bytes


@dataclass
class Directory:
    """Tags by number, and the directories below it by the tag that names them."""

    entries: dict[int, Entry] = field(default_factory=dict)
    below: dict[int, Directory] = field(default_factory=dict)


def order_of(block: Block) -> str:
    """Return the byte order as ``struct`` writes it, ``<`` or ``>``; empty if it is no TIFF."""
    known = {b"II*\0": "<", b"MM\0*": ">"}
    return known.get(bytes(block[:4]), "") if len(block) >= 8 else ""  # noqa: PLR2004


def entry_offset(block: Block, tag: int, at: int | None = None) -> int | None:
    """Return where the 12 bytes of a tag begin; ``None`` if it is not there.

    Args:
        block: The whole block.
        tag: Its number.
        at: Where the directory begins; ``None`` for the first.
    """
    order = order_of(block)
    if not order:
        return None
    if at is None:
        (at,) = struct.unpack_from(order + "I", block, 4)
    if at < 8 or at + 2 > len(block):  # noqa: PLR2004
        return None
    (count,) = struct.unpack_from(order + "H", block, at)
    for place in range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12):
        if struct.unpack_from(order + "H", block, place)[0] == tag:
            return place
    return None


def read(block: Block, at: int | None = None, depth: int = 0) -> Directory:
    """Read a directory and those below it; what is damaged is left out.

    Args:
        block: The whole block, from its byte order on.
        at: Where the directory begins; ``None`` for the first.
        depth: How deep it lies.
    """
    directory, order = Directory(), order_of(block)
    if not order:
        return directory
    if at is None:
        (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return directory
    (entries,) = struct.unpack_from(order + "H", block, at)
    for place in range(at + 2, min(at + 2 + 12 * entries, len(block) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", block, place)
        size = _BYTES.get(kind, 0) * count
        begin = place + 8
        if size > _INLINE:
            (begin,) = struct.unpack_from(order + "I", block, begin)
        if not size or begin + size > len(block):
            continue
        data = bytes(block[begin : begin + size])
        if tag in _SUB and size == _INLINE and depth < 2:  # noqa: PLR2004
            directory.below[tag] = read(block, struct.unpack(order + "I", data)[0], depth + 1)
        else:
            directory.entries[tag] = Entry(kind, count, data)
    return directory


def write(directory: Directory, order: str, at: int) -> bytes:
    """Return a directory, what its tags point to and all below it, to lie at ``at``.

    Args:
        directory: Its values stored in ``order``.
        order: ``<`` or ``>``.
        at: Where the bytes will begin; even.
    """
    tags = sorted([*directory.entries, *directory.below])
    table, heap = bytearray(struct.pack(order + "H", len(tags))), bytearray()
    free = at + 2 + 12 * len(tags) + 4
    for tag in tags:
        if tag in directory.below:
            place = struct.pack(order + "I", free + len(heap))
            heap += write(directory.below[tag], order, free + len(heap))
            table += struct.pack(order + "HHI", tag, _LONG, 1) + place
            continue
        entry = directory.entries[tag]
        value = entry.data.ljust(_INLINE, b"\0")
        if len(entry.data) > _INLINE:
            value = struct.pack(order + "I", free + len(heap))
            heap += entry.data + b"\0" * (len(entry.data) % 2)
        table += struct.pack(order + "HHI", tag, entry.kind, entry.count) + value
    return bytes(table + bytes(4) + heap)


def in_order(directory: Directory, old: str, new: str) -> Directory:
    """Return a directory with its values in another byte order."""
    if old == new:
        return directory
    entries = {}
    for tag, entry in directory.entries.items():
        unit = _UNIT[entry.kind]
        pieces = (entry.data[i : i + unit][::-1] for i in range(0, len(entry.data), unit))
        entries[tag] = Entry(entry.kind, entry.count, b"".join(pieces))
    below = {tag: in_order(each, old, new) for tag, each in directory.below.items()}
    return Directory(entries, below)
