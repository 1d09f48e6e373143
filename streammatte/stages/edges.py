"""Edges by hand: a matte that is choked, feathered and bent, at the frame's size.

A choke that takes the least of a neighbourhood (erosion) is square or beaded, knows whole pixels
only, and eats hair. Here edges are moved: every pixel takes the alpha that lies so many pixels
further out, along the way out from the subject as a whole. So the profile of an edge stays what it
was, be it sharp or blurred by motion, fractions of a pixel count, and strands move with the outline
that they grow from rather than vanish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.stages.refine import opaque

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.options import EdgeOptions

    Samples = NDArray[Any]
    Floats = NDArray[np.float32]

LEAST_SPREAD = 2.0
"""Pixels, at the least, of the blur that tells the way out: less would follow single pixels."""
CLEAR = 0.05
"""Share of a straight edge's slope from which on the way out is certain."""
_ROUNDING = 1e-6


def shaped(alpha: Samples, options: EdgeOptions) -> Samples:
    """Return an alpha with its edges moved, softened and bent, in that order.

    What is clear or opaque away from edges stays exactly so.

    Args:
        alpha: uint8, uint16 or float32 ``[h, w]``.
        options: How far, in lines of a 1080-line picture.
    """
    if not options:
        return alpha
    whole = np.float32(opaque(alpha))
    scale = alpha.shape[0] / 1080
    margin = int(4 * (abs(options.choke) + options.feather) * scale) + 8
    box = _around_edges(alpha, margin)
    if box is None:
        return alpha
    share = np.asarray(alpha[box], np.float32) / whole
    if options.choke:
        share = _moved(share, options.choke * scale)
    if options.feather:
        share = _feathered(share, options.feather * scale)
    if options.gamma != 1:
        soft = (share > 0) & (share < 1)
        share[soft] **= np.float32(1 / options.gamma)
    result = alpha.copy()
    result[box] = share if alpha.dtype == np.float32 else np.rint(share * whole)
    return result


def _around_edges(alpha: Samples, margin: int) -> tuple[slice, slice] | None:
    """Return the part of a picture that has edges, and so many pixels around; ``None`` if none.

    Beyond it all rows and columns are of one value each, clear or opaque: nothing changes there.
    """
    busy = (alpha != alpha[:1]) | (alpha != alpha[:, :1]) | ((alpha > 0) & (alpha < opaque(alpha)))
    rows, columns = np.flatnonzero(busy.any(1)), np.flatnonzero(busy.any(0))
    if not rows.size:
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _moved(share: Floats, pixels: float) -> Floats:
    """Move edges inwards by so many pixels; outwards, if negative."""
    spread = max(abs(pixels), LEAST_SPREAD)
    coarse = cv2.GaussianBlur(share, (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
    right = cv2.Scharr(coarse, cv2.CV_32F, 1, 0, scale=1 / 32, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Scharr(coarse, cv2.CV_32F, 0, 1, scale=1 / 32, borderType=cv2.BORDER_REPLICATE)
    slope = cv2.magnitude(right, down)
    certain = np.float32(CLEAR / (spread * np.sqrt(2 * np.pi)))
    # The way out is down the slope; where there hardly is one, nothing moves.
    step = np.float32(-pixels) / np.maximum(slope, certain)
    y, x = np.mgrid[: share.shape[0], : share.shape[1]].astype(np.float32)
    places = x + right * step, y + down * step
    moved = cv2.remap(share, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # In the middle of what is thinner than the step, the other side is met: nothing turns round.
    return np.asarray((np.minimum if pixels > 0 else np.maximum)(share, moved), np.float32)


def _feathered(share: Floats, pixels: float) -> Floats:
    spread = max(pixels, 0.1)
    soft = cv2.GaussianBlur(share, (0, 0), spread, borderType=cv2.BORDER_REPLICATE)
    soft[soft > 1 - _ROUNDING] = 1
    soft[soft < _ROUNDING] = 0
    return np.asarray(soft, np.float32)
