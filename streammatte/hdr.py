"""What HDR video says beside its samples: on what display it was mastered, how bright it gets.

SMPTE ST 2086 and CTA-861.3, in the units of their messages in H.265 (annex D), so that what is
read is written again to the digit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

CHROMATICITY = 50000
"""Units of a chromaticity's 1."""
LUMINANCE = 10000
"""Units of a cd/m2."""
_MASTERING = struct.Struct("=22i")  # AVMasteringDisplayMetadata: 10 rationals, then two flags
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display that was looked at when the colours were decided."""

    red: tuple[int, int]
    """x and y, in units of 0.00002; likewise the others."""
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    most: int
    """The brightest that it shows, in units of 0.0001 cd/m2."""
    least: int
    """The darkest, likewise."""


@dataclass(frozen=True, slots=True)
class Hdr:
    """Static metadata of HDR10; of HLG, if it has any."""

    mastering: MasteringDisplay | None = None
    light: tuple[int, int] | None = None
    """MaxCLL and MaxFALL: the brightest pixel and the brightest frame's average, in cd/m2."""

    def __bool__(self) -> bool:
        return self.mastering is not None or self.light is not None

    def __str__(self) -> str:
        """Such as ``mastering display 0.005 to 1000 cd/m2, MaxCLL 1000, MaxFALL 400``."""
        words = []
        if self.mastering is not None:
            least, most = self.mastering.least / LUMINANCE, self.mastering.most / LUMINANCE
            words.append(f"mastering display {least:g} to {most:g} cd/m2")
        if self.light is not None:
            words.append("MaxCLL {}, MaxFALL {}".format(*self.light))
        return ", ".join(words)

    @staticmethod
    def of(frame: av.VideoFrame) -> Hdr:
        """Read what the decoder says beside a frame."""
        try:
            there: Any = frame.side_data  # PyAV's stubs take it for a mapping
            parts = {part.type.name: bytes(part) for part in there}
        except ValueError:  # PyAV does not know one of them, and then gives none
            return Hdr()
        return Hdr(
            _mastering(parts.get("MASTERING_DISPLAY_METADATA", b"")),
            _light(parts.get("CONTENT_LIGHT_LEVEL", b"")),
        )

    def told(self, encoder: str) -> tuple[str, str] | None:
        """Return the option of an FFmpeg encoder that takes this, and what to write there.

        Returns:
            The option's name and its value; ``None`` if the encoder has no such option.
        """
        if encoder in ("libx264", "libx265"):
            return self._told_x26x(encoder[3:])
        return ("svtav1-params", self._told_svt()) if encoder == "libsvtav1" else None

    def _told_x26x(self, name: str) -> tuple[str, str]:
        mastering, light = {
            "x264": ("mastering-display", "cll"),
            "x265": ("master-display", "max-cll"),
        }[name]
        words = []
        if (display := self.mastering) is not None:
            xy = "G({},{})B({},{})R({},{})WP({},{})".format(
                *display.green, *display.blue, *display.red, *display.white
            )
            words.append(f"{mastering}={xy}L({display.most},{display.least})")
        if self.light is not None:
            words.append("{}={},{}".format(light, *self.light))
        return f"{name}-params", ":".join(words)

    def _told_svt(self) -> str:
        words = []
        if (display := self.mastering) is not None:
            points = (display.green, display.blue, display.red, display.white)
            xy = [f"({x / CHROMATICITY:.5f},{y / CHROMATICITY:.5f})" for x, y in points]
            shades = f"({display.most / LUMINANCE:.4f},{display.least / LUMINANCE:.4f})"
            words.append("mastering-display=G{}B{}R{}WP{}L{}".format(*xy, shades))
        if self.light is not None:
            words.append("content-light={},{}".format(*self.light))
        return ":".join(words)


def _mastering(data: bytes) -> MasteringDisplay | None:
    if len(data) != _MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = _MASTERING.unpack(data)
    if not (has_primaries and has_luminance) or 0 in numbers[1::2]:
        return None
    values = [Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    xy = [round(value * CHROMATICITY) for value in values[:8]]
    least, most = (round(value * LUMINANCE) for value in values[8:])
    points = [(xy[index], xy[index + 1]) for index in range(0, 8, 2)]
    red, green, blue, white = points
    return MasteringDisplay(red, green, blue, white, most, least)


def _light(data: bytes) -> tuple[int, int] | None:
    if len(data) != _LIGHT.size:
        return None
    brightest, average = _LIGHT.unpack(data)
    return (brightest, average) if brightest or average else None
