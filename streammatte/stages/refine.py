"""From the network's matte to the frame's: snap it to the picture's edges, bring it to size.

``fast`` interpolates. ``fine`` lets the frame's own colours say where between the matte's pixels
the edge runs, in the soft band only (``guided.py``); it gains most where the frame is four times as
large as the matte or more, and goes over into interpolation, sharpened, towards twice as large.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from streammatte.frames import Layout
from streammatte.stages import guided

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

    from streammatte.frames import Matte, Picture

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]

Quality = Literal["fast", "fine"]

RADIUS = 2
"""Of the guided filter's window, in pixels of the network's input."""
SMOOTHNESS = 1e-4
"""The guided filter's epsilon: luma variance (of 0..1) below which it only averages."""
COLOUR_RADIUS = 6
"""Of the same, with colour for a guide: three channels tell more places apart than one."""
LEAST, GREATEST = 0.1, 0.9
"""Alphas that become 0 and 1: the guided filter and the network leave a haze on either side."""
FINE_RADIUS = 2
"""Of the windows in which colour is asked, in pixels of the matte."""
FINE_SMOOTHNESS = 1e-3
"""Colour variance (of 0..1) below which it is noise."""
NEAR, FAR = 2.25, 3.5
"""How many times larger the frame is where colours begin to count, and where they count in full."""


def snap(mattes: Iterable[Matte], quality: Quality = "fast") -> Iterator[Matte]:
    """Pull every matte's edge onto the edge that the picture shows there.

    A guided filter (He, Sun and Tang 2013) with the view as its guide, at the network's size, then
    a contrast stretch. ``fast`` looks at luma in small windows; ``fine`` at colour in larger ones.
    """
    for matte in mattes:
        if quality == "fine":
            colours = matte.view.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
            alpha = guided.colour_filter(colours, matte.alpha, COLOUR_RADIUS, SMOOTHNESS)
        else:
            guide = cv2.cvtColor(matte.view, cv2.COLOR_RGB2GRAY) / np.float32(255)
            alpha = guided_filter(guide, matte.alpha)
        yield replace(matte, alpha=np.clip((alpha - LEAST) / (GREATEST - LEAST), 0, 1))
        del matte


def guided_filter(
    guide: Floats, alpha: Floats, radius: int = RADIUS, smoothness: float = SMOOTHNESS
) -> Floats:
    """Return the local affine function of ``guide`` that is nearest to ``alpha``.

    Args:
        guide: float32 ``[h, w]`` in 0..1.
        alpha: float32 ``[h, w]`` in 0..1.
        radius: Of the square window, in pixels.
        smoothness: The regulariser, in squared guide units.

    Returns:
        float32 ``[h, w]``, not clipped.
    """

    def mean(plane: NDArray[Any]) -> Floats:
        return np.asarray(cv2.blur(plane, (2 * radius + 1, 2 * radius + 1)), np.float32)

    mean_guide, mean_alpha = mean(guide), mean(alpha)
    covariance = mean(guide * alpha) - mean_guide * mean_alpha
    variance = np.maximum(mean(guide * guide) - mean_guide * mean_guide, np.float32(0))
    slope = covariance / (variance + np.float32(smoothness))
    offset = mean_alpha - slope * mean_guide
    return np.asarray(mean(slope) * guide + mean(offset), np.float32)


def enlarge(alpha: Floats, width: int, height: int, layout: Layout) -> Samples:
    """Bring a matte to the frame's size by interpolation, in the depth that kernels take.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        width: Of the frame.
        height: Of the frame.
        layout: Of the frame.

    Returns:
        ``[height, width]``: uint8 (255 is opaque) for 8-bit layouts, float32 (1.0) for those in
        floating point, else uint16 (65535).
    """
    if layout.is_float:
        if alpha.shape == (height, width):
            return alpha
        large = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.asarray(np.clip(large, 0, 1), np.float32)
    whole = 255 if layout.depth == 8 else 65535  # noqa: PLR2004
    samples: Samples = np.rint(alpha * np.float32(whole)).astype(layout.dtype)
    if samples.shape == (height, width):
        return samples
    return np.asarray(cv2.resize(samples, (width, height), interpolation=cv2.INTER_CUBIC))


def enlarge_fine(alpha: Floats, picture: Picture, scaler: VideoReformatter) -> Samples:
    """Bring a matte to the frame's size along the edges that the frame shows.

    Only where alpha changes; everything else is as ``enlarge`` leaves it.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        picture: The frame's, whose planes are the guide as they are.
        scaler: Used from this thread alone.

    Returns:
        As ``enlarge``.
    """
    layout = picture.layout
    result = enlarge(alpha, picture.width, picture.height, layout)
    if not _gains(alpha, result):
        return result
    small = None
    if _weight(alpha, result):
        small = picture.small(alpha.shape[1], alpha.shape[0], scaler)
    chroma = (layout.chroma_x, layout.chroma_y, not picture.colour.centred_chroma)
    _sharpen(result, alpha, picture.planes, small, layout.peak, chroma)
    return result


def opaque(alpha: Samples) -> float:
    """Return the value that is opaque in an alpha of this dtype: 255, 65535 or 1."""
    return 1.0 if alpha.dtype == np.float32 else float(np.iinfo(alpha.dtype).max)


def in_depth(alpha: Samples, layout: Layout) -> Samples:
    """Return an alpha in the depth that kernels take for a layout; see ``enlarge``."""
    target = np.dtype(layout.dtype)
    if alpha.dtype == target:
        return alpha
    share = alpha / np.float32(opaque(alpha))
    if layout.is_float:
        return np.asarray(share, np.float32)
    return np.asarray(np.rint(share * (255 if target == np.uint8 else 65535)), target)


def fast(alpha: Floats, picture: NDArray[np.uint8]) -> Floats:
    """Return a matte at a picture's size, interpolated.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        picture: R'G'B', uint8 ``[H, W, 3]``; only its size counts.

    Returns:
        float32 ``[H, W]`` in 0..1.
    """
    height, width = picture.shape[:2]
    return _floats(enlarge(alpha, width, height, _DEEP))


def fine(alpha: Floats, picture: NDArray[np.uint8]) -> Floats:
    """Return a matte at a picture's size, along the picture's edges; arguments as of ``fast``."""
    height, width = picture.shape[:2]
    result = enlarge(alpha, width, height, _DEEP)
    if _gains(alpha, result):
        planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(picture, 2, 0)]
        size = (alpha.shape[1], alpha.shape[0])
        small = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes]
        _sharpen(result, alpha, planes, np.stack(small).astype(np.float32), 255, (0, 0, False))
    return _floats(result)


_DEEP = Layout("rgb", 16)


def _floats(samples: Samples) -> Floats:
    return np.asarray(samples / np.float32(np.iinfo(samples.dtype).max), np.float32)


def _gains(alpha: Floats, result: Samples) -> bool:
    """Whether there is anything between the matte's pixels."""
    return all(small < large for small, large in zip(alpha.shape, result.shape, strict=True))


def _weight(alpha: Floats, result: Samples) -> float:
    """Return how much colours count: less, the less there is between the matte's pixels."""
    ratio = min(large / low for large, low in zip(result.shape, alpha.shape, strict=True))
    return float(np.clip((ratio - NEAR) / (FAR - NEAR), 0, 1))


def _sharpen(
    result: Samples,
    alpha: Floats,
    planes: Sequence[Samples],
    small: Floats | None,
    peak: int,
    chroma: tuple[int, int, bool],
) -> None:
    """Let colours, if they count, tell where edges run; see ``guided``."""
    where = guided.edges(alpha)
    slope, offset = np.zeros((3, *alpha.shape), np.float32), alpha
    if small is not None:
        guide = small * np.float32(1 / peak)
        slope = guided.slopes(guide, alpha, where, FINE_RADIUS, FINE_SMOOTHNESS)
        slope *= np.float32(_weight(alpha, result))
        offset = alpha - np.einsum("khw,khw->hw", slope, guide)
    guided.add_details(result, planes, alpha, slope, offset, where, peak, chroma)
