"""Pictures as rows of R, G, B and A: what kinds of files share that store integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.convert import to_rgb
from streammatte.frames import Layout, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.colour import Colour
    from streammatte.images import Layer

EIGHT = 8


def pixels(layer: Layer, depth: int) -> NDArray[Any]:
    """Return ``[h, w, channels]``: grey for data, else R, G, B and, if it is wanted, A.

    Args:
        layer: What is written.
        depth: Bits a sample of the result: uint8 up to 8, else uint16, black 0, white the peak.
    """
    picture = layer.picture
    green, blue, red = _rgb(picture)
    planes = [green] if layer.data else [red, green, blue]
    if layer.alpha and picture.alpha is not None:
        planes.append(picture.alpha)
    own, peak = picture.layout.peak, (1 << depth) - 1
    if own != peak or picture.layout.is_float:
        scale = np.float32(peak / own)
        planes = [np.clip(np.rint(plane * scale), 0, peak) for plane in planes]
    return np.stack(planes, axis=-1).astype(np.uint8 if depth <= EIGHT else np.uint16)


def _rgb(picture: Picture) -> list[NDArray[Any]]:
    """Return G, B and R in the picture's own scale."""
    if picture.layout.family == "rgb":
        return list(picture.planes)
    coded = to_rgb(picture) * np.float32(picture.layout.peak)
    return [coded[..., channel] for channel in (1, 2, 0)]


def picture_of(pixels: NDArray[Any], depth: int, colour: Colour) -> Picture:
    """Return a picture of ``[h, w, channels]``: 1 or 2 are grey, 2 and 4 have alpha.

    Args:
        pixels: uint8, uint16 or float32.
        depth: Bits a sample, 32 for floating point.
        colour: What they mean.
    """
    channels = pixels.shape[2]
    alpha = channels in (2, 4)
    red, green, blue = (0, 0, 0) if channels <= 2 else (0, 1, 2)  # noqa: PLR2004
    order = [green, blue, red, *([channels - 1] if alpha else [])]
    layout = Layout("rgb", depth, alpha=alpha).stored
    return Picture.of([pixels[..., channel] for channel in order], layout, colour)
