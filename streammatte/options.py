"""What can be asked for: frozen, checked when made, the same from Python and the command line."""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast, get_args

from streammatte.digests import files_of
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
LONGEST = 10**9
"""Seconds (31 years): what is beyond would not fit FFmpeg's clocks."""
FASTEST = 2_000_000_000
"""Bits a second: what is beyond would not fit FFmpeg's encoders."""
MOST_BETWEEN, MOST_AT_ONCE = 1000, 64
"""Limits of ``every`` and ``batch``: what is beyond is a slip of the finger."""
_CORNERS = 4
FIRST_NUMBER = 1001
"""Of a shot whose frames have no numbers, by convention: earlier ones are for handles."""
WIDEST = 100
"""Limit of what moves or softens edges, in lines of a 1080-line picture."""
LARGEST = 30_000
"""Limit of the sides of a canvas, in pixels; PNG and JPEG hold no more than twice that."""
STRONGEST = 2.0
"""Limit of ``strength``."""
_SIZE = re.compile(r"([0-9]{1,5})(?:x([0-9]{1,5}))?")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_HEX = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

BackgroundFit = Literal["cover", "contain", "stretch"]
Quality = Literal["live", "balanced", "best"]
Temporal = Literal["auto", "off", "live", "file"]
Refine = Literal["fast", "fine"]
Decontaminate = Literal["off", "fast", "fine"]
Subject = Literal["all", "largest"]
Precision = Literal["auto", "fp32", "fp16"]
Every = int | Literal["auto"]
Decoder = Literal["auto", "cpu", "cuda"]
Pass = Literal["comp", "matte", "fgr", "premult", "confidence", "plate"]
Alpha = Literal["straight", "premult"]
Despill = Literal["off", "green", "blue", "auto"]
Missing = Literal["hold", "skip", "fail"]
Shadow = Literal["off", "soft"]
Compression = Literal["none", "rle", "zips", "zip", "piz", "dwaa"]
Purpose = Literal[
    "premiere", "resolve", "ae", "nuke", "web", "obs", "unreal", "packed", "corridorkey"
]
Time = str | float | Fraction
"""``[hours:]minutes:seconds``, or seconds."""


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
    name: str = ""
    """What a colour was called, if it was named."""

    @staticmethod
    def parse(what: str | os.PathLike[str]) -> BackgroundSpec:
        """Read ``beach.jpg``, ``loop.mp4``, ``#00b140``, ``green``, ``blur:20``, ``transparent``.

        A path object is always a file.

        Raises:
            UsageError: if it is none of these.
        """
        text = os.fspath(what)
        word, colon, value = text.lower().partition(":")
        if not isinstance(what, str):
            return BackgroundSpec("file", path=text)
        if word == "transparent" and not colon:
            return BackgroundSpec("transparent")
        if word == "blur":
            return BackgroundSpec("blur", radius=_radius(value) if colon else DEFAULT_BLUR)
        if word in NAMED_COLOURS and not colon:
            return BackgroundSpec("colour", rgb=NAMED_COLOURS[word], name=word)
        if text.startswith("#") and not _exists(text):
            return BackgroundSpec("colour", rgb=_hex_colour(text))
        if text and (_exists(text) or Path(text).suffix):
            return BackgroundSpec("file", path=text)
        near = difflib.get_close_matches(word, ("blur", "transparent", *NAMED_COLOURS), 1)
        if digits := re.fullmatch(r"(?:0x)?([0-9a-f]{6})", word):
            near = [f"'#{digits[1]}'"]
        raise UsageError(
            f"--bg: {text!r} is neither a file nor a background; "
            + (f"did you mean {near[0]}? " if near else "")
            + f"give an image, a video, #00b140, {', '.join(NAMED_COLOURS)}, blur, blur:RADIUS "
            "or transparent"
        )

    @property
    def label(self) -> str:
        """A word for file names, such as ``beach``, ``green`` or ``00b140``."""
        if self.kind == "file":
            return Path(self.path).stem
        if self.kind == "colour":
            return self.name or bytes(self.rgb).hex()
        return self.kind


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a name, or not one at all
        return False


def _radius(text: str) -> float:
    try:
        radius = float(text)
    except ValueError:
        radius = 0.0
    if not 0 < radius <= 200:  # noqa: PLR2004
        raise UsageError(f"--bg: the radius in 'blur:{text}' must be above 0 and up to 200")
    return radius


def _hex_colour(text: str) -> tuple[int, int, int]:
    match = _HEX.fullmatch(text)
    if match is None:
        raise UsageError(f"--bg: {text!r} is not a colour; write it as #00b140")
    digits = match.group(1)
    if len(digits) == 3:  # noqa: PLR2004
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def parse_time(time: Time, flag: str = "time") -> Fraction:
    """Read seconds, or ``[hours:]minutes:seconds``, exactly.

    Args:
        time: A text, or a number of seconds.
        flag: The option that it was given for, to be named in the message.

    Raises:
        UsageError: if it is not a time.
    """
    if isinstance(time, str):
        total = _clock(time)
    else:
        # By its digits: 0.1 is meant to be a tenth, not the nearest binary fraction above it.
        total = Fraction(str(time)) if math.isfinite(time) and time >= 0 else None
    if total is None:
        raise UsageError(
            f"{flag}: {str(time)!r} is not a time; write seconds or [hours:]minutes:seconds"
        )
    if total > LONGEST:
        raise UsageError(f"{flag}: {time} is longer than any clip; write seconds")
    return total


def _clock(text: str) -> Fraction | None:
    parts = text.split(":")
    if len(parts) > 3 or not all(_SECONDS.fullmatch(part) for part in parts):  # noqa: PLR2004
        return None
    total = Fraction(0)
    for part in parts:
        total = total * 60 + Fraction(part)
    return total


def make_window(
    start: Time | None = None, to: Time | None = None, length: Time | None = None
) -> Window:
    """Turn ``-ss``, ``-to`` and ``-t`` into a window, as ffmpeg reads them.

    Raises:
        UsageError: if they contradict each other.
    """
    if to is not None and length is not None:
        raise UsageError("-to and -t both say where to stop; give one of them")
    begin = parse_time(start, "-ss") if start is not None else None
    end = parse_time(to, "-to") if to is not None else None
    if length is not None:
        end = (begin or Fraction(0)) + parse_time(length, "-t")
    if end is not None and end <= (begin or 0):
        raise UsageError("the end must come after the beginning; check -ss, -to and -t")
    return Window(begin, end)


def parse_every(text: str) -> Every:
    """Read ``5`` or ``auto``.

    Raises:
        UsageError: if it is neither.
    """
    if text == "auto":
        return "auto"
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"--every: {text!r} is not a number; give 1 to {MOST_BETWEEN}, or auto")
    return int(text)


def parse_size(text: str) -> int | tuple[int, int]:
    """Read ``1024`` (the shorter side) or ``576x1024`` (height, then width) in pixels.

    Returns:
        The shorter side, or ``(width, height)``.

    Raises:
        UsageError: if it is neither.
    """
    match = _SIZE.fullmatch(text.lower())
    if match is None:
        raise UsageError(f"--size: {text!r} is not a size; write N or HEIGHTxWIDTH, as 576x1024")
    first, second = match.groups()
    return int(first) if second is None else (int(second), int(first))


@dataclass(frozen=True)
class NetworkOptions:
    """Which network makes the mattes, and what runs it."""

    model: str = "selfie"
    """A name, a path, or an id of the hub; see ``models.open_model``."""
    weights: str | None = None
    """Instead of the model's own: a path, or ``random`` or ``random:SEED``."""
    commercial_only: bool = False
    """Refuse networks that may not be used commercially."""
    size: int | tuple[int, int] | None = None
    """Shorter side of the network's input, or ``(width, height)``, in pixels; ``None`` for the
    model's default."""
    runtime: str = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    require_gpu: bool = False
    every: Every = 1
    """The network sees every N-th frame, and what is new; to the frames between, mattes are carried
    along the motion. ``auto`` lets it look when the picture has changed enough."""
    batch: int | None = None
    """Frames that the network sees at once; ``None`` for what the runtime gains from."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        if self.precision not in get_args(Precision):
            raise UsageError(f"--precision: unknown {self.precision!r}; use auto, fp32 or fp16")
        size = self.size if isinstance(self.size, tuple) else (self.size or 1,)
        if not all(isinstance(side, int) for side in size):
            raise UsageError(f"size must be a number or (width, height), got {self.size!r}")
        for flag, value, most, word in (
            ("--every", self.every, MOST_BETWEEN, "auto"),
            ("--batch", self.batch, MOST_AT_ONCE, None),
        ):
            if value != word and not (isinstance(value, int) and 1 <= value <= most):
                words = f" or {word}" if word else ""
                raise UsageError(f"{flag} must be 1 to {most}{words}, got {value}")


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
        """Refuse contradictions, and numbers that no encoder takes."""
        if self.crf is not None and self.bitrate is not None:
            raise UsageError("--crf and --bitrate exclude each other; give one of them")
        if self.crf is not None and not 0 <= self.crf <= 63:  # noqa: PLR2004
            raise UsageError(f"--crf must be 0 to 63, got {self.crf:g}; 18 is a good start")
        if self.bitrate is not None and not 0 < self.bitrate <= FASTEST:
            raise UsageError(f"--bitrate must be above 0 and up to 2000M, got {self.bitrate}")


def parse_bitrate(rate: str | int) -> int:
    """Read ``8M``, ``800k`` or ``8000000`` as bits a second.

    Raises:
        UsageError: if it is none of these.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kKmM]?)", str(rate))
    if match is None:
        raise UsageError(f"--bitrate: {str(rate)!r} is not a bit rate; write it as 8M or 800k")
    return round(Fraction(match[1]) * {"": 1, "k": 10**3, "m": 10**6}[match[2].lower()])


@dataclass(frozen=True)
class Zone:
    """A part of the picture: a rectangle, or what is white in a mask."""

    corners: tuple[float, float, float, float] | None = None
    """Left, top, right and bottom, as shares of the picture in 0..1."""
    path: str = ""
    """Of the mask, stretched over the footage: a still, a video, or a sequence as
    ``mask.%04d.png``."""

    @staticmethod
    def parse(text: str, flag: str = "zone") -> Zone:
        """Read ``0.2,0,0.8,1`` or ``20%,0,80%,100%`` (left, top, right, bottom), or a path.

        Raises:
            UsageError: if it is neither.
        """
        parts = text.split(",")
        if len(parts) != _CORNERS:
            if text.strip() and files_of(text) is not None:
                return Zone(path=text)
            raise UsageError(
                f"{flag}: {text!r} is neither a file nor a zone; write left,top,right,bottom, "
                "such as 0.2,0,0.8,1, or name a picture, a video or a sequence (mask.%04d.png) "
                "that is white there"
            )
        try:
            left, top, right, bottom = (_share(part) for part in parts)
        except ValueError as error:
            raise UsageError(f"{flag}: {text!r} is no zone; write it as 0.2,0,0.8,1") from error
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise UsageError(
                f"{flag}: {text!r} is no zone: left comes before right and top before bottom, all "
                "of them from 0 to 1"
            )
        return Zone((left, top, right, bottom))


def _share(text: str) -> float:
    text = text.strip()
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


@dataclass(frozen=True)
class Choice:
    """What of the mattes is wanted."""

    largest: bool = False
    """Only who takes most of the picture."""
    keep: tuple[Zone, ...] = ()
    """Where all is subject, whatever the network says."""
    drop: tuple[Zone, ...] = ()
    """Where nothing is; stronger than ``keep``."""

    def __bool__(self) -> bool:
        return self.largest or bool(self.keep) or bool(self.drop)


def parse_passes(text: str) -> tuple[Pass, ...]:
    """Read ``comp,matte,fgr``.

    Raises:
        UsageError: if it names a pass that there is not, or one twice.
    """
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        _check_choice("--out", name, Pass)
    if len(set(names)) < len(names):
        raise UsageError(f"--out: {text!r} names a pass twice")
    return cast("tuple[Pass, ...]", names)


def _check_choice(flag: str, value: object, choices: Any) -> None:
    known = get_args(choices)
    if value not in known:
        raise UsageError(f"{flag}: unknown {value!r}; use {', '.join(known)}")


@dataclass(frozen=True)
class MatteOptions:
    """What becomes of the network's mattes; ``None`` leaves it to ``quality``."""

    quality: Quality = "balanced"
    """``live`` for the least work and no frame held back, ``balanced``, ``best`` for what can be
    had."""
    temporal: Temporal | None = None
    """How mattes are steadied: ``live`` by the frames before, ``file`` by those after, too."""
    strength: float = 1.0
    """How much; 0 is not at all."""
    refine: Refine | None = None
    """How mattes come to the frame's size: ``fine`` follows the picture's colours."""
    decontaminate: Decontaminate | None = None
    """How soft edges lose the old background's colour."""
    subject: Subject = "all"
    keep: tuple[Zone, ...] = ()
    """Zones that are always subject."""
    drop: tuple[Zone, ...] = ()
    """Zones that never are."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        for flag, value, choices in (
            ("--quality", self.quality, Quality),
            ("--temporal", self.temporal, Temporal),
            ("--refine", self.refine, Refine),
            ("--decontaminate", self.decontaminate, Decontaminate),
            ("--subject", self.subject, Subject),
        ):
            if not (value is None and flag != "--quality"):
                _check_choice(flag, value, choices)
        if not 0 <= self.strength <= STRONGEST:
            raise UsageError(f"--strength must be 0 to {STRONGEST:g}, got {self.strength:g}")

    @property
    def steadied(self) -> Literal["off", "live", "file"]:
        """How mattes are steadied."""
        wish = self.temporal or "auto"
        if wish != "auto":
            return wish if self.strength else "off"
        if not self.strength:
            return "off"
        return "live" if self.quality == "live" else "file"

    @property
    def refined(self) -> Refine:
        """How mattes come to the frame's size."""
        return self.refine or ("fine" if self.quality == "best" else "fast")

    @property
    def decontaminated(self) -> Decontaminate:
        """How soft edges lose the old background's colour."""
        return self.decontaminate or ("fine" if self.quality == "best" else "fast")

    @property
    def choice(self) -> Choice:
        """What of the mattes is wanted."""
        return Choice(self.subject == "largest", self.keep, self.drop)


@dataclass(frozen=True)
class EdgeOptions:
    """What is done to edges by hand, in lines of a 1080-line picture."""

    choke: float = 0.0
    """How far they move inwards; outwards, if negative."""
    feather: float = 0.0
    """Standard deviation of the blur that softens them."""
    gamma: float = 1.0
    """Above 1, soft pixels become more opaque."""

    def __post_init__(self) -> None:
        """Refuse what no edge can be made of."""
        if not abs(self.choke) <= WIDEST:
            raise UsageError(f"--edge choke must be -{WIDEST} to {WIDEST}, got {self.choke:g}")
        if not 0 <= self.feather <= WIDEST:
            raise UsageError(f"--edge feather must be 0 to {WIDEST}, got {self.feather:g}")
        if not 0.1 <= self.gamma <= 10:  # noqa: PLR2004
            raise UsageError(f"--edge gamma must be 0.1 to 10, got {self.gamma:g}")

    @staticmethod
    def parse(text: str) -> EdgeOptions:
        """Read ``choke=1,feather=2,gamma=1.2``, in any order, or some of it.

        Raises:
            UsageError: if it is not that.
        """
        values: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if name not in ("choke", "feather", "gamma") or not math.isfinite(number):
                raise UsageError(f"--edge: cannot read {part!r}; write choke=1,feather=2,gamma=1.2")
            values[name] = number
        return EdgeOptions(**values)

    def __bool__(self) -> bool:
        return (self.choke, self.feather, self.gamma) != (0, 0, 1)


@dataclass(frozen=True)
class LookOptions:
    """How the subject's colours meet the background's."""

    despill: Despill = "off"
    """Of which colour the key screen was whose light is taken out of the subject."""
    despill_amount: float = 1.0
    """How much of it, 0 to 1."""
    light_wrap: float = 0.0
    """How much of the background's light reaches round edges, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        _check_choice("--despill", self.despill, Despill)
        for flag, value in (("--despill", self.despill_amount), ("--light-wrap", self.light_wrap)):
            if not 0 <= value <= 1:
                raise UsageError(f"{flag} must be 0 to 1, got {value:g}")

    @staticmethod
    def parse(despill: str = "off", light_wrap: float = 0.0) -> LookOptions:
        """Read ``green``, ``blue`` or ``auto``, alone or with an amount, such as ``green:0.8``.

        Raises:
            UsageError: if it is not that.
        """
        screen, colon, amount = despill.partition(":")
        _check_choice("--despill", screen, Despill)
        try:
            share = float(amount) if colon else 1.0
        except ValueError as error:
            raise UsageError(f"--despill: {amount!r} is no amount; write green:0.8") from error
        return LookOptions(cast("Despill", screen), share, light_wrap)

    def __bool__(self) -> bool:
        return self.despill != "off" or self.light_wrap > 0


@dataclass(frozen=True)
class ColourOptions:
    """What layers are put together in; see ``light``."""

    linear: bool = False
    """In linear light."""
    ocio: str | None = None
    """An OpenColorIO configuration: a path, or a built-in one as ``ocio://NAME``; ``$OCIO`` if
    only spaces are given."""
    input_space: str | None = None
    working_space: str | None = None
    output_space: str | None = None

    @property
    def by_ocio(self) -> bool:
        """Whether OpenColorIO rules."""
        spaces = (self.ocio, self.input_space, self.working_space, self.output_space)
        return any(each is not None for each in spaces)

    def __post_init__(self) -> None:
        """Refuse a contradiction."""
        if self.linear and self.by_ocio:
            raise UsageError(
                "--linear is our own way and --ocio another; with --ocio, --working-space says "
                "whether it is linear (the configuration's scene_linear is the default)"
            )


@dataclass(frozen=True)
class SequenceOptions:
    """How image sequences are read and written."""

    frames: tuple[int, int] | None = None
    """First and last number that are wanted; ``None`` for all that are there."""
    start_number: int | None = None
    """Of the first frame that is written; ``None`` for the source's own."""
    missing: Missing = "fail"
    """What happens to numbers whose file is not there: the frame before is held, or they are
    skipped, or the render fails."""
    handles: int = 0
    """Frames before and after ``frames`` that are rendered as well."""
    rate: Fraction | None = None
    """Frames a second of a sequence that does not say it itself; 24 if nothing does."""
    compression: Compression = "zips"
    """Of OpenEXR's colours; mattes are never compressed with loss."""
    full_float: bool = False
    """32 bits a sample rather than 16."""
    multilayer: bool = False
    """All passes in one OpenEXR file a frame."""
    skip_existing: bool = False
    """Leave alone what is there already, and render the rest."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        _check_choice("--missing", self.missing, Missing)
        _check_choice("--compression", self.compression, Compression)
        if self.frames is not None and not 0 <= self.frames[0] <= self.frames[1]:
            raise UsageError("--frames: the last frame comes before the first; write 1001-1100")
        if self.handles < 0 or (self.start_number or 0) < 0:
            raise UsageError("--handles and --start-number cannot be below 0")
        if self.rate is not None and not 0 < self.rate <= 1000:  # noqa: PLR2004
            raise UsageError(f"--rate must be above 0 and up to 1000, got {float(self.rate):g}")

    @staticmethod
    def parse_frames(text: str) -> tuple[int, int]:
        """Read ``1001-1100``, or ``1001`` for that frame alone.

        Raises:
            UsageError: if it is neither.
        """
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
        if match is None:
            raise UsageError(f"--frames: {text!r} is no range of frames; write it as 1001-1100")
        return int(match[1]), int(match[2] or match[1])

    @staticmethod
    def parse_rate(text: str) -> Fraction:
        """Read ``24``, ``23.976`` (which is 24000/1001) or ``24000/1001``.

        Raises:
            UsageError: if it is none of these.
        """
        try:
            rate = Fraction(text)
        except (ValueError, ZeroDivisionError) as error:
            raise UsageError(
                f"--rate: {text!r} is no frame rate; write 24 or 24000/1001"
            ) from error
        ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
        return ntsc if rate != ntsc and abs(rate - ntsc) < Fraction(1, 400) else rate


@dataclass(frozen=True)
class StillOptions:
    """What is made of photographs of products besides a new background."""

    trim: bool = False
    """Cut the picture down to the subject."""
    pad_share: float = 0.0
    """Room around it, as a share of the longer side of what it surrounds."""
    pad_pixels: int = 0
    """The same in pixels of the result."""
    centre: bool = False
    """Put the subject into the middle."""
    canvas: tuple[int, int] | None = None
    """``(width, height)`` of the result, into which everything is fitted; ``None`` for as large as
    it comes."""
    shadow: Shadow = "off"
    """What the subject throws on the ground below it."""
    shadow_opacity: float = 0.5
    """Of the shadow where it is darkest, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse what no picture can be made of."""
        _check_choice("--shadow", self.shadow, Shadow)
        if not 0 <= self.pad_share < 0.5:  # noqa: PLR2004
            raise UsageError(f"--pad must be 0% to 49%, got {self.pad_share:.0%}")
        if not 0 <= self.pad_pixels <= LARGEST:
            raise UsageError(f"--pad must be 0px to {LARGEST}px, got {self.pad_pixels}px")
        if not 0 <= self.shadow_opacity <= 1:
            raise UsageError(f"--shadow-opacity must be 0 to 1, got {self.shadow_opacity:g}")
        if self.canvas is not None and not all(1 <= side <= LARGEST for side in self.canvas):
            raise UsageError(f"--canvas must be 1x1 to {LARGEST}x{LARGEST} pixels")
        if self.canvas is not None and 2 * self.pad_pixels >= min(self.canvas):
            raise UsageError("--pad leaves nothing of --canvas; give less")

    @staticmethod
    def parse_pad(text: str) -> tuple[float, int]:
        """Read ``5%`` or ``40px`` (or ``40``) as a share and as pixels, one of which is 0.

        Raises:
            UsageError: if it is neither.
        """
        if match := re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]+)?)%", text):
            return float(match[1]) / 100, 0
        if match := re.fullmatch(r"([0-9]{1,5})(?:px)?", text):
            return 0.0, int(match[1])
        raise UsageError(f"--pad: {text!r} is no margin; write 5% or 40px")

    @staticmethod
    def parse_canvas(text: str) -> tuple[int, int]:
        """Read ``2000x1500`` (width, then height) or ``2000`` (both) as ``(width, height)``.

        Raises:
            UsageError: if it is neither.
        """
        match = _SIZE.fullmatch(text.lower())
        if match is None:
            raise UsageError(f"--canvas: {text!r} is no size; write WIDTHxHEIGHT, as 2000x2000")
        return int(match[1]), int(match[2] or match[1])

    def __bool__(self) -> bool:
        return self != StillOptions()


def usual_passes(*, multilayer: bool, behind: bool) -> tuple[Pass, ...]:
    """Return the passes of whoever names none: a comp, or all that one file of layers is for.

    Args:
        multilayer: Whether all are written into one file.
        behind: Whether a background is given.
    """
    if not multilayer:
        return ("comp",)
    return ("comp" if behind else "premult", "fgr", "matte", "confidence")


@dataclass(frozen=True)
class RenderOptions:
    """Everything ``render`` can be told besides what to read and where to write."""

    background: BackgroundSpec
    fit: BackgroundFit = "cover"
    network: NetworkOptions = field(default_factory=NetworkOptions)
    matte: MatteOptions = field(default_factory=MatteOptions)
    window: Window = field(default_factory=Window)
    decoder: Decoder = "auto"
    """What decodes the footage: ``cuda`` is an NVIDIA GPU, ``auto`` the CPU for now."""
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    passes: tuple[Pass, ...] = ("comp",)
    """What is written, each to a file of its own unless it is one OpenEXR file."""
    alpha: Alpha | None = None
    """Whether colours that have an alpha are multiplied by it; ``None`` for what the file's kind
    is known for: OpenEXR is, video is not."""
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    look: LookOptions = field(default_factory=LookOptions)
    colour: ColourOptions = field(default_factory=ColourOptions)
    sequence: SequenceOptions = field(default_factory=SequenceOptions)
    still: StillOptions = field(default_factory=StillOptions)
    mask_override: str | None = None
    """A sequence or a video of mattes that an artist made, for the frames that it has."""
    purpose: Purpose | None = None
    """Where the result goes: sets what is left open here; see ``delivery``."""
    named: tuple[str, ...] = ()
    """Fields that were asked for, though they may look as if they were left open: ``passes``,
    ``edges``."""
    overwrite: bool = False
    serial: bool = False
    """Run all stages on the calling thread."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        _check_choice("--bg-fit", self.fit, BackgroundFit)
        _check_choice("--decoder", self.decoder, Decoder)
        for name in self.passes:
            _check_choice("--out", name, Pass)
        if not self.passes:
            raise UsageError(f"--out names no pass; use some of {', '.join(get_args(Pass))}")
        if self.alpha is not None:
            _check_choice("--alpha", self.alpha, Alpha)
        if self.purpose is not None:
            _check_choice("--for", self.purpose, Purpose)
