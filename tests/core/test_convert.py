"""Pictures keep their meaning: exact to rounding, nothing shifts, alpha stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.colour import SRGB, TRANSFER_PQ, Colour, Matrix, rgb_from_samples, white_level
from streammatte.convert import convert, from_rgb, to_rgb
from streammatte.frames import Layout, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SD = Colour(Matrix.SMPTE170M, full_range=False)
HD = Colour(Matrix.BT709, full_range=False)
JPEG = Colour(Matrix.SMPTE170M, full_range=True, centred_chroma=True)
COLOURS = [
    SD,
    HD,
    JPEG,
    Colour(Matrix.BT709, full_range=True),
    Colour(Matrix.BT2020, full_range=False),
]
DEPTHS = (8, 9, 10, 12, 14, 16)
SAMPLINGS = [(0, 0), (1, 0), (1, 1), (0, 1)]


def whole(colour: Colour, depth: int) -> Layout:
    return Layout("rgb" if colour.matrix is Matrix.RGB else "yuv", depth)


def noise(seed: int, height: int = 12, width: int = 17) -> Array:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def smooth(height: int, width: int) -> Array:
    """A picture whose colours change slowly, so that subsampling loses next to nothing."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [0.5 + 0.4 * np.sin(x / 40 + k) * np.cos(y / 50 - k) for k in range(3)]
    return np.stack(waves, -1).astype(np.float32)


def planes_of(picture: Picture) -> list[Array]:
    return [plane.astype(np.int64) for plane in picture.planes]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("colour", [*COLOURS, SRGB, replace(SRGB, full_range=False)], ids=str)
def test_rgb_comes_back_within_half_a_code(colour: Colour, depth: int) -> None:
    """Each sample is off by half a code at most; what that is in R'G'B' is up to the matrix."""
    rgb = noise(1)
    layout = whole(colour, depth)
    back = to_rgb(from_rgb(rgb, layout, colour))
    half = 0.5 * np.abs(rgb_from_samples(colour, depth)[:, :3]).sum(axis=1)
    assert (np.abs(back - rgb) <= half * 1.02 + 1e-6).all()


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_samples_come_back_exactly(colour: Colour, depth: int) -> None:
    layout = whole(colour, depth)
    picture = from_rgb(noise(2) * 0.8 + 0.1, layout, colour)
    again = from_rgb(to_rgb(picture), layout, colour)
    for one, other in zip(picture.planes, again.planes, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_white_is_one_and_black_is_zero(
    colour: Colour, sampling: tuple[int, int], depth: int
) -> None:
    """swscale makes 0.9962 of white beyond 8 bit; here it is 1 to float32's last bits."""
    layout = Layout("yuv", depth, *sampling).stored
    for level in (1.0, 0.0):
        picture = from_rgb(np.full((5, 7, 3), level, np.float32), layout, colour)
        assert (picture.planes[1] == layout.neutral).all()
        assert (picture.planes[2] == layout.neutral).all()
        assert np.abs(to_rgb(picture) - level).max() < 1e-6
        if level:
            assert (picture.planes[0] == white_level(colour, layout.depth)).all()
        deep = convert(picture, Layout("rgb", 16), SRGB)
        assert (np.stack(deep.planes) == round(level * 65535)).all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_flat_colours_survive_every_subsampling(colour: Colour, sampling: tuple[int, int]) -> None:
    rgb = np.broadcast_to(np.float32([0.8, 0.3, 0.1]), (5, 7, 3))
    one = from_rgb(rgb, Layout("yuv", 10), colour)
    other = from_rgb(rgb, Layout("yuv", 10, *sampling), colour)
    for a, b in zip(one.planes, other.planes, strict=True):
        assert (b == a[0, 0]).all()
    assert np.abs(to_rgb(other) - rgb).max() < 2e-3


def test_nothing_to_do_gives_the_same_object() -> None:
    picture = from_rgb(noise(3), Layout("yuv", 8, 1, 1), SD)
    assert convert(picture, picture.layout, SD) is picture
    # BT.601 has two names, and what was assumed does not matter.
    other = Colour(Matrix.BT470BG, full_range=False, primaries=5, transfer=6, assumed="all")
    assert convert(picture, picture.layout, other) is picture


@pytest.mark.parametrize("sampling", [(0, 0), (1, 1)])
@pytest.mark.parametrize("deep", [9, 10, 12, 14, 16])
def test_limited_range_changes_its_depth_by_a_shift(deep: int, sampling: tuple[int, int]) -> None:
    picture = from_rgb(noise(4), Layout("yuv", 8, *sampling), HD)
    deeper = convert(picture, Layout("yuv", deep, *sampling), HD)
    for one, other in zip(planes_of(picture), planes_of(deeper), strict=True):
        assert (other == one << (deep - 8)).all()
    for one, other in zip(
        planes_of(picture), planes_of(convert(deeper, picture.layout, HD)), strict=True
    ):
        assert (other == one).all()


@pytest.mark.parametrize("deep", [10, 12, 16])
def test_full_range_changes_its_depth_by_its_peak(deep: int) -> None:
    """And grey stays grey: chroma is stretched about its middle, not about zero."""
    layout = Layout("yuv", deep, 1, 1)
    picture = Picture.empty(256, 2, Layout("yuv", 8, 1, 1), JPEG)
    for plane in picture.planes:
        plane[:] = np.linspace(0, 255, plane.shape[1]).round()
    luma, *chroma = planes_of(convert(picture, layout, JPEG))
    assert (luma == np.round(np.arange(256) * layout.peak / 255)).all()
    for old, new in zip(planes_of(picture)[1:], chroma, strict=True):
        wanted = (old - 128) * layout.peak / 255 + layout.neutral
        assert np.abs(new - np.clip(wanted, 0, layout.peak)).max() <= 0.5
    grey = from_rgb(np.full((4, 4, 3), 0.5, np.float32), Layout("yuv", 8, 1, 1), JPEG)
    assert {int(p[0, 0]) for p in convert(grey, layout, JPEG).planes[1:]} == {layout.neutral}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    source=st.sampled_from([*COLOURS, SRGB]),
    target=st.sampled_from([*COLOURS, SRGB]),
    depths=st.tuples(st.sampled_from(DEPTHS), st.sampled_from(DEPTHS)),
)
def test_conversions_agree_with_the_detour_over_rgb(
    seed: int, source: Colour, target: Colour, depths: tuple[int, int]
) -> None:
    """Whatever shortcut is taken, the result means the same, to rounding."""
    rgb = noise(seed) * 0.9 + 0.05
    primaries = 2  # else light would be needed
    source, target = (replace(c, primaries=primaries) for c in (source, target))
    picture = from_rgb(rgb, whole(source, depths[0]), source)
    result = convert(picture, whole(target, depths[1]), target)
    step = 1 / min(result.layout.peak, picture.layout.peak)
    assert np.abs(to_rgb(result) - to_rgb(picture)).max() < 2.2 * step


def test_sd_to_hd_and_back() -> None:
    picture = from_rgb(noise(7), Layout("yuv", 10), SD)
    there = convert(picture, picture.layout, HD)
    assert there.colour is HD
    back = convert(there, picture.layout, SD)
    for one, other in zip(planes_of(picture), planes_of(back), strict=True):
        assert np.abs(one - other).max() <= 1


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("sampling", [(1, 0), (1, 1), (0, 1)])
def test_chroma_does_not_shift(sampling: tuple[int, int], centred: bool) -> None:
    """The centre of gravity of a spot of colour stays where it is, down and up again."""
    colour = replace(HD, centred_chroma=centred)
    y, x = np.mgrid[:48, :64].astype(np.float64)
    at_y, at_x = 23.3, 31.7
    spot = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 50)
    flat, layout = np.full((48, 64), 2048), Layout("yuv", 12, *sampling)
    picture = Picture.of([flat, 2048 + np.round(1900 * spot), flat], Layout("yuv", 12), colour)
    small = convert(picture, layout, colour)
    weight = small.planes[1].astype(np.float64) - 2048
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]].astype(np.float64)
    in_x = columns * 2 + 0.5 * centred if layout.chroma_x else columns
    in_y = rows * 2 + 0.5 if layout.chroma_y else rows
    assert abs((weight * in_x).sum() / weight.sum() - at_x) < 0.01
    assert abs((weight * in_y).sum() / weight.sum() - at_y) < 0.01
    grown = convert(small, Layout("yuv", 12), colour).planes[1].astype(np.float64) - 2048
    assert abs((grown * x).sum() / grown.sum() - at_x) < 0.01
    assert abs((grown * y).sum() / grown.sum() - at_y) < 0.01


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("sampling", [(1, 0), (1, 1), (0, 1)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (47, 63), (48, 64)])
def test_odd_sizes_and_slow_colours_survive(
    size: tuple[int, int], sampling: tuple[int, int], centred: bool
) -> None:
    colour = replace(HD, centred_chroma=centred)
    rgb = smooth(*size)
    back = to_rgb(from_rgb(rgb, Layout("yuv", 10, *sampling), colour))
    assert back.shape == rgb.shape
    assert np.abs(back - rgb).max() < 0.03


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_up_and_down_again_keeps_smooth_chroma(sampling: tuple[int, int]) -> None:
    layout = Layout("yuv", 10, *sampling)
    picture = from_rgb(smooth(48, 64), layout, HD)
    again = convert(convert(picture, Layout("yuv", 10), HD), layout, HD)
    for one, other in zip(planes_of(picture), planes_of(again), strict=True):
        assert np.abs(one - other).max() <= 3


def with_alpha(depth: int) -> Picture:
    layout = Layout("yuv", depth, alpha=True)
    picture = from_rgb(noise(9, 16, 16), layout, HD)
    assert picture.alpha is not None
    picture.alpha[:] = np.linspace(0, layout.peak, 256).round().reshape(16, 16)
    return picture


@pytest.mark.parametrize("target", [Layout("yuv", 10, alpha=True), Layout("rgb", 16, alpha=True)])
def test_alpha_changes_its_depth_by_its_peak(target: Layout) -> None:
    """Opaque stays opaque: alpha is full range whatever the colours are."""
    colour = SRGB if target.family == "rgb" else HD
    alpha = convert(with_alpha(8), target, colour).alpha
    assert alpha is not None
    wanted = np.round(np.linspace(0, 255, 256).round().reshape(16, 16) * target.peak / 255)
    assert (alpha == wanted).all()


def test_alpha_is_opaque_where_there_was_none_and_goes_where_there_is_no_room() -> None:
    picture = from_rgb(noise(1), Layout("yuv", 8), HD)
    alpha = convert(picture, Layout("yuv", 8, alpha=True), HD).alpha
    assert alpha is not None
    assert (alpha == 255).all()
    assert convert(with_alpha(8), Layout("yuv", 8), HD).alpha is None


def test_hdr_and_sdr_are_carried_through_light() -> None:
    pq = Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=TRANSFER_PQ)
    white = from_rgb(np.ones((4, 4, 3), np.float32), Layout("rgb", 8), SRGB)
    carried = to_rgb(convert(white, Layout("yuv", 10), pq))
    assert np.abs(carried - 0.5807).max() < 2e-3
    red = from_rgb(np.float32([[[1, 0, 0]] * 4] * 4), Layout("rgb", 8), SRGB)
    wide = to_rgb(convert(red, Layout("yuv", 10), pq))[0, 0]
    assert wide[0] > wide[1] > wide[2] > 0  # BT.709's red is inside BT.2020
