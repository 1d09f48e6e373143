"""The colours of both layers, from coarse to fine.

Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation" (ICPR 2020): find
F and B that explain the picture, ``I = a F + (1 - a) B``, and change little from pixel to pixel,
least of all where alpha changes. Solved on a picture of a pixel or two first, then on ever larger
ones from the solution before. Each channel is solved on its own, so any colour space will do.

Ours halves the size from level to level, starts the fine levels from the picture itself where
alpha says which layer is seen, and visits only the unknown band on those. And it does not believe
every alpha: where a layer is not seen for sure anywhere near, or where the picture shows clearly
more of the subject than alpha says, both colours become the camera's, which leaves it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.stages.kernels import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bits = NDArray[np.uint8]
    Scalar = Any

ANYHOW = 1e-5
"""How much every two neighbours are alike, against the picture's fidelity ..."""
AT_EDGES = 0.1
"""... and how much more so per unit of alpha between them."""
SWEEPS, FEW_SWEEPS = 10, 3
"""Passes over a level: of up to ``SMALL`` rows or columns, and of more."""
SMALL = 36
SURE = 0.1
"""Alphas nearer to 0 or 1 than this show one layer for sure ..."""
NEAR, FAR = 16.0, 32.0
"""... and places between these distances from it, in pixels, begin to know nothing of it."""
LEAST_MORE, MORE = 0.1, 0.4
"""How much more of the subject the colours say than alpha before alpha is doubted, and is wrong."""
FAINT = 0.05
"""Alphas below which less and less of the camera is shown for that."""
ALIKE = 0.04
"""Layers whose colours differ by less, of the peak, say nothing of alpha."""
_TRUST = 1e-4
"""The share of the picture from which on a layer's mean outweighs the fallback."""
REACH = 3
"""Pixels beyond the soft ones that are solved for, too: the kernels interpolate between them."""


def layers(picture: Floats, alpha: Floats, fallback: Floats, peak: float) -> Floats:
    """Return the colours of subject and old background at every pixel.

    Args:
        picture: float32 ``[h, w, 3]`` in 0..``peak``.
        alpha: float32 ``[h, w]`` in 0..1.
        fallback: float32 ``[3]``: the colour of a layer that is nowhere seen.
        peak: The largest sample value.

    Returns:
        float32 ``[h, w, 2, 3]``: the subject's, the background's. Where a layer is not seen, what
        the places nearby suggest.
    """
    levels = [(picture, alpha)]
    while max(levels[-1][1].shape) > 1:
        seen, share = levels[-1]
        size = ((share.shape[1] + 1) // 2, (share.shape[0] + 1) // 2)
        levels.append((_shrunk(seen, size), _shrunk(share, size)))
    both = np.stack([_overall(picture, share, fallback) for share in (alpha, 1 - alpha)])
    both = np.asarray(both[None, None], np.float32)
    for seen, share in reversed(levels):
        both = _enlarged(both, share.shape)
        coarse = min(share.shape) <= SMALL
        wanted = np.ones(share.shape, np.uint8) if coarse else _band(share)
        _solve(both, seen, share, wanted, SWEEPS if coarse else FEW_SWEEPS)
        if coarse:
            expected = both
    unsure = np.maximum(_far_from(alpha > 1 - SURE), _far_from(alpha < SURE))
    likely = _enlarged(expected, alpha.shape)
    _doubt(both, likely, picture, alpha, unsure, np.float32((ALIKE * peak) ** 2))
    return both


def _enlarged(both: Floats, shape: tuple[int, ...]) -> Floats:
    """Interpolate the colours of a level to the size of the next."""
    six = cv2.resize(both.reshape(*both.shape[:2], 6), (shape[1], shape[0]))
    return np.array(six, np.float32).reshape(*shape, 2, 3)


def _far_from(sure: NDArray[np.bool_]) -> Floats:
    """Return 0 near where a layer is seen for sure, 1 far from it, float32."""
    distance = cv2.distanceTransform((~sure).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.clip((distance - NEAR) / (FAR - NEAR), 0, 1), np.float32)


def _overall(picture: Floats, share: Floats, fallback: Floats) -> Floats:
    """Return the mean colour of one layer, float32 ``[3]``."""
    mean = np.tensordot(share, picture, 2) / share.size
    return np.asarray((mean + _TRUST * fallback) / (share.mean() + _TRUST), np.float32)


def _shrunk(plane: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _band(alpha: Floats) -> Bits:
    """Return 1 where alpha is soft, or nearly."""
    soft = ((alpha > 0) & (alpha < 1)).astype(np.uint8)
    return np.asarray(cv2.dilate(soft, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)), np.uint8)


@compiled
def _solve(both: Floats, picture: Floats, alpha: Floats, wanted: Bits, sweeps: int) -> None:
    """Take what is seen where it is, then sweep over what is wanted, there and back."""
    height, width = alpha.shape
    for y in range(height):
        for x in range(width):
            if alpha[y, x] == 0 or alpha[y, x] == 1:
                layer = 0 if alpha[y, x] == 1 else 1
                for k in range(3):
                    both[y, x, layer, k] = picture[y, x, k]
    for sweep in range(sweeps):
        for j in range(height):
            y = j if sweep % 2 == 0 else height - 1 - j
            for i in range(width):
                x = i if sweep % 2 == 0 else width - 1 - i
                if wanted[y, x]:
                    _relax(both, picture, alpha, y, x)


@compiled
def _doubt(
    both: Floats, likely: Floats, picture: Floats, alpha: Floats, unsure: Floats, alike: Scalar
) -> None:
    """Make both colours the camera's where alpha cannot be right.

    Args:
        both: float32 ``[h, w, 2, 3]``, changed where alpha is soft.
        likely: The same from a coarse level, which a pixel's own colour hardly bends.
        picture: float32 ``[h, w, 3]``.
        alpha: float32 ``[h, w]``.
        unsure: float32 ``[h, w]`` in 0..1: how far either layer is.
        alike: Squared difference of colours below which they say nothing.
    """
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            a = alpha[y, x]
            if a <= 0 or a >= 1:
                continue
            along = across = np.float32(0)
            for k in range(3):
                apart = likely[y, x, 0, k] - likely[y, x, 1, k]
                along += (picture[y, x, k] - likely[y, x, 1, k]) * apart
                across += apart * apart
            more = along / (across + alike) - a
            doubt = min(max((more - LEAST_MORE) / (MORE - LEAST_MORE), 0.0), 1.0)
            doubt = np.float32(max(doubt, unsure[y, x]) * min(a / FAINT, 1.0))
            for k in range(3):
                both[y, x, 0, k] += doubt * (picture[y, x, k] - both[y, x, 0, k])
                both[y, x, 1, k] += doubt * (picture[y, x, k] - both[y, x, 1, k])


@compiled
def _relax(both: Floats, picture: Floats, alpha: Floats, y: int, x: int) -> None:
    """Solve for both colours of one pixel, its neighbours' given."""
    height, width = alpha.shape
    a = alpha[y, x]
    b = np.float32(1) - a
    f0 = f1 = f2 = b0 = b1 = b2 = total = np.float32(0)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        j, i = min(max(y + down, 0), height - 1), min(max(x + right, 0), width - 1)
        alike = np.float32(ANYHOW) + np.float32(AT_EDGES) * abs(a - alpha[j, i])
        total += alike
        f0 += alike * both[j, i, 0, 0]
        f1 += alike * both[j, i, 0, 1]
        f2 += alike * both[j, i, 0, 2]
        b0 += alike * both[j, i, 1, 0]
        b1 += alike * both[j, i, 1, 1]
        b2 += alike * both[j, i, 1, 2]
    # The neighbours' mean explains the picture but for a rest, which is shared out by alpha: the
    # same as Cramer's rule for the 2 x 2 system, and exact where the regulariser is tiny.
    mean = np.float32(1) / total
    share = np.float32(1) / (a * a + b * b + total)
    rest = share * (picture[y, x, 0] - mean * (a * f0 + b * b0))
    both[y, x, 0, 0], both[y, x, 1, 0] = mean * f0 + a * rest, mean * b0 + b * rest
    rest = share * (picture[y, x, 1] - mean * (a * f1 + b * b1))
    both[y, x, 0, 1], both[y, x, 1, 1] = mean * f1 + a * rest, mean * b1 + b * rest
    rest = share * (picture[y, x, 2] - mean * (a * f2 + b * b2))
    both[y, x, 0, 2], both[y, x, 1, 2] = mean * f2 + a * rest, mean * b2 + b * rest
