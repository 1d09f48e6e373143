"""Which frames of an interrupted sequence are seen again, so that the rest comes out the same.

What is written of a frame depends on its neighbours: mattes are steadied over time. So frames that
are there already are still shown to the network where a missing one is near, and only composited
and written no more. Farther away they need not even be read.

The past weighs less from frame to frame but never nothing, so what is continued may differ from
what was not interrupted by a step of 10 bits, where the matte is soft; where steadying is off, by
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streammatte.stages.scenes import LONGEST_GAP
from streammatte.stages.smooth import BLOCK, HELD, MEMORY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from fractions import Fraction

    from streammatte.options import RenderOptions

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
