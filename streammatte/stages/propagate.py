"""Mattes for the frames that the network does not see: carried along the motion.

Which frames it sees is decided from the pictures alone, before any of them is sent, so it does not
matter how many are on their way at once. A matte is carried straight from the frame that it was
made for, not from frame to frame, which would soften it; where there is time to wait, from the
frame before and from the one after, each counting by how near it is and by how well its picture,
carried alike, matches this one. So what one of them does not show (what is covered there, or gone)
comes from the other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.frames import Matte
from streammatte.stages.match import Match, difference, match, outside
from streammatte.stages.motion import Look, Motion, carried, look, motion
from streammatte.stages.scenes import is_other_scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.options import Every

    Floats = NDArray[np.float32]

LONGEST = 0.5
"""Seconds that ``auto`` lets go by without the network, at the most."""
BLOCK = 6
"""What is new is looked for in squares of a sixth of the picture's height: a head, not an edge."""
NOISE = 12.0
"""Codes of difference that may be grain, at the most; a picture that is off by more is another."""
NEW = 24.0, 0.85
"""Something new has appeared if that many codes are unexplained in so much of any square, ..."""
CHANGED = 12.0, 0.4
"""... and with ``auto`` it is time to look again if that many are in so much of one."""
COARSE = 1.5
"""Standard deviation, in pixels, of the surroundings that are compared for that."""
MOST_WAITING = 16
"""Frames that wait for the next matte, at the most: each is 3 to 25 MB."""
MATCH = 1.5
"""What differs by so many times the noise counts 1/sqrt(e) as much."""
LEAST_NOISE, MOST_NOISE = 0.5, 4.0
"""Codes between which the noise is believed to be."""
DOUBT = 1e-4
"""What is left of the weight where nothing matches, so that the nearer and less bad one counts."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A frame, and whether the network is to see it."""

    frame: Frame
    view: NDArray[np.uint8]
    """What the network sees, or would: uint8 R'G'B' ``[h, w, 3]``."""
    wanted: bool = True
    fresh: bool = True
    """Whether it is the first of a scene: nothing before it says anything about it."""
    small: Look | None = None
    """What motion is found in; ``None`` if every frame is wanted."""


def turns(frames: Iterable[tuple[Frame, NDArray[np.uint8]]], every: Every) -> Iterator[Turn]:
    """Decide which frames the network sees.

    It sees the first of every scene, every N-th from the last that it saw, and any that shows
    something new; with ``auto`` those that have changed since then by more than can be carried
    well, and one in ``LONGEST`` seconds.

    Args:
        frames: In order, each with its view: uint8 R'G'B' ``[h, w, 3]``.
        every: N, or ``auto``.
    """
    if every == 1:
        for frame, view in frames:
            yield Turn(frame, view)
            del frame
        return
    key = Key()
    for frame, view in frames:
        small = look(view)
        fresh = key.is_other_scene(view)
        wanted = fresh or key.is_over(small, frame.seconds, every)
        key.pass_on(small, view, frame.seconds, seen=wanted)
        yield Turn(frame, view, wanted, fresh, small)
        del frame


@dataclass(slots=True)
class Key:
    """The last picture that the network sees, and what came after it."""

    small: Look | None = None
    seconds: float = 0.0
    count: int = 0
    """Frames since, itself included."""
    before: NDArray[np.uint8] | None = None
    """The view of the last frame."""

    def is_other_scene(self, view: NDArray[np.uint8]) -> bool:
        """Whether a view has nothing to do with the one before."""
        before = self.before
        return before is None or before.shape != view.shape or is_other_scene(before, view)

    def is_over(self, small: Look, seconds: float, every: Every) -> bool:
        """Whether it is time for the network to look again."""
        assert self.small is not None
        if every == "auto":
            return seconds - self.seconds >= LONGEST or unexplained(small, self.small, *CHANGED)
        return self.count >= every or unexplained(small, self.small, *NEW)

    def pass_on(self, small: Look, view: NDArray[np.uint8], seconds: float, *, seen: bool) -> None:
        """Note down a frame, and whether the network sees it."""
        if seen:
            self.small, self.seconds, self.count = small, seconds, 0
        self.count += 1
        self.before = view


def unexplained(now: Look, before: Look, codes: float, share: float) -> bool:
    """Whether some square of a picture shows what an earlier one does not, wherever it may be.

    Args:
        now: The picture in question.
        before: The earlier one.
        codes: How much is a difference, beyond the noise.
        share: How much of the square must differ.
    """
    moved = motion(now, before)
    if moved.still:
        return False
    unlike = difference(now, before, moved.flow, COARSE)
    unlike[outside(moved.flow)] = 0  # what comes into the picture as the camera turns
    noise = min(float(np.median(unlike[::2, ::2])), NOISE)
    side = max(1, now.luma.shape[0] // BLOCK)
    differs = (unlike > codes + noise).astype(np.float32)
    return float(cv2.blur(differs, (side, side), borderType=cv2.BORDER_REFLECT).max()) >= share


def fill(answers: Iterable[tuple[Turn, Floats | None]], *, ahead: bool) -> Iterator[Matte]:
    """Give every frame a matte: the network's, or one carried from those that it made.

    Args:
        answers: Every frame, in order, with the network's matte: float32 ``[h, w]`` in 0..1, or
            ``None`` if it did not see it. It sees the first frame of every scene.
        ahead: Whether frames wait, up to ``MOST_WAITING`` of them, for the next matte and take
            from both; else none waits, as in live use.
    """
    before: Side | None = None
    waiting: deque[Turn] = deque()
    for turn, alpha in answers:
        if alpha is None:
            assert before is not None
            waiting.append(turn)
            if not ahead or len(waiting) > MOST_WAITING:
                yield _from_one(waiting.popleft(), before)
        else:
            after = Side(turn, alpha)
            if before is not None:
                yield from _between(before, waiting, None if turn.fresh else after)
            yield Matte(turn.frame, turn.view, alpha)
            before = after
        del turn
    if before is not None:
        yield from _between(before, waiting, None)


class Side:
    """A matte of the network's on one side of a frame in time, and the picture that it is of."""

    def __init__(self, turn: Turn, alpha: Floats) -> None:
        assert turn.small is not None
        self.small = turn.small
        self.alpha = alpha
        self.seconds = turn.frame.seconds
        self.since = self.seconds
        """When the last frame went by that was filled from this side alone."""
        self._last: Match | None = None
        self._apart = 0.0

    def carry(self, turn: Turn) -> Carried:
        """Bring the matte to a frame: in turn to those further and further away."""
        assert turn.small is not None
        apart = turn.frame.seconds - self.seconds
        found = match(turn.small, self.small, self._guess(apart))
        self._last, self._apart = found, apart
        moved = Motion(found.flow, found.difference, still=found.still)
        return Carried(carried(self.alpha, moved), found.difference, found.noise)

    def _guess(self, apart: float) -> Floats | None:
        """Return what the flow will be if all goes on as it went up to the last frame."""
        if self._last is None or self._apart == 0:
            return None
        return self._last.start * np.float32(np.clip(apart / self._apart, 0, 2))


@dataclass(frozen=True, slots=True)
class Carried:
    """A matte at another frame, and how well its picture matches there."""

    alpha: Floats
    """float32 ``[h, w]`` in 0..1."""
    difference: Floats
    """Codes, ``[h, w]`` of the small picture."""
    noise: float
    """Codes by which half of the picture differs, or less."""


def _from_one(turn: Turn, side: Side) -> Matte:
    """Return the matte of a frame that does not wait for the next one."""
    side.since = turn.frame.seconds
    return Matte(turn.frame, turn.view, side.carry(turn).alpha, inferred=False)


def _between(before: Side, waiting: deque[Turn], after: Side | None) -> Iterator[Matte]:
    """Yield the mattes of the frames between two that the network saw; the later may be missing."""
    back = [] if after is None else [after.carry(turn) for turn in reversed(waiting)]
    while waiting:
        turn = waiting.popleft()
        if after is None:
            yield _from_one(turn, before)
            continue
        span = max(after.seconds - before.since, 1e-9)
        late = float(np.clip((turn.frame.seconds - before.since) / span, 0, 1))
        alpha = blended(before.carry(turn), back.pop(), late)
        yield Matte(turn.frame, turn.view, alpha, inferred=False)
        del turn


def blended(one: Carried, other: Carried, late: float) -> Floats:
    """Return the matte between two, each counting as far as it is near and its picture matches.

    Args:
        one: From the frame before.
        other: From the frame after.
        late: Where between them, 0 to 1.
    """
    noise = MATCH * float(np.clip(min(one.noise, other.noise), LEAST_NOISE, MOST_NOISE))
    first, second = (_weight(each.difference, noise) for each in (one, other))
    share = late * second / ((1 - late) * first + late * second)
    if share.shape != one.alpha.shape:
        share = cv2.resize(share, one.alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(one.alpha + share * (other.alpha - one.alpha), np.float32)


def _weight(difference: Floats, noise: float) -> Floats:
    """Return how far a matte counts whose picture differs by so many codes; never quite 0."""
    square = np.square(difference)
    return np.asarray(
        np.exp(square * np.float32(-0.5 / noise**2)) + np.float32(DOUBT) / (1 + square), np.float32
    )
