"""Soft pixels lose the old background's colour: measured against a foreground that is known."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streammatte.colour import LINEAR, SRGB, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.stages import composite
from streammatte.stages.foreground import Quality, black, local_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HD = Colour(Matrix.BT709, full_range=False)


def scene(height: int = 270, width: int = 480) -> tuple[Floats, Floats, Floats]:
    """Return foreground, background and alpha: a furry disc before a green wall."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.arctan2(y - height / 2, x - width / 2)
    rim = height * (0.32 + 0.04 * np.sin(40 * angle))
    alpha = np.clip((rim - np.hypot(x - width / 2, y - height / 2)) / 14 + 0.5, 0, 1)
    shade = 0.12 * np.sin(x / 9) * np.sin(y / 7)
    front = np.stack([0.55 + shade, 0.35 + shade, 0.25 + shade / 2], -1)
    back = np.stack([0.1 + shade / 3, 0.75 + shade / 3, 0.2 + shade / 3], -1)
    return front.astype(np.float32), back.astype(np.float32), alpha.astype(np.float32)


LAYOUTS = [
    Layout("yuv", 8, 1, 1),
    Layout("yuv", 8, 1, 0),
    Layout("yuv", 8),
    Layout("yuv", 10, 1, 1),
    Layout("rgb", 8),
]


def matte_of(layout: Layout) -> tuple[Matte, Floats, Floats]:
    front, back, alpha = scene()
    colour = HD if layout.family == "yuv" else SRGB
    mixed = alpha[..., None] * front + (1 - alpha[..., None]) * back
    picture = from_rgb(mixed, layout, colour)
    view = np.zeros((2, 2, 3), np.uint8)
    return Matte(Frame(picture, 0, 1, Fraction(1, 25)), view, alpha), front, mixed


def soft_error(rgb: Floats, truth: Floats, alpha: Floats) -> float:
    """Mean of ``|alpha (F^ - F)|`` where alpha is soft, in codes of 8 bits."""
    soft = (alpha > 0.02) & (alpha < 0.98)
    return float(255 * np.abs(alpha[..., None] * (rgb - truth))[soft].mean())


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_decontaminated_colours_are_far_nearer_to_the_truth(layout: Layout) -> None:
    matte, front, mixed = matte_of(layout)
    (clean,) = composite.cut_out([matte], composite.Edges("fast", "fast"))
    before = soft_error(mixed, front, matte.alpha)
    after = soft_error(to_rgb(clean.picture), front, matte.alpha)
    assert before > 10
    assert after < 0.45 * before


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_over_a_new_background_the_fringe_is_gone(layout: Layout) -> None:
    matte, front, _ = matte_of(layout)
    picture = matte.frame.picture
    behind = from_rgb(np.zeros_like(front), layout, picture.colour)
    means = local_means(picture, matte.alpha, VideoReformatter())
    full = composite.full_size(matte)
    truth = matte.alpha[..., None] * front
    soft = (matte.alpha > 0.02) & (matte.alpha < 0.98)
    errors = [
        np.abs(to_rgb(composite.blend(picture, behind, full, m)) - truth)[soft].mean()
        for m in (None, means)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_the_means_are_those_of_either_side() -> None:
    matte, _, _ = matte_of(Layout("yuv", 8))
    means = local_means(matte.frame.picture, matte.alpha, VideoReformatter())
    assert means.shape == (3, 135, 240, 2)
    assert means.dtype == np.float32
    assert means.flags.c_contiguous
    colours = [
        from_rgb(np.full((1, 1, 3), rgb, np.float32), Layout("yuv", 8), HD)
        for rgb in ((0.55, 0.35, 0.25), (0.1, 0.75, 0.2))
    ]
    middle, corner = means[:, 67, 120, 0], means[:, 8, 8, 1]
    for mean, colour in zip((middle, corner), colours, strict=True):
        wanted = [float(plane[0, 0]) for plane in colour.planes]
        assert np.abs(mean - wanted).max() < 12


def test_where_there_is_nothing_of_a_layer_its_mean_is_black() -> None:
    matte, _, _ = matte_of(Layout("yuv", 8, 1, 1))
    picture = matte.frame.picture
    for alpha, layer in ((0.0, 0), (1.0, 1)):
        nothing = np.full_like(matte.alpha, alpha)
        means = local_means(picture, nothing, VideoReformatter())[..., layer]
        assert np.abs(means - black(picture)[:, None, None]).max() < 0.5


@pytest.mark.parametrize(
    ("layout", "colour", "wanted"),
    [
        (Layout("yuv", 8, 1, 1), HD, (16, 128, 128)),
        (Layout("yuv", 10, 1, 1), HD, (64, 512, 512)),
        (Layout("yuv", 8, 1, 1), Colour(Matrix.SMPTE170M, full_range=True), (0, 128, 128)),
        (Layout("rgb", 8), SRGB, (0, 0, 0)),
    ],
)
def test_black(layout: Layout, colour: Colour, wanted: tuple[int, int, int]) -> None:
    assert tuple(black(Picture.empty(4, 4, layout, colour))) == wanted


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (50, 20)])
def test_tiny_pictures_have_means_too(size: tuple[int, int]) -> None:
    picture = from_rgb(np.full((*size, 3), 0.5, np.float32), Layout("yuv", 8, 1, 1), HD)
    means = local_means(picture, np.full(size, 0.5, np.float32), VideoReformatter())
    assert np.isfinite(means).all()
    assert means.min() >= 0
    assert means.max() <= 255


# ---- linear light

LIGHT = Layout("rgb", 32)
WAYS: list[Quality] = ["fast", "fine"]


def lit() -> tuple[Floats, Floats, Floats]:
    """Return foreground, mixture and alpha in linear light, before a wall four times white."""
    front, back, alpha = scene()
    share = alpha[..., None]
    return front, np.asarray(share * front + (1 - share) * 5 * back, np.float32), alpha


def own_colours(seen: Floats, alpha: Floats, how: Quality) -> Floats:
    picture = composite.with_room(from_rgb(seen, LIGHT, LINEAR))
    means = local_means(picture, alpha, VideoReformatter(), how)
    assert np.isfinite(means).all()
    return to_rgb(composite.isolate(picture, alpha, means))


@pytest.mark.parametrize("how", WAYS)
def test_light_brighter_than_white_is_taken_out(how: Quality) -> None:
    front, mixed, alpha = lit()
    after = soft_error(own_colours(mixed, alpha, how), front, alpha)
    assert after < 0.15 * soft_error(mixed, front, alpha)


@pytest.mark.parametrize("how", WAYS)
def test_glints_do_not_spread(how: Quality) -> None:
    front, mixed, alpha = lit()
    plain = soft_error(own_colours(mixed, alpha, how), front, alpha)
    glints = np.zeros(alpha.shape, bool)
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, (262, 472), (30, 2)):
        glints[y : y + 5, x : x + 5] = True
    mixed[glints] = 50
    counted = np.where(glints, 0, alpha).astype(np.float32)
    assert soft_error(own_colours(mixed, alpha, how), front, counted) < plain + 3


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_no_number_stays_where_it_is(how: Quality, value: float) -> None:
    _, mixed, alpha = lit()
    plain = own_colours(mixed, alpha, how)
    bad = np.zeros(alpha.shape, bool)
    bad[::37, ::41] = True
    mixed[bad] = value
    done = own_colours(mixed, alpha, how)
    assert np.isfinite(done[~bad]).all()
    near = ~bad & (alpha < 1)
    assert np.abs(done - plain)[near].mean() < 0.01
    kept = done[bad & (alpha == 1)]
    assert ((kept == np.float32(value)) | np.isnan(kept)).all()


def test_negative_and_bright_samples_are_kept_where_the_subject_is_opaque() -> None:
    _, mixed, alpha = lit()
    mixed[130:140, 230:250] = (-0.2, 70, 3)
    done = own_colours(mixed, alpha, "fast")
    np.testing.assert_array_equal(done[alpha == 1], mixed[alpha == 1])


def test_in_motion_blur_the_layers_are_looked_for_further_away() -> None:
    """A band of soft alpha that is wider than the first window."""
    x = np.arange(480, dtype=np.float32)
    alpha = np.tile(np.clip((x - 200) / 30, 0, 1), (270, 1)).astype(np.float32)
    front, back = (np.full((270, 480, 3), level, np.float32) for level in (0.7, 0.1))
    mixed = np.asarray(alpha[..., None] * front + (1 - alpha[..., None]) * back, np.float32)
    done = own_colours(mixed, alpha, "fast")
    assert soft_error(done, front, alpha) < 0.5 * soft_error(mixed, front, alpha)
