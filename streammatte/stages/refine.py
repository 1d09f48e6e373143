"""From the network's matte to the frame's: snap it to the picture's edges, bring it to size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from streammatte.frames import Layout, Matte

    Floats = NDArray[np.float32]

RADIUS = 2
"""Of the guided filter's window, in pixels of the network's input."""
SMOOTHNESS = 1e-4
"""The guided filter's epsilon: luma variance (of 0..1) below which it only averages."""
LEAST, GREATEST = 0.1, 0.9
"""Alphas that become 0 and 1: the guided filter and the network leave a haze on either side."""


def snap(mattes: Iterable[Matte]) -> Iterator[Matte]:
    """Pull every matte's edge onto the edge that the picture shows there.

    A guided filter (He, Sun and Tang 2013) with the luma of the view as its guide, at the
    network's size, then a contrast stretch.
    """
    for matte in mattes:
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


def enlarge(alpha: Floats, width: int, height: int, layout: Layout) -> NDArray[Any]:
    """Bring a matte to the frame's size, in the depth that the compositing kernels take.

    Args:
        alpha: float32 ``[h, w]`` in 0..1.
        width: Of the frame.
        height: Of the frame.
        layout: Of the frame.

    Returns:
        ``[height, width]``: uint8 (255 is opaque) for 8-bit layouts, else uint16 (65535).
    """
    opaque = np.iinfo(layout.dtype).max
    samples: NDArray[Any] = np.rint(alpha * np.float32(opaque)).astype(layout.dtype)
    if samples.shape == (height, width):
        return samples
    return np.asarray(cv2.resize(samples, (width, height), interpolation=cv2.INTER_CUBIC))
