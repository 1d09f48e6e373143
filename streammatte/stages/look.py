"""How the subject sits in its new background: light from there that reaches round its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.colour import white_level
from streammatte.frames import Picture
from streammatte.stages.foreground import black, plane_alphas
from streammatte.stages.kernels import compiled, whole
from streammatte.stages.refine import opaque

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]
    Scalar = Any

NEAR, FAR = 5.0, 24.0
"""Standard deviations of the light that wraps round, in lines of a 1080-line picture: a rim ..."""
RIM = 0.5
"""... with so much of it, and a glow."""
FINE = 2.5
"""Pixels of a standard deviation that are enough to blur with; what is larger is made small."""


def wrapped(comp: Picture, behind: Picture, alpha: Samples, amount: float) -> Picture:
    """Let the background's light reach round the subject's edges.

    What is seen of the background is blurred across the edge, and added to the subject: in linear
    light as light adds up, else so that white stays the limit ("screen"). So nothing gets darker,
    a dark background adds nothing, and neither does a bright one that is hidden by the subject.

    Args:
        comp: The composite.
        behind: The background in it, of the same layout and colour.
        alpha: uint8, uint16 or float32 ``[h, w]``.
        amount: 0 is none of it; at 1 a straight edge gets half of the light behind it.
    """
    if not amount:
        return comp
    coverages = plane_alphas(comp, alpha)
    result = Picture.of(comp.planes, comp.layout, comp.colour)
    levels = black(comp)
    lights = [
        _light(plane, coverage, level, comp.height, amount)
        for plane, coverage, level in zip(behind.planes, coverages, levels, strict=True)
    ]
    white = white_level(comp.colour, comp.layout.depth)
    span = np.float32(0 if comp.colour.is_linear else 1 / (white - levels[0]))
    yuv = comp.layout.family == "yuv"
    for index, (plane, coverage) in enumerate(zip(result.planes, coverages, strict=True)):
        bright = _sized(lights[0] if yuv else lights[index], plane.shape) * span
        _add_light(
            whole(plane),
            whole(coverage),
            plane.shape[1],
            _sized(lights[index], plane.shape),
            bright,
            *(np.float32(levels[index]), np.float32(1 / opaque(coverage))),
            *(np.float32(comp.layout.peak), comp.layout.is_float),
        )
    return result


def _light(plane: Samples, coverage: Samples, level: Scalar, lines: int, amount: float) -> Floats:
    """Return what is seen of a background's plane, blurred, above black: float32, made small."""
    height, width = plane.shape
    lines_here = height / lines
    shrink = max(1.0, NEAR * lines / 1080 * lines_here / FINE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    bare = np.float32(1) - np.asarray(coverage, np.float32) * np.float32(1 / opaque(coverage))
    seen = (np.asarray(plane, np.float32) - level) * bare
    if plane.dtype == np.float32:  # what is no number must not spread
        seen = np.where(np.isfinite(seen), seen, np.float32(0))
    small = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    near, far = (
        cv2.GaussianBlur(
            small,
            (0, 0),
            max(spread * lines / 1080 * lines_here / shrink, 0.5),
            borderType=cv2.BORDER_REPLICATE,
        )
        for spread in (NEAR, FAR)
    )
    return np.asarray(amount * (RIM * near + (1 - RIM) * far), np.float32)


def _sized(light: Floats, shape: tuple[int, ...]) -> Floats:
    if light.shape == shape:
        return light
    return np.asarray(cv2.resize(light, (shape[1], shape[0])), np.float32)


@compiled
def _add_light(
    plane: Samples,
    alpha: Samples,
    width: int,
    light: Floats,
    bright: Floats,
    black: Scalar,
    share: Scalar,
    peak: Scalar,
    floating: bool,
) -> None:
    """Add light in place where there is subject: ``p + a light (1 - p bright)``, see ``wrapped``.

    Args:
        plane: Of the composite, any dtype.
        alpha: There.
        width: Of both.
        light: float32 ``[h, w]``, in samples above black.
        bright: The same of luma (or of the plane, if R, G or B), of white; 0 in linear light.
        black: The plane's sample of black, or neutral chroma.
        share: What one step of alpha is.
        peak: The largest sample.
        floating: Whether samples are.
    """
    for y in range(plane.shape[0]):
        for x in range(width):
            if alpha[y, x] == 0:
                continue
            a = np.float32(alpha[y, x]) * share
            p = np.float32(plane[y, x]) - black
            p += a * (light[y, x] - p * bright[y, x])
            if floating:
                plane[y, x] = p + black
            else:
                plane[y, x] = np.int32(min(max(p + black, np.float32(0)), peak) + np.float32(0.5))
