"""What listeners are told of a show, and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Started:
    """Told once, when pictures begin to leave; there may be no mattes yet."""

    camera: str
    outputs: list[str]
    size: tuple[int, int]
    """``(width, height)`` of the pictures."""
    fps: float
    align: str
    control: str
    """The address of the control page; empty if there is none."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entered:
    """Told when the state changes; see ``live.state``."""

    state: str
    reason: str
    seconds: float
    """Since the start."""


@dataclass(frozen=True)
class Told:
    """Told when something was changed or went wrong, in words."""

    what: str
    seconds: float
    """Since the start."""


@dataclass(frozen=True)
class Beat:
    """Told once a second."""

    state: str
    fps: float
    """Pictures composited a second, lately."""
    network_fps: float
    latency_ms: float | None
    """From capture to output, the median of all so far."""
    dropped: int
    repeated: int
    cpu: float
    """Share of the machine, 0..1."""
    level: int
    """Of the governor; 0 is the best."""


@dataclass(frozen=True)
class LiveReport:
    """How the show was."""

    camera: str
    outputs: list[str]
    seconds: float
    frames: int
    """Pictures that left."""
    fps: float
    composited: int
    """Frames of the camera that were composited."""
    repeated: int
    """Times that there was no new picture."""
    missed: int
    """Times that a picture was not sent at all: the machine was asleep or overloaded."""
    dropped: int
    """Frames of the camera that were not shown."""
    inferred: int
    """Frames that the network saw."""
    carried: int
    """Mattes that were carried along the motion."""
    latency_ms: dict[str, float | None]
    """From capture to output: ``p50`` and ``p99``."""
    model: str
    runtime: str
    device: str
    align: str
    states: list[list[Any]]
    """``[seconds, state, reason]`` of every change."""
    events: list[list[Any]]
    """``[seconds, what]``: what was changed or went wrong, the governor's steps among it."""
    milliseconds: dict[str, dict[str, float]]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


Event = Started | Entered | Told | Beat
"""What a listener is told."""
