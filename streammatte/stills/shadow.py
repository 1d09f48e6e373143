"""A soft shadow on the ground below a subject, made of its matte.

Two parts: where the subject stands, a dark one that its lowest part throws straight down; and a
wider, fainter one of all of it. Both are black, and lie behind the subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from streammatte.frames import Picture
from streammatte.stages.foreground import black

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.stages.backgrounds import Background
    from streammatte.stills.product import Box

    Floats = NDArray[np.float32]

REACH = 0.06
"""How far it reaches beyond the subject, as a share of the subject's longer side."""
_WORK = 400
"""Pixels of the subject's longer side at which it is made: it is soft, so more show nothing."""
_CONTACT, _FLAT = 0.3, 0.1
"""The part of the subject, from below, that touches the ground, and how flat it is pressed."""
_CONTACT_BLUR, _DROP_BLUR = 0.015, 0.035
"""Standard deviations, as shares of the subject's longer side."""
_DROP, _DROP_SHARE = 0.02, 0.45
"""How far down the wide part lies, and how dark it is beside the other one."""


def shadow(alpha: Floats, subject: Box, opacity: float) -> Floats:
    """Return how much of the light is taken away at every pixel: float32 ``[h, w]`` in 0..1.

    Args:
        alpha: The subject's, float32 ``[h, w]`` in 0..1.
        subject: Where it is.
        opacity: How much at most.
    """
    height, width = alpha.shape
    side = max(subject.width, subject.height)
    scale = min(1.0, _WORK / side)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    side = max(1.0, side * scale)
    contact = _blurred(_pressed(small, subject, scale), _CONTACT_BLUR * side)
    down = np.array([[1, 0, 0], [0, 1, _DROP * side]], np.float32)
    drop = _blurred(cv2.warpAffine(small, down, size), _DROP_BLUR * side)
    taken = 1 - (1 - contact) * (1 - np.float32(_DROP_SHARE) * drop)
    whole = cv2.resize(taken, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(whole, 0, 1) * np.float32(opacity), np.float32)


def _pressed(alpha: Floats, subject: Box, scale: float) -> Floats:
    """Press the lowest part of the subject flat, around the line it stands on.

    What is higher up throws less: a round foot would stand on a slab otherwise.
    """
    ground = subject.bottom * scale
    high = _CONTACT * subject.height * scale
    rows = np.arange(alpha.shape[0], dtype=np.float32) + np.float32(0.5)
    near = np.clip(1 - (ground - rows) / np.float32(high), 0, 1)
    part = alpha * near[:, None]
    # What is at y comes to ground + FLAT * (y - ground), half of it in front of the line.
    shift = ground * (1 - _FLAT) + _FLAT * _CONTACT * subject.height * scale / 2
    flat = np.array([[1, 0, 0], [0, _FLAT, shift]], np.float32)
    size = (alpha.shape[1], alpha.shape[0])
    # Pressed first and only then sampled: every row that comes to a place counts, the widest most.
    steps = max(1, round(1 / _FLAT))
    widest = cv2.dilate(part, np.ones((steps, 1), np.uint8))
    return np.asarray(cv2.warpAffine(widest, flat, size, flags=cv2.INTER_LINEAR), np.float32)


def _blurred(plane: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3)), np.float32)


class Shadowed:
    """A background with a shadow on it."""

    def __init__(self, background: Background, taken: Floats) -> None:
        self._background = background
        self._taken = taken
        self.notes = background.notes

    def behind(self, frame: Frame, alpha: Floats) -> Picture:
        """Return the background, darker where the shadow lies."""
        picture = self._background.behind(frame, alpha)
        result = Picture.empty(picture.width, picture.height, picture.layout, picture.colour)
        left = 1 - self._taken
        for target, plane, level in zip(result.planes, picture.planes, black(picture), strict=True):
            darker = level + left * (plane - np.float32(level))
            target[:] = darker if picture.layout.is_float else np.rint(darker)
        return result


def on_nothing(picture: Picture, taken: Floats, *, premultiplied: bool) -> Picture:
    """Return a cut-out with a shadow behind it, its colours straight or premultiplied as before.

    Args:
        picture: R, G, B with alpha.
        taken: From ``shadow``.
        premultiplied: Whether colours are multiplied by alpha.
    """
    assert picture.alpha is not None
    peak = np.float32(picture.layout.peak)
    own = picture.alpha / peak
    total = own + (1 - own) * taken
    result = Picture.empty(picture.width, picture.height, picture.layout, picture.colour)
    assert result.alpha is not None
    _store(result.alpha, total * peak, picture)
    # Black adds no light: premultiplied colours stay, straight ones share their alpha with it.
    share = np.float32(1) if premultiplied else own / np.maximum(total, np.float32(1e-6))
    for target, plane in zip(result.planes, picture.planes, strict=True):
        _store(target, plane * share, picture)
    return result


def _store(target: NDArray[Any], samples: NDArray[Any], picture: Picture) -> None:
    target[:] = samples if picture.layout.is_float else np.rint(samples)
