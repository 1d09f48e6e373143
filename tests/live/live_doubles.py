"""A camera, outputs and a network that are none, but keep the contracts of the real ones."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import OutputError, RuntimeFailure
from streammatte.frames import Frame, Picture, VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.models import load_card

if TYPE_CHECKING:
    from streammatte.live.base import Condition
    from streammatte.options import NetworkOptions

WIDTH, HEIGHT = 320, 180
ROOM, PERSON, BEHIND = 200, 120, 16
"""Luma of the room, of who is in it, and of the new background (black)."""
SIDE = 60


def room(place: int = 100, shade: int = ROOM) -> Picture:
    """Return a room with somebody in it, whose left edge is at ``place``; textured, for flow."""
    luma = np.full((HEIGHT, WIDTH), shade, np.uint8)
    luma[::8, ::8] -= 12
    luma[40:, place : place + SIDE] = PERSON
    luma[48::8, place + 4 : place + SIDE : 8] += 12
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return Picture.of([luma, grey, grey], LAYOUT, COLOUR)


def shows_the_room(picture: Picture) -> bool:
    """Whether more of the room is seen than an edge of a soft matte lets through."""
    luma = picture.planes[0][::2, ::2]
    return int(np.count_nonzero(luma > 175)) > 0.01 * luma.size


def shows_the_person(picture: Picture) -> bool:
    """Whether most of the person is seen."""
    luma = picture.planes[0].astype(int)
    return int(np.count_nonzero(abs(luma - PERSON) < 16)) > 0.5 * SIDE * (HEIGHT - 40)


class Camera:
    """A feed that is filled by hand, or by ``roll``."""

    def __init__(self, rate: int = 30) -> None:
        self.info = VideoInfo(None, WIDTH, HEIGHT, LAYOUT, COLOUR, TICK, Fraction(rate))
        self.description = "a camera that is none"
        self.condition: Condition = "running"
        self.reason = ""
        self.dropped = 0
        self.closed = False
        self.paused = False
        self.move = 2
        self._frame: Frame | None = None
        self._changed = threading.Condition()
        self._rolling: threading.Thread | None = None

    def show(self, picture: Picture) -> int:
        """Let the camera see a picture; return its time stamp."""
        with self._changed:
            pts = round(time.monotonic() * 1e6)
            self._frame = Frame(picture, pts, 0, TICK)
            self._changed.notify_all()
            return pts

    def roll(self) -> None:
        """See somebody who moves, at the camera's rate, until it is closed."""
        self._rolling = threading.Thread(target=self._roll, daemon=True)
        self._rolling.start()

    def _roll(self) -> None:
        step = 0
        while not self.closed:
            if not self.paused:
                away = (self.move * step) % 240
                self.show(room(60 + min(away, 240 - away)))  # there and back
                step += 1
            time.sleep(1 / float(self.info.rate))

    def take(self, after: int, timeout: float) -> Frame | None:
        def newer() -> bool:
            return self._frame is not None and self._frame.pts > after

        with self._changed:
            return self._frame if self._changed.wait_for(newer, timeout) else None

    def close(self) -> None:
        self.closed = True
        self.condition = "ended"


class Screen:
    """An output that keeps what was sent."""

    def __init__(self) -> None:
        self.description = "a screen that is none"
        self.notes: list[str] = []
        self.readers: int | None = 1
        self.pictures: list[tuple[int, Picture]] = []
        self.gone = False
        self.closed = False
        self.changed = threading.Condition()

    def send(self, picture: Picture, pts: int) -> None:
        if self.gone:
            raise OutputError("the screen is gone; plug it in")
        with self.changed:
            self.pictures.append((pts, picture))
            self.changed.notify_all()

    def wait(self, wanted: Any, timeout: float = 20) -> Picture:
        """Wait until a picture leaves that is as wanted, and return it."""
        seen = len(self.pictures)
        with self.changed:

            def found() -> Any:
                return next((one for _, one in self.pictures[seen:] if wanted(one)), None)

            picture = self.changed.wait_for(found, timeout)
            assert picture is not None, "no such picture left"
            return picture

    def close(self) -> None:
        self.closed = True


class Eye:
    """A runtime that knows the person by luma; it can be slow, and fail."""

    batch, precision, device = 1, "fp32", "cpu"
    description = "an eye"
    inputs = outputs = ()

    def __init__(self) -> None:
        self.seconds = 0.0
        self.failing = False
        self.seen = 0
        self.closed = False
        self.sizes: list[tuple[int, int]] = []
        self.counts: list[int] = []

    def infer(self, images: np.ndarray) -> np.ndarray:
        if self.failing:
            raise RuntimeFailure("the eye is closed; open it")
        if self.seconds:
            time.sleep(self.seconds)
        self.seen += 1
        self.sizes.append(images.shape[2:0:-1])
        self.counts.append(len(images))
        luma = images.astype(np.float32).mean(-1)
        # What the colour conversion makes of the person's luma: (120 - 16) * 255 / 219.
        return (np.abs(luma - 121) < 40).astype(np.float32)[:, None]

    def close(self) -> None:
        self.closed = True


class Opener:
    """Opens eyes."""

    def __init__(self, eye: Eye | None = None) -> None:
        self.eye = eye or Eye()
        self.opened: list[tuple[NetworkOptions, tuple[int, int]]] = []
        self.failing = False

    def __call__(self, options: NetworkOptions, size: tuple[int, int]) -> Any:
        self.opened.append((options, size))
        if self.failing:
            raise RuntimeFailure("no eye can be had; find one")
        return SimpleNamespace(
            model=SimpleNamespace(card=load_card(options.model)), runtime=self.eye, passed_over=[]
        )
