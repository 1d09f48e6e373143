"""Guided filters pull edges to where the picture has them; mattes keep their ends at full size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.colour import SRGB, Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import refine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]


def box(plane: Doubles, radius: int) -> Doubles:
    """Average in a square window, one window at a time; beyond the edge the picture is mirrored."""
    edged = np.pad(plane, radius, "reflect")
    result = np.empty_like(plane)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            result[y, x] = edged[y : y + 2 * radius + 1, x : x + 2 * radius + 1].mean()
    return result


def textbook(guide: Floats, alpha: Floats, radius: int, smoothness: float) -> Doubles:
    """The guided filter (He, Sun and Tang 2013, algorithm 1) in float64."""
    i, p = guide.astype(np.float64), alpha.astype(np.float64)
    mean_i, mean_p = box(i, radius), box(p, radius)
    a = (box(i * p, radius) - mean_i * mean_p) / (box(i * i, radius) - mean_i**2 + smoothness)
    b = mean_p - a * mean_i
    return np.asarray(box(a, radius) * i + box(b, radius))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(6, 20), st.integers(6, 24)),
    st.integers(1, 4),
    st.sampled_from([1e-4, 1e-2]),
)
def test_the_guided_filter_is_the_textbooks(
    seed: int, shape: tuple[int, int], radius: int, smoothness: float
) -> None:
    rng = np.random.default_rng(seed)
    guide = (rng.integers(0, 256, shape) / 255).astype(np.float32)
    alpha = rng.random(shape, np.float32)
    result = refine.guided_filter(guide, alpha, radius, smoothness)
    assert result.dtype == np.float32
    assert np.abs(result - textbook(guide, alpha, radius, smoothness)).max() < 2e-4


def test_a_flat_guide_only_averages() -> None:
    alpha = np.random.default_rng(3).random((20, 20), np.float32)
    result = refine.guided_filter(np.full((20, 20), 0.5, np.float32), alpha)
    twice = box(box(alpha.astype(np.float64), refine.RADIUS), refine.RADIUS)
    assert np.abs(result - twice).max() < 1e-3


def matte_of(view: NDArray[np.uint8], alpha: Floats) -> Matte:
    (picture,) = (frame.picture for frame in Synthetic(64, 48, 1).frames())
    return Matte(Frame(picture, 0, 1, Synthetic().info.time_base), view, alpha)


def test_snapping_pulls_the_edge_to_where_the_picture_has_it() -> None:
    """The network's edge is soft and a pixel off; the picture's is hard."""
    x = np.arange(48, dtype=np.float32)
    view = np.where(x[None, :, None] < 24, 220, 30).astype(np.uint8).repeat(32, 0).repeat(3, 2)
    blurry = np.clip((25 - x) / 4 + 0.5, 0, 1)[None].repeat(32, 0)
    (snapped,) = refine.snap([matte_of(view, blurry)])
    before, after = (alpha[16, 23] - alpha[16, 24] for alpha in (blurry, snapped.alpha))
    assert before < 0.3
    assert after > 0.45
    assert snapped.alpha.dtype == np.float32
    assert 0 <= snapped.alpha.min() <= snapped.alpha.max() <= 1
    assert (snapped.view == view).all()


def test_snapping_clears_the_haze() -> None:
    view = np.random.default_rng(1).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    for level, wanted in ((0.0, 0), (0.08, 0), (0.92, 1), (1.0, 1), (0.5, 0.5)):
        (snapped,) = refine.snap([matte_of(view, np.full((32, 48), level, np.float32))])
        assert np.abs(snapped.alpha - wanted).max() < 1e-3


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("size", [(96, 64), (97, 65), (20, 10), (1, 1), (3, 200)])
def test_enlarging_keeps_clear_and_opaque(depth: int, size: tuple[int, int]) -> None:
    layout = Layout("yuv", depth, 1, 1)
    opaque = 255 if depth == 8 else 65535
    for level in (0, 1):
        alpha = np.full((10, 20), level, np.float32)
        result = refine.enlarge(alpha, *size, layout)
        assert result.shape == size[::-1]
        assert result.dtype == layout.dtype
        assert (result == level * opaque).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_enlarging_does_not_shift_and_leaves_no_ripple_beyond_the_edge(depth: int) -> None:
    layout = Layout("yuv", depth)
    disc = np.hypot(*(np.mgrid[:40, :60] - np.array([19.5, 29.5])[:, None, None])) < 12
    result = refine.enlarge(disc.astype(np.float32), 240, 160, layout) / float(
        np.iinfo(layout.dtype).max
    )
    y, x = np.mgrid[:160, :240]
    assert (result * x).sum() / result.sum() == pytest.approx(119.5, abs=0.1)
    assert (result * y).sum() / result.sum() == pytest.approx(79.5, abs=0.1)
    away = np.hypot(x - 119.5, y - 79.5)
    assert (result[away < 48 - 12] == 1).all()
    assert (result[away > 48 + 12] == 0).all()


def test_an_alpha_of_full_size_is_only_rounded() -> None:
    alpha = np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20)
    result = refine.enlarge(alpha, 20, 10, Layout("yuv", 10))
    assert (result == np.round(alpha.astype(np.float64) * 65535)).all()


# --- Along the frame's colours -------------------------------------------------------------------

RED, GREEN = np.array([200, 60, 60]), np.array([60, 131, 60])
"""The same luma (BT.601), so that a filter with a grey guide sees nothing."""


def slanted(height: int, width: int, blur: float = 0.8) -> Floats:
    """Return an alpha with a slanted, wavy edge, as sharp as a lens has it."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    edge = width * (0.4 + 0.2 * y / height + 0.02 * np.sin(y / 3))
    return np.asarray(np.clip(0.5 + (edge - x) / (2 * blur), 0, 1), np.float32)


def shown(alpha: Floats, front: Any = RED, back: Any = GREEN, noise: float = 0) -> Floats:
    """Return R'G'B' in 0..1: two colours and their mixtures."""
    rgb = (alpha[..., None] * front + (1 - alpha[..., None]) * back) / 255
    rgb += noise / 255 * np.random.default_rng(1).standard_normal(rgb.shape)
    return np.asarray(np.clip(rgb, 0, 1), np.float32)


def codes(rgb: Floats) -> NDArray[np.uint8]:
    return np.rint(rgb * 255).astype(np.uint8)


def shrunk(alpha: Floats, width: int, height: int) -> Floats:
    return np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def off(result: Floats, truth: Floats) -> float:
    return float(np.abs(result - truth).mean())


def test_edges_are_found_by_colour_where_luma_is_constant() -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 60, 40)
    picture = codes(shown(truth))
    assert np.ptp(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) <= 2
    assert off(refine.fine(low, picture), truth) < 0.35 * off(refine.fast(low, picture), truth)


def test_a_picture_without_colours_adds_nothing_wrong() -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 60, 40)
    flat = np.full((160, 240, 3), 90, np.uint8)
    noisy = codes(shown(truth, RED, RED, noise=4))
    interpolated = off(refine.fast(low, flat), truth)
    assert off(refine.fine(low, flat), truth) < interpolated
    assert off(refine.fine(low, noisy), truth) < 1.02 * interpolated


@pytest.mark.parametrize("noise", [0, 3])
def test_twice_the_size_is_never_worse_than_interpolation_whatever_is_seen(noise: float) -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 120, 80)
    texture = np.random.default_rng(2).integers(0, 256, (160, 240, 3), np.uint8)
    for picture in (codes(shown(truth, noise=noise)), texture):
        assert off(refine.fine(low, picture), truth) < off(refine.fast(low, picture), truth)
    assert (refine.fine(low, texture) == refine.fine(low, texture[::-1].copy())).all()


def test_colours_begin_to_count_gradually() -> None:
    """No jump in quality between one size and the next."""
    picture, flat = codes(shown(slanted(160, 240))), np.full((160, 240, 3), 90, np.uint8)
    changes = []
    for height in (72, 70, 60, 50, 40):
        low = shrunk(slanted(160, 240), height * 3 // 2, height)
        changes.append(off(refine.fine(low, picture), refine.fine(low, flat)))
    assert changes == sorted(changes)
    assert changes[0] == 0 < changes[1] < 0.1 * changes[-1]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_without_an_edge_fine_is_fast(level: float) -> None:
    texture = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    low = np.full((20, 30), level, np.float32)
    assert (refine.fine(low, texture) == refine.fast(low, texture)).all()


def test_away_from_the_edge_nothing_changes() -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 60, 40)
    texture = np.random.default_rng(3).integers(0, 256, (160, 240, 3), np.uint8)
    fine, fast = refine.fine(low, texture), refine.fast(low, texture)
    near = cv2.dilate(((truth > 0) & (truth < 1)).astype(np.uint8), np.ones((33, 33))) > 0
    assert (fine[~near] == fast[~near]).all()
    assert set(np.unique(fast[~near])) == {0, 1}


def test_the_average_of_the_fine_matte_is_the_networks() -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 60, 40)
    picture = codes(shown(truth, noise=2))
    for result, most in ((refine.fast(low, picture), 1.0), (refine.fine(low, picture), 0.35)):
        away = off(shrunk(result, 60, 40), low)
        assert away <= most * off(shrunk(refine.fast(low, picture), 60, 40), low)


def picture_of(rgb: Floats, layout: Layout) -> Picture:
    colour = Colour(Matrix.BT709, full_range=False) if layout.family == "yuv" else SRGB
    return from_rgb(rgb, layout, colour)


LAYOUTS = [Layout("yuv", depth, x, y) for depth in (8, 10, 16) for x, y in ((0, 0), (1, 0), (1, 1))]
LAYOUTS += [Layout("yuv", 8, 0, 1), Layout("rgb", 8), Layout("rgb", 16)]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_frames_own_planes_are_the_guide(layout: Layout) -> None:
    truth = slanted(162, 242)
    low = shrunk(truth, 60, 40)
    picture = picture_of(shown(truth), layout)
    fast = refine.enlarge(low, 242, 162, layout)
    fine = refine.enlarge_fine(low, picture, VideoReformatter())
    assert fine.dtype == fast.dtype == layout.dtype
    opaque = np.float32(np.iinfo(layout.dtype).max)
    error = off(fine / opaque, truth) / off(fast / opaque, truth)
    assert error < (0.7 if layout.chroma_x or layout.chroma_y else 0.45)


@pytest.mark.parametrize("centred", [False, True])
def test_chroma_is_read_where_it_lies(centred: bool) -> None:
    truth = slanted(160, 240)
    low = shrunk(truth, 60, 40)
    layout = Layout("yuv", 8, 1, 1)
    right, wrong = (
        Colour(Matrix.BT709, full_range=False, centred_chroma=where)
        for where in (centred, not centred)
    )
    picture = from_rgb(shown(truth), layout, right)
    mistaken = Picture.of(picture.planes, layout, wrong)
    errors = [
        off(refine.enlarge_fine(low, each, VideoReformatter()) / np.float32(255), truth)
        for each in (picture, mistaken)
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10, 1, 0)])
@pytest.mark.parametrize("size", [(97, 65), (1, 1), (1, 90), (90, 1), (3, 200), (20, 10), (8, 8)])
@pytest.mark.parametrize("low", [(20, 10), (1, 1), (7, 64)])
def test_any_size_goes(layout: Layout, size: tuple[int, int], low: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    picture = picture_of(rng.random((size[1], size[0], 3), np.float32), layout)
    alpha = np.rint(rng.random((low[1], low[0]), np.float32))
    result = refine.enlarge_fine(alpha, picture, VideoReformatter())
    assert result.shape == (size[1], size[0])
    assert result.dtype == layout.dtype
    if low[0] >= size[0] or low[1] >= size[1]:
        assert (result == refine.enlarge(alpha, *size, layout)).all()


def test_snapping_by_colour_finds_what_luma_does_not_show() -> None:
    truth = slanted(48, 72)
    soft = cv2.GaussianBlur(truth, (0, 0), 2)
    matte = matte_of(codes(shown(truth)), np.asarray(soft, np.float32))
    (fast,), (fine,) = refine.snap([matte]), refine.snap([matte], "fine")
    assert off(fine.alpha, truth) < 0.5 * off(fast.alpha, truth)
    assert fine.alpha.dtype == np.float32
    assert 0 <= fine.alpha.min() <= fine.alpha.max() <= 1
