"""Edges by hand: they move by what was asked, keep their profile, and leave plateaus alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streammatte.options import EdgeOptions
from streammatte.stages.edges import shaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LINES = 270
"""Of the pictures here: a line of 1080 is a quarter of a pixel."""
DTYPES = [np.uint8, np.uint16, np.float32]


def disc(radius: float = 80, softness: float = 1) -> Floats:
    y, x = np.mgrid[:LINES, : LINES + 30].astype(np.float32)
    away = np.hypot(x - 150, y - 135)
    return np.asarray(np.clip((radius - away) / softness + 0.5, 0, 1), np.float32)


def in_depth(alpha: Floats, dtype: Any) -> NDArray[Any]:
    if dtype == np.float32:
        return alpha
    return np.asarray(np.rint(alpha * np.iinfo(dtype).max), dtype)


def radius(alpha: NDArray[Any]) -> float:
    """Return that of a disc with as much area."""
    whole = 1 if alpha.dtype == np.float32 else np.iinfo(alpha.dtype).max
    return float(np.sqrt(alpha.sum(dtype=np.float64) / whole / np.pi))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lines", [0.5, 1, 4, 10, 60, -1, -30])
def test_an_edge_moves_by_so_many_lines(lines: float, dtype: Any) -> None:
    alpha = in_depth(disc(), dtype)
    moved = shaped(alpha, EdgeOptions(choke=lines))
    assert moved.dtype == dtype
    assert radius(alpha) - radius(moved) == pytest.approx(lines / 4, abs=0.02)


@pytest.mark.parametrize("softness", [1, 20])
def test_a_choke_keeps_the_profile(softness: float) -> None:
    """The same as the disc of a smaller radius: not square, not sharper, not softer."""
    moved = shaped(disc(80, softness), EdgeOptions(choke=20))
    assert np.abs(moved - disc(75, softness)).max() < 0.5 / softness + 0.03


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [EdgeOptions(choke=8), EdgeOptions(choke=-8), EdgeOptions(feather=8), EdgeOptions(gamma=3)],
)
def test_plateaus_are_exact(options: EdgeOptions, dtype: Any) -> None:
    done = shaped(in_depth(disc(softness=4), dtype), options)
    whole = 1 if dtype == np.float32 else np.iinfo(dtype).max
    assert (done[disc(80 - 15) == 1] == whole).all()
    assert (done[disc(80 + 15) == 0] == 0).all()


def test_a_feather_leaves_plateaus_exact_in_floating_point() -> None:
    alpha = np.zeros((400, 900), np.float32)
    alpha[:, :450] = 1
    soft = shaped(alpha, EdgeOptions(feather=6))
    assert (soft[:, :300] == 1).all()
    assert (soft[:, 600:] == 0).all()


def test_strands_stay() -> None:
    """Hairs of a pixel on a head: erosion would leave nothing of them."""
    alpha = disc(60)
    strands = np.zeros_like(alpha)
    strands[20:100, 100:200:10] = 0.8
    hairy = np.maximum(alpha, strands)
    choked = shaped(hairy, EdgeOptions(choke=8))
    outside = disc(64) == 0
    assert choked[outside].sum() > 0.35 * hairy[outside].sum()
    assert (choked <= hairy).all()


def test_growing_never_takes_away() -> None:
    alpha = np.maximum(disc(40), 0)
    alpha[:, 148:152] = 0.9
    assert (shaped(alpha, EdgeOptions(choke=-12)) >= alpha).all()


def test_feather_is_a_gaussian_of_so_many_lines() -> None:
    step = np.zeros((LINES, 300), np.float32)
    step[:, 150:] = 1
    soft = shaped(step, EdgeOptions(feather=24))
    slope = np.diff(soft[135].astype(np.float64))
    places = np.arange(len(slope)) - 149
    assert (slope * places**2).sum() == pytest.approx((24 / 4) ** 2, rel=0.03)
    np.testing.assert_allclose(soft[135], soft[0], atol=1e-6)


def test_gamma() -> None:
    ramp = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (4, 1))
    bent = shaped(ramp, EdgeOptions(gamma=2))
    np.testing.assert_allclose(bent, ramp**0.5, atol=1e-6)
    assert bent[0, 0] == 0
    assert bent[0, -1] == 1


def test_gamma_reaches_what_is_soft_throughout() -> None:
    haze = np.full((20, 30), 0.25, np.float32)
    np.testing.assert_allclose(shaped(haze, EdgeOptions(gamma=2)), 0.5)


@pytest.mark.parametrize("value", [0, 1])
def test_without_edges_nothing_is_done(value: float) -> None:
    alpha = np.full((50, 60), value, np.float32)
    done = shaped(alpha, EdgeOptions(choke=10, feather=10, gamma=2))
    np.testing.assert_array_equal(done, alpha)


def test_by_default_nothing_is_done() -> None:
    alpha = disc()
    assert shaped(alpha, EdgeOptions()) is alpha


@pytest.mark.parametrize("rows", [slice(0, 1), slice(100, 101), slice(134, 136)])
def test_an_edge_at_the_border_reaches_it(rows: slice) -> None:
    """A subject that the frame cuts off is not choked there."""
    alpha = np.zeros((LINES, 300), np.float32)
    alpha[:, :150] = 1
    choked = shaped(alpha, EdgeOptions(choke=8))
    np.testing.assert_allclose(choked[rows, :147], 1)
    np.testing.assert_allclose(choked[rows, 149:], 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (3, 4)])
def test_tiny_pictures(shape: tuple[int, int]) -> None:
    alpha = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    done = shaped(alpha, EdgeOptions(choke=3, feather=3, gamma=2))
    assert done.shape == shape
    assert np.isfinite(done).all()
