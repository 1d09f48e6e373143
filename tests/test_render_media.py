"""Whole renders, measured against their sources: synthesised clips and real footage."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import clips
import numpy as np
import pytest
from clips import Sound

import streammatte
from streammatte.errors import InputError, StreamMatteError
from streammatte.frames import Layout
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.pipeline import Report

    Make = Callable[..., Path]

GREEN = "#00b140"
VFR = (0, 300, 901, 1500, 2750, 2800, 3333, 4096, 4500, 6001, 7000, 9999)


def render(source: Path, output: Path, bg: str = GREEN, **options: Any) -> Report:
    return streammatte.render(source, output, bg=bg, runtime="stub", **options)


def disc(path: Path) -> Any:
    """Return where the stub's matte is certainly 1: well inside its disc, in upright pixels."""
    with VideoFile(path) as source:
        width, height = source.info.width, source.info.height
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / min(width, height)
    return distance < 0.2, distance > 0.48


def pictures(path: Path) -> list[list[Any]]:
    with VideoFile(path) as source:
        return [[np.array(plane) for plane in f.picture.planes] for f in source.frames()]


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv", "o.webm"])
@pytest.mark.parametrize("name", ["s.mp4", "s.mov", "s.mkv", "s.ts", "s.avi", "s.nut"])
def test_frame_count_and_every_time_stamp(
    clip: Make, tmp_path: Path, name: str, output: str
) -> None:
    avi = name.endswith("avi")
    source = clip(
        name,
        pts=[0, 1, 2, 5, 6, 7, 11, 12] if avi else [700 + stamp for stamp in VFR],
        time_base=Fraction(1, 25) if avi else Fraction(1, 12800),
        options={"bf": "0"} if avi else {"bf": "3"},
    )
    report = render(source, tmp_path / output)
    before, after = clips.show(source), clips.show(tmp_path / output)
    assert report.frames == len(before.times) == len(after.times)
    if output in ("o.mp4", "o.mov"):
        assert after.times == before.times
    else:
        rounded = zip(after.times, before.times, strict=True)
        assert max(abs(a - b) for a, b in rounded) <= Fraction(1, 1999)
    assert (report.corrupt_frames, report.lost_packets, report.dropped_frames) == (0, 0, 0)


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "gbrp10le", "bgr24", "gray"],
)
@pytest.mark.parametrize("rotation", [0, 90])
def test_where_alpha_is_one_the_samples_are_the_sources(
    clip: Make, tmp_path: Path, pixel_format: str, rotation: int
) -> None:
    raw = pixel_format in ("bgr24", "gray")
    if raw and rotation:
        pytest.skip("NUT knows no rotation")
    source = clip(
        "s.nut" if raw else "s.mkv",
        codec="rawvideo" if raw else "ffv1",
        pixel_format=pixel_format,
        rotation=rotation or None,
        size=(192, 128),
        count=3,
    )
    render(source, tmp_path / "o.mkv", codec="ffv1")
    inside, outside = disc(source)
    for before, after in zip(pictures(source), pictures(tmp_path / "o.mkv"), strict=True):
        assert before[0].shape == after[0].shape
        assert np.array_equal(before[0][inside], after[0][inside])
        assert not np.array_equal(before[0][outside], after[0][outside])
        step_y, step_x = (a // b for a, b in zip(before[0].shape, before[1].shape, strict=True))
        coarse = inside[::step_y, ::step_x]
        for first, second in zip(before[1:], after[1:], strict=True):
            assert np.array_equal(first[coarse], second[coarse])


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_rotated_footage_comes_out_upright(
    clip: Make, tmp_path: Path, rotation: int, pixel_format: str
) -> None:
    source = clip(
        "s.mp4",
        rotation=rotation,
        pixel_format=pixel_format,
        aspect=Fraction(4, 3),
        options={"crf": "4"},
        size=(192, 128),
    )
    render(source, tmp_path / "o.mp4", crf=4)
    shown = clips.show(tmp_path / "o.mp4")
    assert {frame.rotation for frame in shown.frames} == {0}
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(4, 3) ** (1 if rotation == 180 else -1)
    layout = Layout.nearest(pixel_format)
    stored = np.rot90(clips.planes(3, (192, 128), layout)[0], rotation // 90)
    inside, _ = disc(source)
    got = pictures(tmp_path / "o.mp4")[3][0]
    assert got.shape == stored.shape
    assert np.abs(got.astype(int) - stored.astype(int))[inside].mean() < 0.02 * layout.peak


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("codec", ["h264", "hevc", "prores", "vp9", "ffv1"])
def test_colour_says_what_it_is(
    clip: Make, tmp_path: Path, codec: str, matrix: int, full: bool
) -> None:
    source = clip("s.mkv", codec="ffv1", tags=(matrix, 2 if full else 1, matrix, 1), count=2)
    extension = {"prores": "mov", "vp9": "webm", "ffv1": "mkv"}.get(codec, "mp4")
    report = render(source, tmp_path / f"o.{extension}", codec=codec)
    assert report.assumed == ""
    with VideoFile(tmp_path / f"o.{extension}") as result:
        colour = result.info.colour
        rgb = [next(result.frames())]
    assert colour.assumed == ""
    assert colour.full_range == (full and codec != "prores")
    same_matrix = {5: (5, 6), 6: (5, 6)}.get(matrix, (matrix,))
    assert int(colour.matrix) in same_matrix
    from streammatte.convert import to_rgb

    with VideoFile(source) as original:
        expected = to_rgb(next(original.frames()).picture)
    inside, _ = disc(source)
    assert np.abs(to_rgb(rgb[0].picture) - expected)[inside].mean() < 0.03


@pytest.mark.parametrize(("output", "worst"), [("o.mov", 0.01), ("o.webm", 0.2), ("o.mkv", 0.003)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le", "bgr24"])
def test_transparent_results_carry_the_matte(
    clip: Make, tmp_path: Path, pixel_format: str, output: str, worst: float
) -> None:
    raw = pixel_format == "bgr24"
    source = clip(
        "s.nut" if raw else "s.mkv",
        codec="rawvideo" if raw else "ffv1",
        pixel_format=pixel_format,
        size=(192, 128),
        count=4,
    )
    expected = [c.alpha for c in streammatte.mattes(source, runtime="stub")]
    report = render(source, tmp_path / output, "transparent")
    assert any("alpha was read back" in note for note in report.notes)
    with VideoFile(tmp_path / output) as result:
        for frame, alpha in zip(result.frames(), expected, strict=True):
            assert frame.picture.alpha is not None
            got = frame.picture.alpha / frame.picture.layout.peak
            assert np.abs(got - alpha).max() <= worst


@pytest.mark.parametrize("rotation", [None, 90])
@pytest.mark.parametrize("pixel_format", ["yuv420p12le", "yuv422p", "yuv440p", "gbrp14le"])
def test_transparent_from_layouts_without_an_alpha_relative(
    clip: Make, tmp_path: Path, pixel_format: str, rotation: int | None
) -> None:
    source = clip("s.mkv", codec="ffv1", pixel_format=pixel_format, rotation=rotation, count=2)
    report = render(source, tmp_path / "o.mov", "transparent")
    assert report.frames == 2


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("s.webm", "libvpx-vp9", "yuva420p", {"lossless": "1"}),
        ("s.mov", "prores_ks", "yuva444p10le", {}),
        ("s.mov", "qtrle", "argb", {}),
    ],
)
def test_footage_with_alpha_brings_its_own_matte(
    clip: Make, tmp_path: Path, name: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    source = clip(name, codec=codec, pixel_format=pixel_format, options=options, count=3)
    report = render(source, tmp_path / "o.mkv", codec="ffv1")
    assert report.model == "the footage's alpha"
    with VideoFile(source) as original, VideoFile(tmp_path / "o.mkv") as result:
        before, after = next(original.frames()).picture, next(result.frames()).picture
    assert before.alpha is not None
    opaque = before.alpha == before.layout.peak
    assert opaque.any()
    assert np.array_equal(before.planes[0][opaque], after.planes[0][opaque])
    clear = before.alpha == 0
    assert len(np.unique(after.planes[0][clear])) == 1


def test_opaque_alpha_goes_to_the_network(tmp_path: Path) -> None:
    path = tmp_path / "opaque.mov"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "argb"
        for index in range(3):
            pixels = np.full((64, 96, 4), 255, np.uint8)
            pixels[..., 1] = 40 * index
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="argb")))
        container.mux(stream.encode(None))
    assert render(path, tmp_path / "o.mp4").model == "selfie"


def test_serial_and_threaded_files_are_identical(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mkv", pts=VFR, sounds=(Sound(),), size=(192, 108))
    render(source, tmp_path / "a.mp4")
    render(source, tmp_path / "b.mp4", serial=True)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_photograph(tmp_path: Path) -> None:
    import cv2

    pixels = np.random.default_rng(1).integers(0, 255, (90, 121, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    report = render(tmp_path / "photo.png", tmp_path / "o.png")
    assert report.frames == 1
    result = cv2.imread(str(tmp_path / "o.png"))
    inside, _ = disc(tmp_path / "photo.png")
    assert np.array_equal(result[inside], pixels[inside])


@pytest.mark.parametrize("bad", ["missing.mp4", "empty.mp4", "text.mp4"])
def test_bad_input_leaves_nothing(tmp_path: Path, bad: str) -> None:
    if bad != "missing.mp4":
        (tmp_path / bad).write_text("" if bad == "empty.mp4" else "not a film " * 100)
    with pytest.raises(InputError):
        render(tmp_path / bad, tmp_path / "o.mp4")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("o.")]


# --- Real footage ------------------------------------------------------------------------------

FOOTAGE = [
    "asl_book.mkv",
    "asl_help.mkv",
    "bt709_full_range.mp4",
    "h264_10bits.mp4",
    "h265_10bits.mp4",
    "nasa_13013.mp4",
    "short_hamilton_clip.mp4",
]


@pytest.mark.parametrize("name", FOOTAGE)
def test_real_footage_keeps_time_and_sound(
    footage: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    source, output = footage(name), tmp_path / f"o{name[-4:]}"
    report = render(source, output, preset="ultrafast", length="2")
    before = list(clips.show(source).times)
    with av.open(str(source)) as container:
        origin = Fraction(container.start_time or 0, av.time_base)
    before = [time for time in before if time - origin < 2]
    after = clips.show(output).times
    assert report.frames == len(before) == len(after)
    tolerance = Fraction(1, 1999) if name.endswith("mkv") else 0
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) <= tolerance
    for old, new in zip(clips.packets(source), clips.packets(output), strict=True):
        count = len(new.payloads)
        assert new.payloads == old.payloads[:count]
        assert new.times == old.times[:count]
        assert all(time - origin >= 2 for time in old.times[count:])
    with VideoFile(source) as original, VideoFile(output) as result:
        assert result.info.layout.depth == original.info.layout.depth
        assert result.info.colour.full_range == original.info.colour.full_range
        assert result.info.colour.matrix.label == original.info.colour.matrix.label


def test_errors_have_one_line(tmp_path: Path) -> None:
    with pytest.raises(StreamMatteError) as caught:
        render(tmp_path / "nothing.mp4", tmp_path / "o.mp4")
    assert "\n" not in str(caught.value)
