"""Names of image sequences: ``plate.%04d.exr`` and ``plate.####.exr``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streammatte.digests import NUMBER, files_of

if TYPE_CHECKING:
    from pathlib import Path

_LAST_NUMBER = re.compile(r"(.*?)([0-9]+)(\.[^.0-9]*)")


@dataclass(frozen=True)
class Pattern:
    """A name with a place for a number; a name without one is a sequence of one file."""

    path: Path

    @property
    def is_numbered(self) -> bool:
        """Whether it has a place for a number."""
        return bool(NUMBER.search(self.path.name))

    @property
    def digits(self) -> int:
        """How many digits a number has at least."""
        place = NUMBER.search(self.path.name)
        if place is None:
            return 0
        word = place.group()
        return len(word) if word[0] == "#" else int(word[1:-1] or 1)

    def file(self, number: int) -> Path:
        """Return the file that has a number."""
        told = f"{number:0{self.digits}d}"
        return self.path.with_name(NUMBER.sub(lambda _: told, self.path.name, count=1))

    def files(self) -> dict[int, Path]:
        """Return what is there, by number."""
        found = files_of(str(self.path)) if self.path.absolute().parent.is_dir() else None
        if found is None or not found.numbers:
            return {}
        # In reverse, so that of two files with one number the first counts, as in every listing.
        return dict(sorted(zip(found.numbers[::-1], found.paths[::-1], strict=True)))

    def written(self) -> dict[int, Path]:
        """Return the files that are there under the very names that ``file`` gives."""
        return {number: path for number, path in self.files().items() if path == self.file(number)}


def siblings(path: Path) -> tuple[str, int]:
    """Return the name of the sequence that a picture belongs to, and how many there are.

    Returns:
        Such as ``("plate.####.exr", 48)``; ``("", 1)`` for a picture without others.
    """
    match = _LAST_NUMBER.fullmatch(path.name)
    if match is None:
        return "", 1
    name = f"{match[1]}{'#' * len(match[2])}{match[3]}"
    count = len(Pattern(path.with_name(name)).files())
    return (name, count) if count > 1 else ("", 1)


def ranges(numbers: list[int]) -> str:
    """Return growing numbers in words, such as ``1001-1004, 1010``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
