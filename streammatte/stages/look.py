"""How the subject sits in its new background: light from there that reaches round its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.colour import black_level, white_level
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
    light as light adds up, else the less the brighter a pixel is already, so that white stays the
    limit ("screen"). So nothing gets darker, a dark background adds nothing, and neither does a
    bright one that is hidden by the subject.

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
        _light(plane, coverage, level, comp, amount)
        for plane, coverage, level in zip(behind.planes, coverages, levels, strict=True)
    ]
    yuv = comp.layout.family == "yuv"
    for index, (plane, coverage) in enumerate(zip(result.planes, coverages, strict=True)):
        _add_light(
            whole(plane),
            whole(coverage),
            plane.shape[1],
            _sized(lights[index], plane.shape),
            whole(_sized(comp.planes[0 if yuv else index], plane.shape)),
            *_scales(comp, coverage),
        )
    return result


def _scales(comp: Picture, coverage: Samples) -> tuple[np.float32, ...]:
    """Return what the kernel needs to know of samples; see there."""
    level = black_level(comp.colour, comp.layout.depth)
    white = white_level(comp.colour, comp.layout.depth)
    span = 0 if comp.colour.is_linear else 1 / (white - level)
    peak = np.inf if comp.layout.is_float else comp.layout.peak
    numbers = (1 / opaque(coverage), level, span, peak)
    return tuple(np.float32(number) for number in numbers)


def _light(
    plane: Samples, coverage: Samples, level: Scalar, comp: Picture, amount: float
) -> Floats:
    """Return what is seen of a background's plane, blurred, above black: float32, made small.

    All planes come to one size, whatever they are sampled at, so that all are blurred alike.
    """
    scale = comp.height / 1080
    shrink = max(1.0, NEAR * scale / FINE)
    size = (max(1, round(comp.width / shrink)), max(1, round(comp.height / shrink)))
    bare = np.float32(1) - np.asarray(coverage, np.float32) * np.float32(1 / opaque(coverage))
    seen = (np.asarray(plane, np.float32) - level) * bare
    if plane.dtype == np.float32:  # what is no number must not spread
        seen = np.where(np.isfinite(seen), seen, np.float32(0))
    how = cv2.INTER_AREA if size[0] < plane.shape[1] else cv2.INTER_LINEAR
    small = cv2.resize(seen, size, interpolation=how)
    near, far = (
        cv2.GaussianBlur(
            small,
            (0, 0),
            max(spread * scale / shrink, 0.5),
            borderType=cv2.BORDER_REPLICATE,
        )
        for spread in (NEAR, FAR)
    )
    return np.asarray(amount * (RIM * near + (1 - RIM) * far), np.float32)


def _sized(plane: Samples, shape: tuple[int, ...]) -> Samples:
    if plane.shape == shape:
        return plane
    how = cv2.INTER_AREA if shape[1] < plane.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=how))


@compiled
def _add_light(
    plane: Samples,
    alpha: Samples,
    width: int,
    light: Floats,
    brightness: Samples,
    share: Scalar,
    black: Scalar,
    span: Scalar,
    peak: Scalar,
) -> None:
    """Add light in place where there is subject, as far as there is room; see ``wrapped``.

    Args:
        plane: Of the composite, any dtype.
        alpha: There.
        width: Of both.
        light: float32 ``[h, w]``, in samples above black.
        brightness: Luma, there, or the plane itself if it is R, G or B; before.
        share: What one step of alpha is.
        black: The sample of black.
        span: What one step of brightness is of white; 0 if there always is room.
        peak: The largest sample; infinite for floating point.
    """
    one = np.float32(1)
    for y in range(plane.shape[0]):
        for x in range(width):
            if alpha[y, x] == 0:
                continue
            a = np.float32(alpha[y, x]) * share
            room = max(one - (np.float32(brightness[y, x]) - black) * span, np.float32(0))
            lit = np.float32(plane[y, x]) + a * room * light[y, x]
            if np.isinf(peak):
                plane[y, x] = lit
            else:
                plane[y, x] = np.int32(min(max(lit, np.float32(0)), peak) + np.float32(0.5))
