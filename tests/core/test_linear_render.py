"""The proof of linear light: composites equal a*F + (1-a)*B in light, in closed form.

The footage's own alpha is the matte, so that all of the equation is known.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import clips
import cv2
import numpy as np
import pytest

from streammatte import api
from streammatte.colour import (
    SRGB,
    TRANSFER_BT709,
    TRANSFER_HLG,
    TRANSFER_PQ,
    TRANSFER_SRGB,
    Colour,
    Matrix,
)
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.light import Linear, Working, open_working
from streammatte.meters import Meters
from streammatte.options import BackgroundSpec, ColourOptions
from streammatte.sources.video_file import VideoFile
from streammatte.stages import composite
from streammatte.stages.backgrounds import open_background
from streammatte.stages.matte import take_own
from streammatte.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.options import Pass

    Make = Callable[..., Path]
    Doubles = NDArray[np.float64]

HALF = 2.0**-11
"""The largest relative error of rounding to half precision."""
DEEP = Layout("rgb", 16, alpha=True)
SIZE = (96, 64)
GREEN, RED = (0, 177, 64), (204, 0, 0)
AS_GIVEN = composite.Edges("fast", "off")
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])


# --- The closed form: the standards' own formulas, in double precision, from their text -----------


def srgb_light(code: Doubles) -> Doubles:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def pq_light(code: Doubles) -> Doubles:
    """SMPTE ST 2084, with 203 cd/m2 as 1."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = code ** (1 / m2)
    return 10000 / 203 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def hlg_light(code: Doubles) -> Doubles:
    """BT.2100 on a display of 1000 cd/m2, with 203 as 1."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return 1000 / 203 * scene * (scene @ LUMINANCE)[..., None] ** 0.2


LIGHT_OF = {
    TRANSFER_SRGB: srgb_light,
    TRANSFER_BT709: lambda code: code**2.4,
    TRANSFER_PQ: pq_light,
    TRANSFER_HLG: hlg_light,
}
BT2020_FROM_BT709 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


def stacked(picture: Picture) -> Doubles:
    """Return R, G and B as shares of the peak."""
    green, blue, red = picture.planes
    return np.stack([red, green, blue], -1) / np.float64(picture.layout.peak)


def plate(colour: Colour, index: int = 0) -> Picture:
    """Return 16 bit R'G'B' with alpha; black, white, and every shade between the two."""
    planes = clips.planes(index, SIZE, DEEP)
    for level, plane in enumerate(planes[:3]):
        plane[30, 44:48], plane[31, 44:48] = 65535, 0
        plane[32] = np.roll(np.linspace(0, 65535, SIZE[0]).astype(np.uint16), 31 * level)
    return Picture.of(planes, DEEP, colour)


def info_of(colour: Colour, layout: Layout = DEEP) -> VideoInfo:
    return VideoInfo(None, *SIZE, layout, colour, Fraction(1, 24), Fraction(24))


def composed(
    footage: Picture, spec: BackgroundSpec, working: Working, *passes: Pass
) -> dict[str, Picture]:
    info = info_of(footage.colour, footage.layout)
    wanted = composite.Wanted(passes or ("comp",), premultiplied=True)
    with Threads(serial=True) as threads:
        behind = open_background(spec, "stretch", working.inside(info), threads, working.adapt)
        mattes = take_own([Frame(footage, 0, 1, Fraction(1, 24))], SIZE)
        [frame] = composite.layers(mattes, behind, Meters(), AS_GIVEN, wanted, working)
    return dict(frame.layers)


def closed_form(footage: Picture, background: Doubles) -> Doubles:
    """Return a*F + (1-a)*B in light; the background in linear BT.709."""
    assert footage.alpha is not None
    alpha = (footage.alpha / 65535.0)[..., None]
    if footage.colour.is_wide:
        background = background @ BT2020_FROM_BT709.T
    light = LIGHT_OF[footage.colour.transfer](stacked(footage))
    return alpha * light + (1 - alpha) * background


@pytest.mark.parametrize("transfer", LIGHT_OF)
def test_over_a_colour_equals_the_closed_form_to_half_precision(transfer: int) -> None:
    wide = transfer in (TRANSFER_PQ, TRANSFER_HLG)
    footage = plate(Colour(Matrix.RGB, True, 9 if wide else 1, transfer))
    working = Linear(footage.colour, stays=True)
    comp = composed(footage, BackgroundSpec("colour", rgb=GREEN), working)["comp"]
    assert comp.layout.is_float
    background = srgb_light(np.array(GREEN) / 255.0)
    expected = closed_form(footage, np.broadcast_to(background, (*SIZE[::-1], 3)))
    assert stacked(comp) == pytest.approx(expected, rel=HALF, abs=2.0**-24)
    if not wide:
        assert np.all(stacked(comp)[30, 44:48] == 1.0)
        assert np.all(stacked(comp)[31, 44:48] == 0.0)


def test_over_a_picture_equals_the_closed_form_to_half_precision(tmp_path: Path) -> None:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    image = np.stack([x * 2, 255 - y * 3, (x + y) % 256], -1).astype(np.uint8)
    path = tmp_path / "bg.png"
    assert cv2.imwrite(str(path), image[..., ::-1])
    footage = plate(SRGB)
    spec = BackgroundSpec("file", path=str(path))
    comp = composed(footage, spec, Linear(SRGB, stays=True))["comp"]
    expected = closed_form(footage, srgb_light(image / 255.0))
    assert stacked(comp) == pytest.approx(expected, rel=HALF, abs=2.0**-24)


def test_in_the_plates_own_samples_it_does_not() -> None:
    """Else the tests above would prove nothing."""
    footage = plate(SRGB)
    spec = BackgroundSpec("colour", rgb=GREEN)
    working = open_working(info_of(SRGB), ColourOptions(), stays=False)
    comp = srgb_light(stacked(composed(footage, spec, working)["comp"]))
    expected = closed_form(
        footage, np.broadcast_to(srgb_light(np.array(GREEN) / 255.0), comp.shape)
    )
    assert np.abs(comp - expected).max() > 0.03


@pytest.mark.parametrize("stays", [True, False])
def test_premultiplied_is_alpha_times_what_the_straight_pass_says(stays: bool) -> None:
    footage = plate(SRGB)
    working = Linear(SRGB, stays=stays)
    found = composed(footage, BackgroundSpec("transparent"), working, "premult", "fgr", "comp")
    assert footage.alpha is not None
    alpha = (footage.alpha / 65535.0)[..., None]
    assert stacked(found["premult"]) == pytest.approx(alpha * stacked(found["fgr"]), abs=1e-6)
    assert stacked(found["comp"]) == pytest.approx(stacked(found["premult"]), abs=0)
    assert found["fgr"].alpha is None


# --- Whole renders ------------------------------------------------------------------------------


def rendered(source: Path, output: Path, bg: str = "#00b140", **options: Any) -> list[Picture]:
    api.render(source, output, bg=bg, runtime="stub", **options)
    with VideoFile(output) as read:
        return [frame.picture for frame in read.frames()]


def test_a_render_in_linear_light_is_the_closed_form_to_the_code(
    clip: Make, tmp_path: Path
) -> None:
    """A 16-bit file of R'G'B', from decoder to encoder."""
    source = clip("own.mkv", size=SIZE, count=2, codec="ffv1", pixel_format="gbrap16le")
    comps = rendered(source, tmp_path / "o.mkv", codec="ffv1", colour=ColourOptions(linear=True))
    with VideoFile(source) as read:
        plates = [frame.picture for frame in read.frames()]
    background = srgb_light(np.array(GREEN) / 255.0)
    for footage, comp in zip(plates, comps, strict=True):
        light = closed_form(footage, np.broadcast_to(background, (*SIZE[::-1], 3)))
        code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
        assert np.abs(stacked(comp) - code).max() * 65535 < 1
        assert footage.alpha is not None
        own = footage.alpha == 65535
        assert own.mean() > 0.2
        for before, after in zip(footage.planes, comp.planes, strict=True):
            assert np.array_equal(before[own], after[own])


@pytest.mark.parametrize(
    ("transfer", "tags"),
    [
        (TRANSFER_SRGB, (1, 1, 1, 13)),
        (TRANSFER_BT709, (1, 1, 1, 1)),
        (TRANSFER_PQ, (9, 1, 9, 16)),
        (TRANSFER_HLG, (9, 1, 9, 18)),
    ],
)
@pytest.mark.parametrize("pixel_format", ["yuva444p10le", "yuva422p10le", "yuva420p10le"])
def test_where_only_the_plate_is_seen_its_codes_come_back(
    clip: Make, tmp_path: Path, transfer: int, tags: tuple[int, int, int, int], pixel_format: str
) -> None:
    source = clip("own.mkv", size=SIZE, count=1, codec="ffv1", pixel_format=pixel_format, tags=tags)
    [comp] = rendered(source, tmp_path / "o.mkv", codec="ffv1", colour=ColourOptions(linear=True))
    with VideoFile(source) as read:
        footage = next(read.frames()).picture
    assert comp.colour.transfer == transfer
    assert comp.layout == footage.layout.with_alpha(alpha=False)
    assert footage.alpha is not None
    # A chroma sample belongs to more than one pixel: those whose neighbours are the plate's, too.
    own = cv2.erode((footage.alpha == 1023).astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert own.mean() > 0.15
    assert np.array_equal(footage.planes[0][own], comp.planes[0][own])
    layout = footage.layout
    shared = own[:: 1 << layout.chroma_y, :: 1 << layout.chroma_x]
    for before, after in zip(footage.planes[1:], comp.planes[1:], strict=True):
        assert np.array_equal(before[shared], after[shared])
