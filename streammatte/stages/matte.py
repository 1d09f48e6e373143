"""From frames to mattes: the network, or the alpha that the footage brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.frames import Matte

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture
    from streammatte.meters import Meters
    from streammatte.runtimes.base import Runtime


LEAST_CLEAR = 0.01
"""The share of a picture that must be clear before its alpha is taken for a matte."""
LEAST_FOUND = 0.005
"""The share of a picture that must be subject in some frame, or nobody was found."""


class Coverage:
    """Watches mattes go by: how much of the picture the subject took, at the most."""

    def __init__(self) -> None:
        self.greatest = 0.0

    def watch(self, mattes: Iterable[Matte]) -> Iterator[Matte]:
        """Pass the mattes on."""
        for matte in mattes:
            self.greatest = max(self.greatest, float(matte.alpha.mean()))
            yield matte
            del matte

    @property
    def notes(self) -> list[str]:
        """A sentence if nobody was found."""
        if self.greatest >= LEAST_FOUND:
            return []
        return ["nobody was found in any frame; 'streammatte models list' says what networks know"]


def infer(
    frames: Iterable[Frame], network: Runtime, size: tuple[int, int], meters: Meters
) -> Iterator[Matte]:
    """Let the network see every frame at ``size`` (width, height)."""
    scaler = VideoReformatter()
    for frame in frames:
        with meters.measure("network input"):
            view = frame.picture.view(*size, scaler)
        with meters.measure("network"):
            alpha = network.infer(view[None])[0, 0]
        if frame.picture.alpha is not None:
            # What the footage says is see-through stays see-through.
            own = cv2.resize(own_alpha(frame.picture), size, interpolation=cv2.INTER_AREA)
            alpha = np.minimum(alpha, own)
        yield Matte(frame, view, alpha)
        del frame


def take_own(frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[Matte]:
    """Use the alpha that the footage brings along, at its full size."""
    scaler = VideoReformatter()
    for frame in frames:
        yield Matte(frame, frame.picture.view(*size, scaler), own_alpha(frame.picture))
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
