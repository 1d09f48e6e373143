"""Keeps the frame rate when the machine is busy: gives up quality by steps, and takes it back.

First a smaller input for the network, then mattes for fewer frames, then cheaper edges. A step back
up is tried after some calm seconds; if it does not hold, the next try waits twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = 0.93
"""Of the wanted rate: fewer pictures than that are too few."""
SLOW = 0.5
"""Of the frames: a network that sees fewer than that is slow."""
GAIN = 0.85
"""Of the time that the network took: if a smaller input takes more than that, it is no help."""
PATIENCE = 2
"""Seconds of too few pictures, or of a slow network, before something is given up."""
CALM, MOST_CALM = 8, 128
"""Seconds without need before something is tried again."""
ROOM = 0.75
"""Of the machine: there is room only if less than that is in use."""
SETTLING = 3
"""Seconds that a step takes to show."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is given up."""

    size: tuple[int, int]
    """``(width, height)`` of the network's input."""
    every: int = 1
    cheap: bool = False
    """Whether edges are cheap and mattes are not steadied."""

    def __str__(self) -> str:
        often = "" if self.every == 1 else f", sees every {self.every}{_ORDINALS[self.every]} frame"
        return f"network at {self.size[0]}x{self.size[1]}{often}" + ", cheap edges" * self.cheap


_ORDINALS = {2: "nd", 3: "rd", 4: "th"}


@dataclass(frozen=True, slots=True)
class Sample:
    """What a second was like."""

    rate: float
    """Pictures a second that are wanted."""
    pictures: float
    """That there were."""
    network_fps: float
    network_seconds: float
    """That the network takes a frame."""
    cpu: float
    """Share of the machine that is in use, 0..1."""


def levels(sizes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    """Return the steps for a network.

    Args:
        sizes: Of its input, the best first.
    """
    smallest = sizes[-1]
    steps = [Level(size) for size in sizes]
    steps += [Level(smallest, every) for every in (2, 3)]
    return (*steps, Level(smallest, 3, cheap=True))


class Governor:
    """Decides about steps, once a second."""

    def __init__(self, steps: tuple[Level, ...]) -> None:
        self.steps = steps
        self.index = 0
        self._short = self._slow = self._calm = 0
        self._wait = CALM
        self._rose = False
        """Whether the last step was one back up."""
        self._since = 0
        """Seconds since the last step."""
        self._before: float | None = None
        """What the network took before its input was made smaller because it was slow."""
        self._useless = False
        """Whether a smaller input is known not to help."""

    @property
    def level(self) -> Level:
        """What is given up now."""
        return self.steps[self.index]

    def observe(self, sample: Sample) -> str | None:
        """Take note of a second; return what was changed and why, if something was."""
        self._since += 1
        if self._since < SETTLING:
            return None
        is_short = sample.pictures < SHORT * sample.rate
        is_slow = sample.network_fps < SLOW * sample.rate / self.level.every
        self._short = self._short + 1 if is_short else 0
        self._slow = self._slow + 1 if is_slow else 0
        self._calm = 0 if is_short or sample.cpu > ROOM else self._calm + 1
        if (undone := self._undone(sample)) is not None:
            return undone
        if self._short >= PATIENCE and self.index + 1 < len(self.steps):
            if self._rose:
                self._wait = min(2 * self._wait, MOST_CALM)
            return self._go(+1, f"{sample.pictures:.1f} of {sample.rate:.1f} pictures a second")
        if self._slow >= PATIENCE and self._helps_the_network:
            self._before = sample.network_seconds
            return self._go(+1, f"the network takes {1e3 * sample.network_seconds:.0f} ms a frame")
        if self._calm >= self._wait and self.index > 0 and not self._is_needed(sample):
            return self._go(-1, "there is room again")
        return None

    @property
    def _helps_the_network(self) -> bool:
        """Whether the next step is a smaller input, and that may help."""
        if self._useless or self.index + 1 >= len(self.steps):
            return False
        return self.steps[self.index + 1].size != self.level.size

    def _undone(self, sample: Sample) -> str | None:
        """Take back a smaller input that made the network no quicker."""
        before, self._before = self._before, None
        if before is None or sample.network_seconds <= GAIN * before:
            return None
        self._useless = True
        return self._go(-1, "a smaller input made the network no quicker")

    def _is_needed(self, sample: Sample) -> bool:
        """Whether a smaller input is what makes the network quick enough."""
        larger = self.steps[self.index - 1].size
        if self._useless or larger == self.level.size:
            return False
        more = larger[0] * larger[1] / (self.level.size[0] * self.level.size[1])
        return sample.network_seconds * more * sample.rate > 1 / SLOW

    def _go(self, by: int, why: str) -> str:
        self.index += by
        self._rose = by < 0
        self._since = self._short = self._slow = self._calm = 0
        return f"{self.level} ({why})"
