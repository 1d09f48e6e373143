"""What is to be seen, and why: the rule that the raw room never is.

::

                     first trusted matte
       starting ─────────────────────────> live <──────────────┐
       (background alone, or slate)        │  │                │ a trusted matte
                     no matte to trust:    │  │ wish           │
                     network, cut, delay   v  v                │
                                         blind   held ─────────┤ wish
       (background alone, or slate)        │     (slate, freeze,│
                                           │      background)   │
             camera lost or stalled,       v                   │
             from any state ──────────>  lost ─────────────────┘
                                        (slate)
       nobody reads the virtual camera, if that is wanted: asleep (slate)

A picture with the subject in it leaves only in ``live``, or is the one that ``freeze`` holds; each
was composited with a matte of its own frame, or one carried to it from a frame of the same scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from streammatte.live.base import Condition
    from streammatte.live.settings import Show

Name = Literal["starting", "live", "blind", "held", "lost", "asleep"]

STALE = 1.0
"""Seconds that the last picture may stand for the next one."""
GONE: dict[Condition, str] = {
    "lost": "the camera is gone",
    "stalled": "the camera gives no pictures",
    "ended": "the camera's file has ended",
}


@dataclass(frozen=True, slots=True)
class State:
    """How the show is."""

    name: Name
    reason: str = ""
    """In words; empty if all is well."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a state is told by."""

    show: Show = "subject"
    """What is wanted."""
    camera: Condition = "running"
    camera_reason: str = ""
    asleep: bool = False
    subject: bool = False
    """Whether the newest picture shows a subject that was cut out by a matte to trust."""
    age: float = float("inf")
    """Seconds since the newest picture."""
    trouble: str = ""
    """Why there are no mattes, if somebody knows."""
    begun: bool = False
    """Whether there has ever been a matte to trust."""


def judge(signs: Signs) -> State:
    """Return the state that signs tell of."""
    if signs.asleep:
        return State("asleep", "nobody looks at the virtual camera")
    if signs.show != "subject":
        return State("held", f"{signs.show}, as was asked for")
    gone = GONE.get(signs.camera)
    if gone is not None:
        return State("lost", f"{gone}: {signs.camera_reason}" if signs.camera_reason else gone)
    if signs.subject and signs.age <= STALE:
        return State("live")
    if not signs.begun:
        return State("starting", signs.trouble or "waiting for the first picture")
    return State("blind", signs.trouble or "there is no matte to trust")
