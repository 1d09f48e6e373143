"""HDR10 and HLG stay what they are: tags, mastering display, content light, and code values."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

import streammatte
from streammatte.colour import TRANSFER_HLG, TRANSFER_PQ
from streammatte.frames import Layout
from streammatte.hdr import Hdr, MasteringDisplay
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Path]

DISPLAY = MasteringDisplay(
    red=(34000, 16000),
    green=(13250, 34500),
    blue=(7500, 3000),
    white=(15635, 16450),
    most=10000000,
    least=50,
)
HDR10 = Hdr(DISPLAY, (1000, 400))
TAGS = {"PQ": (9, 1, 9, TRANSFER_PQ), "HLG": (9, 1, 9, TRANSFER_HLG)}
SIZE = (128, 96)
needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="no ffprobe here")


def source(clip: Make, kind: str = "PQ", hdr: Hdr = HDR10, name: str = "hdr.mkv") -> Path:
    told = hdr.told("libx265")
    assert told is not None
    return clip(
        name,
        size=SIZE,
        count=3,
        codec="libx265",
        pixel_format="yuv420p10le",
        tags=TAGS[kind],
        options={"x265-params": f"log-level=error:lossless=1:{told[1]}", "preset": "ultrafast"},
    )


def first(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def kept(before: Path, after: Path) -> float:
    """Return the mean error of luma in 10-bit codes, well inside the stub's disc."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    inside = np.hypot(x - (SIZE[0] - 1) / 2, y - (SIZE[1] - 1) / 2) / min(SIZE) < 0.2
    with VideoFile(before) as one, VideoFile(after) as other:
        assert other.info.layout.depth >= 10
        shift = other.info.layout.depth - 10
        pairs = zip(one.frames(), other.frames(), strict=True)
        errors = [
            np.abs(a.picture.planes[0] - (b.picture.planes[0] / 2.0**shift))[inside].mean()
            for a, b in pairs
        ]
    return float(max(errors))


def ffprobe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-of", "json"]
    done = subprocess.run([*command, str(path)], capture_output=True, check=True)
    frame: dict[str, Any] = json.loads(done.stdout)["frames"][0]
    return frame


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_mastering_and_light_level_are_written_again(
    clip: Make, tmp_path: Path, codec: str, kind: str
) -> None:
    output = tmp_path / "o.mp4"
    footage = source(clip, kind)
    report = streammatte.render(
        footage, output, bg="#00b140", runtime="stub", codec=codec, crf=1, decontaminate="off"
    )
    frame = first(output)
    assert Hdr.of(frame) == HDR10
    tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    assert tuple(map(int, tags)) == TAGS[kind]
    assert kept(footage, output) < 1.0
    assert not any("mastering" in note for note in report.notes)


@needs_ffprobe
@pytest.mark.parametrize("codec", ["hevc", "av1"])  # Debian's ffprobe does not look into h264
def test_a_stranger_reads_the_same(clip: Make, tmp_path: Path, codec: str) -> None:
    output = tmp_path / "o.mkv"
    streammatte.render(source(clip), output, bg="black", runtime="stub", codec=codec)
    frame = ffprobe(output)
    parts = {part["side_data_type"]: part for part in frame["side_data_list"]}
    display = parts["Mastering display metadata"]
    read = {key: float(Fraction(display[key])) for key in display if key != "side_data_type"}
    assert read == pytest.approx(
        {
            "red_x": 0.68,
            "red_y": 0.32,
            "green_x": 0.265,
            "green_y": 0.69,
            "blue_x": 0.15,
            "blue_y": 0.06,
            "white_point_x": 0.3127,
            "white_point_y": 0.329,
            "min_luminance": 0.005,
            "max_luminance": 1000,
        },
        abs=2e-5,
    )
    light = parts["Content light level metadata"]
    assert (light["max_content"], light["max_average"]) == (1000, 400)
    assert frame["color_transfer"] == "smpte2084"
    assert (frame["color_primaries"], frame["color_space"]) == ("bt2020", "bt2020nc")


@pytest.mark.parametrize(("codec", "name"), [("prores", "o.mov"), ("ffv1", "o.mkv")])
def test_what_has_no_room_for_it_keeps_the_tags_and_says_so(
    clip: Make, tmp_path: Path, codec: str, name: str
) -> None:
    footage, output = source(clip), tmp_path / name
    report = streammatte.render(footage, output, bg="black", runtime="stub", codec=codec)
    [note] = [note for note in report.notes if "mastering display" in note]
    assert "0.005 to 1000 cd/m2, MaxCLL 1000, MaxFALL 400" in note
    frame = first(output)
    assert (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)) == (9, 9, 16)
    assert kept(footage, output) < (0.01 if codec == "ffv1" else 1.0)


def test_half_of_it_is_half_of_it(clip: Make, tmp_path: Path) -> None:
    only_light = Hdr(light=(700, 90))
    output = tmp_path / "o.mkv"
    footage = source(clip, hdr=only_light)
    streammatte.render(footage, output, bg="black", runtime="stub", codec="hevc")
    assert Hdr.of(first(footage)).light == (700, 90)
    assert Hdr.of(first(output)) == Hdr.of(first(footage))


def test_standard_range_says_nothing(clip: Make, tmp_path: Path) -> None:
    footage = clip("sdr.mkv", size=SIZE, tags=(1, 1, 1, 1), count=2)
    output = tmp_path / "o.mkv"
    streammatte.render(footage, output, bg="black", runtime="stub", codec="hevc")
    assert not Hdr.of(first(output))


def test_a_matte_says_nothing_of_light(clip: Make, tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    streammatte.render(
        source(clip), output, bg="black", runtime="stub", codec="hevc", passes=("matte",)
    )
    assert not Hdr.of(first(output))


def test_a_copy_in_another_container_is_read_alike(clip: Make, tmp_path: Path) -> None:
    made = source(clip, name="s.mp4")
    target = tmp_path / "copy.mkv"
    with av.open(str(made)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    with VideoFile(target) as read:
        assert read.info.hdr == HDR10
        assert read.info.layout == Layout("yuv", 10, 1, 1)


def test_words_for_people() -> None:
    assert str(HDR10) == "mastering display 0.005 to 1000 cd/m2, MaxCLL 1000, MaxFALL 400"
    assert str(Hdr()) == ""


def test_hdr_in_r_g_and_b_is_hdr(clip: Make) -> None:
    footage = clip(
        "rgb.mkv", size=SIZE, count=1, codec="ffv1", pixel_format="gbrp10le", tags=(0, 2, 9, 16)
    )
    with VideoFile(footage) as read:
        colour = read.info.colour
    assert (colour.is_hdr, colour.is_wide, colour.transfer) == (True, True, TRANSFER_PQ)


def test_wide_r_g_and_b_become_y_cb_and_cr_by_their_own_matrix(clip: Make, tmp_path: Path) -> None:
    footage = clip(
        "rgb.mkv", size=SIZE, count=1, codec="ffv1", pixel_format="gbrp10le", tags=(0, 2, 9, 16)
    )
    output = tmp_path / "o.mp4"
    streammatte.render(footage, output, bg="black", runtime="stub", codec="hevc")
    frame = first(output)
    assert (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)) == (9, 9, 16)
