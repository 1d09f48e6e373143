"""Puts the subject before the background, at the last moment, so that every change is seen at once.

A frame is due a fixed time after it was captured, which is as long as nearly all take to get their
mattes: so motion is even, although mattes may come in bursts.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.frames import Frame, Matte
from streammatte.live.base import TICK
from streammatte.options import MatteOptions
from streammatte.stages import composite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.frames import Picture
    from streammatte.live.backdrop import Backdrop
    from streammatte.live.mattes import Align, Item
    from streammatte.live.settings import Settings
    from streammatte.meters import Meters

PATIENCE = 0.1
"""Seconds that a round waits."""
WINDOW = 60
"""Frames that the delay is judged by."""
NEARLY_ALL = 95
"""Per cent of frames that are in time."""
EASE, CATCH_UP = 0.002, 0.05
"""Seconds that the delay gets shorter by in a frame, at the most, or that share of what is too
much of it: small changes are not to be seen, and large ones are to be over soon."""
MOST_WAITING = 75
SOFTEST = 0.02
"""Standard deviation of the softest edge, as a share of the matte's height."""
INERTIA = 0.9
CHEAP = composite.Edges("fast", "off")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that is ready to be shown."""

    picture: Picture
    subject: bool
    """Whether the subject is in it, by a matte to trust; else it is the background alone."""
    captured: float
    """When the camera saw it, by the monotonic clock."""


class Delay:
    """How long after it was captured a frame is due."""

    def __init__(self, align: Align) -> None:
        self.seconds = 0.0
        self._fixed = align == "lowest"
        self._lately: deque[float] = deque(maxlen=WINDOW)

    def learn(self, took: float) -> None:
        """Take note of how long after it was captured a frame had its matte."""
        if self._fixed:
            return
        self._lately.append(took)
        wanted = float(np.percentile(self._lately, NEARLY_ALL))
        ease = max(EASE, CATCH_UP * (self.seconds - wanted))
        self.seconds = max(wanted, self.seconds - ease)


class Ready:
    """Pictures that were not shown yet; the oldest go if nobody takes them."""

    def __init__(self, align: Align) -> None:
        # Of two clocks one is a little quicker; a picture in hand keeps that from being seen.
        self._pictures: deque[Shown] = deque(maxlen=2 if align == "matched" else 1)
        self._lock = threading.Lock()
        self.dropped = 0

    def put(self, shown: Shown) -> None:
        """Add a picture."""
        with self._lock:
            self.dropped += len(self._pictures) == self._pictures.maxlen
            self._pictures.append(shown)

    def take(self) -> Shown | None:
        """Return the next one, if there is one."""
        with self._lock:
            return self._pictures.popleft() if self._pictures else None


class Composer:
    """Composites frames when they are due."""

    def __init__(
        self, settings: Settings, backdrop: Backdrop, slate: Picture, align: Align, meters: Meters
    ) -> None:
        self.settings = settings
        """What is wanted now."""
        self.cheap = False
        """Whether edges are to be as cheap as can be."""
        self.ready = Ready(align)
        self.delay = Delay(align)
        self.matte: Matte | None = None
        """The last one, to be looked at."""
        self.dropped = 0
        self._backdrop = backdrop
        self._slate = slate
        self._meters = meters
        self._items: deque[Item] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._given: deque[Matte] = deque()
        self._frames: Iterator[Frame] | None = None
        self._edges = CHEAP
        self._takes = 0.0
        """Seconds, lately."""

    def post(self, item: Item) -> None:
        """Take a frame that is to be shown."""
        self.delay.learn(item.ready - item.frame.seconds)
        with self._changed:
            self.dropped += len(self._items) == self._items.maxlen
            self._items.append(item)
            self._changed.notify_all()

    def around(self) -> None:
        """Wait until a frame is due, and composite it."""
        item = self._due()
        if item is None:
            return
        begun = time.monotonic()
        shown = self._composited(item)
        self.ready.put(shown)
        took = time.monotonic() - begun
        self._takes = INERTIA * self._takes + (1 - INERTIA) * took

    def warm_up(self, picture: Picture, width: int, height: int) -> None:
        """Composite something that nobody sees, so that the first frame is as quick as all others.

        Args:
            picture: Of the size of all pictures.
            width: Of the mattes.
            height: Of the mattes.
        """
        alpha = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
        view = np.zeros((height, width, 3), np.uint8)
        self._over(Matte(Frame(picture, 0, 0, TICK), view, alpha), self.settings)

    def _due(self) -> Item | None:
        """Return the newest frame that is due; ``None`` if none is before long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._items, PATIENCE):
                return None
            wait = self._until(self._items[0])
            if wait > 0:
                self._changed.wait(min(wait, PATIENCE))
                return None
            item = self._items.popleft()
            while self._items and self._until(self._items[0]) <= 0:
                item = self._items.popleft()
                self.dropped += 1
            return item

    def _until(self, item: Item) -> float:
        return item.frame.seconds + self.delay.seconds - self._takes - time.monotonic()

    def _composited(self, item: Item) -> Shown:
        settings, frame, matte = self.settings, item.frame, item.matte
        if matte is None or settings.show == "background":
            alone = self._backdrop.alone(frame)
            return Shown(alone or self._slate, subject=False, captured=frame.seconds)
        self.matte = matte = softened(matte, settings.softness)
        picture = self._over(matte, settings)
        return Shown(picture, subject=True, captured=frame.seconds)

    def _over(self, matte: Matte, settings: Settings) -> Picture:
        edges = CHEAP if self.cheap else edges_of(settings)
        if self._frames is None or edges != self._edges:
            self._edges = edges
            self._frames = composite.over(self._fed(), self._backdrop, self._meters, edges)
        self._given.append(matte)
        try:
            return next(self._frames).picture
        except Exception:
            self._frames = None  # a generator that has raised is over
            self._given.clear()
            raise

    def _fed(self) -> Iterator[Matte]:
        while True:
            yield self._given.popleft()


def edges_of(settings: Settings) -> composite.Edges:
    """Return how edges are made for a quality."""
    options = MatteOptions(quality=settings.quality)
    return composite.Edges(options.refined, options.decontaminated)


def softened(matte: Matte, softness: float) -> Matte:
    """Return a matte with a softer edge.

    Args:
        matte: The matte.
        softness: 0 for as it is, to 1.
    """
    if not softness:
        return matte
    sigma = softness * SOFTEST * matte.alpha.shape[0]
    return replace(
        matte, alpha=np.asarray(cv2.GaussianBlur(matte.alpha, (0, 0), sigma), np.float32)
    )
