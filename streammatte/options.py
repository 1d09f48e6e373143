"""What can be asked for: frozen, checked when made, the same from Python and the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

from streammatte.errors import UsageError
from streammatte.sources.base import Window

NAMED_COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "green": (0, 177, 64),
    "blue": (0, 71, 187),
    "red": (204, 0, 0),
}
"""``green`` and ``blue`` are the usual paints of key screens."""

DEFAULT_BLUR = 20.0
_HEX = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

BackgroundFit = Literal["cover", "contain", "stretch"]
Temporal = Literal["auto", "off"]


@dataclass(frozen=True)
class BackgroundSpec:
    """What to put behind the subject."""

    kind: Literal["file", "colour", "blur", "transparent"]
    path: str = ""
    """Of an image or a video, for ``file``."""
    rgb: tuple[int, int, int] = (0, 0, 0)
    """R'G'B' in 0..255 (sRGB), for ``colour``."""
    radius: float = DEFAULT_BLUR
    """Standard deviation in lines of a 1080-line picture, for ``blur``."""

    @staticmethod
    def parse(text: str) -> BackgroundSpec:
        """Read ``beach.jpg``, ``loop.mp4``, ``#00b140``, ``green``, ``blur:20``, ``transparent``.

        Raises:
            UsageError: if it is none of these.
        """
        word, _, value = text.partition(":")
        if text == "transparent":
            return BackgroundSpec("transparent")
        if word == "blur":
            return BackgroundSpec("blur", radius=_radius(value) if value else DEFAULT_BLUR)
        if text.lower() in NAMED_COLOURS:
            return BackgroundSpec("colour", rgb=NAMED_COLOURS[text.lower()])
        if text.startswith("#") and not Path(text).exists():
            return BackgroundSpec("colour", rgb=_hex_colour(text))
        if Path(text).exists() or Path(text).suffix:
            return BackgroundSpec("file", path=text)
        raise UsageError(
            f"unknown background {text!r}: give an image or video file, a colour "
            f"(#00b140 or {', '.join(NAMED_COLOURS)}), blur, blur:RADIUS or transparent"
        )

    @property
    def label(self) -> str:
        """A word for file names, such as ``beach`` or ``00b140``."""
        if self.kind == "file":
            return Path(self.path).stem
        if self.kind == "colour":
            return bytes(self.rgb).hex()
        return self.kind


def _radius(text: str) -> float:
    try:
        radius = float(text)
    except ValueError:
        radius = 0.0
    if not 0 < radius <= 200:  # noqa: PLR2004
        raise UsageError(f"the radius in blur:{text} must be a number above 0 and up to 200")
    return radius


def _hex_colour(text: str) -> tuple[int, int, int]:
    match = _HEX.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a colour; write it as #00b140")
    digits = match.group(1)
    if len(digits) == 3:  # noqa: PLR2004
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def parse_time(text: str) -> Fraction:
    """Read seconds, or ``[hours:]minutes:seconds``, exactly.

    Raises:
        UsageError: if the text is not a time.
    """
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"\d+(\.\d*)?|\.\d+", p) for p in parts):  # noqa: PLR2004
        raise UsageError(f"{text!r} is not a time; write seconds or [hours:]minutes:seconds")
    total = Fraction(0)
    for part in parts:
        total = total * 60 + Fraction(part)
    return total


def make_window(start: str | None, to: str | None, length: str | None) -> Window:
    """Turn ``-ss``, ``-to`` and ``-t`` into a window, as ffmpeg reads them.

    Raises:
        UsageError: if they contradict each other.
    """
    if to is not None and length is not None:
        raise UsageError("-to and -t both say where to stop; give one of them")
    begin = parse_time(start) if start is not None else None
    end = parse_time(to) if to is not None else None
    if length is not None:
        end = (begin or Fraction(0)) + parse_time(length)
    if end is not None and end <= (begin or 0):
        raise UsageError("the end must come after the beginning; check -ss, -to and -t")
    return Window(begin, end)


@dataclass(frozen=True)
class EncodeOptions:
    """How the result is written; ``None`` leaves it to the codec's entry in ``sinks.codecs``."""

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pixel_format: str | None = None
    bitrate: int | None = None
    """Bits a second; instead of ``crf``."""

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.crf is not None and self.bitrate is not None:
            raise UsageError("--crf and --bitrate exclude each other; give one of them")


def parse_bitrate(text: str) -> int:
    """Read ``8M``, ``800k`` or ``8000000`` as bits a second.

    Raises:
        UsageError: if it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    bits = round(float(match[1]) * {"": 1, "k": 1e3, "m": 1e6}[match[2].lower()]) if match else 0
    if bits <= 0:
        raise UsageError(f"{text!r} is not a bit rate; write it as 8M or 800k")
    return bits


@dataclass(frozen=True)
class RenderOptions:
    """Everything ``render`` can be told besides what to read and where to write."""

    background: BackgroundSpec
    fit: BackgroundFit = "cover"
    model: str = "selfie"
    runtime: str = "auto"
    size: int | None = None
    """Shorter side of the network's input in pixels; ``None`` for the model's default."""
    decontaminate: bool = True
    temporal: Temporal = "auto"
    window: Window = field(default_factory=Window)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    overwrite: bool = False
    serial: bool = False
    """Run all stages on the calling thread."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        if self.fit not in get_args(BackgroundFit):
            raise UsageError(f"unknown fit {self.fit!r}; use cover, contain or stretch")
        if self.temporal not in get_args(Temporal):
            raise UsageError(f"unknown temporal mode {self.temporal!r}; use auto or off")
