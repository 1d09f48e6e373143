"""A source that needs no file and knows its own matte: for tests, demos and measurements."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np

from streammatte.colour import Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.errors import UsageError
from streammatte.frames import Frame, Layout, VideoInfo
from streammatte.sources.base import Damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

_PATTERN = re.compile(r"synthetic(?::(\d+)x(\d+)(?:@([\d/]+))?(?:x(\d+))?)?")
_SOFT = 0.02
"""Width of the figure's soft edge, as a share of the picture's height."""


class Synthetic:
    """A head-and-shoulders figure that sways before a patterned wall."""

    def __init__(
        self,
        width: int = 640,
        height: int = 360,
        count: int = 60,
        rate: Fraction = Fraction(30),
        layout: Layout | None = None,
        colour: Colour | None = None,
    ) -> None:
        if width < 1 or height < 1:
            raise ValueError(f"no picture has {width}x{height} pixels")
        self.damage = Damage()
        self.count = count
        self.info = VideoInfo(
            path=None,
            width=width,
            height=height,
            layout=layout or Layout("yuv", 8, 1, 1),
            colour=colour or Colour(Matrix.BT709, full_range=False),
            time_base=1 / rate,
            rate=rate,
            seconds=float(count / rate),
            codec="synthetic",
        )

    @staticmethod
    def parse(text: str) -> Synthetic:
        """Build one from ``synthetic[:WIDTHxHEIGHT[@RATE][xFRAMES]]``.

        Raises:
            UsageError: if the text is not of that form.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not of the form synthetic:640x360@30x60")
        width, height, rate, count = match.groups()
        try:
            return Synthetic(
                int(width or 640), int(height or 360), int(count or 60), Fraction(rate or 30)
            )
        except (ValueError, ZeroDivisionError) as error:
            raise UsageError(f"{text!r} has a size or a rate that cannot be") from error

    def truth(self, index: int) -> NDArray[np.float32]:
        """Return the exact matte of a frame: float32 ``[height, width]`` in 0..1."""
        height, width = self.info.height, self.info.width
        y, x = np.mgrid[:height, :width].astype(np.float32) / height
        sway = 0.06 * np.sin(2 * np.pi * index / 45)
        middle = 0.5 * width / height + sway
        head = 1 - np.hypot((x - middle) / 0.15, (y - 0.35) / 0.2)
        body = 1 - np.hypot((x - middle) / 0.42, (y - 1.05) / 0.55)
        inside = np.maximum(head * 0.15, body * 0.42)
        return np.asarray(np.clip(inside / _SOFT + 0.5, 0, 1), np.float32)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames, composited in floating point from two known layers."""
        height, width = self.info.height, self.info.width
        y, x = np.mgrid[:height, :width].astype(np.float32) / height
        waves = 0.5 + 0.5 * np.sin(40 * x) * np.sin(40 * y)
        wall = np.stack([0.25 + 0.2 * waves, 0.35 + 0.3 * waves, 0.5 * np.ones_like(x)], -1)
        for index in range(self.count):
            alpha = self.truth(index)[..., None]
            figure = np.stack([0.8 - 0.3 * y, 0.55 - 0.2 * y, 0.45 + 0 * y], -1)
            rgb = np.asarray(alpha * figure + (1 - alpha) * wall, np.float32)
            picture = from_rgb(rgb, self.info.layout, self.info.colour)
            yield Frame(picture, index, 1, self.info.time_base)

    def close(self) -> None:
        """Nothing to let go of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
