"""Pictures and devices for tests of the outputs of a show."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from streammatte.frames import Picture, VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources.v4l2 import LOOPBACK, Device

WIDTH, HEIGHT = 130, 96
"""130 columns are stored in rows that are longer: padding must not get out."""
INFO = VideoInfo(None, WIDTH, HEIGHT, LAYOUT, COLOUR, TICK, Fraction(30))


def picture(level: int) -> Picture:
    luma = np.full((HEIGHT, WIDTH), level, np.uint8)
    luma[:, 0], luma[-1, :20] = 16, 40  # rows and columns that are told apart
    chroma = [np.full((HEIGHT // 2, WIDTH // 2), value, np.uint8) for value in (100, 150)]
    return Picture.of([luma, *chroma], LAYOUT, COLOUR)


def samples(shown: Picture) -> bytes:
    """Return what must arrive: planes one after the other, without padding."""
    return b"".join(plane.tobytes() for plane in shown.planes)


def device(path: str, driver: str = LOOPBACK, *, takes: bool, gives: bool = False) -> Device:
    return Device(path, "StreamMatte", driver, "platform:v4l2loopback-000", gives, takes)
