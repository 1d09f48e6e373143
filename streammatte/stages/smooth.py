"""Mattes that hold still: the mean of what the network said of each thing, wherever it moved.

A network that sees one frame at a time is wrong by a little more here and a little less there in
each. The mean over the frames that show the same thing is steadier and nearer to the truth, as
long as it is the same thing: so the past is carried along the optical flow and counts only where
the flow explains the picture (``motion``). How much of the past there is (its weight, in frames
like the present one) is carried along with it, starts again where nothing explains what is seen,
and fades within ``MEMORY`` seconds. What the network is sure of weighs down a past that says
otherwise, so nothing trails behind a moving hand.

``live`` knows the past only. ``file`` looks ahead by a few frames and joins both directions by
their weights, after a matte that neither of its neighbours confirms has been replaced by the median
of the three; it holds ``HELD`` frames, whatever the length of the clip.

Averaging along the motion is as old as Dubois and Sabri 1984 (Noise Reduction in Image Sequences
Using Motion-Compensated Temporal Filtering), a weight that is lost where the past does not fit is
that of temporal anti-aliasing (Yang, Liu and Salvi 2020 survey it); joining two directions by
their weights is ours.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streammatte.stages import kernels
from streammatte.stages.motion import at_size, carried, carried_weight, look, motion
from streammatte.stages.scenes import Story, glimpse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Matte
    from streammatte.stages.motion import Look, Motion

    Floats = NDArray[np.float32]

MEMORY = 0.16
"""Seconds after which 1/e is left of the past's weight: at 25 frames a second the matte is at most
to 0.78 the past's. More holds stiller, and is later to believe the network where it is right."""
DOUBT = 1.75
"""How much of the past's weight is lost where the network is sure of the opposite: more trails
less, and lets more of its sure mistakes through."""
BEAT = 0.04
"""Seconds in which that much is lost; frames closer to each other lose accordingly less each."""
LEAST = 1 / 512
"""Differences that no picture of 8 bits shows; without them what is solid stays exactly so."""
SHORTEST = 1e-3
"""Seconds that two frames are apart at the least, whatever their time stamps say."""
UNEXPLAINED = 9.0
"""In units of the noise, for ``file``: with both sides to go by, flows may be believed further."""
HELD = 10
"""Frames that ``file`` holds, of 3 to 25 MB each: that is how far it looks ahead."""
BLOCK = 6
"""Frames that ``file`` lets go at a time; fewer look further ahead, but each costs a way back."""


@dataclass(frozen=True, slots=True)
class Mean:
    """What the network said of each thing over the frames that show it."""

    alpha: Floats
    """float32 ``[h, w]`` in 0..1."""
    weight: Floats
    """float32 ``[h, w]``: how many frames like the present one it is the mean of, 1 or more."""


def live(mattes: Iterable[Matte], strength: float = 1.0) -> Iterator[Matte]:
    """Steady mattes as they come, by what came before.

    Args:
        mattes: In order; their alphas at the network's size.
        strength: Of the memory, in units of the default: 0 changes nothing, 2 is the most that
            makes sense.
    """
    if strength <= 0:
        yield from mattes
        return
    story: Story[tuple[Look, float, Mean]] = Story()
    for matte in mattes:
        seconds, seen = matte.frame.seconds, look(matte.view)
        sight = glimpse(seen.luma, seconds, (*matte.view.shape, *matte.alpha.shape))
        mean = fresh(matte.alpha)
        if (known := story.continued_by(sight)) is not None:
            earlier, then, past = known
            mean = continued(matte.alpha, past, motion(seen, earlier), seconds - then, strength)
            matte = replace(matte, alpha=mean.alpha)  # noqa: PLW2901
        story.add(sight, (seen, seconds, mean))
        yield matte
        del matte


def file(mattes: Iterable[Matte], strength: float = 1.0, held: int = HELD) -> Iterator[Matte]:
    """Steady mattes by what came before and what comes after.

    Args:
        mattes: In order; their alphas at the network's size.
        strength: As for ``live``.
        held: Frames that go in before the first comes out, more than ``BLOCK``.
    """
    if strength <= 0:
        yield from mattes
        return
    story: Story[Step] = Story()
    waiting: deque[Matte] = deque()
    steps: deque[Step] = deque()
    for matte in mattes:
        steps.append(_step(matte, story))
        waiting.append(matte)
        del matte
        if len(waiting) == held:
            yield from _steadied(waiting, steps, BLOCK, strength, held - BLOCK)
    yield from _steadied(waiting, steps, len(waiting), strength, held - BLOCK)


@dataclass(slots=True, eq=False)
class Step:
    """What ``file`` knows of a matte, without its frame."""

    seconds: float
    look: Look
    alpha: Floats
    before: tuple[Step, Motion] | None = None
    """The step that this one continues; ``None`` when that has been made use of."""
    after: tuple[Step, Motion] | None = None
    """The step that continues this one."""
    mean: Mean | None = None
    """Of this step and all before."""


def _step(matte: Matte, story: Story[Step]) -> Step:
    """Find what a matte continues, and how things move between the two."""
    step = Step(matte.frame.seconds, look(matte.view), matte.alpha)
    sight = glimpse(step.look.luma, step.seconds, (*matte.view.shape, *matte.alpha.shape))
    if (earlier := story.continued_by(sight)) is not None:
        # At the mattes' size at once: each is carried along several times.
        back = motion(step.look, earlier.look, UNEXPLAINED)
        step.before = earlier, at_size(back, step.alpha.shape)
        on = motion(earlier.look, step.look, UNEXPLAINED)
        earlier.after = step, at_size(on, step.alpha.shape)
    story.add(sight, step)
    return step


def _steadied(
    waiting: deque[Matte], steps: deque[Step], count: int, strength: float, ahead: int
) -> Iterator[Matte]:
    """Let the first mattes go, when all that wait have told what they know of them."""
    for step in steps:
        if step.mean is None and (step.after is not None or count == len(steps)):
            _take_in_the_past(step, strength)
    futures: dict[int, Mean] = {}
    for step in reversed(steps):
        futures[id(step)] = _future(step, futures, strength, ahead)
    for _ in range(count):
        step, matte = steps.popleft(), waiting.popleft()
        past = step.mean or fresh(step.alpha)
        yield replace(matte, alpha=joined(step.alpha, past, futures.pop(id(step))))
        del matte


def _take_in_the_past(step: Step, strength: float) -> None:
    """Clear a step of what its neighbours deny, and continue the mean."""
    if step.before is None:
        step.mean = fresh(step.alpha)
        return
    (earlier, moved), step.before = step.before, None
    if step.after is not None:
        later, moves = step.after
        step.alpha = median(step.alpha, (earlier.alpha, moved), (later.alpha, moves))
    past, gap = earlier.mean or fresh(earlier.alpha), step.seconds - earlier.seconds
    step.mean = continued(step.alpha, past, moved, gap, strength)


def _future(step: Step, futures: dict[int, Mean], strength: float, ahead: int) -> Mean:
    """Return the mean of a step and all after it, of which there are ``ahead`` or more."""
    if step.after is None:
        return fresh(step.alpha)
    later, moves = step.after
    gap = later.seconds - step.seconds
    # What is looked ahead to in one block and not yet in the last must weigh next to nothing.
    seen = ahead * gap / 2
    strength = min(strength, seen / MEMORY) if gap > 0 else strength
    return continued(step.alpha, futures[id(later)], moves, gap, strength)


def fresh(alpha: Floats) -> Mean:
    """Return the mean of one matte."""
    return Mean(alpha, np.ones_like(alpha))


def heaviest(gap: float, strength: float) -> float:
    """Return the most that the past may weigh, in frames, so that it fades as it should."""
    return 1 / math.expm1(max(gap, SHORTEST) / (MEMORY * strength))


def continued(alpha: Floats, past: Mean, moved: Motion, gap: float, strength: float) -> Mean:
    """Return the mean that the past becomes with one more matte.

    Args:
        alpha: The matte: float32 ``[h, w]`` in 0..1.
        past: The mean so far, of the same size.
        moved: From here to there.
        gap: Seconds between the two.
        strength: Of the memory, in units of the default.
    """
    moved = at_size(moved, alpha.shape)
    earlier, weight = carried(past.alpha, moved), carried_weight(past.weight, moved)
    doubt, most = DOUBT * min(max(gap, SHORTEST) / BEAT, 1), heaviest(gap, strength)
    return Mean(*kernels.running_mean(alpha, earlier, weight, moved.trust, doubt, most, LEAST))


def joined(alpha: Floats, past: Mean, future: Mean) -> Floats:
    """Return the mean of two means that have one matte in common, ``alpha``."""
    return kernels.joined_mean(alpha, past.alpha, past.weight, future.alpha, future.weight)


def median(alpha: Floats, *neighbours: tuple[Floats, Motion]) -> Floats:
    """Return the middle one of a matte and its two neighbours, each as far as it can be trusted."""
    one, other = (_as_far_as_trusted(alpha, *neighbour) for neighbour in neighbours)
    return np.maximum(np.minimum(one, alpha), np.minimum(np.maximum(one, alpha), other))


def _as_far_as_trusted(alpha: Floats, near: Floats, moved: Motion) -> Floats:
    moved = at_size(moved, alpha.shape)
    return alpha + moved.trust * (carried(near, moved) - alpha)
