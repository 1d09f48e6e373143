"""Linear light: every code comes back, white is 1, and backgrounds land where they should."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from streammatte.colour import (
    LINEAR,
    SRGB,
    TRANSFER_BT709,
    TRANSFER_GAMMA22,
    TRANSFER_GAMMA28,
    TRANSFER_HLG,
    TRANSFER_LINEAR,
    TRANSFER_PQ,
    TRANSFER_SRGB,
    Colour,
    Matrix,
    from_linear,
    through_light,
    to_linear,
)
from streammatte.convert import convert, to_rgb
from streammatte.frames import Layout, Picture, VideoInfo
from streammatte.light import LIGHT, AsItIs, Linear, open_working
from streammatte.options import ColourOptions

CURVES = {
    "srgb": (TRANSFER_SRGB, 1, Matrix.BT709),
    "bt709": (TRANSFER_BT709, 1, Matrix.BT709),
    "gamma22": (TRANSFER_GAMMA22, 1, Matrix.SMPTE170M),
    "gamma28": (TRANSFER_GAMMA28, 1, Matrix.BT470BG),
    "pq": (TRANSFER_PQ, 9, Matrix.BT2020),
    "hlg": (TRANSFER_HLG, 9, Matrix.BT2020),
}
HALF = 2.0**-11
"""The largest relative error of rounding to half precision."""


def rgb_colour(curve: str) -> Colour:
    transfer, primaries, _ = CURVES[curve]
    return Colour(Matrix.RGB, True, primaries, transfer)


def yuv_colour(curve: str) -> Colour:
    transfer, primaries, matrix = CURVES[curve]
    return Colour(matrix, False, primaries, transfer)


def info_of(colour: Colour, layout: Layout) -> VideoInfo:
    return VideoInfo(None, 16, 16, layout, colour, Fraction(1, 24), Fraction(24))


def there_and_back(picture: Picture) -> tuple[Picture, Picture]:
    working = Linear(picture.colour, stays=False)
    inside = working.enter(picture)
    return inside, convert(working.leave(inside), picture.layout, picture.colour)


@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("curve", CURVES)
def test_every_code_comes_back_and_brighter_is_brighter(curve: str, depth: int) -> None:
    layout = Layout("rgb", depth)
    ramp = np.arange(1 << depth, dtype=layout.dtype).reshape(16, -1)
    grey = Picture.of([ramp] * 3, layout, rgb_colour(curve))
    inside, back = there_and_back(grey)
    assert all(np.array_equal(plane, ramp) for plane in back.planes)
    assert np.all(np.diff(inside.planes[0].ravel()) > 0)


@pytest.mark.parametrize("curve", CURVES)
def test_saturated_and_impossible_colours_come_back(curve: str) -> None:
    """Y'CbCr has codes for R'G'B' far below 0 and above 1; noise and chroma reach them."""
    random = np.random.default_rng(7)
    layout = Layout("yuv", 10)
    planes = [random.integers(4, 1020, (64, 64)).astype(np.uint16) for _ in range(3)]
    picture = Picture.of(planes, layout, yuv_colour(curve))
    inside, back = there_and_back(picture)
    assert all(map(np.array_equal, back.planes, planes))
    assert min(plane.min() for plane in inside.planes) < 0


@pytest.mark.parametrize("curve", ["srgb", "bt709", "hlg"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("chroma", [(1, 1), (1, 0), (0, 1)])
def test_subsampled_chroma_is_not_softened_on_the_way(
    chroma: tuple[int, int], centred: bool, curve: str
) -> None:
    """The hardest there is: chroma that is noise from sample to sample."""
    random = np.random.default_rng(5)
    layout = Layout("yuv", 12, *chroma)
    small = (64 >> chroma[1], 96 >> chroma[0])
    planes = [
        random.integers(1024, 3000, shape).astype(np.uint16) for shape in ((64, 96), small, small)
    ]
    colour = replace(yuv_colour(curve), centred_chroma=centred)
    _, back = there_and_back(Picture.of(planes, layout, colour))
    assert all(map(np.array_equal, back.planes, planes))


@pytest.mark.parametrize("layout", [Layout("yuv", 8), Layout("yuv", 10), Layout("rgb", 16)])
@pytest.mark.parametrize("curve", ["srgb", "bt709", "gamma22", "gamma28"])
def test_white_is_exactly_one_and_the_peak_code(curve: str, layout: Layout) -> None:
    rgb = layout.family == "rgb"
    white = [layout.peak] * 3 if rgb else [235 << (layout.depth - 8), *[layout.neutral] * 2]
    colour = rgb_colour(curve) if rgb else yuv_colour(curve)
    picture = Picture.of([np.full((2, 2), code) for code in white], layout, colour)
    inside, back = there_and_back(picture)
    assert [plane.tolist() for plane in inside.planes] == [[[1.0, 1.0]] * 2] * 3
    assert [plane[0, 0] for plane in back.planes] == white


@pytest.mark.parametrize(
    ("curve", "signal", "nits"),
    [
        ("pq", 0.5081, 100.0),  # BT.2408 table 1 and BT.2100
        ("pq", 0.5806, 203.0),
        ("pq", 1.0, 10000.0),
        ("hlg", 0.75, 203.0),
        ("hlg", 1.0, 1000.0),
    ],
)
def test_hdr_signals_are_so_bright(curve: str, signal: float, nits: float) -> None:
    grey = np.full((1, 1, 3), signal, np.float32)
    light = to_linear(grey, rgb_colour(curve))[0, 0]
    assert light * 203 == pytest.approx([nits] * 3, rel=2e-3)


@pytest.mark.parametrize("curve", ["pq", "hlg"])
def test_curves_have_no_kink_at_their_end(curve: str) -> None:
    step = 1e-3
    signal = np.array([1 - step, 1, 1 + step], np.float32)
    grey = np.repeat(signal[:, None, None], 3, axis=2)
    light = to_linear(grey, rgb_colour(curve))[:, 0, 0].astype(np.float64)
    below, above = np.diff(np.log(light))
    assert above == pytest.approx(below, rel=0.02)
    assert from_linear(to_linear(grey, rgb_colour(curve)), rgb_colour(curve)) == pytest.approx(
        grey, abs=1e-6
    )


def test_mid_greys() -> None:
    half = np.full((1, 1, 3), 0.5, np.float32)
    assert to_linear(half, rgb_colour("srgb"))[0, 0, 0] == pytest.approx(0.21404, abs=1e-5)
    assert to_linear(half, rgb_colour("bt709"))[0, 0, 0] == pytest.approx(0.18946, abs=1e-5)


def test_backgrounds_keep_their_light_in_wider_primaries() -> None:
    """BT.2087: red of BT.709 is (0.6274, 0.0691, 0.0164) in BT.2020; white stays white."""
    working = Linear(rgb_colour("pq"), stays=True)
    inside = working.inside(info_of(yuv_colour("pq"), Layout("yuv", 10)))
    for rgb, expected in [((255, 0, 0), (0.6274, 0.0691, 0.0164)), ((255, 255, 255), (1, 1, 1))]:
        red, green, blue = (np.full((2, 2), code) for code in rgb)
        picture = Picture.of([green, blue, red], Layout("rgb", 8), SRGB)
        found = to_rgb(working.adapt(picture, inside.layout, inside.colour))
        assert found[0, 0] == pytest.approx(expected, abs=HALF)


def test_what_is_brighter_than_white_survives_in_float_and_is_rolled_off_for_the_network() -> None:
    planes = [np.full((2, 2), level, np.float32) for level in (0.18, 4.0, 16.0)]
    plate = Picture.of(planes, LIGHT, LINEAR)
    working = Linear(LINEAR, stays=True)
    assert working.enter(plate) is plate
    assert working.leave(plate) is plate
    shown = working.shown(plate)
    assert shown is not None
    green, blue, red = (plane[0, 0] / shown.layout.peak for plane in shown.planes)
    assert green == pytest.approx(0.461, abs=0.002)  # sRGB of 18 per cent
    assert 0.9 < blue < red < 1


def test_what_is_shown_is_the_curve_to_the_precision_of_half() -> None:
    light = np.concatenate([np.linspace(-0.1, 1.5, 3000), np.geomspace(1e-5, 1e6, 3000)])
    plane = light.astype(np.float32).reshape(60, 100)
    shown = Linear(LINEAR, stays=True).shown(Picture.of([plane] * 3, LIGHT, LINEAR))
    assert shown is not None
    exact = through_light(np.stack([plane] * 3, -1), LINEAR, SRGB)[..., 0]
    assert np.abs(shown.planes[0] / 65535 - exact).max() < 2**-11


def test_footage_for_a_display_is_looked_at_as_it_is() -> None:
    picture = Picture.of([np.zeros((2, 2))] * 3, Layout("rgb", 8), SRGB)
    assert Linear(SRGB, stays=True).shown(picture) is None


@pytest.mark.parametrize(
    ("colour", "options", "stays", "linear"),
    [
        (SRGB, ColourOptions(), False, False),
        (SRGB, ColourOptions(linear=True), False, True),
        (SRGB, ColourOptions(), True, True),  # what is written is linear
        (LINEAR, ColourOptions(), False, True),  # what is read is
    ],
)
def test_linear_light_is_taken_where_it_is_asked_for_or_there(
    colour: Colour, options: ColourOptions, stays: bool, linear: bool
) -> None:
    layout = LIGHT if colour.is_linear else Layout("rgb", 8)
    working = open_working(info_of(colour, layout), options, stays=stays)
    assert isinstance(working, Linear if linear else AsItIs)
    outside = working.outside(info_of(colour, layout))
    assert outside.colour.is_linear == stays
    assert outside.layout.is_float == stays


def test_a_linear_plate_leaves_as_video_in_bt709() -> None:
    working = Linear(LINEAR, stays=False)
    plate = Picture.of([np.full((2, 2), 0.18946, np.float32)] * 3, LIGHT, LINEAR)
    left = working.leave(plate)
    assert left.colour.transfer == TRANSFER_BT709
    assert to_rgb(left)[0, 0] == pytest.approx([0.5] * 3, abs=1e-4)
    outside = working.outside(info_of(LINEAR, LIGHT))
    assert (outside.layout, outside.colour) == (Layout("rgb", 10), left.colour)


def test_alpha_goes_along_in_both_directions() -> None:
    layout = Layout("rgb", 16, alpha=True)
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    picture = Picture.of([ramp] * 4, layout, SRGB)
    inside, back = there_and_back(picture)
    assert inside.alpha is not None
    assert np.array_equal(inside.alpha, ramp / np.float32(65535))
    assert back.alpha is not None
    assert np.array_equal(back.alpha, ramp)
    assert inside.colour.transfer == TRANSFER_LINEAR
