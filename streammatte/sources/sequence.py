"""Image sequences: read ahead on a few threads, in order, by their numbers."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

from streammatte.errors import InputError, UsageError
from streammatte.frames import Frame, VideoInfo
from streammatte.images import kind_of
from streammatte.numbered import Pattern, ranges, siblings
from streammatte.sources.base import Damage, Window
from streammatte.threads import in_order
from streammatte.timecode import advanced

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streammatte.images import Image
    from streammatte.options import SequenceOptions

USUAL_RATE = Fraction(24)
"""Frames a second where neither the files nor anybody else says it: film's."""
READERS = min(4, os.cpu_count() or 1)


class Sequence:
    """Numbered pictures, or one picture of a kind that only compositors use; a ``Source``."""

    def __init__(self, where: str | Path, window: Window | None, options: SequenceOptions) -> None:
        """Look which files are there, and read the first.

        Raises:
            InputError: if there are none, one is missing that is needed, or it cannot be read.
            UsageError: if the part that is wanted makes no sense.
        """
        pattern = Pattern(Path(where))
        self._kind = kind_of(pattern.path)
        self._options = options
        there = pattern.files() if pattern.is_numbered else {0: pattern.path}
        if not there:
            raise InputError(f"{where}: there are no such files; check the name and its number")
        self._first = _first(there, options, where)
        self._shape = self._kind.read(there[self._first])
        self._rate = options.rate or self._shape.rate or USUAL_RATE
        self._numbers = _wanted(there, window, self._rate, options, where)
        self._there = there
        self.damage = Damage()
        self.needed: Collection[int] | None = None
        """The numbers of the frames that have to be yielded; ``None`` for all."""
        self._note_missing(where)
        self._lost: list[int] = []
        self.info = self._info(pattern)

    def _info(self, pattern: Pattern) -> VideoInfo:
        shape, numbered = self._shape, pattern.is_numbered
        if self._options.rate is None and shape.rate is None and numbered:
            self.damage.notes.append(f"no file says its rate: {USUAL_RATE} a second; see --rate")
        self.damage.notes.extend(shape.notes)
        if not numbered:
            name, count = siblings(pattern.path)
            if name:
                self.damage.notes.append(
                    f"{pattern.path.name} is one of {count} numbered pictures: {name} means all"
                )
        return VideoInfo(
            path=pattern.path,
            width=shape.picture.width,
            height=shape.picture.height,
            layout=shape.picture.layout,
            colour=shape.picture.colour,
            time_base=1 / self._rate,
            rate=self._rate,
            seconds=float(len(self._numbers) / self._rate),
            pixel_aspect=shape.pixel_aspect,
            codec=f"{pattern.path.suffix[1:].upper()}, {shape.stored}",
            still=not numbered,
            first_number=self._numbers[0] if numbered else None,
            timecode=self._timecode(),
            display=shape.display,
            canvas=shape.canvas,
            chromaticities=shape.chromaticities,
        )

    def _timecode(self) -> str:
        """Return the first frame's, which need not be that of the file that was looked at."""
        return advanced(self._shape.timecode, self._numbers[0] - self._first, self._rate)

    def _note_missing(self, where: str | Path) -> None:
        missing = [number for number in self._numbers if number not in self._there]
        if not missing:
            return
        told = f"{where}: {len(missing)} frames are missing ({ranges(missing)})"
        if self._options.missing == "fail":
            raise InputError(f"{told}; get them, or --missing hold or --missing skip")
        held = self._options.missing == "hold"
        self.damage.notes.append(f"{told}: {'the one before is held' if held else 'skipped'}")
        if not held:
            self._numbers = [number for number in self._numbers if number in self._there]

    @property
    def numbers(self) -> list[int]:
        """Of all frames that are wanted and will come, in order."""
        return list(self._numbers)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames by their numbers; those ahead are read meanwhile."""
        needed = set(self._numbers if self.needed is None else self.needed)
        numbers = [number for number in self._numbers if number in needed]
        held: Image | None = None
        with ThreadPoolExecutor(READERS, "read") as pool:
            for number, image in zip(
                numbers, in_order(pool, self._read, numbers, READERS), strict=True
            ):
                held = image or self._before(number, held)
                yield self._frame(number, held)
                del image
        if self._lost:
            self.damage.corrupt_frames += len(self._lost)
            self.damage.notes.append(
                f"frames {ranges(self._lost)} could not be read: the one before is held"
            )

    def _read(self, number: int) -> Image | None:
        """Read a frame; ``None`` if the one before is to be held."""
        path = self._there.get(number)
        if path is None:
            return None
        if path == self._there.get(self._first):
            return self._shape
        try:
            image = self._kind.read(path, self._shape.canvas)
        except InputError:
            if self._options.missing != "hold":
                raise
            self._lost.append(number)
            return None
        return self._alike(image, path)

    def _alike(self, image: Image, path: Path) -> Image:
        """Refuse a picture that is not like the first: nothing downstream could take it."""
        own, first = image.picture, self._shape.picture
        if (own.width, own.height) != (first.width, first.height):
            raise InputError(
                f"{path} is {own.width}x{own.height}, and the first frame {first.width}x"
                f"{first.height}; all must have one size"
            )
        if own.layout != first.layout:
            raise InputError(
                f"{path} has other channels or another depth than the first frame "
                f"({own.layout.name}, {first.layout.name}); write all alike"
            )
        return replace(image, picture=replace(own, colour=first.colour))

    def _before(self, number: int, held: Image | None) -> Image:
        """Return what stands in for a frame that is not there."""
        earlier = [each for each in self._there if each < number]
        if held is None and earlier:  # the frame before was not needed itself
            held = self._read(max(earlier))
        return held or self._shape

    def _frame(self, number: int, image: Image) -> Frame:
        pts = number - self._numbers[0]
        mine = None if self.info.still else number
        return Frame(image.picture, pts, 1, 1 / self._rate, number=mine, header=image.header)

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _first(there: dict[int, Path], options: SequenceOptions, where: str | Path) -> int:
    """Return the number of the first file that is wanted and there."""
    if options.frames is None:
        return min(there)
    first, last = options.frames[0] - options.handles, options.frames[1] + options.handles
    found = [number for number in there if first <= number <= last]
    if not found:
        raise InputError(
            f"{where}: none of the frames {first}-{last} is there; there are "
            f"{min(there)}-{max(there)}"
        )
    return min(found)


def _wanted(
    there: dict[int, Path],
    window: Window | None,
    rate: Fraction,
    options: SequenceOptions,
    where: str | Path,
) -> list[int]:
    """Return the numbers that are wanted, whether they are there or not."""
    if options.frames is not None and window:
        raise UsageError("--frames and -ss, -to, -t both choose a part; give one of them")
    if options.handles and options.frames is None:
        raise UsageError("--handles adds to --frames; give both")
    first, last = min(there), max(there)
    if options.frames is not None:
        # Handles are taken as far as there are any; what was asked for itself must be there.
        early, late = options.frames[0] - options.handles, options.frames[1] + options.handles
        first = max(early, min(first, options.frames[0]))
        last = min(late, max(last, options.frames[1]))
    elif window:
        last = _last(first, window, rate, last)
        first += math.ceil((window.start or 0) * rate)
    if first > last:
        raise UsageError(f"{where} ends before that: it has {min(there)}-{max(there)}")
    return list(range(first, last + 1))


def _last(first: int, window: Window, rate: Fraction, last: int) -> int:
    return last if window.end is None else min(last, first + math.ceil(window.end * rate) - 1)
