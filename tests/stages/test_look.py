"""Light from the new background wraps round edges: it adds up, and darkness adds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from streammatte.colour import LINEAR, SRGB, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Layout, Picture
from streammatte.stages.composite import blend
from streammatte.stages.look import FAR, wrapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HEIGHT, WIDTH = 270, 400
LAYOUTS = [
    (Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, full_range=False)),
    (Layout("yuv", 10, 1, 0), Colour(Matrix.SMPTE170M, full_range=True)),
    (Layout("rgb", 8), SRGB),
    (Layout("rgb", 32), LINEAR),
]


def half(layout: Layout) -> NDArray[Any]:
    """Return an alpha with the subject on the left half."""
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[:, : WIDTH // 2] = 1
    if layout.is_float:
        return alpha
    kind, whole = (np.uint8, 255) if layout.depth == 8 else (np.uint16, 65535)
    return np.asarray(alpha * whole, kind)


def scene(layout: Layout, colour: Colour, behind: Any, front: Any = 0.3) -> tuple[Picture, Picture]:
    shape = (HEIGHT, WIDTH, 3)
    back, fore = (
        from_rgb(np.broadcast_to(np.asarray(level, np.float32), shape), layout, colour)
        for level in (behind, front)
    )
    return blend(fore, back, half(layout), None), back


def wrapped_rgb(layout: Layout, colour: Colour, behind: Any, amount: float = 1) -> Floats:
    comp, back = scene(layout, colour, behind)
    return to_rgb(wrapped(comp, back, half(layout), amount))


@pytest.mark.parametrize(("layout", "colour"), LAYOUTS, ids=lambda part: getattr(part, "name", ""))
def test_a_bright_background_reaches_round_the_edge(layout: Layout, colour: Colour) -> None:
    done = wrapped_rgb(layout, colour, 0.9)[135, :, 1]
    middle = WIDTH // 2
    inside = done[:middle]
    assert (np.diff(inside) >= -0.005).all()
    assert inside[-1] > 0.3 + 0.2
    assert inside[middle - round(4 * FAR / 4)] == pytest.approx(0.3, abs=0.006)
    np.testing.assert_allclose(done[middle:], 0.9, atol=0.006)


@pytest.mark.parametrize(("layout", "colour"), LAYOUTS, ids=lambda part: getattr(part, "name", ""))
def test_darkness_adds_nothing_and_takes_nothing(layout: Layout, colour: Colour) -> None:
    comp, back = scene(layout, colour, 0.0)
    done = wrapped(comp, back, half(layout), 1.0)
    for before, after in zip(comp.planes, done.planes, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("behind", [0.02, 0.1, 0.3, 1.0])
@pytest.mark.parametrize(("layout", "colour"), LAYOUTS, ids=lambda part: getattr(part, "name", ""))
def test_nothing_gets_darker(layout: Layout, colour: Colour, behind: float) -> None:
    comp, back = scene(layout, colour, behind)
    done = wrapped(comp, back, half(layout), 1.0)
    assert (done.planes[0] >= comp.planes[0]).all()


def test_white_stays_the_limit_but_in_linear_light() -> None:
    for layout, colour in LAYOUTS:
        comp, back = scene(layout, colour, 1.0, front=0.98)
        done = to_rgb(wrapped(comp, back, half(layout), 1.0))
        if layout.is_float:
            assert done.max() > 1.3
        else:
            assert done.max() < 1.01


def test_in_linear_light_it_is_the_light_itself() -> None:
    """Twice the light behind, twice the light that is added."""
    layout, colour = LAYOUTS[3]
    once, twice = (wrapped_rgb(layout, colour, level) - 0.3 for level in (1.0, 2.0))
    inside = np.s_[:, : WIDTH // 2]
    np.testing.assert_allclose(twice[inside], 2 * once[inside], atol=1e-4)
    half_as_much = wrapped_rgb(layout, colour, 1.0, 0.5) - 0.3
    np.testing.assert_allclose(half_as_much[inside], once[inside] / 2, atol=1e-4)


def test_it_has_the_backgrounds_colour() -> None:
    for layout, colour in LAYOUTS[:3]:
        red, green, blue = wrapped_rgb(layout, colour, (0.9, 0.5, 0.2))[135, WIDTH // 2 - 4]
        assert red > green + 0.03
        assert green > blue + 0.02
        assert blue > 0.3


def test_what_the_subject_hides_does_not_shine_through() -> None:
    layout, colour = LAYOUTS[3]
    comp, back = scene(layout, colour, 0.0)
    for plane in back.planes:
        plane[:, : WIDTH // 2 - 40] = 100.0
    done = wrapped(comp, back, half(layout), 1.0)
    for before, after in zip(comp.planes, done.planes, strict=True):
        np.testing.assert_array_equal(before, after)


def test_only_the_subject_is_lit() -> None:
    """In the soft band by as much as there is of it: the rest is the background already."""
    layout, colour = LAYOUTS[3]
    front, back = (
        from_rgb(np.full((HEIGHT, WIDTH, 3), level, np.float32), layout, colour)
        for level in (0.3, 0.9)
    )
    added = []
    for share in (0.2, 0.4):
        alpha = np.full((HEIGHT, WIDTH), share, np.float32)
        comp = blend(front, back, alpha, None)
        added.append(
            to_rgb(wrapped(comp, back, alpha, 1.0))[135, 200, 0] - comp.planes[0][135, 200]
        )
    np.testing.assert_allclose(added, [0.2 * 0.8 * 0.9, 0.4 * 0.6 * 0.9], atol=1e-3)


def test_none_of_it_is_the_same_picture() -> None:
    layout, colour = LAYOUTS[0]
    comp, back = scene(layout, colour, 1.0)
    assert wrapped(comp, back, half(layout), 0.0) is comp


def test_what_is_no_number_does_not_spread() -> None:
    layout, colour = LAYOUTS[3]
    comp, back = scene(layout, colour, 0.9)
    back.planes[0][100, 205], back.planes[1][10, 203] = np.nan, np.inf
    done = wrapped(comp, back, half(layout), 1.0)
    assert all(np.isfinite(plane).all() for plane in done.planes)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 2)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    layout, colour = LAYOUTS[0]
    picture = from_rgb(np.full((*size, 3), 0.5, np.float32), layout, colour)
    done = wrapped(picture, picture, np.full(size, 128, np.uint8), 1.0)
    assert (done.planes[0] >= picture.planes[0]).all()
