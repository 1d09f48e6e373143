"""Motion between small pictures: found, carried along, and believed only where it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from streammatte.stages.motion import (
    LEAST_SIDE,
    MOST_PIXELS,
    Motion,
    _trust,
    at_size,
    carried,
    look,
    motion,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    View = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0) -> View:
    """Return soft coloured shapes of all sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (height // cell + 1, width // cell + 1, 3)), (width, height))
        for cell in (12, 24, 48)
    ]
    return np.mean(layers, 0).astype(np.uint8)


def scene(x: int, noise: float = 0, seed: int = 0) -> tuple[View, NDArray[np.float32]]:
    """Return a textured square at ``x`` before a textured wall, and its alpha."""
    view, alpha = texture(144, 256), np.zeros((144, 256), np.float32)
    view[50:100, x : x + 50] = 255 - texture(50, 50, 1)
    alpha[50:100, x : x + 50] = 1
    grain = noise * np.random.default_rng(seed).standard_normal(view.shape)
    return np.clip(view + grain, 0, 255).astype(np.uint8), alpha


def test_a_shift_is_found_and_carried() -> None:
    (now, alpha), (before, old) = scene(104), scene(100)
    moved = motion(look(now), look(before))
    inside = moved.flow[60:90, 114:144]
    assert np.abs(inside - [-4, 0]).mean() < 0.5
    assert moved.trust[60:90, 114:144].mean() > 0.9
    assert (
        np.abs(carried(old, moved) - alpha)[60:90].mean() < 0.3 * np.abs(old - alpha)[60:90].mean()
    )


@pytest.mark.parametrize("shape", [(72, 128), (288, 512), (300, 300)])
def test_a_matte_of_any_size_is_carried(shape: tuple[int, int]) -> None:
    (now, alpha), (before, old) = scene(108), scene(100)
    moved = motion(look(now), look(before))

    def sized(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_AREA))

    result = carried(sized(old), moved)
    assert result.dtype == np.float32
    trust = at_size(moved, shape).trust
    assert trust.shape == shape
    assert 0 <= trust.min() <= trust.max() <= 1
    carried_off, left_behind = np.abs(result - sized(alpha)), np.abs(sized(old) - sized(alpha))
    assert (trust * carried_off).mean() < 0.2 * left_behind.mean()


def test_the_same_picture_does_not_move() -> None:
    view, alpha = scene(100)
    moved = motion(look(view), look(view.copy()))
    assert moved.still
    assert (moved.flow == 0).all()
    assert (moved.trust == 1).all()
    assert carried(alpha, moved) is alpha


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_grain_is_no_motion(noise: float) -> None:
    one, other = look(scene(100, noise, 1)[0]), look(scene(100, noise, 2)[0])
    moved = motion(one, other)
    assert moved.trust.mean() > 0.85
    assert np.abs(moved.flow).mean() < 0.5


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_what_was_covered_is_not_explained(noise: float) -> None:
    (now, _), (before, _) = scene(60, noise, 1), scene(100, noise, 2)
    moved = motion(look(now), look(before))
    uncovered = moved.trust[55:95, 115:145]
    assert uncovered.mean() < 0.15
    assert moved.trust[:40].mean() > 0.8


def test_what_comes_in_from_outside_is_not_explained() -> None:
    wide = texture(144, 300)
    moved = motion(look(wide[:, :256].copy()), look(wide[:, 12:268].copy()))
    assert moved.trust[:, :6].mean() < 0.1
    assert moved.trust[:, 40:-10].mean() > 0.9


def test_nothing_outside_explains_anything() -> None:
    """Even where the picture's edge, repeated for ever, would."""
    plain = look(np.full((144, 256, 3), 90, np.uint8))
    flow = np.zeros((*plain.luma.shape, 2), np.float32)
    flow[..., 0] = -5
    trust = _trust(np.zeros(plain.luma.shape, np.float32), flow, 6.0)
    assert (trust[:, :5] == 0).all()
    assert (trust[:, 6:] == 1).all()


def test_carrying_often_does_not_blur() -> None:
    """Half a pixel to and fro, as a face moves: bilinear carrying leaves a slope of 14 pixels."""
    alpha = np.zeros((40, 80), np.float32)
    alpha[:, 40:] = 1
    result = alpha
    for i in range(40):
        flow = np.full((40, 80, 2), 0.5 if i % 2 else -0.5, np.float32)
        result = carried(result, Motion(flow, np.ones((40, 80), np.float32)))
    assert ((result > 0.05) & (result < 0.95))[20].sum() <= 6
    assert (result[:, 60:] == 1).all()
    assert (result[:, :20] == 0).all()


def test_another_scene_explains_nothing() -> None:
    moved = motion(look(texture(144, 256, 1)), look(texture(144, 256, 2)))
    assert (moved.trust == 0).all()


@pytest.mark.parametrize("shape", [(1080, 1920), (1024, 1024), (4000, 40), (144, 256)])
def test_looks_are_small_and_keep_their_shape(shape: tuple[int, int]) -> None:
    small = look(np.zeros((*shape, 3), np.uint8))
    height, width = small.luma.shape
    assert small.colours.shape == (height, width, 3)
    assert height * width <= 1.05 * MOST_PIXELS
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


@pytest.mark.parametrize("side", [1, 2, LEAST_SIDE - 1, LEAST_SIDE, LEAST_SIDE + 1])
def test_tiny_pictures_are_compared_as_they_are(side: int) -> None:
    view = np.full((side, 256, 3), 100, np.uint8)
    other = view.copy()
    other[:, :64] = 200
    moved = motion(look(view), look(other))
    assert np.isfinite(moved.flow).all()
    assert moved.trust[:, :32].max() < moved.trust[:, 150:].min()


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="show no motion"):
        motion(look(texture(144, 256)), look(texture(72, 128)))
