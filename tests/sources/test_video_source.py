"""Reading files: pictures, orientation, alpha, time stamps, damage, and what is no video at all."""

from __future__ import annotations

import itertools
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import clips
import cv2
import numpy as np
import pytest

from streammatte.colour import Matrix
from streammatte.errors import InputError
from streammatte.frames import Layout
from streammatte.sources import Window, open_source
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.frames import Frame, Picture

    Make = Callable[..., Path]

LOSSLESS_H264 = {"qp": "0", "preset": "ultrafast"}
VFR = (0, 300, 901, 1500, 2750, 2800, 3333, 4096, 4500, 6001, 7000, 9999)


def read(path: Path, window: Window | None = None) -> tuple[VideoFile, list[Frame]]:
    with VideoFile(path, window) as source:
        frames = list(source.frames())
    return source, frames


def samples(picture: Picture) -> list[Any]:
    planes = [*picture.planes] if picture.alpha is None else [*picture.planes, picture.alpha]
    return [np.array(plane) for plane in planes]


def same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


# --- Pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(96, 64), (65, 47)])
@pytest.mark.parametrize(
    "pixel_format",
    [
        "yuv420p", "yuv422p", "yuv444p", "yuv440p",
        "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv444p16le",
        "gbrp10le", "gbrap16le", "yuva420p", "yuva444p10le",
    ],
)  # fmt: skip
def test_planar_samples_arrive_bit_for_bit(
    clip: Make, pixel_format: str, size: tuple[int, int]
) -> None:
    path = clip("p.mkv", codec="ffv1", pixel_format=pixel_format, size=size, count=3)
    source, frames = read(path)
    layout = Layout.nearest(pixel_format)
    assert source.info.layout == layout
    assert (source.info.width, source.info.height) == size
    assert len(frames) == 3
    for index, frame in enumerate(frames):
        assert same(samples(frame.picture), clips.planes(index, size, layout))


@pytest.mark.parametrize("suffix", [".nut", ".avi", ".mkv"])
@pytest.mark.parametrize("pixel_format", ["bgr24", "rgb24", "bgra", "gray", "nv12", "yuyv422"])
def test_packed_samples_arrive_bit_for_bit(clip: Make, pixel_format: str, suffix: str) -> None:
    if suffix == ".mkv" and "g" in pixel_format and pixel_format != "gray":
        pytest.skip("FFmpeg writes no raw R'G'B' into Matroska")
    size = (64, 48)
    path = clip("p" + suffix, codec="rawvideo", pixel_format=pixel_format, size=size, count=2,
                time_base=Fraction(1, 25))  # fmt: skip
    source, frames = read(path)
    picture = frames[1].picture
    expected = clips.planes(1, size, Layout.nearest(pixel_format))
    if pixel_format == "gray":
        assert np.array_equal(picture.planes[0], expected[0])
        assert all((plane == 128).all() for plane in picture.planes[1:])
        return
    decoded = clips.show(path).frames[1]
    assert source.info.layout.family == ("rgb" if "g" in pixel_format else "yuv")
    if pixel_format in ("bgr24", "rgb24", "bgra"):
        packed = decoded.to_ndarray(format="bgra" if "a" in pixel_format else "bgr24")
        blue, green, red, *alpha = np.moveaxis(packed, -1, 0)
        assert same(samples(picture), [green, blue, red, *alpha])
    if decoded.format.name == pixel_format:
        assert same(samples(picture), expected)


@pytest.mark.parametrize("pixel_format", ["rgb48le", "rgba64le", "bgr0", "yuv420p10be"])
def test_deep_and_odd_packed_samples_arrive_bit_for_bit(clip: Make, pixel_format: str) -> None:
    path = clip("p.nut", codec="rawvideo", pixel_format=pixel_format, size=(64, 48), count=2)
    source, frames = read(path)
    expected = clips.planes(1, (64, 48), Layout.nearest(pixel_format))
    assert same(samples(frames[1].picture), expected)
    assert source.info.layout == Layout.nearest(pixel_format)


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    indices = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    palette = np.stack([np.full(256, 255), *(np.roll(np.arange(256), s) for s in (0, 60, 120))], 1)
    palette = palette.astype(np.uint8)  # A, R, G, B
    path = tmp_path / "p.png"
    frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")  # type: ignore[arg-type]
    frame.pts = 0
    codec: Any = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "pal8", Fraction(1, 25)
    path.write_bytes(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)]))
    source, frames = read(path)
    assert source.info.still
    _, red, green, blue = (palette[:, channel][indices] for channel in range(4))
    assert same(samples(frames[0].picture)[:3], [green, blue, red])


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1", "libvpx-vp9", "prores_ks"])
def test_tags_are_believed(clip: Make, codec: str, full: bool) -> None:
    tags = (9, 2 if full else 1, 9, 16)
    fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    if codec == "prores_ks" and full:
        pytest.skip("ProRes is always limited")
    path = clip(
        "t.mov" if codec == "prores_ks" else "t.mkv",
        codec=codec,
        pixel_format=fmt,
        tags=tags,
        count=2,
        options={"x265-params": "log-level=error"} if codec == "libx265" else {},
    )
    source, frames = read(path)
    colour = source.info.colour
    assert (colour.matrix, colour.full_range) == (Matrix.BT2020, full)
    assert (colour.primaries, colour.transfer) == (9, 16)
    assert colour.assumed == ""
    assert frames[0].picture.colour == colour


@pytest.mark.parametrize(
    ("changes", "matrix", "full", "assumed"),
    [
        ({"size": (96, 64)}, Matrix.SMPTE170M, False, "BT.601 matrix and limited range"),
        ({"size": (64, 720)}, Matrix.BT709, False, "BT.709 matrix and limited range"),
        (
            {"codec": "mjpeg", "pixel_format": "yuvj420p", "size": (64, 720)},
            Matrix.BT470BG,  # as the decoder says
            True,
            "",
        ),
        (
            {"size": (720, 64), "rotation": 90},
            Matrix.BT709,
            False,
            "BT.709 matrix and limited range",
        ),
    ],
)
def test_what_is_untagged_is_guessed_and_said(
    clip: Make, changes: dict[str, Any], matrix: Matrix, full: bool, assumed: str
) -> None:
    source, _ = read(clip("g.mov", count=2, **changes))
    assert (source.info.colour.matrix, source.info.colour.full_range) == (matrix, full)
    if assumed:
        assert source.info.colour.assumed == assumed


def test_pixel_aspect_is_kept_and_turns_with_the_picture(clip: Make) -> None:
    lying, _ = read(clip("a.mp4", aspect=Fraction(16, 11), count=2))
    upright, _ = read(clip("a.mp4", aspect=Fraction(16, 11), rotation=90, count=2))
    assert lying.info.pixel_aspect == Fraction(16, 11)
    assert upright.info.pixel_aspect == Fraction(11, 16)
    assert (upright.info.width, upright.info.height) == (64, 96)


# --- Orientation -------------------------------------------------------------------------------


def turned(plane: Any, degrees: int, hflip: bool, vflip: bool) -> Any:
    """Turn counter-clockwise, then mirror, as ``set_display_rotation`` defines it."""
    plane = np.rot90(plane, degrees // 90)
    plane = plane[:, ::-1] if hflip else plane
    return plane[::-1] if vflip else plane


@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_display_matrix_turns_the_pixels(
    clip: Make, suffix: str, rotation: int, mirrored: tuple[bool, bool]
) -> None:
    if suffix == ".mkv" and any(mirrored):
        pytest.skip("Matroska's projection knows only part of the mirrorings")
    path = clip(
        "r" + suffix,
        rotation=rotation,
        mirrored=mirrored,
        count=2,
        pixel_format="yuv444p",
        options=LOSSLESS_H264,
    )
    source, frames = read(path)
    stored = clips.planes(1, (96, 64), Layout("yuv", 8))
    expected = [turned(plane, rotation, *mirrored) for plane in stored]
    assert same(samples(frames[1].picture), expected)
    assert (source.info.height, source.info.width) == expected[0].shape


def test_turned_422_becomes_440_bit_for_bit(clip: Make) -> None:
    path = clip("r.mp4", rotation=90, pixel_format="yuv422p", options=LOSSLESS_H264, count=2)
    source, frames = read(path)
    assert source.info.layout == Layout("yuv", 8, 0, 1)
    stored = clips.planes(0, (96, 64), Layout("yuv", 8, 1, 0))
    assert same(samples(frames[0].picture), [np.rot90(plane) for plane in stored])


@pytest.mark.parametrize("pixel_format", ["yuva422p", "yuv422p16le"])
def test_turned_422_without_a_440_relative_becomes_444(clip: Make, pixel_format: str) -> None:
    path = clip("r.mov", codec="ffv1", rotation=90, pixel_format=pixel_format, count=1,
                muxer="matroska")  # fmt: skip
    source, frames = read(path)
    old = Layout.nearest(pixel_format)
    assert source.info.layout == Layout("yuv", old.depth, alpha=old.alpha)
    stored = clips.planes(0, (96, 64), old)
    got = samples(frames[0].picture)
    assert np.array_equal(got[0], np.rot90(stored[0]))
    assert np.array_equal(got[1][::2], np.rot90(stored[1]))
    assert not old.alpha or np.array_equal(got[3], np.rot90(stored[3]))


EXIF_TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("value", EXIF_TURNS)
def test_exif_orientation_of_photographs(tmp_path: Path, value: int) -> None:
    y, x = np.mgrid[:48, :80]
    stored = np.stack([x * 3, y * 5, 255 - x - y], -1).astype(np.uint8)
    path = tmp_path / "photo.jpg"
    path.write_bytes(with_orientation(jpeg(stored), value))
    source, frames = read(path)
    expected = EXIF_TURNS[value](cv2.imdecode(np.frombuffer(jpeg(stored), np.uint8), 0))
    luma = frames[0].picture.planes[0].astype(int)
    assert source.info.still
    assert luma.shape == expected.shape
    assert np.abs(luma - expected).max() <= 3


def jpeg(pixels: Any) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def with_orientation(content: bytes, value: int) -> bytes:
    """Insert an EXIF segment whose only entry is the orientation, tag 0x0112."""
    tiff = b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


# --- Interlaced --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_interlaced_frames_are_deinterlaced_and_keep_their_times(clip: Make, suffix: str) -> None:
    path = clip(
        "i" + suffix,
        codec="mpeg2video",
        options={"flags": "+ildct+ilme", "b": "4000000"},
        tags=(5, 1, 5, 5),
        aspect=Fraction(8, 9),
        time_base=Fraction(1, 25),
    )
    shown = clips.show(path)
    assert all(frame.interlaced_frame for frame in shown.frames)
    source, frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == shown.times
    assert {frame.duration * frame.time_base for frame in frames} == {Fraction(1, 25)}
    assert (source.info.colour.matrix, source.info.colour.full_range) == (Matrix.BT470BG, False)
    assert source.info.pixel_aspect == Fraction(8, 9)
    assert not any(frame.picture.native.interlaced_frame for frame in frames)


def test_deinterlacing_removes_the_comb(tmp_path: Path) -> None:
    """A bar that moves between the fields is a comb when stored, and none when read."""
    path = tmp_path / "comb.mkv"
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme", "b": "8000000", "g": "1"}
        stream: Any = container.add_stream("mpeg2video", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 64, "yuv420p"
        for index in range(8):
            planes = [np.full((64, 160), 40, np.uint8), *[np.full((32, 80), 128, np.uint8)] * 2]
            planes[0][0::2, 16 * index : 16 * index + 16] = 200
            planes[0][1::2, 16 * index + 8 : 16 * index + 24] = 200
            frame = clips.native(planes, Layout("yuv", 8, 1, 1))
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    stored = clips.show(path).frames[4].to_ndarray(format="gray")
    _, frames = read(path)

    def comb(plane: Any) -> float:
        return float(np.abs(np.diff(plane[8:-8].astype(int), axis=0)).mean())

    assert comb(frames[4].picture.planes[0]) < 0.5 * comb(stored)


# --- Alpha -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options", "tolerance"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p", {"lossless": "1"}, 0.0),
        ("a.mov", "prores_ks", "yuva444p10le", {}, 0.002),
        ("a.mkv", "ffv1", "yuva444p10le", {}, 0.0),
        ("a.mov", "qtrle", "argb", {}, 0.0),
        ("a.mov", "png", "rgba", {}, 0.0),
    ],
)
def test_alpha_of_the_footage_arrives(
    clip: Make, name: str, codec: str, pixel_format: str, options: dict[str, str], tolerance: float
) -> None:
    path = clip(name, codec=codec, pixel_format=pixel_format, options=options, count=4)
    source, frames = read(path)
    stored = clips.planes(2, (96, 64), Layout.nearest(pixel_format))[3]
    expected = stored / Layout.nearest(pixel_format).peak
    alpha = frames[2].picture.alpha
    assert alpha is not None
    assert source.info.layout.alpha
    assert len(frames) == 4
    assert np.abs(alpha / source.info.layout.peak - expected).max() <= tolerance
    assert [frame.seconds for frame in frames] == [float(t) for t in clips.show(path).times]


# --- Time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 10214])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".nut"])
def test_every_time_stamp_is_the_containers(clip: Make, suffix: str, offset: int) -> None:
    path = clip("v" + suffix, pts=[offset + stamp for stamp in VFR])
    shown = clips.show(path)
    source, frames = read(path)
    assert len(frames) == len(VFR)
    assert [frame.pts * frame.time_base for frame in frames] == shown.times
    if suffix in (".mp4", ".mov"):
        assert shown.times == [Fraction(offset + stamp, 12800) for stamp in VFR]
    assert not source.damage


def test_first_packets_without_dts_lose_no_frame(clip: Make) -> None:
    path = clip("b.mkv", count=30, options={"bf": "3", "b-pyramid": "normal"})
    with av.open(str(path)) as container:
        packets = [(packet.size, packet.dts) for packet in container.demux(video=0)]
    assert packets[0][0] > 0
    assert packets[0][1] is None, "the clip does not show what it should"
    _, frames = read(path)
    assert len(frames) == 30


def test_edit_list_hides_the_pre_roll(clip: Make, tmp_path: Path) -> None:
    whole = clip("e.mp4", count=30, options={"g": "30", "bf": "0"})
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 5120, packet.dts - 5120
                packet.stream = stream
                target.mux(packet)
    shown = clips.show(path)
    assert len(shown.frames) == 20, "the clip does not show what it should"
    source, frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == shown.times
    assert not source.damage


def raw_avi(path: Path) -> Path:
    """Write H.264 with B-frames into AVI, which keeps no presentation times."""
    return clips.write(
        path, clips.Clip(time_base=Fraction(1, 25), count=20, options={"bf": "3"}, muxer="avi")
    )


def test_missing_time_stamps_are_made_up_evenly(tmp_path: Path) -> None:
    source, frames = read(raw_avi(tmp_path / "m.avi"))
    steps = {b.pts - a.pts for a, b in itertools.pairwise(frames)}
    assert len(frames) == 20
    assert {step * frames[0].time_base for step in steps} == {Fraction(1, 25)}
    assert source.damage.dropped_frames == 0


def test_raw_stream_without_a_clock(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "raw.h264", clips.Clip(count=20, muxer="h264"))
    _, frames = read(path)
    times = [frame.pts * frame.time_base for frame in frames]
    assert len(frames) == 20
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1, 25)}


def test_gaps_in_avi_do_not_end_the_film(tmp_path: Path) -> None:
    """AVI fills gaps with empty packets, which FFmpeg's decoders take for the end."""
    stamps = [0, 1, 2, 9, 10, 11, 12, 30]
    path = clips.write(
        tmp_path / "gaps.avi", clips.Clip(time_base=Fraction(1, 25), pts=stamps, codec="mpeg4")
    )
    _, frames = read(path)
    assert [frame.pts * frame.time_base * 25 for frame in frames] == stamps


@pytest.mark.parametrize("jump", [1, 3])
def test_time_that_runs_backwards_drops_what_cannot_be_shown(tmp_path: Path, jump: int) -> None:
    path = tmp_path / "back.ts"
    stamps = [0, 1, 2, 3, 4, 5, 6 - jump, 7, 8]
    clips.write_packets(path, stamps)
    source, frames = read(path)
    times = [frame.seconds for frame in frames]
    assert times == sorted(set(times))
    assert len(frames) + source.damage.dropped_frames == len(stamps)
    assert source.damage.dropped_frames == 1


def test_clock_that_starts_over_goes_on(tmp_path: Path) -> None:
    """Two recordings in one file: nothing is lost, and it is said."""
    path = tmp_path / "twice.ts"
    stamps = [*range(50, 100), *range(50)]
    clips.write_packets(path, stamps)
    source, frames = read(path)
    times = [frame.pts * frame.time_base for frame in frames]
    assert len(frames) == 100
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1, 25)}
    assert any("clock" in note for note in source.damage.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".nut"])
@pytest.mark.parametrize(
    ("start", "end"), [(None, 1), (1, None), (Fraction("1.31"), Fraction("2.5")), (3, None)]
)
def test_windows(clip: Make, suffix: str, start: Any, end: Any) -> None:
    path = clip(
        "w" + suffix,
        count=100,
        size=(64, 48),
        time_base=Fraction(1, 25),
        options={"g": "37", "bf": "2" if suffix != ".avi" else "0"},
    )
    whole, every = read(path)
    with av.open(str(path)) as container:
        origin = Fraction(container.start_time, av.time_base)
    lasts = end if end is not None else 100
    wanted = [f for f in every if (start or 0) <= f.pts * f.time_base - origin < lasts]
    begin = None if start is None else Fraction(start)
    source, frames = read(path, Window(begin, None if end is None else Fraction(end)))
    assert len(frames) == len(wanted) > 0
    for got, expected in zip(frames, wanted, strict=True):
        assert same(samples(got.picture), samples(expected.picture))
        assert got.pts - expected.pts == frames[0].pts - wanted[0].pts
    if start is not None:
        assert 0 <= frames[0].seconds < 1 / 25 + 1e-6
    assert not source.damage
    assert not whole.damage


def test_window_outside_the_clip(clip: Make) -> None:
    with pytest.raises(InputError, match="-ss"):
        VideoFile(clip("w.mp4", count=12), Window(Fraction(60)))


def test_late_clock_is_moved_to_zero_and_said(clip: Make) -> None:
    stamps = [3600 * 1000 + 3600 * index for index in range(12)]
    source, frames = read(clip("late.ts", time_base=Fraction(1, 90000), pts=stamps))
    assert frames[0].seconds == 0
    assert source.shift < -10
    assert any("moved" in note for note in source.damage.notes)


# --- Damage ------------------------------------------------------------------------------------


def flipped(content: bytes, first: int, every: int) -> bytes:
    damaged = bytearray(content)
    for position in range(first, len(damaged) - 200, every):
        damaged[position] ^= 0x55
    return bytes(damaged)


def test_flipped_bits_are_survived_and_counted(clip: Make, tmp_path: Path) -> None:
    whole = clip("d.mkv", count=60, size=(192, 108), options={"g": "250", "bf": "0", "qp": "12"})
    path = tmp_path / "flipped.mkv"
    path.write_bytes(flipped(whole.read_bytes(), 8000, 1999))
    source, frames = read(path)
    assert len(frames) >= 50
    assert source.damage.corrupt_frames + source.damage.lost_packets > 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("t.mkv", {}, True),
        ("t.ts", {}, False),
        ("t.mp4", {"movflags": "frag_keyframe+empty_moov"}, True),
    ],
)
def test_cut_off_files_keep_what_decodes(
    clip: Make, tmp_path: Path, name: str, options: dict[str, str], said: bool
) -> None:
    whole = clip(name, count=100, size=(192, 108), options={"g": "25"}, muxer_options=options)
    path = tmp_path / name
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    source, frames = read(path)
    assert 40 <= len(frames) <= 75
    assert not said or source.damage.notes


def test_whole_files_are_not_called_cut_off(clip: Make) -> None:
    long_sound = (clips.Sound(seconds=6.0),)
    for name in ("w.mkv", "w.mp4", "w.ts"):
        source, _ = read(clip(name, count=30, sounds=long_sound))
        assert source.damage.notes == [], name


def test_changed_size_is_scaled_to_the_first(tmp_path: Path, clip: Make) -> None:
    content = b"".join(
        clip(f"s{n}.h264", size=size, count=5, muxer="h264", options={"bf": "0"}).read_bytes()
        for n, size in enumerate([(96, 64), (128, 96)])
    )
    path = tmp_path / "sizes.h264"
    path.write_bytes(content)
    source, frames = read(path)
    assert len(frames) == 10
    assert {(f.picture.width, f.picture.height) for f in frames} == {(96, 64)}
    assert any("size" in note for note in source.damage.notes)


# --- No video ----------------------------------------------------------------------------------


def bad_inputs(clip: Make, folder: Path) -> dict[str, Path]:
    paths = {name: folder / name for name in ("missing.mp4", "empty.mp4", "text.txt", "text.mp4")}
    paths["empty.mp4"].touch()
    for name in ("text.txt", "text.mp4"):
        paths[name].write_text("Dear reader,\nthis is not a film.\n" * 50)
    paths["folder"] = folder
    whole = clip("plain.mp4", count=30).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    paths["cut.mp4"] = folder / "cut.mp4"
    paths["sound.m4a"] = sound_only(folder / "sound.m4a")
    paths["cover.mp3"] = sound_only(folder / "cover.mp3", cover=True)
    return paths


def sound_only(path: Path, *, cover: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libmp3lame" if cover else "aac", rate=48000)
        picture: Any = None
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(frame.reformat(format="yuvj420p")))
            container.mux(picture.encode(None))
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 9216), np.float32), "fltp", "stereo")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        stream.codec_context.open(strict=False)
        size = stream.codec_context.frame_size
        for ready in av.AudioResampler("fltp", "stereo", 48000, size).resample(sound):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.mp4", "does not exist"),
        ("empty.mp4", "is empty"),
        ("text.txt", "text file"),
        ("text.mp4", "not a video"),
        ("folder", "is a folder"),
        ("cut.mp4", "cut off"),
        ("sound.m4a", "no moving picture"),
        ("cover.mp3", "no moving picture"),
    ],
)
def test_bad_input_is_one_line(clip: Make, tmp_path: Path, name: str, says: str) -> None:
    path = bad_inputs(clip, tmp_path)[name]
    with pytest.raises(InputError, match=says) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a:b.mp4", "100%.mp4", "photo%d.png", "-.mp4", "é €.mkv"])
def test_odd_names(clip: Make, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name.endswith(".png"):
        cv2.imwrite(name, np.zeros((8, 8, 3), np.uint8))
    else:
        (tmp_path / name).write_bytes(clip("n" + name[-4:], count=2).read_bytes())
    with open_source(name) as source:
        assert next(source.frames()).picture.width > 0


# --- Threads -----------------------------------------------------------------------------------


def test_decoding_uses_the_threads_that_mark_corrupt_frames(clip: Make) -> None:
    with VideoFile(clip("t.mp4", count=2)) as source:
        assert source._stream.thread_type.name == "AUTO"


def test_floating_point_is_refused(tmp_path: Path) -> None:
    """Nobody says what its samples mean: taken for sRGB, it would come out far too dark."""
    OpenEXR = pytest.importorskip("OpenEXR")  # noqa: N806  its own name
    path = tmp_path / "still.exr"
    pixels = {"RGB": np.full((32, 32, 3), 0.18, np.float32)}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, pixels) as file:
        file.write(str(path))
    with pytest.raises(InputError, match="gbrpf32le are not supported"):
        VideoFile(path)
