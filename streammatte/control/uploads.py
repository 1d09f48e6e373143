"""Pictures from strangers: looked at before they are decoded, and kept only as our own new file.

What came over the network is never stored as it is, nor under the name it came with. Its header is
read here, without a decoder, because a few kilobytes can claim to be a picture of gigabytes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from streammatte.errors import InputError, OutputError
from streammatte.locks import exclusive
from streammatte.whole import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

LARGEST_FILE = 32 << 20
"""Bytes."""
LARGEST_AREA = 64_000_000
"""Pixels."""
LONGEST_SIDE = 3840
"""Pixels of what is kept; the other side follows."""
SHORTEST_SIDE = 16
MOST_SCANS = 100
"""Of a progressive JPEG; each costs as much as a whole picture, and honest ones have about 10."""
MOST_KEPT = 500
"""Pictures in the folder."""
JPEG_QUALITY = 92
FORMATS = "a JPEG, PNG or WebP picture"

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that tell the size."""
_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}
"""JPEG markers without a length."""
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d")
"""What no file may be called on Windows, whatever follows the dot."""


class Header(NamedTuple):
    """What a file says of itself."""

    width: int
    height: int
    alpha: bool


def safe_picture(content: bytes, folder: Path, name: str) -> Path:
    """Decode a picture within limits, and write it anew.

    Transparent parts become black, as a video shows them. The same picture under the same name is
    kept once.

    Args:
        content: The file, JPEG, PNG or WebP, told by its first bytes.
        folder: Where it is kept; exists.
        name: What its owner calls it, any text; the file is named after it, as far as is safe.

    Returns:
        The new file: JPEG, upright, at most ``LONGEST_SIDE`` long.

    Raises:
        InputError: if it is no picture, or larger than is sensible.
        OutputError: if it cannot be written.
    """
    header = _checked(content)
    picture = _fitted(_decoded(content, header))
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise InputError(f"the picture could not be written anew; give {FORMATS}")
    return _kept(encoded.tobytes(), folder, _stem(name))


def read_header(content: bytes) -> Header:
    """Return what the file says of itself, without decoding it.

    Raises:
        InputError: if it is none of the formats, or says nothing sensible.
    """
    if content[:3] == b"\xff\xd8\xff":
        read = _jpeg
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        read = _png
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        read = _webp
    else:
        raise InputError(f"this is not a picture that can be read; give {FORMATS}")
    header = read(content)
    if header is None or not (header.width and header.height):
        raise InputError(f"the picture is damaged; give {FORMATS}")
    return header


def _checked(content: bytes) -> Header:
    """Return the header of a picture that may be decoded.

    Raises:
        InputError: if it may not.
    """
    if len(content) > LARGEST_FILE:
        raise InputError(f"the file is larger than {LARGEST_FILE >> 20} MiB; give a smaller one")
    header = read_header(content)
    size = f"{header.width}x{header.height}"
    if header.width * header.height > LARGEST_AREA:
        most = LARGEST_AREA // 1_000_000
        raise InputError(f"{size} pixels are more than {most} million; give a smaller picture")
    if min(header.width, header.height) < SHORTEST_SIDE:
        raise InputError(f"{size} pixels are too few for a background; give a larger picture")
    if content[:2] == b"\xff\xd8" and content.count(b"\xff\xda") > MOST_SCANS:
        raise InputError("the JPEG is made to be slow (too many scans); save it anew")
    return header


def _jpeg(content: bytes) -> Header | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:  # noqa: PLR2004
        marker = content[at + 1]
        if marker in _FRAMES:
            height, width = _big(content[at + 5 : at + 7]), _big(content[at + 7 : at + 9])
            return Header(width, height, alpha=False)
        if marker == 0xFF:  # noqa: PLR2004  padding
            at += 1
        else:
            at += 2 if marker in _BARE else 2 + _big(content[at + 2 : at + 4])
    return None


def _png(content: bytes) -> Header | None:
    if content[12:16] != b"IHDR" or len(content) < 33:  # noqa: PLR2004  the chunk is whole
        return None
    before, _, _ = content.partition(b"IDAT")
    alpha = content[25] in (4, 6) or b"tRNS" in before
    return Header(_big(content[16:20]), _big(content[20:24]), alpha)


def _webp(content: bytes) -> Header | None:
    kind, data = content[12:16], content[20:30]
    if len(data) < 10:  # noqa: PLR2004
        return None
    if kind == b"VP8X":
        return Header(_little(data[4:7]) + 1, _little(data[7:10]) + 1, bool(data[0] & 0x10))
    if kind == b"VP8L" and data[0] == 0x2F:  # noqa: PLR2004
        bits = _little(data[1:5])
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1))
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return Header(_little(data[6:8]) & 0x3FFF, _little(data[8:10]) & 0x3FFF, alpha=False)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _decoded(content: bytes, header: Header) -> Pixels:
    """Return uint8 B'G'R' ``[h, w, 3]``, upright as its EXIF data says.

    Raises:
        InputError: if it is damaged, or another size than it said.
    """
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise InputError(f"the picture is damaged; give {FORMATS}") from error
    if picture is None or sorted(picture.shape[:2]) != sorted(header[:2]):
        raise InputError(f"the picture is damaged; give {FORMATS}")
    return _flattened(picture)


def _flattened(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """Return uint8 ``[h, w, 3]`` of grey or colour, with or without alpha, 8 or 16 bits."""
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 2:  # noqa: PLR2004
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    if picture.shape[2] == 3:  # noqa: PLR2004
        return np.asarray(picture, np.uint8)
    alpha = cv2.cvtColor(np.ascontiguousarray(picture[..., 3]), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(picture[..., :3].copy(), alpha, scale=1 / 255), np.uint8)


def _fitted(picture: Pixels) -> Pixels:
    """Return it no longer than is kept.

    Raises:
        InputError: if that leaves next to nothing of the other side.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = round(width * scale), round(height * scale)
    if min(size) < SHORTEST_SIDE:
        raise InputError(f"{width}x{height} pixels are too narrow for a background; crop it")
    if scale == 1:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _stem(name: str) -> str:
    """Return a file's name without its ending, of letters, digits and dashes."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    stem = re.sub(r"\W+", "-", last.rpartition(".")[0] or last).strip("-_")[:40]
    return f"picture-{stem}" if _RESERVED.fullmatch(stem.lower()) else stem or "picture"


def _kept(content: bytes, folder: Path, stem: str) -> Path:
    """Write a file under a name that is free, unless it is there.

    Raises:
        InputError: if there are too many.
        OutputError: if it cannot be written.
    """
    with exclusive(folder / ".lock"):
        for path in _names(folder, stem):
            try:
                if not path.exists():
                    write_file(path, content)
                    return path
                if path.read_bytes() == content:
                    return path
            except OSError as error:
                raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    raise InputError(f"there are {MOST_KEPT} pictures already; remove some from {folder}")


def _names(folder: Path, stem: str) -> Iterator[Path]:
    if sum(1 for _ in folder.glob("*.jpg")) >= MOST_KEPT:
        return
    yield folder / f"{stem}.jpg"
    yield from (folder / f"{stem}-{number}.jpg" for number in range(2, MOST_KEPT + 2))
