"""Scenes whose true foreground colours are known: made up, cut-outs that move, green screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streammatte.colour import SRGB, from_linear, to_linear

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matting.clips import Clip

    Floats = NDArray[np.float32]

SIZES = ((540, 960), (1080, 1920))
TEXTURE, CONTRAST, BAND = 60.0, 0.08, 0.07
"""Of what is made up: the blur of its noise in pixels (fixed, so that 1080 lines are harder), its
standard deviation, and the width of the soft band in heights. With these, blur fusion at a quarter
and PyMatting come near to the figures in ``shared/facts/media.md`` 2.3, whose scene is not kept."""
SKY = 4.0
"""How many times brighter than white the brightest background is in linear light."""
GLINTS, GLINT_SIDE, GLINT_LIGHT = 40, 12, 50.0
SCREEN = (20, 160, 70)
PAINT = (0, 177, 64)
SPILL, EVERYWHERE, REACH = 0.25, 0.15, 25
"""Screen light that is added to the subject, of the screen's own: at edges, anywhere, and the blur
of what counts as an edge in lines of 1080."""


@dataclass(frozen=True)
class Scene:
    """What a camera saw, and what it was made of; float32, R'G'B' ``[h, w, 3]`` or linear light."""

    name: str
    seen: Floats
    truth: Floats
    alpha: Floats
    """``[h, w]``, in steps of 1/255."""
    linear: bool = False
    ignored: NDArray[np.bool_] | None = None
    """``[h, w]``: places that do not count."""

    @property
    def soft(self) -> NDArray[np.bool_]:
        """Where alpha is soft."""
        soft = (self.alpha > 0.02) & (self.alpha < 0.98)
        return soft if self.ignored is None else soft & ~self.ignored

    def error(self, colours: Floats, where: NDArray[np.bool_] | None = None) -> float:
        """Return the mean of ``|alpha (F^ - F)|``, in 255ths of white; on soft pixels."""
        wrong = self.alpha[..., None] * np.abs(colours - self.truth)
        return float(255 * wrong[self.soft if where is None else where].mean(dtype=np.float64))


def stepped(values: Floats) -> Floats:
    """Round to 8 bits."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255) / 255, np.float32)


def mixed(front: Floats, behind: Floats, alpha: Floats) -> Floats:
    """Put one before the other."""
    return np.asarray(alpha[..., None] * front + (1 - alpha[..., None]) * behind, np.float32)


def made_up(size: tuple[int, int], seed: int) -> Scene:
    """Return a disc of soft rim and smooth texture before another, ``(height, width)``."""
    height, width = size
    rng = np.random.default_rng(seed)
    front, behind = (_texture(rng, size, base) for base in ((0.6, 0.4, 0.3), (0.3, 0.5, 0.5)))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(x - width / 2, y - height / 2) - height * 0.35
    alpha = stepped(np.asarray(0.5 - away / (height * BAND), np.float32))
    return Scene(f"{height} lines", stepped(mixed(front, behind, alpha)), front, alpha)


def _texture(
    rng: np.random.Generator, size: tuple[int, int], base: tuple[float, float, float]
) -> Floats:
    noise = rng.normal(0, 1, (*size, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), TEXTURE)
    return np.asarray(np.clip(np.array(base) + CONTRAST * noise / noise.std(), 0, 1), np.float32)


def filmed(clips: Sequence[Clip]) -> Iterator[Scene]:
    """Yield the last frame of clips with exact truth."""
    for clip in clips:
        index = len(clip) - 1
        seen, truth = (
            np.asarray(pictures[index] / np.float32(255))
            for pictures in (clip.pictures(), clip.colours())
        )
        alpha = np.asarray(clip.truths()[index] / np.float32(255))
        yield Scene(clip.name, seen, truth, alpha)


def in_light(scene: Scene, *, glints: bool) -> Scene:
    """Return a scene mixed anew in linear light, before a sky that is brighter than white."""
    front, height, width = to_linear(scene.truth, SRGB), *scene.alpha.shape
    ramp = np.linspace(SKY, 0.2, height, dtype=np.float32)[:, None, None]
    behind = np.broadcast_to(ramp * np.array((0.7, 0.85, 1.0), np.float32), front.shape)
    seen, ignored = mixed(front, np.asarray(behind), scene.alpha), np.zeros((height, width), bool)
    if glints:
        rng = np.random.default_rng(5)
        for y, x in rng.integers(0, (height - GLINT_SIDE, width - GLINT_SIDE), (GLINTS, 2)):
            ignored[y : y + GLINT_SIDE, x : x + GLINT_SIDE] = True
        seen[ignored] = GLINT_LIGHT
    name = f"{scene.name}, linear{', glints' if glints else ''}"
    return Scene(name, seen, front, scene.alpha, linear=True, ignored=ignored)


def before_a_screen(scene: Scene) -> Scene:
    """Return a scene's subject before a green screen whose light falls on it; mixed in light."""
    truth, alpha = to_linear(scene.truth, SRGB), scene.alpha
    spread = REACH * alpha.shape[0] / 1080
    edge = cv2.GaussianBlur(1 - alpha, (0, 0), spread) + EVERYWHERE
    paint, screen = (to_linear(np.array(c, np.float32) / 255, SRGB) for c in (PAINT, SCREEN))
    spilt = truth + np.float32(SPILL) * edge[..., None] * paint
    seen = mixed(np.asarray(spilt, np.float32), np.broadcast_to(screen, truth.shape), alpha)
    return Scene(scene.name, stepped(from_linear(seen, SRGB)), scene.truth, alpha)


def spilt_only(scene: Scene) -> Scene:
    """Return what is left of ``before_a_screen`` if its background is taken out without error."""
    truth = to_linear(scene.truth, SRGB)
    spread = REACH * scene.alpha.shape[0] / 1080
    edge = cv2.GaussianBlur(1 - scene.alpha, (0, 0), spread) + EVERYWHERE
    paint = to_linear(np.array(PAINT, np.float32) / 255, SRGB)
    spilt = np.asarray(truth + np.float32(SPILL) * edge[..., None] * paint, np.float32)
    return Scene(scene.name, stepped(from_linear(spilt, SRGB)), scene.truth, scene.alpha)
