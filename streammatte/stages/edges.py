"""Edges by hand: a matte that is choked, feathered and bent, at the frame's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.stages.refine import opaque

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.options import EdgeOptions

    Samples = NDArray[Any]


def shaped(alpha: Samples, options: EdgeOptions) -> Samples:
    """Return an alpha with its edges moved, softened and bent, in that order.

    Args:
        alpha: uint8, uint16 or float32 ``[h, w]``.
        options: How far, in lines of a 1080-line picture.
    """
    whole = opaque(alpha)
    scale = alpha.shape[0] / 1080
    share = np.asarray(alpha, np.float32) / np.float32(whole)
    if options.choke:
        share = _choked(share, options.choke * scale)
    if options.feather:
        share = cv2.GaussianBlur(share, (0, 0), max(options.feather * scale, 0.1))
    if options.gamma != 1:
        share = cv2.pow(share, 1 / options.gamma)
    if alpha.dtype == np.float32:
        return share
    return np.asarray(np.rint(share * np.float32(whole)), alpha.dtype)


def _choked(share: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """Move an edge inwards by so many pixels (outwards, if negative), fractions interpolated."""
    size = abs(pixels)
    move = cv2.erode if pixels > 0 else cv2.dilate
    steps = [int(size), int(size) + 1]
    less, more = (
        move(share, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * step + 1,) * 2))
        for step in steps
    )
    part = np.float32(size - steps[0])
    return np.asarray(less + part * (more - less), np.float32)
