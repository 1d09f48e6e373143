"""Figures for mattes: SAD, MSE, MAD, Grad and Conn (Rhemann et al. 2009), over a region or all.

Scaled as is usual: SAD, Grad and Conn are sums divided by 1000; MSE and MAD are means times 1000.
Alphas are compared as they are: none is stretched first, as some evaluations do before Grad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]

SCALE = 1000.0
SIGMA = 1.4
"""Of the Gaussian whose derivatives Grad compares, in pixels."""
LEAST_WEIGHT = 1e-2
"""Where that Gaussian is cut off."""
STEPS = 10
"""Between alpha 0 and 1, at which Conn looks for the connected part."""
TOLERANCE = 0.15
"""How far an alpha may be above its connected level and still count as connected."""


def score(prediction: Bytes, truth: Bytes, unknown: Mask | None = None) -> dict[str, float]:
    """Return the figures of a matte by name; those of a region are called ``... unknown``.

    Args:
        prediction: uint8 ``[h, w]``, 255 is opaque.
        truth: uint8 ``[h, w]``.
        unknown: bool ``[h, w]``, the region that gets figures of its own.
    """
    given, wanted = (alpha / np.float32(255) for alpha in (prediction, truth))
    away = np.abs(given - wanted)
    steeper = np.square(steepness(given) - steepness(wanted))
    apart = unconnected(given, wanted)
    figures: dict[str, float] = {}
    for name, region in (("", ...), (" unknown", unknown)):
        if region is not None:
            figures[f"SAD{name}"] = _sum(away[region])
            figures[f"MSE{name}"] = _mean(np.square(away[region]))
            figures[f"MAD{name}"] = _mean(away[region])
            figures[f"Grad{name}"] = _sum(steeper[region])
            figures[f"Conn{name}"] = _sum(apart[region])
    return figures


def unknown_around(truth: Bytes, width: int) -> Mask:
    """Return the region within ``width`` pixels of anything that is neither clear nor opaque.

    Clear pixels next to opaque ones are such, too.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    reached = cv2.dilate((truth > 0).astype(np.uint8), kernel)
    kept = cv2.erode((truth == 255).astype(np.uint8), kernel)
    return np.asarray(reached != kept)


def unknown_of(trimap: Bytes) -> Mask:
    """Return the region that a trimap (0, about 128, 255) leaves open."""
    return np.asarray((trimap > 0) & (trimap < 255))


def _sum(values: Floats) -> float:
    return float(values.sum(dtype=np.float64)) / SCALE


def _mean(values: Floats) -> float:
    return float(values.mean(dtype=np.float64)) * SCALE if values.size else 0.0


def steepness(alpha: Floats) -> Floats:
    """Return the length of the gradient of a smoothed alpha: float32 ``[h, w]``, as ``alpha``."""
    reach = np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * LEAST_WEIGHT)))
    x = np.arange(-reach, reach + 1)
    bell = np.exp(-(x**2) / (2 * SIGMA**2))
    slope = x * bell
    bell, slope = (kernel / np.linalg.norm(kernel) for kernel in (bell, slope))
    along = cv2.sepFilter2D(alpha, -1, slope, bell, borderType=cv2.BORDER_REPLICATE)
    across = cv2.sepFilter2D(alpha, -1, bell, slope, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(along, across)


def unconnected(prediction: Floats, truth: Floats) -> Floats:
    """Return by how much two mattes differ in how connected they are.

    A pixel is connected up to the highest level at which it belongs to the largest part that both
    mattes have in common there.

    Args:
        prediction: float32 ``[h, w]`` in 0..1.
        truth: float32 ``[h, w]`` in 0..1.

    Returns:
        float32 ``[h, w]`` in 0..1.
    """
    result = np.zeros(prediction.shape, np.float32)
    place = _around(np.maximum(prediction, truth) >= np.float32(1 / STEPS))
    # Elsewhere both are at the lowest level and too little above it to matter.
    result[place] = _unconnected(prediction[place], truth[place])
    return result


def _around(mask: Mask) -> tuple[slice, slice]:
    """Return the smallest rectangle that has all of a mask."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _unconnected(prediction: Floats, truth: Floats) -> Floats:
    both = np.minimum(prediction, truth)
    level = np.zeros(both.shape, np.float32)
    lost = np.zeros(both.shape, bool)
    for step in range(1, STEPS + 1):
        # In float32, as the mattes are, so that 51 of 255 reaches 2 of 10.
        lost |= ~_largest(both >= np.float32(step / STEPS))
        level[~lost] = step / STEPS

    def connected(alpha: Floats) -> Floats:
        above = alpha - level
        return np.where(above >= TOLERANCE, 1 - above, np.float32(1))

    return np.abs(connected(truth) - connected(prediction))


def _largest(mask: Mask) -> Mask:
    """Return the largest part of a mask whose pixels touch along their sides."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    if count == 1:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + np.argmax(facts[1:, cv2.CC_STAT_AREA]))
