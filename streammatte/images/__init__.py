"""Files of image sequences: one picture and what its header says. A new kind is one module here.

A kind is a module with ``read`` and ``write`` (see ``Kind``) and one line in ``KINDS``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from streammatte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streammatte.frames import Picture
    from streammatte.options import Compression

KINDS = {
    ".exr": "exr",
    ".dpx": "oiio",
    ".tif": "oiio",
    ".tiff": "oiio",
    ".png": "plain",
    ".jpg": "plain",
    ".jpeg": "plain",
}
"""Extension -> module."""
SEQUENCE_ONLY = (".exr", ".dpx")
"""Kinds that only compositors use: a picture of these is read like a sequence, even alone."""


class Box(NamedTuple):
    """A rectangle of pixels, as OpenEXR's windows: the corners are part of it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left + 1, self.bottom - self.top + 1

    def union(self, other: Box) -> Box:
        """Return the least one that has both in it."""
        least = (min(self.left, other.left), min(self.top, other.top))
        return Box(*least, max(self.right, other.right), max(self.bottom, other.bottom))

    def within(self, other: Box) -> tuple[slice, slice]:
        """Return the rows and columns that it takes of a picture that fills ``other``."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        rows = slice(top - other.top, bottom - other.top + 1)
        return rows, slice(left - other.left, right - other.left + 1)


@dataclass(frozen=True)
class Image:
    """What a file of a sequence holds."""

    picture: Picture
    """Alpha is straight, whatever it is in the file."""
    stored: str
    """How samples are stored, in words: ``half``, ``float``, ``10 bit``."""
    header: Mapping[str, Any] = field(default_factory=dict)
    """For ``Frame.header``."""
    rate: Fraction | None = None
    timecode: str = ""
    pixel_aspect: Fraction = Fraction(1)
    display: Box | None = None
    """What is to be seen, where that and ``canvas`` are not the picture from 0, 0 on."""
    canvas: Box | None = None
    """What the picture fills: of EXR, both windows of the first file."""
    chromaticities: tuple[float, ...] | None = None
    """x and y of red, green, blue and white, where the file says so."""
    notes: tuple[str, ...] = ()
    """What was assumed or mended, one sentence each."""


@dataclass(frozen=True)
class Manner:
    """How a file is written."""

    suffix: str
    """Of its name, in small letters."""
    depth: int
    """Bits a sample that results have; each kind of file takes the next that it holds."""
    multiplied: bool = False
    """Whether colours are multiplied by alpha already."""
    compression: Compression = "zips"
    full_float: bool = False
    rate: Fraction | None = None
    pixel_aspect: Fraction = Fraction(1)
    display: Box | None = None
    canvas: Box | None = None
    chromaticities: tuple[float, ...] | None = None


class Layer(NamedTuple):
    """A picture on its way into a file."""

    name: str
    """Of the pass."""
    picture: Picture
    alpha: bool
    """Whether it has one that is to be written."""
    data: bool
    """Whether it is one plane of numbers, such as a matte."""


class Kind(Protocol):
    """A kind of file."""

    def read(self, path: Path, canvas: Box | None = None) -> Image:
        """Read a file.

        Args:
            path: Which.
            canvas: What the picture is to fill; ``None`` for the file's own windows.

        Raises:
            InputError: if it cannot be read.
            DependencyError: if the library is not there.
        """

    def write(
        self, path: Path, layers: list[Layer], header: Mapping[str, Any], manner: Manner
    ) -> None:
        """Write a file; only OpenEXR holds more than one layer.

        Args:
            path: Where to, whatever its extension.
            layers: The pictures.
            header: What is said beside them; as ``Frame.header``, ``timeCode`` maybe a text.
            manner: How.

        Raises:
            OutputError: if it cannot be written.
            DependencyError: if the library is not there.
        """

    def stored(self, manner: Manner, *, data: bool) -> str:
        """Return in words how pictures are written, such as ``OpenEXR half, ZIPS``."""


def kind_of(path: Path) -> Kind:
    """Return what reads and writes files of that extension.

    Raises:
        UsageError: if nothing does.
    """
    name = KINDS.get(path.suffix.lower())
    if name is None:
        known = ", ".join(KINDS)
        raise UsageError(f"{path.name}: no image sequences of that kind; use one of {known}")
    return cast("Kind", import_module(f"streammatte.images.{name}"))
