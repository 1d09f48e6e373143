"""Numbers of frames that are written, and which of an interrupted sequence are seen again.

What is written of a frame depends on its neighbours: mattes are steadied over time. So frames that
are there already are still shown to the network where a missing one is near, and only composited
and written no more. Farther away they need not even be read.

The past weighs less from frame to frame but never nothing, so what is continued may differ from
what was not interrupted by a step of 10 bits, where the matte is soft; where steadying is off, by
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streammatte.errors import OutputError, UsageError
from streammatte.numbered import Pattern, ranges
from streammatte.options import FIRST_NUMBER
from streammatte.stages.scenes import LONGEST_GAP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from fractions import Fraction
    from pathlib import Path

    from streammatte.frames import Frame, Matte, VideoInfo
    from streammatte.options import RenderOptions, SequenceOptions
    from streammatte.sources import Source

LEFT = 1 / 32768
"""What may be left of the weight of what was not seen."""


@dataclass(frozen=True)
class Reach:
    """How far around a frame others make a difference to it, in frames."""

    before: int = 0
    after: int = 0
    block: int = 1
    """Frames that go together: in how far they know what follows depends on their place in it."""
    least_gap: int = 1
    """Frames that can be left out at a time, at the least: after fewer, the story would go on as if
    they had not been there."""


NOTHING = Reach()


def reach(options: RenderOptions, rate: Fraction) -> Reach | None:
    """Return how far frames depend on each other; ``None`` if on all that were before.

    Args:
        options: Of the render.
        rate: Frames a second.
    """
    if options.network.every != 1 or options.matte.subject != "all":
        # Which frames the network sees, and who is the largest, is decided from the first frame on.
        return None
    if options.matte.steadied == "off":
        return NOTHING
    from streammatte.stages.smooth import BLOCK, HELD, MEMORY  # with Numba: slow to import

    seconds = MEMORY * options.matte.strength * math.log(1 / LEFT)
    before, gap = math.ceil(seconds * rate), math.floor(LONGEST_GAP * rate) + 1
    if options.matte.steadied == "live":
        return Reach(before, least_gap=gap)
    # The median of a frame takes in the one after it, and the last block looks HELD - 1 ahead.
    return Reach(before + BLOCK, HELD, BLOCK, gap)


def pending(numbers: Sequence[int], existing: Collection[int], reach: Reach | None) -> list[int]:
    """Return the numbers of the frames that must be seen, in order; none if nothing is missing.

    Args:
        numbers: Of all frames that are wanted, in order.
        existing: Of those that are there, in all passes.
        reach: See ``Reach``; ``None`` if all are needed as soon as one is missing.
    """
    present = set(existing)
    missing = [place for place, number in enumerate(numbers) if number not in present]
    if not missing or reach is None:
        return list(numbers) if missing else []
    seen = [False] * len(numbers)
    for place in missing:
        first, last = place - reach.before, place + reach.after
        first -= first % reach.block
        last += -(last + 1) % reach.block
        seen[max(first, 0) : last + 1] = [True] * (min(last + 1, len(seen)) - max(first, 0))
    _close_short_gaps(seen, reach.least_gap)
    return [number for number, needed in zip(numbers, seen, strict=True) if needed]


def _close_short_gaps(seen: list[bool], least: int) -> None:
    """See what lies between two frames that are seen, if it is not long enough to be left out."""
    last: int | None = None
    for place in [place for place, needed in enumerate(seen) if needed]:
        if last is not None and 0 < place - last - 1 < least:
            seen[last + 1 : place] = [True] * (place - last - 1)
        last = place


# ---- numbers


def numbering(info: VideoInfo, options: SequenceOptions) -> tuple[int, int]:
    """Return the number of the footage's first frame, and what is added to it where it is written.

    Args:
        info: The footage; what has no numbers of its own is numbered as it is written.
        options: What was asked for.
    """
    start = options.start_number
    if info.first_number is None:
        return (FIRST_NUMBER if start is None else start), 0
    return info.first_number, (0 if start is None else start - info.first_number)


def numbers_of(source: Source, options: SequenceOptions) -> Collection[int] | None:
    """Return the numbers of all files that will be written; ``None`` if nobody knows the last."""
    from streammatte.sources.sequence import Sequence

    first, shift = numbering(source.info, options)
    if isinstance(source, Sequence):
        return {number + shift for number in source.numbers}
    return None if not source.info.still else {first}


def check_numbers(pattern: Pattern, numbers: Collection[int] | None) -> None:
    """Refuse to replace files that are there, before any work is done.

    Args:
        pattern: Of what will be written.
        numbers: Which; ``None`` if nobody knows.

    Raises:
        OutputError: if one is there.
    """
    there = [number for number in pattern.written() if numbers is None or number in numbers]
    if there:
        raise OutputError(
            f"{pattern.path}: frames {ranges(there)} exist; give -y to overwrite them, "
            "--skip-existing to render the rest, or another name with -o"
        )


# ---- what is left of a render


class Rest:
    """What is still to be done of a render to image sequences."""

    def __init__(self, where: Iterable[Path], source: Source, options: RenderOptions) -> None:
        """Look what is there.

        Args:
            where: The patterns of all passes.
            source: The footage; image sequences are told which frames to read.
            options: Everything else.

        Raises:
            UsageError: if what is not a sequence is to be continued.
        """
        from streammatte.sources.sequence import Sequence

        first, shift = numbering(source.info, options.sequence)
        self._first = first
        self.done: frozenset[int] = frozenset()
        """Numbers of the footage's frames whose files are there, in all passes."""
        self._needed: Collection[int] | None = None
        patterns = [Pattern(path) for path in where]
        self._numbers = all(pattern.is_numbered for pattern in patterns)
        if not options.sequence.skip_existing:
            return
        if not self._numbers:
            raise UsageError("--skip-existing continues image sequences; this writes one file")
        there = [set(pattern.written()) for pattern in patterns]
        self.done = frozenset(number - shift for number in set.intersection(*there))
        if isinstance(source, Sequence):
            self._needed = pending(source.numbers, self.done, reach(options, source.info.rate))
            source.needed = self._needed

    @property
    def nothing(self) -> bool:
        """Whether all is there; of videos nobody knows before they end."""
        return self._needed is not None and not self._needed

    @property
    def notes(self) -> list[str]:
        """How much of it was there."""
        if not self.done:
            return []
        return [f"{len(self.done)} frames were there already, and stay as they were"]

    def numbered(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Give frames of footage that has no numbers the ones that they are written with."""
        for number, frame in enumerate(frames, self._first):
            own = frame.number is not None or not self._numbers
            yield frame if own else replace(frame, number=number)
            del frame

    def missing(self, mattes: Iterator[Matte]) -> Iterator[Matte]:
        """Leave out what is there: it was seen for the sake of its neighbours."""
        for matte in mattes:
            if matte.frame.number not in self.done:
                yield matte
            del matte
