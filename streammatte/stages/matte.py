"""From frames to mattes: the network, or the alpha that the footage brings along."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.errors import RuntimeFailure
from streammatte.frames import Matte
from streammatte.runtimes.base import Flight
from streammatte.stages import propagate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture
    from streammatte.meters import Meters
    from streammatte.options import Every
    from streammatte.runtimes.base import Runtime
    from streammatte.stages.propagate import Turn


LEAST_CLEAR = 0.01
"""The share of a picture that must be clear before its alpha is taken for a matte."""
MOST_HELD = 16
"""Frames that wait for a batch to fill up, at the most: each is 3 to 25 MB."""
LEAST_FOUND = 0.005
"""The share of a picture that must be subject, or nobody was found in it."""
LEAST_FRAMES = 0.02
"""The share of a clip's frames in which somebody must be found, or the report says how few."""
LONE = 10
"""Frames from which somebody in a single one is a wisp; shorter clips may be like that."""


class Coverage:
    """Watches mattes go by: in how many frames is anybody?"""

    def __init__(self) -> None:
        self.frames = 0
        self.found = 0
        """Frames in which the subject takes ``LEAST_FOUND`` of the picture."""
        self.inferred = 0
        """Frames that the network saw, or that brought their matte."""

    def watch(self, mattes: Iterable[Matte]) -> Iterator[Matte]:
        """Pass the mattes on."""
        for matte in mattes:
            self.frames += 1
            self.found += float(matte.alpha.mean()) >= LEAST_FOUND
            self.inferred += matte.inferred
            yield matte
            del matte

    @property
    def notes(self) -> list[str]:
        """A sentence if nobody was found, or hardly ever, or if mattes were carried along."""
        if self.inferred == self.frames:
            return self._missing
        seen = f"the network saw {self.inferred} of {self.frames} frames"
        return [*self._missing, f"{seen}; the mattes between were carried along the motion"]

    @property
    def _missing(self) -> list[str]:
        hint = "'streammatte models list' says what networks know"
        if not self.found:
            return [f"nobody was found in any frame; {hint}"]
        if self.found < max(LEAST_FRAMES * self.frames, 2 if self.frames >= LONE else 1):
            return [f"somebody was found in {self.found} of {self.frames} frames only; {hint}"]
        return []


def infer(
    frames: Iterable[Frame],
    network: Runtime,
    size: tuple[int, int],
    meters: Meters,
    every: Every = 1,
    *,
    ahead: bool = True,
) -> Iterator[Matte]:
    """Let the network see every N-th frame; to the frames between, mattes are carried.

    Frames are held back until the network has as many as it takes at once.

    Args:
        frames: In order.
        network: What makes mattes.
        size: ``(width, height)`` of its input.
        meters: Told how long it takes.
        every: N, or ``auto``; see ``propagate.turns``.
        ahead: Whether frames between wait for the next matte; see ``propagate.fill``.

    Raises:
        RuntimeFailure: if the engine fails, or its mattes are no numbers.
    """
    turns = propagate.turns(_viewed(frames, size, meters), every)
    if every == 1:
        mattes = _straight(_answers(turns, network, meters))
    else:
        answers = _answers(meters.watch("propagate", turns), network, meters)
        mattes = meters.watch("propagate", propagate.fill(answers, ahead=ahead))
    for matte in mattes:
        yield _within_own_alpha(matte)
        del matte


def seen(
    viewed: Iterable[tuple[Frame, NDArray[np.uint8]]], network: Runtime, meters: Meters
) -> Iterator[Matte]:
    """Let the network see every frame of a number that belong together by nothing but their size.

    Args:
        viewed: Each with what the network is to see of it: uint8 R'G'B' ``[h, w, 3]``.
        network: What makes mattes.
        meters: Told how long it takes.

    Raises:
        RuntimeFailure: as ``infer`` does.
    """
    for matte in _straight(_answers(propagate.turns(viewed, 1), network, meters)):
        yield _within_own_alpha(matte)
        del matte


def _viewed(
    frames: Iterable[Frame], size: tuple[int, int], meters: Meters
) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
    """Scale the frames to what the network sees."""
    scaler = VideoReformatter()
    for frame in frames:
        with meters.measure("network input"):
            view = frame.looks.view(*size, scaler)
        yield frame, view
        del frame


def _answers(
    turns: Iterable[Turn], network: Runtime, meters: Meters
) -> Iterator[tuple[Turn, NDArray[np.float32] | None]]:
    """Yield every frame with the network's matte, or ``None`` if it does not see it."""
    flight = Flight(network)
    under_way: deque[list[Turn]] = deque()
    for group in _grouped(turns, network.batch):
        _send(group, flight, meters)
        under_way.append(group)
        del group
        if len(under_way) == flight.slots:
            yield from _answered(under_way.popleft(), flight, meters, network)
    while under_way:
        yield from _answered(under_way.popleft(), flight, meters, network)


def _straight(answers: Iterable[tuple[Turn, NDArray[np.float32] | None]]) -> Iterator[Matte]:
    """Make mattes of what the network says of every frame."""
    for turn, alpha in answers:
        assert alpha is not None
        yield Matte(turn.frame, turn.view, alpha)
        del turn


def _grouped(turns: Iterable[Turn], batch: int) -> Iterator[list[Turn]]:
    """Hold frames back until there are as many for the network as it takes at once."""
    group: list[Turn] = []
    for turn in turns:
        group.append(turn)
        del turn
        if sum(each.wanted for each in group) % batch == 0 or len(group) == MOST_HELD:
            whole, group = group, []
            yield whole
            del whole
    if group:
        yield group


def _send(group: list[Turn], flight: Flight, meters: Meters) -> None:
    """Send what the network is to see of a group on its way."""
    if views := [turn.view for turn in group if turn.wanted]:
        with meters.measure("network"):
            flight.submit(np.stack(views))


def _answered(
    group: list[Turn], flight: Flight, meters: Meters, network: Runtime
) -> Iterator[tuple[Turn, NDArray[np.float32] | None]]:
    """Yield each frame of a group with its matte, if the network has seen it."""
    alphas = np.empty((0, 1), np.float32)
    if count := sum(turn.wanted for turn in group):
        with meters.measure("network"):
            alphas = flight.collect()[:count]  # what fills a batch up is nobody's matte
    _check_numbers(alphas, network)
    answers = iter(alphas[:, 0])
    while group:
        turn = group.pop(0)
        yield turn, next(answers) if turn.wanted else None
        del turn


def _check_numbers(alphas: NDArray[np.float32], network: Runtime) -> None:
    """Refuse mattes that would be composited as garbage, whatever runtime they are from.

    Raises:
        RuntimeFailure: if they are not finite.
    """
    if np.isfinite(alphas).all():
        return
    if network.precision == "fp16":
        what = "half precision cannot hold what this network computes; use --precision fp32"
    else:
        what = "its weights must be damaged, or made for another network; use others"
    raise RuntimeFailure(f"the network gave no numbers for a frame: {what}")


def _within_own_alpha(matte: Matte) -> Matte:
    """Keep see-through what the footage says is see-through."""
    picture = matte.frame.picture
    if picture.alpha is None:
        return matte
    height, width = matte.alpha.shape
    own = cv2.resize(own_alpha(picture), (width, height), interpolation=cv2.INTER_AREA)
    return replace(matte, alpha=np.minimum(matte.alpha, own))


def take_own(frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[Matte]:
    """Use the alpha that the footage brings along, at its full size."""
    scaler = VideoReformatter()
    for frame in frames:
        yield Matte(frame, frame.looks.view(*size, scaler), own_alpha(frame.picture))
        del frame


def own_alpha(picture: Picture) -> NDArray[np.float32]:
    """Return a picture's own alpha: float32 ``[height, width]`` in 0..1; opaque if it has none."""
    if picture.alpha is None:
        return np.ones((picture.height, picture.width), np.float32)
    return np.asarray(picture.alpha / np.float32(picture.layout.peak), np.float32)


def brings_matte(picture: Picture) -> bool:
    """Whether a picture has an alpha that cuts something out, not merely a few soft pixels."""
    if picture.alpha is None:
        return False
    return float((picture.alpha < picture.layout.peak / 2).mean()) > LEAST_CLEAR
