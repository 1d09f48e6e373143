"""Multi-level estimation finds the colours that mixtures are made of, and doubts wrong alphas."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streammatte.colour import SRGB, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Frame, Layout, Matte
from streammatte.stages import composite, multilevel
from streammatte.stages.foreground import black, local_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HD = Colour(Matrix.BT709, full_range=False)
BLACK = np.array([16, 128, 128], np.float32)
ONE, OTHER = (np.array(samples, np.float32) for samples in ((180, 90, 160), (60, 140, 110)))


def disc(height: int = 120, width: int = 160, softness: float = 12) -> Floats:
    """Return a matte: a disc with a wavy, soft rim."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2)
    away = np.hypot(x - width / 2, y - height / 2) - height * (0.3 + 0.03 * np.sin(20 * angle))
    return np.asarray(np.clip(0.5 - away / softness, 0, 1), np.float32)


def mixture(alpha: Floats) -> Floats:
    return np.asarray(alpha[..., None] * ONE + (1 - alpha[..., None]) * OTHER, np.float32)


@pytest.mark.parametrize("peak", [255, 1023, 65535])
def test_the_colours_of_a_mixture_are_found(peak: int) -> None:
    alpha, unit = disc(), np.float32(peak / 255)
    both = multilevel.layers(mixture(alpha) * unit, alpha, BLACK * unit, peak) / unit
    assert both.shape == (120, 160, 2, 3)
    assert both.dtype == np.float32
    soft = (alpha > 0) & (alpha < 1)
    assert np.abs(both[..., 0, :] - ONE)[soft | (alpha == 1)].max() < 3
    assert np.abs(both[..., 1, :] - OTHER)[soft | (alpha == 0)].max() < 3
    assert np.abs(both[..., 0, :] - ONE)[alpha == 0].mean() < 3


@pytest.mark.parametrize(("alpha", "unseen"), [(0.0, 0), (1.0, 1)])
def test_a_layer_that_is_nowhere_seen_is_the_fallback(alpha: float, unseen: int) -> None:
    picture = np.random.default_rng(1).uniform(0, 255, (90, 70, 3)).astype(np.float32)
    both = multilevel.layers(picture, np.full((90, 70), alpha, np.float32), BLACK, 255)
    assert np.abs(both[:, :, unseen] - BLACK).max() < 0.5
    assert (both[:, :, 1 - unseen] == picture).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (37, 53), (270, 8)])
def test_any_size_and_any_alpha_give_numbers(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    picture = rng.uniform(0, 255, (*shape, 3)).astype(np.float32)
    for alpha in (rng.random(shape, np.float32), np.rint(rng.random(shape, np.float32))):
        both = multilevel.layers(picture, alpha, BLACK, 255)
        assert both.shape == (*shape, 2, 3)
        assert np.isfinite(both).all()


def test_where_no_layer_is_seen_for_sure_the_camera_is_right() -> None:
    """A subject with an alpha of 0.6 throughout, before a wall with one of 0."""
    alpha = disc(softness=2)
    picture = mixture(alpha)
    both = multilevel.layers(picture, alpha * np.float32(0.6), BLACK, 255)
    inside = alpha == 1
    assert np.abs(both[inside] - picture[inside][:, None]).max() < 0.01


def test_where_colours_say_more_than_alpha_the_camera_is_right() -> None:
    """The matte ends too early: what it calls half is all subject."""
    truth, alpha = disc(softness=1), cv2.erode(disc(softness=12), np.ones((21, 21)))
    picture = mixture(truth)
    both = multilevel.layers(picture, np.asarray(alpha, np.float32), BLACK, 255)
    wrong = (alpha > multilevel.FAINT) & (alpha < 0.55) & (truth == 1)
    assert wrong.sum() > 100
    assert np.abs(both - picture[:, :, None])[wrong].mean() < 1


@pytest.mark.parametrize(("alpha", "doubt"), [(0.3, 1), (0.74, 0.5), (0.95, 0)])
def test_the_more_colours_say_the_more_alpha_is_doubted(alpha: float, doubt: float) -> None:
    """The picture shows all subject."""
    likely = np.stack([ONE, OTHER])[None, None]
    both = np.zeros((1, 1, 2, 3), np.float32)
    share = np.full((1, 1), alpha, np.float32)
    multilevel._doubt(both, likely, ONE[None, None], share, np.zeros((1, 1), np.float32), 1.0)
    assert both == pytest.approx(doubt * np.broadcast_to(ONE, both.shape), abs=10)


def test_where_alpha_is_faint_little_of_the_camera_is_shown() -> None:
    alpha = np.array([[0, multilevel.FAINT / 10, multilevel.FAINT, 1]], np.float32)
    picture, both = np.full((1, 4, 3), 100, np.float32), np.zeros((1, 4, 2, 3), np.float32)
    multilevel._doubt(both, both.copy(), picture, alpha, np.ones_like(alpha), np.float32(1))
    assert both[0, :, 0, 0] == pytest.approx([0, 10, 100, 0], abs=1e-3)


def test_right_alphas_are_not_doubted() -> None:
    alpha = disc()
    rng = np.random.default_rng(3)
    picture = mixture(alpha) + rng.normal(0, 3, (*alpha.shape, 3)).astype(np.float32)
    before = np.full((*alpha.shape, 2, 3), np.nan, np.float32)
    before[..., 0, :], before[..., 1, :] = ONE, OTHER
    both = before.copy()
    multilevel._doubt(
        both, before, picture, alpha, np.zeros_like(alpha), np.float32((0.04 * 255) ** 2)
    )
    assert (both == before).all()


LAYOUTS = [
    Layout("yuv", 8, 1, 1),
    Layout("yuv", 10, 1, 0),
    Layout("yuv", 16),
    Layout("rgb", 8),
    Layout("rgb", 16),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_fine_colours_are_nearer_to_the_truth_than_fast_ones(layout: Layout) -> None:
    alpha = disc(270, 480, 20)
    y, x = np.mgrid[:270, :480].astype(np.float32)
    shade = (0.12 * np.sin(x / 9) * np.sin(y / 7))[..., None]
    front = np.array([0.55, 0.35, 0.25], np.float32) + shade
    mixed = alpha[..., None] * front + (1 - alpha[..., None]) * np.float32([0.1, 0.75, 0.2])
    picture = from_rgb(mixed, layout, HD if layout.family == "yuv" else SRGB)
    matte = Matte(Frame(picture, 0, 1, Fraction(1, 25)), np.zeros((2, 2, 3), np.uint8), alpha)
    picture, full = composite.with_room(picture), composite.full_size(matte)
    soft = (alpha > 0.02) & (alpha < 0.98)
    errors = {"off": float((alpha[..., None] * np.abs(mixed - front))[soft].mean())}
    for quality in ("fast", "fine"):
        means = local_means(picture, alpha, VideoReformatter(), quality)
        found = to_rgb(composite.isolate(picture, full, means))
        errors[quality] = float((alpha[..., None] * np.abs(found - front))[soft].mean())
    assert errors["fine"] < 0.25 * errors["off"]
    assert errors["fine"] < 0.8 * errors["fast"]


def test_the_fine_estimate_has_the_shape_that_the_kernels_take() -> None:
    picture = from_rgb(np.full((400, 600, 3), 0.5, np.float32), Layout("yuv", 10, 1, 1), HD)
    alpha = np.full((40, 60), 0.0, np.float32)
    means = local_means(picture, alpha, VideoReformatter(), "fine")
    assert means.shape == (3, 270, 405, 2)
    assert means.dtype == np.float32
    assert means.flags.c_contiguous
    assert np.abs(means[..., 0] - black(picture)[:, None, None]).max() < 0.5


def test_threads_do_not_disturb_each_other() -> None:
    def work(seed: int) -> Floats:
        rng = np.random.default_rng(seed % 3)
        picture = rng.uniform(0, 255, (80, 90, 3)).astype(np.float32)
        return multilevel.layers(picture, rng.random((80, 90), np.float32), BLACK, 255)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(12)))
    for seed, result in enumerate(results):
        assert (result == work(seed)).all()
