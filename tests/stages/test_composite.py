"""Planar compositing: exact to rounding, and the camera's own samples where alpha is 1."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.colour import SRGB, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Frame, Layout, Matte, Picture
from streammatte.meters import Meters
from streammatte.options import Decontaminate
from streammatte.stages import composite
from streammatte.stages.backgrounds import Still

HD = Colour(Matrix.BT709, full_range=False)
LAYOUTS = [
    Layout("yuv", depth, x, y) for depth in (8, 10, 16) for x, y in ((0, 0), (1, 0), (1, 1))
] + [Layout("rgb", 8), Layout("rgb", 16)]


def noise(layout: Layout, size: tuple[int, int], seed: int, *, centred: bool = False) -> Picture:
    rng = np.random.default_rng(seed)
    colour = Colour(Matrix.BT709, full_range=False, centred_chroma=centred)
    picture = Picture.empty(*size, layout, colour if layout.family == "yuv" else SRGB)
    for plane in picture.planes:
        plane[:] = rng.integers(0, layout.peak, plane.shape, endpoint=True)
    return picture


def some_alpha(layout: Layout, size: tuple[int, int], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    soft = np.clip(rng.normal(0.5, 0.8, size[::-1]), 0, 1)
    soft[: size[1] // 2, : size[0] // 2] = 1
    return np.round(soft * np.iinfo(layout.dtype).max).astype(layout.dtype)


def matte_of(picture: Picture, alpha: Any) -> Matte:
    return Matte(
        Frame(picture, 7, 3, Fraction(1, 30)),
        np.zeros((2, 2, 3), np.uint8),
        np.asarray(alpha, np.float32),
    )


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    seed=st.integers(0, 10**6),
    centred=st.booleans(),
)
def test_a_composite_is_the_rounded_mixture_of_every_plane(
    layout: Layout, size: tuple[int, int], seed: int, centred: bool
) -> None:
    front, behind = (noise(layout, size, seed + k, centred=centred) for k in (0, 1))
    alpha = some_alpha(layout, size, seed)
    opaque = int(np.iinfo(layout.dtype).max)
    result = composite.blend(front, behind, alpha, None)
    assert (result.layout, result.colour) == (front.layout, front.colour)
    for out, f, b, a in zip(
        result.planes,
        front.planes,
        behind.planes,
        composite.plane_alphas(front, alpha),
        strict=True,
    ):
        share = a.astype(np.int64)
        exact = (2 * (share * f + (opaque - share) * b) + opaque) // (2 * opaque)
        assert (out == exact).all()
        assert (out[share == opaque] == f[share == opaque]).all()
        assert (out[share == 0] == b[share == 0]).all()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("decontaminate", ["off", "fast", "fine"])
def test_opaque_samples_are_the_cameras(layout: Layout, decontaminate: Decontaminate) -> None:
    """In every plane, whether colours of soft pixels are corrected or not, over and cut out."""
    front, behind = noise(layout, (61, 37), 1), noise(layout, (61, 37), 2)
    alpha = some_alpha(layout, (61, 37), 3)
    matte = matte_of(front, alpha / np.iinfo(layout.dtype).max)
    (over,) = composite.over(
        [matte], Still(behind), Meters(), composite.Edges("fast", decontaminate)
    )
    (cut,) = composite.cut_out([matte], composite.Edges("fast", decontaminate))
    assert (over.pts, over.duration, over.time_base) == (7, 3, Fraction(1, 30))
    for result in (over.picture, cut.picture):
        for out, plane, a in zip(
            result.planes, front.planes, composite.plane_alphas(front, alpha), strict=True
        ):
            opaque = a == np.iinfo(a.dtype).max
            assert opaque.any()
            assert (out[opaque] == plane[opaque]).all()


@pytest.mark.parametrize("layout", [*LAYOUTS, Layout("yuv", 12)], ids=lambda layout: layout.name)
def test_a_cut_out_carries_its_alpha_and_nothing_of_the_room(layout: Layout) -> None:
    alpha = some_alpha(layout, (61, 37), 3)
    alpha[20:, 30:] = 0
    share = alpha / np.iinfo(layout.dtype).max
    for decontaminate in get_args(Decontaminate):
        results = []
        for seed in (1, 2):
            front = noise(layout, (61, 37), 1)
            for plane, other in zip(
                front.planes, noise(layout, (61, 37), seed).planes, strict=True
            ):
                spare = (plane.shape[0] * 2 // 3, plane.shape[1] * 2 // 3)
                plane[spare[0] :, spare[1] :] = other[spare[0] :, spare[1] :]
            (cut,) = composite.cut_out(
                [matte_of(front, share)], composite.Edges("fast", decontaminate)
            )
            results.append(cut.picture)
        one, other_room = results
        assert one.layout == layout.with_alpha(alpha=True)
        assert one.alpha is not None
        assert np.abs(one.alpha - share * layout.peak).max() <= 0.5
        for a, b in zip(one.planes, other_room.planes, strict=True):
            inside = (a.shape[0] * 5 // 6, a.shape[1] * 5 // 6)
            assert (a[inside[0] :, inside[1] :] == b[inside[0] :, inside[1] :]).all()


@pytest.mark.parametrize("layout", [Layout("yuv", 12, 1, 1), Layout("yuv", 8, 0, 1)])
def test_a_layout_that_has_no_alpha_is_cut_out_in_one_that_has(layout: Layout) -> None:
    """Deeper, or with whole chroma."""
    rgb = np.full((24, 32, 3), (0.7, 0.4, 0.3), np.float32)
    matte = matte_of(from_rgb(rgb, layout, HD), np.ones((24, 32)))
    (cut,) = composite.cut_out([matte], composite.Edges("fast", "fast"))
    assert cut.picture.layout == layout.with_alpha(alpha=True)
    assert np.abs(to_rgb(cut.picture) - rgb).max() < 0.01


def test_without_correction_what_is_clear_is_black() -> None:
    layout = Layout("yuv", 8, 1, 1)
    matte = matte_of(noise(layout, (20, 10), 1), np.zeros((10, 20)))
    (cut,) = composite.cut_out([matte], composite.Edges("fast", "off"))
    assert [np.unique(plane).tolist() for plane in cut.picture.planes] == [[16], [128], [128]]
    assert cut.picture.alpha is not None
    assert not cut.picture.alpha.any()


@pytest.mark.parametrize("centred", [True, False])
def test_chroma_alpha_does_not_shift(centred: bool) -> None:
    """A soft edge lies in the same place in luma and chroma, wherever chroma is sited."""
    layout = Layout("yuv", 8, 1, 1)
    picture = noise(layout, (64, 48), 1, centred=centred)
    x = np.arange(64)
    edge = np.clip((x - 30.2) / 20 + 0.5, 0, 1)
    alpha = np.round(255 * edge)[None].repeat(48, 0).astype(np.uint8)
    _, chroma, _ = composite.plane_alphas(picture, alpha)
    places = 2 * np.arange(32) + 0.5 * centred
    wanted = 255 * np.clip((places - 30.2) / 20 + 0.5, 0, 1)
    assert np.abs(chroma[5, 12:19] - wanted[12:19]).max() <= 1


def test_results_come_one_by_one() -> None:
    layout = Layout("yuv", 8, 1, 1)
    mattes = [matte_of(noise(layout, (16, 16), i), np.ones((16, 16))) for i in range(3)]
    asked = iter(mattes)
    results = composite.over(
        asked, Still(mattes[0].frame.picture), Meters(), composite.Edges("fast", "fast")
    )
    next(results)
    assert next(asked) is mattes[1]
