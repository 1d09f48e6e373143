"""What the Python iterator yields: a frame with its matte, in numpy's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.convert import to_rgb
from streammatte.stages.composite import Edges, full_size, isolate, with_room
from streammatte.stages.foreground import local_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Frame, Matte
    from streammatte.options import Refine


@dataclass(frozen=True)
class Cutout:
    """A frame and how much of each of its pixels belongs to the subject."""

    matte: Matte
    edges: Edges = Edges()  # noqa: RUF009  it is frozen
    """How ``alpha`` and ``foreground`` are made."""

    @property
    def frame(self) -> Frame:
        """The frame as decoded: planes, layout, colour, pts, time base."""
        return self.matte.frame

    @property
    def seconds(self) -> float:
        """Presentation time."""
        return self.matte.frame.seconds

    @property
    def alpha(self) -> NDArray[np.float32]:
        """The matte at the frame's size: float32 ``[height, width]`` in 0..1."""
        alpha = full_size(self.matte, self.edges.refine)
        return np.asarray(alpha / np.float32(np.iinfo(alpha.dtype).max), np.float32)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The camera's picture: uint8 R'G'B' ``[height, width, 3]``, in the source's primaries."""
        return _bytes(to_rgb(self.matte.frame.picture))

    def foreground(self) -> NDArray[np.uint8]:
        """Return the subject's own colours, straight: uint8 R'G'B' ``[height, width, 3]``.

        Composite with ``alpha * foreground + (1 - alpha) * background``; the old background's
        colour is taken out of soft edges.
        """
        picture = with_room(self.matte.frame.picture)
        how: Refine = "fine" if self.edges.decontaminate == "fine" else "fast"
        means = local_means(picture, self.matte.alpha, VideoReformatter(), how)
        return _bytes(to_rgb(isolate(picture, full_size(self.matte, self.edges.refine), means)))


def _bytes(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
