"""The subject's own colours: what soft pixels would show without the old background.

The colours of both layers are estimated at a fraction of the frame's size; the correction by what
the frame shows in detail is applied at full size and on soft pixels only, in the kernels. ``fast``
is blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021), ``fine`` the
multi-level estimation of ``multilevel.py``. Both are linear in each channel, so they work on Y'CbCr
as they do on R'G'B', and on linear light. There a glint may be hundreds of times as bright as what
is around it, and would drown that in every mean: for estimates it is taken down to what its layer
is like nearby. The frame's own samples are never changed by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from streammatte.colour import black_level
from streammatte.stages import kernels, multilevel

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

    from streammatte.frames import Picture

    Floats = NDArray[np.float32]

Quality = Literal["fast", "fine"]

LINES, FINE_LINES = 135, 270
"""Height of the picture that the estimate is made on."""
WIDE, NARROW = 11, 3
"""Windows of the two passes, in pixels of that picture (88 and 24 lines of 1080) ..."""
FAR = 33
"""... and of what is asked where the first is nearly all mixture, as in motion blur."""
_PURITY = 3
"""Power of alpha that a place counts with: mixtures say little of either layer. (The paper has 1;
3 lowered the error of composites in the soft band by 5 to 13 % with exact mattes.)"""
_TRUST, _FAR_TRUST = 1e-3, 0.05
"""How much of a layer a window must show before its mean outweighs black, and that of ``FAR``."""
GLINT = 3.0
"""How many times brighter than its layer is around, on a logarithmic mean, a place may count."""
_DARK = 0.02
"""Light below which such ratios say nothing."""
_LARGEST = 65504.0
"""What no sample in half precision goes beyond; more, or no number, is no measurement."""


def local_means(
    picture: Picture, alpha: Floats, scaler: VideoReformatter, quality: Quality = "fast"
) -> Floats:
    """Return the colours of subject and old background around every place of a picture.

    Args:
        picture: The camera's.
        alpha: Its matte, float32 ``[h, w]`` in 0..1 at any size.
        scaler: Used from this thread alone.
        quality: How they are estimated.

    Returns:
        float32 ``[3, h', w', 2]`` in sample values: for each plane, subject and background.
    """
    height = min(LINES if quality == "fast" else FINE_LINES, picture.height)
    width = max(8, round(picture.width * height / picture.height))
    share = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    if picture.layout.is_float:
        planes = [_shrunk(plane, (width, height)) for plane in picture.planes]
        seen = _tamed(np.stack(planes), share)
    else:
        seen = picture.small(width, height, scaler)
    if quality == "fine":
        return _multi_level(seen, share, black(picture), picture.layout.peak)
    peak = float(max(seen.max(), 1)) if picture.layout.is_float else picture.layout.peak
    return _blur_fusion(seen, share, black(picture), peak)


def _shrunk(plane: Floats, size: tuple[int, int]) -> Floats:
    """Average the samples of a floating-point plane that are measurements; 0 where none is."""
    good = np.abs(plane) <= _LARGEST
    if good.all():
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
    count = cv2.resize(good.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(np.where(good, plane, np.float32(0)), size, interpolation=cv2.INTER_AREA)
    return np.asarray(total / np.maximum(count, _TRUST), np.float32)


def _tamed(seen: Floats, share: Floats) -> Floats:
    """Take glints down to ``GLINT`` times what their layer is like around them."""
    levels = np.log(np.maximum(np.abs(seen), np.float32(_DARK)))
    dark = np.full((3, 1, 1), np.log(_DARK), np.float32)
    near = [_layer(cv2.pow(each, _PURITY), levels, dark) for each in (share, 1 - share)]
    either = np.maximum(*near)
    sure = np.where(share >= 0.5, near[0], near[1])  # noqa: PLR2004  whose it is
    mixed = (share > 0) & (share < 1)
    most = np.float32(GLINT) * np.exp(np.where(mixed, either, sure))
    return np.asarray(np.clip(seen, -most, most), np.float32)


def _blur_fusion(seen: Floats, share: Floats, black: Floats, peak: float) -> Floats:
    """Return two layers' local means: the first pass wide, the second narrow (Forte 2021)."""
    fallback = black[:, None, None]
    here, there = cv2.pow(share, _PURITY), cv2.pow(1 - share, _PURITY)
    subject, behind = _layer(here, seen, fallback), _layer(there, seen, fallback)
    own = subject + share * (seen - share * subject - (1 - share) * behind)
    own = np.clip(own, 0, peak)
    near = _mean_where(here, own, NARROW, subject)
    far = _mean_where(there, behind, NARROW, behind)
    return np.ascontiguousarray(np.stack([near, far], -1), np.float32)


def _multi_level(seen: Floats, share: Floats, black: Floats, peak: float) -> Floats:
    """Return the multi-level estimate; beyond it the subject's local means, as ``fast`` has them.

    What is solved for at coarse levels has the old room in it; where alpha is 0 that would show.
    """
    both = multilevel.layers(np.ascontiguousarray(seen.transpose(1, 2, 0)), share, black, peak)
    result = np.ascontiguousarray(both.transpose(3, 0, 1, 2))
    square = np.ones((2 * multilevel.REACH + 1,) * 2, np.uint8)
    reached = cv2.dilate((share > 0).astype(np.uint8), square) > 0
    subject = _mean_where(cv2.pow(share, _PURITY), seen, 2 * WIDE + 1, black[:, None, None])
    result[..., 0] = np.where(reached, result[..., 0], subject)
    return result


def black(picture: Picture) -> Floats:
    """Return the samples of black: float32 ``[3]``."""
    level = black_level(picture.colour, picture.layout.depth)
    chroma = level if picture.layout.family == "rgb" else picture.layout.neutral
    return np.array([level, chroma, chroma], np.float32)


def plane_alphas(picture: Picture, alpha: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the alpha for each plane: chroma's averaged from the luma pixels it belongs to."""
    layout = picture.layout
    if layout.family == "rgb" or not (layout.chroma_x or layout.chroma_y):
        return [alpha] * 3
    thinned = np.empty(picture.planes[1].shape, alpha.dtype)
    cosited = not picture.colour.centred_chroma
    kernels.thin(thinned, alpha, layout.chroma_x, layout.chroma_y, cosited)
    return [alpha, thinned, thinned]


def _layer(weight: Floats, colours: Floats, fallback: Floats) -> Floats:
    """Average ``colours`` in the wide window, and in the far one where that shows too little."""
    far = _mean_where(weight, colours, FAR, fallback)
    return _mean_where(weight, colours, WIDE, far, _FAR_TRUST)


def _mean_where(
    weight: Floats, colours: Floats, window: int, fallback: Floats, trust: float = _TRUST
) -> Floats:
    """Average ``colours`` in a window, weighted; where there is hardly any weight, fall back."""
    total = cv2.blur(weight, (window, window))
    summed = np.stack([cv2.blur(plane * weight, (window, window)) for plane in colours])
    return np.asarray((summed + trust * fallback) / (total + trust), np.float32)
