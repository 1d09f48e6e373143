"""Digests of what a job reads, made on a thread while the job runs.

A file's digest is its SHA-256. That of a sequence or a folder is the SHA-256 of the lines that
``sha256sum`` writes of its files, in order, so anybody can check it::

    cd plates && sha256sum plate.*.exr | sha256sum
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PIECE = 1 << 22
"""Bytes read at a time: between two, a job that has failed ends the reading."""
NUMBER = re.compile(r"%(?:0[0-9]+)?d|#+")
"""Where a sequence's name has its number."""


@dataclass(frozen=True)
class Contents:
    """What a file, or all files of a sequence or a folder, held when they were read."""

    files: int
    bytes: int
    modified: str
    """When the newest was, as ISO 8601 in UTC."""
    sha256: str
    first: int | None = None
    """The lowest number of a sequence."""
    last: int | None = None
    """The highest."""


@dataclass(frozen=True)
class Files:
    """What a name stands for."""

    paths: tuple[Path, ...]
    """In order."""
    numbers: tuple[int, ...] = ()
    """Of the files of a sequence."""
    alone: bool = False
    """Whether it is a file, rather than a sequence or a folder."""


def files_of(where: str, numbers: tuple[int, int] | None = None) -> Files | None:
    """Return the files that a name stands for; ``None`` if there are none.

    Args:
        where: A file, a folder, or a sequence such as ``plate.%04d.exr`` or ``plate.####.exr``.
        numbers: The first and the last number that are meant; ``None`` for all.
    """
    path = Path(where)
    with suppress(OSError, ValueError):  # no name that there could be
        if path.is_file():
            return Files((path,), alone=True)
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.name[0] != ".")
            return Files(tuple(each for each in inside if each.is_file()))
        if NUMBER.search(path.name) and (found := _numbered(path, numbers)):
            return Files(tuple(path for _, path in found), tuple(number for number, _ in found))
    return None


def _numbered(pattern: Path, numbers: tuple[int, int] | None) -> list[tuple[int, Path]]:
    before, after = NUMBER.split(pattern.name, maxsplit=1)
    name = re.compile(re.escape(before) + r"(-?[0-9]+)" + re.escape(after))
    found: list[tuple[int, Path]] = []
    with os.scandir(pattern.parent) as entries:
        for entry in entries:
            match = name.fullmatch(entry.name)
            if match and (numbers is None or numbers[0] <= int(match[1]) <= numbers[1]):
                found.append((int(match[1]), Path(entry.path)))
    return sorted(found)


class Digests:
    """Reads files on a thread of its own.

    As a context manager around the job: the reading begins on entering, and ends early if the block
    does, by an exception.
    """

    def __init__(self, wanted: Mapping[str, Files], *, serial: bool = False) -> None:
        """Prepare; nothing is read yet.

        Args:
            wanted: What is to be read, by any name.
            serial: Start no thread, and read when the result is asked for.
        """
        self._wanted = wanted
        self._given_up = threading.Event()
        self._contents: dict[str, Contents] = {}
        self._thread = None if serial else threading.Thread(target=self._read, daemon=True)

    def result(self) -> dict[str, Contents]:
        """Wait for the end and return what was read; what cannot be read is left out."""
        if self._thread is None:
            self._read()
        else:
            self._thread.join()
        return self._contents

    def _read(self) -> None:
        with suppress(_GivenUpError):
            for name, files in self._wanted.items():
                with suppress(OSError):
                    self._contents[name] = self._contents_of(files)

    def _contents_of(self, files: Files) -> Contents:
        listing, size, newest, digest = hashlib.sha256(), 0, 0.0, ""
        for path in files.paths:
            with path.open("rb", buffering=0) as file:
                state = os.fstat(file.fileno())
                digest = self._digest(file.fileno())
            size, newest = size + state.st_size, max(newest, state.st_mtime)
            listing.update(f"{digest}  {path.name}\n".encode("utf-8", "surrogateescape"))
        return Contents(
            files=len(files.paths),
            bytes=size,
            modified=datetime.fromtimestamp(newest, UTC).isoformat(),
            sha256=digest if files.alone else listing.hexdigest(),
            first=min(files.numbers, default=None),
            last=max(files.numbers, default=None),
        )

    def _digest(self, handle: int) -> str:
        digest = hashlib.sha256()
        while piece := os.read(handle, PIECE):
            if self._given_up.is_set():
                raise _GivenUpError
            digest.update(piece)  # lets go of the interpreter's lock
        return digest.hexdigest()

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is not None:
            self._given_up.set()
        if self._thread is not None:
            self._thread.join()


class _GivenUpError(Exception):
    """The job has failed; nobody wants to know any more."""
