"""OpenColorIO: known values, ways there and back, and what a network sees."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streammatte import api
from streammatte.colour import LINEAR, SRGB, Colour
from streammatte.convert import to_rgb
from streammatte.errors import InputError, UsageError
from streammatte.frames import Layout, Picture, VideoInfo
from streammatte.light import LIGHT, open_working
from streammatte.options import ColourOptions

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("PyOpenColorIO")


def info_of(colour: Colour, layout: Layout = LIGHT) -> VideoInfo:
    return VideoInfo(None, 4, 3, layout, colour, Fraction(1, 24), Fraction(24))


def patch(rgb: tuple[float, float, float], colour: Colour, layout: Layout = LIGHT) -> Picture:
    red, green, blue = (np.full((3, 4), level * layout.peak) for level in rgb)
    return Picture.of([green, blue, red], layout, colour)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (1, 1, 1)),
        ((0.5, 0.5, 0.5), (0.2140, 0.2140, 0.2140)),
        ((1, 0, 0), (0.6131, 0.0702, 0.0206)),
    ],
)
def test_display_colours_in_acescg(
    rgb: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    working = open_working(info_of(SRGB), ColourOptions(ocio="ocio://default"), stays=True)
    found = to_rgb(working.enter(patch(rgb, SRGB)))
    assert found[0, 0] == pytest.approx(expected, abs=1e-4)


def test_a_log_plate_comes_back_and_is_shown_as_a_display_would() -> None:
    options = ColourOptions(ocio="ocio://studio-config-latest", input_space="ARRI LogC3 (EI800)")
    deep = Layout("rgb", 16)
    plate = patch((0.391, 0.391, 0.391), SRGB, deep)  # LogC3's mid grey
    working = open_working(info_of(SRGB, deep), options, stays=False)
    inside = working.enter(plate)
    assert to_rgb(inside)[0, 0] == pytest.approx([0.18] * 3, abs=2e-3)
    assert to_rgb(working.leave(inside))[0, 0] == pytest.approx([0.391] * 3, abs=1e-4)
    shown = working.shown(plate)
    assert shown is not None
    assert to_rgb(shown)[0, 0] == pytest.approx([0.46] * 3, abs=0.02)  # sRGB's 18 per cent


def test_backgrounds_reach_the_working_space() -> None:
    working = open_working(info_of(LINEAR), ColourOptions(ocio="ocio://default"), stays=True)
    inside = working.inside(info_of(LINEAR))
    found = working.adapt(patch((1, 0, 0), SRGB, Layout("rgb", 8)), inside.layout, inside.colour)
    assert to_rgb(found)[0, 0] == pytest.approx([0.6131, 0.0702, 0.0206], abs=1e-4)


def test_what_is_unknown_is_refused_with_what_is_nearly_called_so() -> None:
    with pytest.raises(UsageError, match="did you mean 'ACEScg'"):
        open_working(info_of(LINEAR), ColourOptions(input_space="ACESgc"), stays=True)
    with pytest.raises(InputError, match="cannot read nowhere"):
        open_working(info_of(LINEAR), ColourOptions(ocio="nowhere.ocio"), stays=True)


def test_a_render_by_ocio_keeps_the_plate(tmp_path: Path) -> None:
    """Where nothing is behind, what leaves is what came."""
    report = api.render(
        "synthetic:64x48@30x2",
        tmp_path / "out.mkv",
        bg="black",
        runtime="stub",
        codec="ffv1",
        colour=ColourOptions(ocio="ocio://default"),
    )
    assert any("put together in ACEScg" in note for note in report.notes)
