"""True mattes made wrong as networks make them wrong, so that steadiness can be tried without one.

Four things go wrong, each known from per-frame networks:

* the matte is small, so what is thin melts away;
* outlines wander, slowly (the network is wrong about a shape) and from frame to frame;
* soft pixels and the inside flicker with what the network takes for texture;
* for one to three frames a piece at the outline is missing, or something is there that is not.

Lengths are shares of the picture's height, times are in seconds, and the same seed gives the same
damage. How strong it is was chosen to be that of the damage that the project's figures are about:
about 1.5 pixels of 540 that outlines are off, something missing or false at one frame in six.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Size = tuple[int, int]

LINES = 540
"""Height of the picture that the lengths below are pixels of."""
DRIFT, DRIFT_GRAIN, DRIFT_SECONDS = 1.2, 60, 0.32
"""How far outlines wander slowly, over which distance alike, and after which time otherwise."""
JITTER, JITTER_GRAIN = 0.9, 30
"""How far they jump from frame to frame."""
SHIMMER, SHIMMER_GRAIN = 0.12, 45
"""How much soft pixels flicker."""
DIP, DIP_FROM, DIP_MOST = 0.10, 1.6, 2.0
"""How much opaque pixels lose, from which deviation of the same noise on."""
BLOBS_A_SECOND = 4.5
BLOB_SIZES = (12, 45)
"""Half axes of what is missing or false."""
BLOB_FRAMES = 3
"""How long it stays, at the most."""
MISSING = 0.6
"""The share of blobs that are holes."""
BLOB_EDGE = 4
REDUCED = 3
"""The default size is the picture's by this."""


@dataclass
class Blob:
    """Something that is missing, or there and false."""

    middle: tuple[float, float]
    axes: tuple[float, float]
    angle: float
    strength: float
    hole: bool
    left: int
    """Frames that it stays."""


def damaged(truths: Bytes, seed: int, rate: float = 25.0, size: Size | None = None) -> list[Floats]:
    """Return what a network might have made of a clip.

    Args:
        truths: uint8 ``[t, h, w]``.
        seed: Of everything that is drawn.
        rate: Frames a second.
        size: ``(width, height)`` of the mattes; ``None`` for a third of the picture's.

    Returns:
        float32 ``[height, width]`` in 0..1 for every frame.
    """
    height, width = truths.shape[1:]
    size = size or (max(1, width // REDUCED), max(1, height // REDUCED))
    rng = np.random.default_rng(seed)
    drift = _drift(rng, (height, width), rate)
    blobs: list[Blob] = []
    mattes = []
    for truth in truths:
        alpha = _displaced(truth, next(drift), rng)
        alpha = _shimmering(np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)), rng)
        blobs = [blob for blob in blobs if blob.left > 0]
        if rng.random() < BLOBS_A_SECOND / rate:
            blobs += _new_blob(truth, rng)
        for blob in blobs:
            alpha = _with(alpha, blob)
            blob.left -= 1
        mattes.append(alpha)
    return mattes


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: float, count: int) -> Floats:
    """Return smooth noise of standard deviation 1 that is alike over ``grain`` pixels."""
    height, width = shape
    grain = max(grain, 1)
    coarse = rng.standard_normal((int(height / grain) + 3, int(width / grain) + 3, count))
    fine = cv2.resize(
        coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    ).reshape(height, width, count)
    return np.asarray(fine / max(float(fine.std()), 1e-6), np.float32)


def _drift(rng: np.random.Generator, shape: tuple[int, int], rate: float) -> Iterator[Floats]:
    """Yield displacements ``[h, w, 2]`` in pixels, from one to the next in ``DRIFT_SECONDS``."""
    unit = shape[0] / LINES
    frames = max(1, round(DRIFT_SECONDS * rate))
    start = _noise(rng, shape, DRIFT_GRAIN * unit, 2)
    while True:
        end = _noise(rng, shape, DRIFT_GRAIN * unit, 2)
        for step in range(frames):
            share = np.float32(step / frames)
            yield (start + share * (end - start)) * np.float32(DRIFT * unit)
        start = end


def _displaced(truth: Bytes, drift: Floats, rng: np.random.Generator) -> Floats:
    height, width = truth.shape
    unit = height / LINES
    by = drift + _noise(rng, truth.shape, JITTER_GRAIN * unit, 2) * np.float32(JITTER * unit)
    by[..., 0] += np.arange(width, dtype=np.float32)
    by[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    alpha = truth / np.float32(255)
    moved = cv2.remap(alpha, by, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def _shimmering(alpha: Floats, rng: np.random.Generator) -> Floats:
    shape = (alpha.shape[0], alpha.shape[1])
    noise = _noise(rng, shape, SHIMMER_GRAIN * shape[0] / LINES, 1)[..., 0]
    lost = DIP * np.clip(noise - DIP_FROM, 0, DIP_MOST) * alpha
    shimmer = SHIMMER * 4 * alpha * (1 - alpha) * noise
    return np.asarray(np.clip(alpha + shimmer - lost, 0, 1), np.float32)


def _new_blob(truth: Bytes, rng: np.random.Generator) -> list[Blob]:
    """Return one somewhere on the outline, or none if there is no outline."""
    inside = (truth > 127).astype(np.uint8)
    places = np.argwhere(cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    if not len(places):
        return []
    y, x = places[rng.integers(len(places))] / truth.shape[0]
    axes = rng.uniform(*BLOB_SIZES, 2) / LINES
    return [
        Blob(
            middle=(float(x), float(y)),
            axes=(float(axes[0]), float(axes[1])),
            angle=float(rng.uniform(0, 180)),
            strength=float(rng.uniform(0.4, 1)),
            hole=bool(rng.random() < MISSING),
            left=int(rng.integers(1, BLOB_FRAMES + 1)),
        )
    ]


def _with(alpha: Floats, blob: Blob) -> Floats:
    """Return a matte with a blob, whose lengths are shares of the height."""
    height = alpha.shape[0]
    cover = np.zeros(alpha.shape, np.float32)
    middle = (blob.middle[0] * height, blob.middle[1] * height)
    axes = (2 * blob.axes[0] * height, 2 * blob.axes[1] * height)
    cv2.ellipse(cover, (middle, axes, blob.angle), 1.0, -1)
    cover = cv2.GaussianBlur(cover, (0, 0), max(BLOB_EDGE * height / LINES, 0.3))
    cover *= np.float32(blob.strength)
    return alpha * (1 - cover) if blob.hole else np.maximum(alpha, cover)
