"""The guided filter is the textbook's, and mattes reach full size without losing their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.frames import Frame, Layout, Matte
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
