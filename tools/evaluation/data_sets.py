"""Data sets as they come out of their archives: which picture has which truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
DEPTH = 3
"""How many folders down a data set is looked for."""
NAMED = 5
"""How many files a note names."""
WITHOUT_OBJECT = "NonCAM"
"""Part of the names of COD10K's pictures in which nothing hides; nobody's tables count them."""


@dataclass(frozen=True)
class Layout:
    """How a family of data sets is laid out; the first folder that is there counts."""

    family: str
    pictures: tuple[str, ...]
    truths: tuple[str, ...]
    trimaps: tuple[str, ...] = ()
    mattes: bool = False
    """Whether the truths are mattes."""


LAYOUTS = (
    Layout("P3M", ("blurred_image", "original_image"), ("mask",), ("trimap",), mattes=True),
    Layout("COD10K", ("Image", "Imgs"), ("GT_Object", "GT")),
    Layout("DUT-OMRON", ("DUT-OMRON-image",), ("pixelwiseGT-new-PNG",)),
    Layout("DIS5K or HRSOD", ("im",), ("gt",)),
)


@dataclass(frozen=True)
class Item:
    """A picture and what should come out of it."""

    name: str
    picture: Path | None
    """``None`` where it is not needed, because predictions are at hand."""
    truth: Path
    trimap: Path | None = None


@dataclass(frozen=True)
class DataSet:
    """What is evaluated."""

    name: str
    items: list[Item]
    mattes: bool
    """Whether the truths are mattes."""
    notes: list[str] = field(default_factory=list)
    """What did not fit, a sentence each."""


def find(folder: Path) -> DataSet:
    """Return the one data set in a folder, or below it.

    Raises:
        InputError: if there is none, or more than one.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the one that holds the data set")
    found = list(_search([folder], DEPTH))
    if not found:
        known = "; ".join(f"{'|'.join(one.pictures)} + {'|'.join(one.truths)}" for one in LAYOUTS)
        raise InputError(
            f"{folder} holds no folders of pictures and truths ({known}); "
            "use --images and --truth for other names"
        )
    if len(found) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place, _ in found)
        raise InputError(f"{folder} holds several data sets ({names}); name one or more of them")
    place, layout = found[0]
    pictures, truths = _first(place, layout.pictures), _first(place, layout.truths)
    assert truths is not None
    return pair(_name(place), pictures, truths, _first(place, layout.trimaps), mattes=layout.mattes)


def pair(
    name: str, pictures: Path | None, truths: Path, trimaps: Path | None, *, mattes: bool
) -> DataSet:
    """Match pictures, truths and trimaps by the names of their files, endings apart.

    Raises:
        InputError: if a folder cannot be read, or nothing matches.
    """
    wanted, trimap = stems(truths), stems(trimaps) if trimaps else {}
    shown = stems(pictures) if pictures else dict.fromkeys(wanted)
    notes = []
    empty = [stem for stem in wanted if WITHOUT_OBJECT in stem]
    if empty:
        notes.append(f"left out, as in everybody's tables: {len(empty)} without a hidden object")
    notes += missing("no truth", [stem for stem in shown if stem not in wanted])
    notes += missing("no picture", [stem for stem in wanted if stem not in shown])
    if trimaps:
        notes += missing("no trimap", [stem for stem in wanted if stem not in trimap])
    items = [
        Item(stem, shown[stem], wanted[stem], trimap.get(stem))
        for stem in sorted(wanted)
        if stem in shown and WITHOUT_OBJECT not in stem
    ]
    if not items:
        raise InputError(f"no file in {pictures} has the name of one in {truths}, endings apart")
    return DataSet(name, items, mattes, notes)


def stems(folder: Path) -> dict[str, Path]:
    """Return the pictures in a folder by their names without the endings.

    Raises:
        InputError: if there are none, or two of one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of pictures")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise InputError(f"{folder} has {found[path.stem].name} and {path.name}; keep one")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))})")
    return found


def missing(what: str, names: list[str]) -> list[str]:
    """Return a sentence that says what lacks something, if anything does."""
    if not names:
        return []
    more = ", ..." if len(names) > NAMED else ""
    files = "file has" if len(names) == 1 else "files have"
    return [f"{len(names)} {files} {what}: {', '.join(sorted(names)[:NAMED])}{more}"]


def read_grey(path: Path) -> Bytes:
    """Return a picture in shades of grey: uint8 ``[h, w]``.

    Raises:
        InputError: if it cannot be read.
    """
    return _read(path, cv2.IMREAD_GRAYSCALE)


def read_colour(path: Path) -> Bytes:
    """Return a picture: uint8 R'G'B' ``[h, w, 3]``.

    Raises:
        InputError: if it cannot be read.
    """
    return np.asarray(cv2.cvtColor(_read(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))


def _read(path: Path, how: int) -> Bytes:
    try:
        picture = cv2.imread(str(path), how)
    except cv2.error as error:
        raise InputError(f"{path} cannot be read: {error.err}") from error
    if picture is None:
        raise InputError(f"{path} cannot be read; is it whole, and a picture?")
    return np.asarray(picture, np.uint8)


def _search(folders: Iterable[Path], depth: int) -> Iterable[tuple[Path, Layout]]:
    for folder in folders:
        layout = next((one for one in LAYOUTS if _holds(folder, one)), None)
        if layout is not None:
            yield folder, layout
        elif depth:
            yield from _search(
                sorted(path for path in folder.iterdir() if path.is_dir()), depth - 1
            )


def _holds(folder: Path, layout: Layout) -> bool:
    return all(_first(folder, names) for names in (layout.pictures, layout.truths))


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _name(place: Path) -> str:
    """Return what people call a data set: its folder's name, unless that only says "test"."""
    place = place.resolve()
    while place.name.lower() in ("test", "validation", "val") and place.parent != place:
        place = place.parent
    return place.name
