"""How large a result will be, before it is made, and whether the disk has room for it.

Bits a pixel were measured on a person before a still room (docs/delivery.md says how); quieter or
noisier pictures take half or twice as much.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from streammatte.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.frames import VideoInfo
    from streammatte.sinks.codecs import Plan

BITS: dict[tuple[str, str], float] = {
    ("h264", "comp"): 0.07,
    ("h264", "data"): 0.06,
    ("hevc", "comp"): 0.05,
    ("hevc", "data"): 0.08,
    ("av1", "comp"): 0.04,
    ("av1", "data"): 0.05,
    ("vp9", "comp"): 0.06,
    ("vp9", "alpha"): 0.07,
    ("vp9", "data"): 0.08,
    ("prores", "comp"): 1.5,
    ("prores", "alpha"): 3.3,
    ("prores", "data"): 0.7,
    ("ffv1", "comp"): 1.4,
    ("ffv1", "alpha"): 1.1,
    ("ffv1", "data"): 0.9,
    ("qtrle", "comp"): 8,
    ("qtrle", "alpha"): 6.5,
    ("qtrle", "data"): 0.9,
    ("png", "comp"): 4.5,
    ("png", "alpha"): 3.6,
    ("png", "data"): 1.3,
    **dict.fromkeys([(".jpg", "comp"), (".jpeg", "comp")], 2.2),
    (".png", "comp"): 10,
    (".png", "alpha"): 3,
    (".png", "data"): 0.8,
    **dict.fromkeys([(".tif", "comp"), (".tiff", "comp")], 9),
    **dict.fromkeys([(".tif", "alpha"), (".tiff", "alpha")], 3),
    **dict.fromkeys([(".tif", "data"), (".tiff", "data")], 0.8),
    (".dpx", "comp"): 32,
    (".dpx", "alpha"): 43,
    (".dpx", "data"): 48,
    (".exr", "comp"): 27,
    (".exr", "alpha"): 9,
    (".exr", "data"): 5,
}
"""``(codec or extension of images, comp | alpha | data)`` -> bits a pixel."""
SURELY = 20
"""If what is free is less than this part of an estimate, it surely does not fit: what hardly moves
takes a tenth."""
STEP = 1024


def kind(*, alpha: bool, data: bool) -> str:
    """Return which column of ``BITS`` is meant."""
    return "data" if data else "alpha" if alpha else "comp"


def estimate(plan: Plan, info: VideoInfo) -> int | None:
    """Return about how many bytes a video will have, sound apart; ``None`` if nobody knows.

    Args:
        plan: How it is written.
        info: What results are like.
    """
    name = plan.codec.stand_in or plan.name
    return bytes_of(name, info, kind(alpha=plan.manner.alpha, data=plan.manner.data))


def bytes_of(name: str, info: VideoInfo, column: str) -> int | None:
    """Return about how many bytes a result has; ``None`` if nobody knows.

    Args:
        name: Of a codec, or an extension of images such as ``.exr``.
        info: Its size and length.
        column: From ``kind``.
    """
    frames = 1 if info.still else info.frames_expected
    bits = BITS.get((name, column))
    if frames is None or bits is None:
        return None
    return round(info.width * info.height * frames * bits / 8)


def room(path: Path, expected: int | None) -> list[str]:
    """Compare an estimate with what is free on the disk.

    Args:
        path: Where the result goes.
        expected: Its bytes; ``None`` if nobody knows.

    Returns:
        Sentences for the report.

    Raises:
        OutputError: if it surely does not fit.
    """
    if expected is None:
        return []
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:  # whatever is wrong with the place shows when it is written
        return []
    if free * SURELY < expected:
        raise OutputError(
            f"{path} will take about {told(expected)}, and the disk of {path.parent} has "
            f"{told(free)} left; make room or choose another place with -o"
        )
    if free < expected:
        return [f"about {told(expected)} expected, and only {told(free)} are free"]
    return []


def told(size: float) -> str:
    """Return a number of bytes in words, such as ``1.4 GB``."""
    units = iter(("bytes", "KB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= STEP and unit != "TB":
        size, unit = size / STEP, next(units)
    return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"  # noqa: PLR2004
