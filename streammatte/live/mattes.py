"""Mattes for every frame of the camera, the network being as quick or slow as it is.

``matched``: a frame waits for what the network says of it, or of the frames on either side of it;
each matte is of its own frame's picture, and the show is late by a fixed time. ``lowest``: no frame
waits; the last matte is carried to it along the motion.

A matte is trusted on a frame if the network saw that frame, or one of the same scene not long ago;
and where it was carried, not in large places that look like nothing that it was made for: when
somebody has gone, the room is there. (Small ones are hands that were quicker than the eye.)
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.frames import Frame, Matte, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.live.state import STALE
from streammatte.stages import refine, smooth
from streammatte.stages.match import difference
from streammatte.stages.motion import carried, motion
from streammatte.stages.propagate import Carried, Side, Turn, blended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.live.exchange import Answer, Exchange, Sight
    from streammatte.live.network import Network

    Floats = NDArray[np.float32]
    Stage = Callable[[Iterable[Matte]], Iterator[Matte]]

Align = Literal["matched", "lowest"]

PATIENCE = 0.05
"""Seconds that a round waits."""
OLDEST = 2.0
"""Seconds for which a matte may be carried, however slow the network is."""
SOON = 0.1
"""Seconds within which motion is small."""
UNLIKE = 24.0
"""Codes, beyond the noise, from which a place is not what the matte was carried for, ..."""
BLOCK, NEARLY = 6, 0.85
"""... if nearly all of a square is so that has this part of the picture's height."""
MOST_NOISE = 12.0
LEAST_PATIENCE, MOST_PATIENCE = 0.5, OLDEST
"""Seconds that a matte is carried; in between it is as long as the network usually takes for four
frames: one that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Item:
    """A frame that is to be shown."""

    frame: Frame
    matte: Matte | None
    """``None`` if there is none to trust."""
    ready: float
    """When that was known, by the monotonic clock."""


class Steps:
    """Stages that give a matte for each one, for mattes that come one at a time."""

    def __init__(self, *stages: Stage) -> None:
        self._given: deque[Matte] = deque()
        results = self._fed()
        for stage in stages:
            results = stage(results)
        self._results = results

    def __call__(self, matte: Matte) -> Matte:
        """Return what the stages make of the next matte."""
        self._given.append(matte)
        return next(self._results)

    def _fed(self) -> Iterator[Matte]:
        while True:
            yield self._given.popleft()


class Key(Side):
    """A matte of the network's own, to be carried to other frames."""

    def __init__(self, answer: Answer) -> None:
        sight = answer.sight
        super().__init__(_turn(sight), answer.alpha)
        self.pts = sight.frame.pts
        self._scene = sight.scene

    def carry_quickly(self, sight: Sight) -> Carried:
        """Bring the matte to a frame soon after: in a third of the time, for small motion."""
        moved = motion(sight.small, self.small)
        unlike = difference(sight.small, self.small, moved.flow)
        return Carried(carried(self.alpha, moved), unlike, float(np.median(unlike[::2, ::2])))

    def is_trusted_on(self, sight: Sight, longest: float = OLDEST) -> bool:
        """Whether it says anything of a frame, which is so many seconds away at the most."""
        apart = abs(sight.frame.seconds - self.seconds)
        return sight.scene == self._scene and apart <= longest


class Mattes:
    """Makes a matte for every frame, or says that there is none to trust."""

    def __init__(
        self, exchange: Exchange, network: Network, align: Align, post: Callable[[Item], None]
    ) -> None:
        """Prepare it.

        Args:
            exchange: Where frames and answers are.
            network: What answers.
            align: See above.
            post: Given every frame that is to be shown, in order.
        """
        self.steady = True
        """Whether mattes are steadied."""
        self.carried = 0
        """Mattes that were carried, so far."""
        self._exchange = exchange
        self._network = network
        self._post = post
        self._key: Key | None = None
        self._steps: Steps | None = None
        self._made_for: tuple[bool, bool] | None = None
        self._scaler = VideoReformatter()
        self.around = self._matched if align == "matched" else self._lowest
        """A round: wait for an answer or a frame, and pass on what can be shown then."""

    def warm_up(self, width: int, height: int) -> None:
        """Steady mattes that nobody sees, so that the first ones are as quick as all others.

        Args:
            width: Of the mattes.
            height: Of the mattes.
        """
        alpha = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
        steps = Steps(smooth.live, refine.snap)
        for index, shade in enumerate((80, 90)):
            view = np.full((height, width, 3), shade, np.uint8)
            view[:, width // 2 + index :] = 160  # something moves
            frame = Frame(Picture.empty(2, 2, LAYOUT, COLOUR), 40_000 * index, 0, TICK)
            steps(Matte(frame, view, alpha))
        self._exchange.clear()  # what has come meanwhile is old

    # ---- each matte on its own frame

    def _matched(self) -> None:
        answer = self._exchange.answered(PATIENCE)
        if answer is None:
            # As long as the last picture may stand, nothing is gained by giving a frame up.
            patience = 0.0 if self._network.trouble else max(self._patience, STALE)
            for sight in self._exchange.overdue(patience):
                self._post(Item(sight.frame, None, time.monotonic()))
            return
        sights = self._exchange.until(answer.sight.frame.pts)
        key, before = Key(answer), self._key
        self._key = key
        own = bool(sights) and sights[-1].frame.pts == key.pts
        between = sights[:-1] if own else sights
        for sight, alpha in zip(between, self._between(before, between, key), strict=True):
            self._pass_on(sight, alpha, carried=True)
        if own:
            self._pass_on(answer.sight, answer.alpha)

    @property
    def _patience(self) -> float:
        return min(max(4 * self._network.seconds, LEAST_PATIENCE), MOST_PATIENCE)

    def _between(self, before: Key | None, sights: list[Sight], after: Key) -> list[Floats | None]:
        """Return the mattes of frames between two that the network saw."""
        longest = self._patience
        back = [
            after.carry(_turn(sight)) if after.is_trusted_on(sight, longest) else None
            for sight in reversed(sights)
        ]
        mattes: list[Floats | None] = []
        for sight in sights:
            behind, ahead = back.pop(), None
            if before is not None and before.is_trusted_on(sight, longest):
                ahead = before.carry(_turn(sight))
            if ahead is not None and behind is not None and ahead.alpha.shape == behind.alpha.shape:
                assert before is not None
                late = (sight.frame.seconds - before.seconds) / (after.seconds - before.seconds)
                mattes.append(trusted(blended(ahead, behind, late), ahead, behind))
            else:
                known = behind or ahead
                mattes.append(trusted(known.alpha, known) if known else None)
        return mattes

    # ---- the newest frame, at once

    def _lowest(self) -> None:
        sight = self._exchange.latest(PATIENCE)
        if (answer := self._exchange.answered(0)) is not None:
            self._key = Key(answer)
        if sight is None:
            return
        key = self._key
        if key is None or self._network.trouble or not key.is_trusted_on(sight, self._patience):
            self._post(Item(sight.frame, None, time.monotonic()))
        elif key.pts == sight.frame.pts:
            self._pass_on(sight, key.alpha)
        else:
            soon = sight.frame.seconds - key.seconds <= SOON
            found = key.carry_quickly(sight) if soon else key.carry(_turn(sight))
            self._pass_on(sight, trusted(found.alpha, found), carried=True)

    # ---- both

    def _pass_on(self, sight: Sight, alpha: Floats | None, *, carried: bool = False) -> None:
        """Steady and snap a matte, and let it be shown."""
        matte = None
        if alpha is not None:
            view = sight.view
            if view.shape[:2] != alpha.shape:
                view = sight.frame.picture.view(alpha.shape[1], alpha.shape[0], self._scaler)
            self.carried += carried
            matte = self._finished(Matte(sight.frame, view, alpha, inferred=not carried))
        self._post(Item(sight.frame, matte, time.monotonic()))

    def _finished(self, matte: Matte) -> Matte:
        wanted = self.steady, self._network.coarse
        if self._steps is None or wanted != self._made_for:
            stages: list[Stage] = [smooth.live] if self.steady else []
            self._steps = Steps(*stages, *([refine.snap] if self._network.coarse else []))
            self._made_for = wanted
        try:
            return self._steps(matte)
        except Exception:
            self._steps = None  # a generator that has raised is over
            raise


def trusted(alpha: Floats, *found: Carried) -> Floats:
    """Return a matte without the large places that look like nothing that it was carried from.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        found: What it was made of.
    """
    unlike = found[0].difference
    for other in found[1:]:
        unlike = np.minimum(unlike, other.difference)
    noise = min(*(each.noise for each in found), MOST_NOISE)
    differs = (unlike > UNLIKE + noise).astype(np.float32)
    side = max(3, differs.shape[0] // BLOCK)
    share = cv2.blur(differs, (side, side), borderType=cv2.BORDER_REFLECT)
    if float(share.max()) < NEARLY:
        return alpha
    around = cv2.dilate((share >= NEARLY).astype(np.float32), np.ones((side, side), np.uint8))
    known = cv2.resize(1 - around * differs, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(alpha * known, np.float32)


def _turn(sight: Sight) -> Turn:
    return Turn(sight.frame, sight.view, small=sight.small)
