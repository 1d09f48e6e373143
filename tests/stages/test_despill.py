"""A key screen's light is found, taken out of edges and reflections, and never out of skin."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streammatte.colour import LINEAR, SRGB, Colour, Matrix, from_linear, to_linear
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.meters import Meters
from streammatte.options import LookOptions
from streammatte.sources.video_file import VideoFile
from streammatte.stages import composite
from streammatte.stages.despill import LUMINANCE, PAINTS, Light, Screen, despilled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HD = Colour(Matrix.BT709, full_range=False)


def light_of(red: int, green: int, blue: int) -> Light:
    most = max(red, green, blue)
    return Light([red, green, blue].index(most), (red / most, green / most, blue / most))


GREEN, BLUE = light_of(*PAINTS["green"]), light_of(*PAINTS["blue"])
LAYOUTS = [
    Layout("yuv", 8, 1, 1),
    Layout("yuv", 10, 1, 0),
    Layout("yuv", 16),
    Layout("rgb", 8),
    Layout("rgb", 16),
    Layout("rgb", 32),
]
SKIN = np.array(
    [(255, 224, 189), (234, 192, 134), (255, 205, 148), (198, 134, 66), (141, 85, 36), (88, 52, 30),
     (60, 36, 24), (255, 233, 220), (205, 170, 125), (240, 200, 160)], np.float32
) / 255  # fmt: skip


def flat(rgb: Any, layout: Layout, side: int = 16) -> Picture:
    colour = HD if layout.family == "yuv" else SRGB
    samples = np.broadcast_to(np.asarray(rgb, np.float32), (side, side, 3))
    return from_rgb(samples, layout, colour)


def cleaned(
    rgb: Any, layout: Layout, alpha: float = 1.0, light: Light = GREEN, amount: float = 1
) -> Floats:
    picture = flat(rgb, layout)
    whole = {8: 255, 32: 1}.get(layout.depth, 65535)
    full = np.full((16, 16), alpha * whole).astype(layout.dtype)
    return np.asarray(to_rgb(despilled(picture, full, light, amount))[8, 8], np.float32)


def spilt(rgb: Any, light: Light, much: float) -> Floats:
    return np.asarray(np.asarray(rgb) + much * np.array(light.rgb), np.float32)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("light", [GREEN, BLUE])
def test_spill_on_grey_goes_with_its_tint(layout: Layout, light: Light) -> None:
    """Added light of the screen's colour goes in all three channels; some comes back as grey."""
    grey = np.full(3, 0.3)
    seen = spilt(grey, light, 0.2)
    done = cleaned(seen, layout, light=light)
    assert np.ptp(done) < 0.02
    assert 0.29 < done.mean() < 0.3 + 0.25 * 0.2
    luminance = [float(LUMINANCE @ each) for each in (grey, done, seen)]
    assert luminance[0] - 0.01 <= luminance[1] < luminance[2] or light is BLUE


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_skin_is_untouched_to_the_last_bit(layout: Layout) -> None:
    for tone in SKIN:
        for light in (GREEN, BLUE):
            picture = flat(tone, layout)
            whole = {8: 255, 32: 1}.get(layout.depth, 65535)
            alpha = np.full((16, 16), whole, layout.dtype)
            done = despilled(picture, alpha, light, 1.0)
            for before, after in zip(picture.planes, done.planes, strict=True):
                np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ["asl_help.mkv", "asl_book.mkv"])
def test_filmed_skin_is_untouched(footage: Callable[[str], Path], name: str) -> None:
    """Where the picture has the colours of skin (Chai and Ngan 1999), no sample changes."""
    with VideoFile(footage(name)) as source:
        for index, frame in enumerate(source.frames()):
            if index % 40 or index > 160:
                continue
            picture = frame.picture
            _, cb, cr = (plane.astype(int) for plane in picture.planes)
            skin = (cb >= 77) & (cb <= 127) & (cr >= 137) & (cr <= 173)
            alpha = np.full((picture.height, picture.width), 255, np.uint8)
            done = despilled(picture, alpha, GREEN, 1.0)
            assert skin.sum() > 500
            for before, after in zip(picture.planes[1:], done.planes[1:], strict=True):
                np.testing.assert_array_equal(before[skin], after[skin])


def test_the_clearer_a_pixel_the_more_of_it_is_spill() -> None:
    """On warm colours only the average tells; it counts where the screen shone through."""
    hair = spilt((0.4, 0.28, 0.18), GREEN, 0.1)
    greens = [cleaned(hair, Layout("rgb", 32), alpha)[1] for alpha in (1, 0.7, 0.3)]
    assert greens[0] == pytest.approx(hair[1])
    assert greens[0] > greens[1] > greens[2]
    assert greens[2] > 0.28 - 0.01


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_amount_is_linear(layout: Layout) -> None:
    seen = spilt((0.3, 0.3, 0.3), GREEN, 0.2)
    none, half, whole = (cleaned(seen, layout, amount=share)[1] for share in (0, 0.5, 1))
    assert none == pytest.approx(seen[1], abs=0.01)
    assert half == pytest.approx((none + whole) / 2, abs=0.01)


def test_an_amount_of_nothing_is_nothing() -> None:
    picture = flat((0, 1, 0), Layout("yuv", 8, 1, 1))
    assert despilled(picture, np.full((16, 16), 255, np.uint8), GREEN, 0) is picture


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("rgb", [(0, 1, 0), (0, 0.05, 0), (0, 0.69, 0.25), (1, 1, 0), (0, 1, 1)])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_no_colour_leaves_the_range(layout: Layout, rgb: Any, alpha: float) -> None:
    done = cleaned(rgb, layout, alpha)
    assert done.min() > (-1e-6 if layout.family == "rgb" else -0.3)
    assert done.max() < (1.001 if layout.family == "rgb" else 1.1)


def test_in_linear_light_it_is_exact() -> None:
    """Spill is light that was added: with nothing given back, what was there before comes back."""
    truth = np.full(3, 0.2, np.float32)
    light = to_linear(np.array(GREEN.rgb, np.float32), SRGB)
    seen = from_rgb(
        np.broadcast_to((truth + 0.3 * light).astype(np.float32), (8, 8, 3)),
        Layout("rgb", 32),
        LINEAR,
    )
    done = to_rgb(despilled(seen, np.ones((8, 8), np.float32), GREEN, 1.0))[4, 4]
    given_back = 0.2 * 0.3 * float(LUMINANCE @ light)
    np.testing.assert_allclose(done, truth + given_back, atol=1e-4)


def test_what_is_no_number_stays_where_it_is_and_highlights_pass() -> None:
    planes = [np.full((4, 4), level, np.float32) for level in (60.0, 50.0, 55.0)]
    planes[0][1, 1], planes[1][2, 2] = np.nan, np.inf
    picture = Picture.of(planes, Layout("rgb", 32), LINEAR)
    done = despilled(picture, np.ones((4, 4), np.float32), GREEN, 1.0)
    bad = [~np.isfinite(plane) for plane in done.planes]
    assert [int(each.sum()) for each in bad] == [1, 1, 0]
    assert done.planes[0][0, 0] < 60
    assert done.planes[2][0, 0] < 56


def test_alpha_and_untouched_pixels_stay() -> None:
    layout = Layout("yuv", 8, 1, 1, alpha=True)
    rgb = np.full((32, 32, 3), 0.5, np.float32)
    rgb[8:16, 8:16] = (0.3, 0.6, 0.3)
    picture = from_rgb(rgb, layout, HD)
    assert picture.alpha is not None
    picture.alpha[:] = np.arange(32)
    done = despilled(picture, np.full((32, 32), 255, np.uint8), GREEN, 1.0)
    assert done.alpha is not None
    np.testing.assert_array_equal(done.alpha, picture.alpha)
    np.testing.assert_array_equal(done.planes[0][20:], picture.planes[0][20:])
    assert (done.planes[0][10:14, 10:14] < picture.planes[0][10:14, 10:14]).all()


# ---- which screen


def matte(behind: Any, subject: Any = (0.8, 0.5, 0.4), noise: int = 0) -> Matte:
    rng = np.random.default_rng(noise)
    view = np.full((64, 96, 3), behind, np.float32)
    alpha = np.zeros((64, 96), np.float32)
    alpha[20:, 30:60] = 1
    view[alpha == 1] = subject
    view += rng.normal(0, 0.01, view.shape)
    seen = np.clip(view * 255, 0, 255).astype(np.uint8)
    picture = from_rgb((seen / 255).astype(np.float32), Layout("rgb", 8), SRGB)
    return Matte(Frame(picture, noise, 1, Fraction(1, 25)), seen, alpha)


SCREENS = {
    "paint": (0, 177, 64), "dim": (20, 90, 40), "bright": (90, 220, 110), "warm": (90, 170, 70),
    "digital": (0, 255, 0), "filmed": (38, 148, 84),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_green_screens_are_found(name: str) -> None:
    rgb = np.array(SCREENS[name]) / 255
    light = Screen("auto").behind(matte(rgb))
    assert light is not None
    assert light.channel == 1
    np.testing.assert_allclose(light.rgb, rgb / rgb[1], atol=0.06)


@pytest.mark.parametrize("rgb", [(0, 71, 187), (20, 60, 170), (10, 30, 120)])
def test_blue_screens_are_found(rgb: tuple[int, ...]) -> None:
    light = Screen("auto").behind(matte(np.array(rgb) / 255))
    assert light is not None
    assert light.channel == 2


@pytest.mark.parametrize(
    "rgb",
    [(120, 120, 120), (80, 140, 40), (60, 90, 40), (110, 160, 220), (135, 206, 235), (200, 80, 60),
     (0, 0, 0), (150, 170, 150)],
)  # fmt: skip
def test_walls_lawns_and_skies_are_no_screens(rgb: tuple[int, ...]) -> None:
    assert Screen("auto").behind(matte(np.array(rgb) / 255)) is None


def test_a_screen_is_decided_once_a_shot() -> None:
    green, grey = np.array(SCREENS["paint"]) / 255, np.full(3, 0.5)
    screen = Screen("auto")
    first = screen.behind(matte(green))
    for index in range(1, 4):  # somebody walks by, the light changes: the same shot
        assert screen.behind(matte(green * (1 + 0.03 * index), noise=index)) is first
    nothing = Screen("auto")
    assert nothing.behind(matte(grey)) is None
    assert nothing.behind(matte(grey, noise=1)) is None


def test_after_a_cut_it_is_decided_anew() -> None:
    rng = np.random.default_rng(1)
    screen = Screen("auto")
    assert screen.behind(matte(np.array(SCREENS["paint"]) / 255)) is not None
    blocks = rng.integers(0, 2, (8, 12, 1)) * np.array([0.6, 0.5, 0.5]) + 0.1
    other = matte(np.kron(blocks, np.ones((8, 8, 1))))
    assert screen.behind(other) is None


def test_it_waits_until_anything_of_the_background_is_seen() -> None:
    green = np.array(SCREENS["paint"]) / 255
    screen = Screen("auto")
    full = matte(green)
    hidden = Matte(full.frame, full.view, np.ones_like(full.alpha))
    assert screen.behind(hidden) is None
    assert screen.behind(full) is not None


@pytest.mark.parametrize("wish", ["green", "blue"])
def test_a_screen_that_was_named_needs_not_be_seen(wish: Any) -> None:
    light = Screen(wish).behind(matte(np.full(3, 0.5)))
    assert light is not None
    np.testing.assert_allclose(light.rgb, np.array(PAINTS[wish]) / max(PAINTS[wish]), atol=1e-6)
    assert Screen("off").behind(matte(np.array(SCREENS["paint"]) / 255)) is None


def test_in_a_cut_out_fringe_and_spill_go() -> None:
    green = np.array(SCREENS["paint"]) / 255
    truth = np.array([0.5, 0.5, 0.5])
    one = matte(green, spilt(truth, GREEN, 0.15))
    errors = []
    for despill in ("off", "auto"):
        wanted = composite.Wanted(look=LookOptions(despill))
        (frame,) = composite.layers([one], None, Meters(), wanted=wanted)
        errors.append(float(np.abs(to_rgb(frame.picture)[one.alpha == 1] - truth).mean()))
    assert errors[1] < 0.4 * errors[0]


def test_linear_plates_are_judged_by_how_they_look() -> None:
    green = np.array(SCREENS["paint"], np.float32) / 255
    one = matte(green)
    light = Screen("auto").behind(one)
    assert light is not None
    spill = to_linear(np.asarray(green, np.float32), SRGB) * np.float32(0.1)
    picture = from_rgb(
        np.broadcast_to(np.float32(0.2) + spill, (8, 8, 3)), Layout("rgb", 32), LINEAR
    )
    done = to_rgb(despilled(picture, np.ones((8, 8), np.float32), light, 1.0))
    assert np.ptp(from_linear(done[0, 0], SRGB)) < 0.01
