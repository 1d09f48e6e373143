"""One clock for a file whose own clock starts over: recordings that were put one after another."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

JUMP = 1
"""Seconds that time must run backwards to count as a new beginning, not as a damaged stamp."""


class Clock:
    """Moves packets so that time goes on where the file's clock starts over.

    Fed with all packets of a file in their order, it does the same to pictures and to sound, and
    does it again when the file is read a second time. The stream that starts over first decides
    by how much; the others follow with the same amount, so that they stay in sync.
    """

    def __init__(self) -> None:
        self._offsets = [Fraction(0)]
        self._part: dict[int, int] = {}
        self._last: dict[int, Fraction] = {}
        self._end = Fraction(0)

    @property
    def parts(self) -> int:
        """How many times the clock has begun."""
        return len(self._offsets)

    def place(self, packet: Any) -> None:
        """Give a packet its place in time."""
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None]
        if not stamps or not packet.time_base:
            return
        base, index = Fraction(packet.time_base), packet.stream_index
        # The decoding time, except where FFmpeg made it up from what came before the jump.
        time = min(stamps) * base
        if time < self._last.get(index, time) - JUMP:
            self._part[index] = self._part.get(index, 0) + 1
            if self._part[index] == len(self._offsets):
                self._offsets.append(self._end - time)
        self._last[index] = time
        ticks = round(self._offsets[self._part.get(index, 0)] / base)
        if ticks:
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        self._end = max(self._end, (max(stamps) + ticks + (packet.duration or 0)) * base)
