"""PNG and JPEG by OpenCV, which comes with StreamMatte: samples and alpha, and no header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.colour import SRGB
from streammatte.errors import InputError, OutputError
from streammatte.images import Box, Image, Layer, Manner
from streammatte.images.coded import EIGHT, picture_of, pixels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DEEP = 16
_JPEG = (".jpg", ".jpeg")
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)
_SWAPPED = {3: (2, 1, 0), 4: (2, 1, 0, 3)}
"""OpenCV's B, G, R and R, G, B, either way."""


def read(path: Path, canvas: Box | None = None) -> Image:  # noqa: ARG001  the contract
    """Read what is sRGB; see ``images.Kind``."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        found = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except cv2.error:
        found = None
    if found is None:
        raise InputError(f"{path} is damaged or no picture; get the frame again, or --missing hold")
    if found.ndim == 2:  # noqa: PLR2004
        found = found[..., None]
    found = found[..., _SWAPPED.get(found.shape[2], range(found.shape[2]))]
    depth = EIGHT if found.dtype == np.uint8 else _DEEP
    return Image(picture_of(found, depth, SRGB), f"{depth} bit")


def write(
    path: Path,
    layers: list[Layer],
    header: Mapping[str, Any],  # noqa: ARG001  the contract
    manner: Manner,
) -> None:
    """Write the only layer; see ``images.Kind``."""
    layer = layers[0]
    array = pixels(layer, _depth(manner))
    array = array[..., _SWAPPED.get(array.shape[2], range(array.shape[2]))]
    how = _QUALITY if manner.suffix in _JPEG else ()
    done, content = cv2.imencode(manner.suffix, array, how)
    if not done:
        raise OutputError(f"{path.name} cannot hold {array.shape[1]}x{array.shape[0]} pixels")
    path.write_bytes(content.tobytes())


def _depth(manner: Manner) -> int:
    return EIGHT if manner.depth <= EIGHT or manner.suffix in _JPEG else _DEEP


def stored(manner: Manner, *, data: bool) -> str:  # noqa: ARG001  the contract
    """Return it in words."""
    kind = "JPEG" if manner.suffix in _JPEG else "PNG"
    return f"{kind}, {_depth(manner)} bit"
