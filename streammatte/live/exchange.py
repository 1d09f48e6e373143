"""Where frames wait for mattes: between the camera, the network, and what makes mattes of both.

The network takes the newest frame whenever it is free, so it is never behind; what it did not see
waits for what it says of the frame after, or not, as the order of the show is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.stages.motion import Look

MOST_WAITING = 75
"""Frames that wait at the most, of 1.4 MB at 720p: two and a half seconds."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A frame of the camera, and what the network would see of it."""

    frame: Frame
    view: NDArray[np.uint8]
    """uint8 R'G'B' ``[h, w, 3]``."""
    small: Look
    """What motion is found in."""
    scene: int
    """Frames of one number follow each other without a cut."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the network said of a frame."""

    sight: Sight
    """Its ``view`` is what was seen."""
    alpha: NDArray[np.float32]
    """float32 ``[h, w]`` in 0..1."""


class Exchange:
    """Frames that wait, in order, and the answers of the network, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Sight] = deque()
        self._answers: deque[Answer] = deque()
        self._newest: Sight | None = None
        self._count = 0
        """Frames so far."""
        self._asked = 0
        """The count when the network last took one."""
        self.dropped = 0
        """Frames that were let go of because too many waited."""

    def add(self, sight: Sight) -> None:
        """Take a frame from the camera."""
        with self._changed:
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(sight)
            self._newest = sight
            self._count += 1
            self._changed.notify_all()

    def ask(self, every: int, timeout: float) -> Sight | None:
        """Return the newest frame for the network, if it is one that it should see.

        Args:
            every: It sees every so-manieth frame at the most, and the first of every scene.
            timeout: Seconds to wait for one, at the most.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_due(every), timeout):
                return None
            self._asked = self._count
            sight, self._newest = self._newest, None
            return sight

    def _is_due(self, every: int) -> bool:
        return self._newest is not None and self._count - self._asked >= every

    def answer(self, answer: Answer) -> None:
        """Take what the network says of a frame."""
        with self._changed:
            self._answers.append(answer)
            self._changed.notify_all()

    def answered(self, timeout: float) -> Answer | None:
        """Return the newest answer that nobody has taken yet; ``None`` if none comes in time.

        If there are others, whoever takes them is too slow: the frames that they were for, and all
        before them, are let go of, or all would be later and later.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers, timeout):
                return None
            answer = self._answers.pop()
            if self._answers:
                self._answers.clear()
                while self._waiting and self._waiting[0].frame.pts < answer.sight.frame.pts:
                    self._waiting.popleft()
                    self.dropped += 1
            return answer

    def until(self, pts: int) -> list[Sight]:
        """Take the frames up to a time stamp, in order."""
        with self._changed:
            taken = []
            while self._waiting and self._waiting[0].frame.pts <= pts:
                taken.append(self._waiting.popleft())
            return taken

    def latest(self, timeout: float) -> Sight | None:
        """Take the newest frame and let go of all before it; ``None`` if none comes in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout):
                return None
            sight = self._waiting.pop()
            self.dropped += len(self._waiting)
            self._waiting.clear()
            return sight

    def overdue(self, patience: float) -> list[Sight]:
        """Take the frames that have waited for longer than so many seconds."""
        return self.until(round((time.monotonic() - patience) * 1e6))

    def clear(self) -> None:
        """Let go of all frames and answers."""
        with self._changed:
            self._waiting.clear()
            self._answers.clear()
            self._newest = None
