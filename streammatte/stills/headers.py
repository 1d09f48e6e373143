"""What kind of photograph a file is, how large, and what it says beside its pixels.

Told by the first bytes, whatever the file is called. Read by own code, which looks at no pixel and
needs no package; only HEIC, HEIF and AVIF need Pillow.

OpenCV's ``imdecodeWithMetadata`` and ``imencodeWithMetadata`` would not do (5.0.0): they decode the
whole picture to tell its size, know no resolution, say nothing of TIFF and write nothing to it, and
write no JPEG at all if the profile does not fit into one segment, of 64 KB.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from streammatte.errors import InputError
from streammatte.stills import jpeg, png, tiff, webp
from streammatte.stills.metadata import Tags, orientation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Bytes = bytes | mmap.mmap
Kind = Literal["jpeg", "png", "webp", "tiff", "bmp", "heif", "avif"]
_BRANDS: dict[bytes, Kind] = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1"), "heif"),
    b"avif": "avif",
}
_TURNED = 5
"""Orientations from here on lie on their side."""


@dataclass(frozen=True)
class Header:
    """What a photograph says before its pixels are decoded."""

    kind: Kind
    width: int
    """Of the upright picture."""
    height: int
    """Of the upright picture."""
    tags: Tags
    """As they are stored: the orientation among them."""
    ink: bool = False
    """Whether its pixels are cyan, magenta, yellow and black."""
    by_pillow: bool = False
    """Whether only Pillow decodes it."""
    multiplied: bool = False
    """Whether its colours are multiplied by its alpha."""
    moves: bool = False
    """Whether it is an animation."""

    @property
    def orientation(self) -> int:
        """How stored pixels become upright, as EXIF numbers it."""
        return orientation(self.tags.exif)


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """Give a file's bytes, read as far as they are looked at.

    Raises:
        InputError: if there are none.
    """
    try:
        with path.open("rb") as file, suppress(BufferError):
            if path.stat().st_size == 0:
                raise InputError(
                    f"{path} is empty (0 bytes); copy it again from where it came from"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def kind_of(data: Bytes) -> Kind | None:
    """Return what kind of photograph bytes are; ``None`` if they are none."""
    start = bytes(data[:32])
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(png.SIGNATURE):
        return "png"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    if start[:4] in (b"II*\0", b"MM\0*"):
        return "tiff"
    if start.startswith(b"BM") and start[6:10] == b"\0\0\0\0":
        return "bmp"
    return _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None


def header_of(path: Path, data: Bytes) -> Header:
    """Read what a photograph says.

    Raises:
        InputError: if it is none, or damaged.
        DependencyError: if it needs a package that is missing.
    """
    kind = kind_of(data)
    if kind is None:
        raise InputError(f"{path} is no photograph that can be read; save it as JPEG, PNG or TIFF")
    if kind in ("heif", "avif"):
        from streammatte.stills.pillow import header_by_pillow

        return header_by_pillow(path, kind)
    try:
        found = _stored(kind, data)
    except struct.error:
        found = None
    if found is None:
        raise InputError(f"{path} is damaged: not even its size can be read; copy it again")
    return upright(found)


def upright(header: Header) -> Header:
    """Return a header with the size that the picture has when it is upright."""
    if header.orientation < _TURNED:
        return header
    return replace(header, width=header.height, height=header.width)


def _stored(kind: Kind, data: Bytes) -> Header | None:
    """Return what a photograph says, its size as it is stored; ``None`` if it has none."""
    if kind == "jpeg":
        frame = jpeg.frame_of(data)
        ink = frame is not None and frame[2] == 4  # noqa: PLR2004
        return frame and Header(kind, frame[0], frame[1], jpeg.tags_of(data), ink, by_pillow=ink)
    if kind == "tiff":
        return _stored_tiff(data)
    if kind == "bmp":
        width, height = struct.unpack_from("<ii", data, 18)
        return Header(kind, width, abs(height), Tags())
    own = png if kind == "png" else webp
    size = own.size_of(data)
    return size and Header(kind, size[0], size[1], own.tags_of(data), moves=own.moves(data))


def _stored_tiff(data: Bytes) -> Header | None:
    told = tiff.frame_of(data)
    if told is None:
        return None
    return Header(
        "tiff",
        told.width,
        told.height,
        tiff.tags_of(data),
        told.ink,
        by_pillow=told.ink or told.rare,
        multiplied=told.multiplied,
    )
