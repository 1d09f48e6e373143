"""Which photographs are meant: one, a folder, a pattern, or a list of them."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import InputError
from streammatte.images import SEQUENCE_ONLY
from streammatte.numbered import siblings
from streammatte.stills.headers import kind_of, mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp"),
    *(".heic", ".heif", ".hif", ".avif"),
)
Where = str | os.PathLike[str]


@dataclass(frozen=True)
class Found:
    """Photographs, in order."""

    paths: tuple[Path, ...]
    names: tuple[Path, ...]
    """What each is called below the folder that was meant, folders included."""
    named: Path | None = None
    """The folder, if one was named; ``None`` for photographs, a list or a pattern."""
    alone: bool = False
    """Whether it is one photograph, named as such."""
    notes: tuple[str, ...] = ()
    """What was passed over."""


def is_photograph(path: Path) -> bool:
    """Whether a file is a photograph, by its first bytes."""
    try:
        if not path.is_file():
            return False
        with mapped(path) as data:
            return kind_of(data) is not None
    except (InputError, ValueError):  # ValueError: no name that there could be
        return False


def is_several(where: Where | Sequence[Where]) -> bool:
    """Whether a folder, a pattern or a list is meant, rather than one file."""
    if not isinstance(where, (str, os.PathLike)):
        return True
    try:
        path = Path(where)
        return path.is_dir() or (glob.has_magic(str(where)) and not path.exists())
    except (OSError, ValueError):
        return False


def find(where: Where | Sequence[Where]) -> Found:
    """Find the photographs that are meant.

    Raises:
        InputError: if there are none, or the folder holds a sequence of frames.
    """
    if not isinstance(where, (str, os.PathLike)):
        return _listed([Path(each) for each in where])
    path = Path(where)
    if path.is_dir():
        inside = sorted(each for each in _inside(path) if not each.name.startswith("."))
        _refuse_sequence(path, inside)
        return _photographs(path, inside, path)
    if is_several(where):
        root = _root(str(where))
        matches = glob.glob(str(where), recursive=True)  # noqa: PTH207  of Path's, ** differs
        inside = sorted(Path(each) for each in matches)
        if not inside:
            raise InputError(f"nothing is called {where}; check the spelling and the folder")
        return _photographs(root, inside, where)
    return Found((path,), (Path(path.name),), alone=True)


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from error


def _listed(paths: list[Path]) -> Found:
    if not paths:
        raise InputError("no photograph was named; give some, or a folder")
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{path} {what}; give photographs, or one folder alone")
        if path.suffix.lower() not in EXTENSIONS and not is_photograph(path):
            raise InputError(f"{path} is no photograph; several inputs must all be photographs")
    once = tuple(dict.fromkeys(paths))
    return Found(once, tuple(Path(path.name) for path in once))


def _photographs(root: Path, inside: list[Path], where: Where) -> Found:
    files = [path for path in inside if path.is_file()]
    paths = tuple(path for path in files if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise InputError(
            f"{where} has no photographs; those are called .jpg, .png, .tif, .webp, .heic, ..."
        )
    notes = []
    if others := len(files) - len(paths):
        notes.append(f"{others} other file{'s were' if others > 1 else ' was'} passed over")
    if folders := len(inside) - len(files):
        pattern = f"'{root / '**' / '*'}'"
        notes.append(
            f"{folders} folder{'s were' if folders > 1 else ' was'} not looked into; "
            f"{pattern} means all below"
        )
    names = tuple(path.relative_to(root) for path in paths)
    if where != root:
        return Found(paths, names, notes=tuple(notes[:1]))
    return Found(paths, names, root, notes=tuple(notes))


def _root(pattern: str) -> Path:
    """Return the part of a pattern before its first folder or name with a wildcard."""
    parts = Path(pattern).parts
    fixed = next(count for count, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def _refuse_sequence(folder: Path, inside: list[Path]) -> None:
    """Refuse a folder that holds the frames of one shot, and no photographs beside them."""
    files = [path for path in inside if path.is_file()]
    plates = [path for path in files if path.suffix.lower() in SEQUENCE_ONLY]
    if plates and not any(path.suffix.lower() in EXTENSIONS for path in files):
        name, _ = siblings(plates[0])
        raise InputError(
            f"{folder} holds an image sequence; give it as {folder / (name or plates[0].name)}"
        )
