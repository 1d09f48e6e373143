"""The picture that is shown when there is nothing to show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte.convert import from_rgb
from streammatte.errors import InputError
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.sources.video_file import VideoFile
from streammatte.stages.backgrounds import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Picture, VideoInfo

TOP, BOTTOM = (26, 31, 41), (13, 15, 20)
"""R'G'B' in 0..255: a calm dark grey."""
INK = (184, 184, 184)


def slate(info: VideoInfo, path: str | None = None, text: str = "One moment, please") -> Picture:
    """Return the slate.

    Args:
        info: Size and colour of all pictures.
        path: Of a still picture to use; ``None`` for a plain one with ``text`` on it.
        text: In ASCII.

    Raises:
        InputError: if the picture cannot be read.
    """
    if path is not None:
        with VideoFile(Path(path)) as file:
            if not file.info.still:
                raise InputError(f"--slate: {path} is no still picture; give a .png or .jpg")
            picture = next(file.frames()).picture
            return fitted(picture, file.info.pixel_aspect, "cover", info, VideoReformatter())
    rgb = _drawn(info.width, info.height, text).astype(np.float32) / np.float32(255)
    return from_rgb(rgb, LAYOUT, COLOUR)


def _drawn(width: int, height: int, text: str) -> NDArray[np.uint8]:
    """Return the text before a gradient: uint8 R'G'B' ``[h, w, 3]``."""
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    shade = np.array(TOP, np.float32) * (1 - share) + np.array(BOTTOM, np.float32) * share
    rgb = np.ascontiguousarray(np.broadcast_to(shade.astype(np.uint8), (height, width, 3)))
    scale = height / 720
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
    place = ((width - wide) // 2, (height + high) // 2)
    cv2.putText(rgb, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, INK, 1, cv2.LINE_AA)
    return rgb
