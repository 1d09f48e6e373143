"""Time codes: ``HH:MM:SS:FF`` counted in frames, with ``;`` before the frames if drop-frame."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def advanced(timecode: str, frames: int, rate: Fraction) -> str:
    """Return the time code of a frame that comes so many frames later.

    Args:
        timecode: Such as ``01:00:00:00``, or ``01:00:00;00`` for drop-frame.
        frames: How many.
        rate: Frames a second; time codes count in whole ones.

    Returns:
        The time code, after a day from 0 again; empty if it is not one, or counts frames that the
        rate does not have.
    """
    match = _TIMECODE.fullmatch(timecode)
    if match is None:
        return ""
    hours, minutes, seconds, mark, last = match.groups()
    whole = round(rate)
    if whole < 1 or int(last) >= whole:
        return ""
    drops = _dropped(whole) if mark in ";." else 0
    minute = int(hours) * 60 + int(minutes)
    count = (minute * 60 + int(seconds)) * whole + int(last) - drops * (minute - minute // 10)
    day = (24 * 60 * 60) * whole - drops * (24 * 60 - 24 * 6)
    return _told((count + frames) % day, whole, drops, mark)


def _dropped(whole: int) -> int:
    """Return how many frame numbers drop-frame leaves out at the start of most minutes."""
    return 2 * (whole // 30)


def _told(count: int, whole: int, drops: int, mark: str) -> str:
    if drops:
        tens, rest = divmod(count, 600 * whole - 9 * drops)
        count += 9 * drops * tens
        if rest >= 60 * whole:
            count += drops * ((rest - 60 * whole) // (60 * whole - drops) + 1)
    seconds, frame = divmod(count, whole)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{mark}{frame:02}"
