"""Folders that are whole or not there: filled beside their place, which they take in one step.

What is in the making lies in ``NAME.part-...``, whose name says what it was going to be. A process
that is killed leaves such a folder behind and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from streammatte.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PART = re.compile(r"(.+)\.part-\w+")


class Waste(NamedTuple):
    """A folder that may go."""

    path: Path
    bytes: int
    why: str


@contextmanager
def part(folder: Path) -> Iterator[Path]:
    """Give an empty folder on the disk of another, gone at the end if it was not published.

    Raises:
        OutputError: if it, or what the block writes, cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part-") as work:
            made = Path(work) / folder.name  # unlike work itself, readable as others' umask has it
            made.mkdir()
            yield made
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error


def publish(made: Path, folder: Path, is_whole: Callable[[Path], bool]) -> None:
    """Move a folder to its place; what is whole there stays, what is damaged goes.

    Args:
        made: What ``part`` gave, filled.
        folder: Its place.
        is_whole: Says of a folder whether it will do.

    Raises:
        OSError: if it cannot be moved.
    """
    try:
        os.replace(made, folder)  # noqa: PTH105  it has the one meaning on all systems
    except OSError:
        if is_whole(folder):
            return
        if not folder.exists():
            raise
        os.replace(folder, made.with_name("damaged"))  # noqa: PTH105
        os.replace(made, folder)  # noqa: PTH105


def meant(folder: Path) -> str | None:
    """Return what an unfinished folder was going to be called; nothing if it is none."""
    match = _PART.fullmatch(folder.name)
    return match and match[1]


def folders(place: Path) -> list[Path]:
    """Return the folders in a folder, unfinished ones too, by name; none if it is not there.

    Raises:
        OutputError: if it cannot be read.
    """
    try:
        return sorted(path for path in place.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{place} cannot be read: {error.strerror or error}") from error


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def removed(waste: Waste, *, dry: bool = False) -> Waste:
    """Remove a folder, unless it is dry, and return what was given.

    Raises:
        OutputError: if it cannot be removed.
    """
    try:
        if not dry:
            shutil.rmtree(waste.path)
    except OSError as error:
        raise OutputError(
            f"{waste.path} cannot be removed: {error.strerror or error}; remove it by hand"
        ) from error
    return waste


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file that others may be reading: they find the old one or the new one.

    Raises:
        OSError: if it cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)  # noqa: PTH105  it has the one meaning on all systems
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
