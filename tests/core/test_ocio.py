"""OpenColorIO: known values, ways there and back, and what a network sees."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streammatte import api
from streammatte.colour import (
    LINEAR,
    SRGB,
    TRANSFER_BT709,
    TRANSFER_HLG,
    TRANSFER_PQ,
    Colour,
)
from streammatte.convert import convert, to_rgb
from streammatte.errors import InputError, UsageError
from streammatte.frames import Layout, Picture, VideoInfo
from streammatte.light import LIGHT, open_working
from streammatte.ocio import OcioWorking
from streammatte.options import ColourOptions
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Make = Callable[..., Path]

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


STUDIO = "ocio://studio-config-latest"
LOGC3 = "ARRI LogC3 (EI800)"


def random_plate(layout: Layout, colour: Colour) -> Picture:
    random = np.random.default_rng(3)
    shape = (24, 32)
    if layout.is_float:
        planes = [random.gamma(1.0, 0.5, shape).astype(np.float32) for _ in range(3)]
    else:
        planes = [random.integers(0, layout.peak + 1, shape).astype(layout.dtype) for _ in range(3)]
    return Picture.of(planes, layout, colour)


@pytest.mark.parametrize(
    ("space", "colour", "limit"),
    [
        (LOGC3, SRGB, 0),
        ("ACEScct", SRGB, 0),
        (None, SRGB, 0),
        (None, replace(SRGB, transfer=TRANSFER_HLG, primaries=9), 0),
        (None, replace(SRGB, transfer=TRANSFER_PQ, primaries=9), 2),
        (None, replace(SRGB, transfer=TRANSFER_BT709), 2),
    ],
)
def test_ten_bit_codes_come_back(space: str | None, colour: Colour, limit: int) -> None:
    """A matrix in float32 loses digits of a channel beside a much brighter one: see the limits."""
    layout = Layout("rgb", 10)
    plate = random_plate(layout, colour)
    options = ColourOptions(ocio=STUDIO, input_space=space)
    working = open_working(info_of(colour, layout), options, stays=False)
    outside = working.outside(info_of(colour, layout))
    back = convert(working.leave(working.enter(plate)), layout, outside.colour)
    errors = [
        np.abs(before.astype(int) - after)
        for before, after in zip(plate.planes, back.planes, strict=True)
    ]
    assert np.max(errors) <= limit
    assert np.mean(errors) < 0.01
    assert (outside.colour.transfer, outside.colour.primaries) == (
        colour.transfer,
        colour.primaries,
    )


def test_a_scene_linear_plate_is_not_touched_and_white_is_one() -> None:
    working = open_working(info_of(LINEAR), ColourOptions(ocio="ocio://default"), stays=True)
    plate = random_plate(LIGHT, LINEAR)
    left = working.leave(working.enter(plate))
    assert all(map(np.array_equal, left.planes, plate.planes))
    assert left.colour.space == "ACEScg"
    white = open_working(info_of(SRGB), ColourOptions(ocio="ocio://default"), stays=True)
    assert to_rgb(white.enter(patch((1, 1, 1), SRGB))).min() == 1.0
    assert to_rgb(white.enter(patch((1, 1, 1), SRGB))).max() == 1.0


def test_a_log_render_mixes_in_acescg_and_keeps_the_plate(tmp_path: Path, clip: Make) -> None:
    """In closed form: ways in and out by OpenColorIO itself, the mix in double precision."""
    import PyOpenColorIO

    source = clip("log.mkv", size=(96, 64), count=1, codec="ffv1", pixel_format="gbrap16le")
    output = tmp_path / "o.mkv"
    colour = ColourOptions(ocio=STUDIO, input_space=LOGC3)
    report = api.render(source, output, bg="#00b140", runtime="stub", codec="ffv1", colour=colour)
    assert any(
        f"from {LOGC3}, put together in ACEScg, written as {LOGC3}" in n for n in report.notes
    )
    with VideoFile(source) as before, VideoFile(output) as after:
        plate, comp = next(before.frames()).picture, next(after.frames()).picture
    assert plate.alpha is not None
    own = plate.alpha == 65535
    for one, other in zip(plate.planes, comp.planes, strict=True):
        assert np.abs(one[own].astype(int) - other[own]).max() <= 2  # of 65535

    def way(source: str, target: str, rgb: NDArray[np.float32]) -> NDArray[np.float32]:
        config = PyOpenColorIO.Config.CreateFromFile(STUDIO)
        packed = np.array(rgb, np.float32, order="C")
        config.getProcessor(source, target).getDefaultCPUProcessor().applyRGB(packed)
        return packed

    alpha = (plate.alpha / 65535)[..., None]
    green = np.array([[[0, 177, 64]]], np.float32) / 255
    light = alpha * way(LOGC3, "ACEScg", to_rgb(plate)) + (1 - alpha) * way(
        "sRGB - Texture", "ACEScg", green
    )
    expected = way("ACEScg", LOGC3, light.astype(np.float32))
    assert to_rgb(comp) == pytest.approx(expected, abs=2.0**-11)


def test_the_default_spaces() -> None:
    def spaces(colour: Colour, *, stays: bool, **named: str) -> tuple[str, str, str]:
        layout = LIGHT if colour.is_linear else Layout("rgb", 10)
        options = ColourOptions(ocio=STUDIO, **named)
        working = OcioWorking(options, info_of(colour, layout), stays=stays)
        return working.input, working.working, working.output

    srgb, video = "sRGB Encoded Rec.709 (sRGB)", "Gamma 2.4 Encoded Rec.709"
    assert spaces(SRGB, stays=False) == (srgb, "ACEScg", srgb)
    assert spaces(SRGB, stays=True) == (srgb, "ACEScg", "ACEScg")
    assert spaces(LINEAR, stays=True) == ("ACEScg", "ACEScg", "ACEScg")
    assert spaces(LINEAR, stays=False) == ("ACEScg", "ACEScg", video)
    untagged = replace(SRGB, transfer=2)
    assert spaces(untagged, stays=False)[0] == video
    hlg = replace(SRGB, transfer=TRANSFER_HLG, primaries=9)
    assert spaces(hlg, stays=False)[0] == "Rec.2100-HLG - Display"
    named = spaces(
        SRGB, stays=True, input_space=LOGC3, working_space="lin_rec709", output_space="lin_ap0"
    )
    assert named == (LOGC3, "Linear Rec.709 (sRGB)", "ACES2065-1")


def test_what_the_configuration_lacks_is_asked_for() -> None:
    hlg = replace(SRGB, transfer=TRANSFER_HLG, primaries=9)
    with pytest.raises(UsageError, match=r"--input-space: .* no 'Rec.2100-HLG - Display'"):
        open_working(info_of(hlg), ColourOptions(ocio="ocio://default"), stays=True)
    wide = replace(SRGB, transfer=14, primaries=9)
    with pytest.raises(UsageError, match="in standard range; give --input-space"):
        open_working(info_of(wide), ColourOptions(ocio="ocio://default"), stays=True)
    with pytest.raises(InputError, match="built in: cg-config"):
        open_working(info_of(SRGB), ColourOptions(ocio="ocio://nothing"), stays=True)
    with pytest.raises(UsageError, match="it has 25 spaces"):
        open_working(info_of(SRGB), ColourOptions(working_space="zzzzzz"), stays=True)


def test_a_working_space_that_is_not_linear_is_told() -> None:
    options = ColourOptions(ocio="ocio://default", working_space="ACEScct")
    working = open_working(info_of(SRGB), options, stays=False)
    assert any("ACEScct is not linear" in note for note in working.notes)


def test_the_environments_configuration_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import PyOpenColorIO

    path = tmp_path / "show.ocio"
    config = PyOpenColorIO.Config.CreateFromFile("ocio://default")
    config.setName("our show")
    path.write_text(config.serialize())
    monkeypatch.setenv("OCIO", str(path))
    working = open_working(info_of(SRGB), ColourOptions(working_space="ACEScg"), stays=True)
    assert working.notes[0].startswith("OpenColorIO our show:")
    named = open_working(info_of(SRGB), ColourOptions(ocio="ocio://default"), stays=True)
    assert "cg-config" in named.notes[0]


def test_chromaticities_of_what_is_written() -> None:
    def written(space: str) -> tuple[float, ...] | None:
        options = ColourOptions(ocio=STUDIO, output_space=space)
        return OcioWorking(options, info_of(LINEAR), stays=True).chromaticities

    assert written("ACEScg") == pytest.approx(
        (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
    )
    assert written("Linear Rec.709 (sRGB)") == pytest.approx(
        (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
    )
    assert written(LOGC3) is None


def test_footage_for_a_display_is_looked_at_as_it_is_and_highlights_of_log_are_kept() -> None:
    deep = Layout("rgb", 16)
    display = open_working(info_of(SRGB, deep), ColourOptions(ocio=STUDIO), stays=True)
    assert display.shown(patch((0.5, 0.5, 0.5), SRGB, deep)) is None
    options = ColourOptions(ocio=STUDIO, input_space=LOGC3)
    log = open_working(info_of(SRGB, deep), options, stays=True)
    seen = [log.shown(patch((code,) * 3, SRGB, deep)) for code in (0.0928, 0.57, 0.8, 0.95)]
    greys = [to_rgb(picture)[0, 0, 1] for picture in seen if picture is not None]
    assert greys[0] == pytest.approx(0, abs=0.01)  # LogC3's black
    assert greys == sorted(greys)
    assert greys[3] < 1  # brighter than white, and not clipped
    assert greys[3] > greys[2] > greys[1] + 0.01


def test_video_in_another_space_gets_that_spaces_tags(tmp_path: Path, clip: Make) -> None:
    source = clip("sdr.mkv", size=(96, 64), count=1, codec="ffv1", pixel_format="yuv422p10le")
    output = tmp_path / "pq.mkv"
    colour = ColourOptions(ocio=STUDIO, output_space="Rec.2100-PQ - Display")
    api.render(source, output, bg="white", runtime="stub", codec="ffv1", colour=colour)
    with VideoFile(output) as read:
        found = read.info.colour
        white = to_rgb(next(read.frames()).picture)[0, 0]
    assert (found.matrix, found.primaries, found.transfer) == (9, 9, TRANSFER_PQ)
    assert white == pytest.approx([0.508] * 3, abs=2e-3)  # ACES: 1 is 100 cd/m2
