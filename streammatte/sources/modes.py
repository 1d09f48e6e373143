"""Modes of cameras: what is asked for, the one that comes nearest, and FFmpeg's options for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streammatte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streammatte.sources.v4l2 import Mode

_MODE = re.compile(
    r"(?:([0-9]{2,5})x([0-9]{2,5})|([0-9]{3,4})p)?(?:@([0-9]{1,3}(?:\.[0-9]{1,3})?))?(?::(\w{3,8}))?"
)
FORMATS = {
    "mjpeg": ("MJPG", "JPEG"),
    "yuyv422": ("YUYV",),
    "uyvy422": ("UYVY",),
    "nv12": ("NV12",),
    "yuv420p": ("YU12",),
    "yuv422p": ("422P",),
    "rgb24": ("RGB3",),
    "bgr24": ("BGR3",),
}
"""What FFmpeg calls the formats that we take, and the drivers' names for them; the best first,
where they are as quick: small before large."""
NICKNAMES = {"mjpg": "mjpeg", "jpeg": "mjpeg", "yuyv": "yuyv422", "uyvy": "uyvy422",
             "i420": "yuv420p", "yu12": "yuv420p", "rgb": "rgb24", "bgr": "bgr24"}  # fmt: skip
TAKEN = frozenset(name for names in FORMATS.values() for name in names)
"""The drivers' names of all formats that we take."""
SENSIBLE = (1280, 720), 30
"""The size and rate that are wanted where nobody says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A mode that is asked for; what is ``None`` is open."""

    size: tuple[int, int] | None = None
    """``(width, height)``."""
    rate: Fraction | None = None
    format: str | None = None
    """As FFmpeg calls it."""

    def __str__(self) -> str:
        """Return it as ``parse_mode`` reads it."""
        size = f"{self.size[0]}x{self.size[1]}" if self.size else ""
        rate = f"@{float(self.rate):g}" if self.rate else ""
        return size + rate + (f":{self.format}" if self.format else "")


def parse_mode(text: str) -> Wish:
    """Read ``1280x720@30:mjpg``, or a part of that such as ``720p``, ``@60`` or ``:yuyv``.

    Raises:
        UsageError: if it is neither.
    """
    match = _MODE.fullmatch(text.strip().lower())
    width, height, lines, rate, name = match.groups() if match else (None,) * 5
    form = NICKNAMES.get(name, name) if name else None
    if match is None or not text.strip() or (form is not None and form not in FORMATS):
        raise UsageError(
            f"--mode: {text!r} is no mode; write it as 1280x720@30:mjpg, or a part of that; "
            "formats are mjpg, yuyv, nv12, i420"
        )
    if rate is not None and not Fraction(rate):
        raise UsageError(f"--mode: {text!r}: there is no camera of 0 pictures a second")
    size = None
    if lines is not None:
        size = round(int(lines) * 16 / 9 / 2) * 2, int(lines)
    elif width is not None and height is not None:
        size = int(width), int(height)
    return Wish(size, Fraction(rate) if rate else None, form)


def choose(modes: Sequence[Mode], wish: Wish) -> Wish:
    """Return the mode of a camera that comes nearest to what is wanted, whole.

    Args:
        modes: That it lists.
        wish: What is asked for; where nothing is, 1280x720 at 30 is wanted.

    Returns:
        ``wish`` itself if nothing that the camera lists is of use.
    """
    size, rate = wish.size or SENSIBLE[0], wish.rate or Fraction(SENSIBLE[1])
    offers = [(form, mode) for form, names in FORMATS.items() for mode in modes
              if mode.format in names and wish.format in (None, form)]  # fmt: skip
    if not offers:
        return wish

    def distance(offer: tuple[str, Mode]) -> tuple[float, ...]:
        form, mode = offer
        area = abs(mode.width * mode.height - size[0] * size[1])
        shape = abs(mode.width * size[1] - mode.height * size[0])
        short = max(0.0, float(rate - _rate(mode, rate)))
        # Raw pictures are better than JPEG's where they are as quick.
        rest = area, shape, short, form == "mjpeg"
        if wish.size is not None:
            return rest
        return (short if wish.rate is not None and short > 1 else float(short > 1), *rest)

    form, mode = min(offers, key=distance)
    return Wish((mode.width, mode.height), _rate(mode, rate) if mode.rates else wish.rate, form)


def _rate(mode: Mode, wanted: Fraction) -> Fraction:
    """Return the least rate that is quick enough, or the highest there is."""
    enough = [rate for rate in mode.rates if rate >= wanted - Fraction(1, 10)]
    return min(enough, default=max(mode.rates, default=wanted))


def given(size: tuple[int, int], rate: Fraction, form: str, wish: Wish) -> str:
    """Say what a camera gives, and what it was asked for if that is something else."""
    words = f"{size[0]}x{size[1]} at {float(rate):.4g} fps, {form}"
    same = (
        wish.size in (None, size)
        and (wish.rate is None or abs(wish.rate - rate) < Fraction(1, 10))
        and wish.format in (None, form)
    )
    return words if same else f"{words} ({wish} was asked for)"


def v4l2_options(wish: Wish) -> dict[str, str]:
    """Return FFmpeg's options for a mode, on Linux."""
    options = {}
    if wish.size is not None:
        options["video_size"] = f"{wish.size[0]}x{wish.size[1]}"
    if wish.rate is not None:
        options["framerate"] = str(wish.rate)
    if wish.format is not None:
        options["input_format"] = wish.format
    return options


def system_options(system: str, name: str, wish: Wish) -> tuple[str, str, dict[str, str]]:
    """Return what FFmpeg opens a camera by, elsewhere: address, format and options; not yet run.

    Args:
        system: ``win32`` or ``darwin``, as ``sys.platform`` has them.
        name: That FFmpeg knows the camera by.
        wish: The mode.
    """
    size, rate = wish.size or SENSIBLE[0], wish.rate or Fraction(SENSIBLE[1])
    options = {"video_size": f"{size[0]}x{size[1]}", "framerate": str(rate)}
    if system == "win32":
        options["rtbufsize"] = "64M"
        if wish.format == "mjpeg":
            options["vcodec"] = "mjpeg"
        elif wish.format is not None:
            options["pixel_format"] = wish.format
        return f"video={name}", "dshow", options
    options["pixel_format"] = wish.format if wish.format not in (None, "mjpeg") else "nv12"
    return name, "avfoundation", options
