"""Writing files: every codec in every container it lists, alpha, names, and failing disks."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import clips
import numpy as np
import pytest

from streammatte.colour import Colour, Matrix
from streammatte.errors import OutputError, UsageError
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.options import BackgroundSpec, EncodeOptions, RenderOptions
from streammatte.sinks import CODECS, codecs, open_sink
from streammatte.sinks.codecs import EXTENSIONS, plan
from streammatte.sinks.video_file import VideoFileSink
from streammatte.sources.synthetic import Synthetic
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = (96, 64)
TICK = Fraction(1, 12800)
STAMPS = [0, 300, 901, 1500, 2750, 2800, 3333, 4096]
HELD = [
    (name, extension)
    for name in CODECS
    for extension, muxer in EXTENSIONS.items()
    if muxer in CODECS.load(name).containers and extension != ".m4v"
    if not CODECS.load(name).stand_in  # hardware: test_nvenc.py
]
LOSSLESS = {"ffv1", "qtrle", "png"}


def made_up(layout: Layout, colour: Colour, size: tuple[int, int] = SIZE) -> VideoInfo:
    return VideoInfo(None, *size, layout, colour, TICK, Fraction(25), pixel_aspect=Fraction(16, 11))


def frames(info: VideoInfo, stamps: list[int] = STAMPS) -> Iterator[Frame]:
    for index, pts in enumerate(stamps):
        planes = clips.planes(index, (info.width, info.height), info.layout)
        picture = Picture.of(planes, info.layout, info.colour)
        yield Frame(picture, pts, 600, info.time_base)


def write(path: Path, info: VideoInfo, **options: Any) -> VideoFileSink:
    encode = EncodeOptions(**options)
    decided = plan(path, info, encode, alpha=info.layout.alpha)
    with VideoFileSink(decided, info, encode) as sink:
        for frame in frames(info):
            sink.write(frame)
    return sink


def read(path: Path) -> tuple[VideoInfo, list[Frame]]:
    with VideoFile(path) as source:
        return source.info, list(source.frames())


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize(("codec", "extension"), HELD)
def test_every_codec_comes_back_from_every_container(
    tmp_path: Path, codec: str, extension: str, depth: int
) -> None:
    colour = Colour(Matrix.BT709, full_range=False, primaries=1, transfer=1)
    info = made_up(Layout("yuv", depth, 1, 1), colour)
    path = tmp_path / f"o{extension}"
    sink = write(path, info, codec=codec)
    read_info, got = read(path)
    assert (read_info.width, read_info.height) == SIZE
    if any("square" in note for note in sink.notes):
        assert (codec in ("av1", "vp9", "ffv1"), extension in (".mkv", ".webm")) == (True, True)
    else:
        assert read_info.pixel_aspect == info.pixel_aspect
    assert len(got) == len(STAMPS)
    for frame, pts in zip(got, STAMPS, strict=True):
        error = abs(frame.pts * frame.time_base - pts * TICK)
        assert error <= (Fraction(1, 2000) if extension in (".mkv", ".webm") else 0)
    family = "rgb" if codec in ("qtrle", "png") else "yuv"
    assert read_info.layout.family == family
    held = {"prores": 10, "qtrle": 8, "vp9": 8, "png": 16 if depth == 10 else 8}.get(codec, depth)
    assert read_info.layout.depth == held, sink.description
    if family == "yuv":
        read_colour = read_info.colour
        assert (read_colour.matrix, read_colour.full_range) == (Matrix.BT709, False)
        assert read_colour.assumed == ""
        near(got[3].picture, frames_at(info, 3), 0.03 if codec not in LOSSLESS else 0.0)


def frames_at(info: VideoInfo, index: int) -> Picture:
    return list(frames(info))[index].picture


def near(got: Picture, expected: Picture, tolerance: float) -> None:
    """Compare lumas: mean error as a share of the peak."""
    first = got.planes[0] / got.layout.peak
    second = expected.planes[0] * 2.0 ** (got.layout.depth - expected.layout.depth)
    assert np.abs(first - second / got.layout.peak).mean() <= tolerance


@pytest.mark.parametrize("tags", [(9, 9, 16), (6, 6, 6), (1, 1, 1)])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(("codec", "extension"), HELD)
def test_tags_say_what_the_samples_are(
    tmp_path: Path, codec: str, extension: str, full: bool, tags: tuple[int, int, int]
) -> None:
    matrix, primaries, transfer = tags
    info = made_up(Layout("yuv", 8, 1, 1), Colour(Matrix(matrix), full, primaries, transfer))
    path = tmp_path / f"o{extension}"
    write(path, info, codec=codec)
    if codec in ("qtrle", "png"):
        return
    says_full = full and codec != "prores"
    with av.open(str(path)) as container:
        context: Any = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        for thing in (context, frame):
            assert int(thing.colorspace) == matrix
            assert int(thing.color_primaries) == primaries
            assert int(thing.color_trc) == (1 if codec == "prores" and transfer == 6 else transfer)
            assert int(thing.color_range) in ((2,) if says_full else (0, 1))


@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10, 1, 0)])
def test_full_range_is_narrowed_for_prores(tmp_path: Path, layout: Layout) -> None:
    info = made_up(layout, Colour(Matrix.BT709, full_range=True))
    write(tmp_path / "o.mov", info, codec="prores")
    _, got = read(tmp_path / "o.mov")
    white = frames_at(info, 0).planes[0].max() / layout.peak
    expected = (16 + 219 * white) * 4
    assert abs(float(got[0].picture.planes[0].max()) - expected) < 12


@pytest.mark.parametrize(
    "layout",
    [
        Layout("yuv", 8, 1, 1),
        Layout("yuv", 8, 1, 0),
        Layout("yuv", 8, 0, 1),
        Layout("yuv", 8),
        Layout("yuv", 10, 1, 1),
        Layout("yuv", 10, 0, 1),
        Layout("yuv", 12),
        Layout("yuv", 16),
        Layout("rgb", 8),
        Layout("rgb", 10),
        Layout("rgb", 16),
    ],
    ids=lambda layout: layout.name,
)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", [SIZE, (65, 47)])
def test_ffv1_keeps_every_sample(
    tmp_path: Path, layout: Layout, alpha: bool, size: tuple[int, int]
) -> None:
    layout = layout.with_alpha(alpha=alpha)
    try:
        av.VideoFormat(layout.name)
    except ValueError:
        pytest.skip(f"FFmpeg has no {layout.name}")
    rgb = layout.family == "rgb"
    colour = Colour(Matrix.RGB if rgb else Matrix.BT709, full_range=rgb)
    info = made_up(layout, colour, size)
    write(tmp_path / "o.mkv", info, codec="ffv1")
    _, got = read(tmp_path / "o.mkv")
    for frame, expected in zip(got, frames(info), strict=True):
        for plane, true in zip(frame.picture.planes, expected.picture.planes, strict=True):
            assert np.array_equal(plane, true)
        assert not alpha or np.array_equal(frame.picture.alpha, expected.picture.alpha)


@pytest.mark.parametrize("layout", [Layout("yuv", 8, 0, 1), Layout("yuv", 10, 0, 1)])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_440_gets_a_format_that_loses_nothing(tmp_path: Path, codec: str, layout: Layout) -> None:
    info = made_up(layout, Colour(Matrix.BT709, full_range=False))
    decided = plan(tmp_path / "o.mp4", info, EncodeOptions(codec=codec), alpha=False)
    assert decided.layout == Layout("yuv", layout.depth)


def test_h264_qp0_is_bit_exact_in_8_and_10_bit(tmp_path: Path) -> None:
    for depth in (8, 10):
        info = made_up(Layout("yuv", depth, 1, 1), Colour(Matrix.BT709, full_range=False))
        write(tmp_path / f"{depth}.mkv", info, codec="h264", crf=0.0)
        _, got = read(tmp_path / f"{depth}.mkv")
        for frame, expected in zip(got, frames(info), strict=True):
            for plane, true in zip(frame.picture.planes, expected.picture.planes, strict=True):
                assert np.array_equal(plane, true)


@pytest.mark.parametrize(
    ("codec", "extension", "worst", "mean"),
    [
        ("prores", ".mov", 0.01, 0.001),
        ("vp9", ".webm", 0.25, 0.02),
        ("vp9", ".mkv", 0.25, 0.02),
        ("ffv1", ".mkv", 0.0, 0.0),
        ("qtrle", ".mov", 0.0, 0.0),
        ("png", ".mov", 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1, True), Layout("yuv", 8, alpha=True)])
def test_alpha_survives(
    tmp_path: Path, codec: str, extension: str, worst: float, mean: float, layout: Layout
) -> None:
    info = made_up(layout, Colour(Matrix.BT709, full_range=False))
    path = tmp_path / f"o{extension}"
    sink = write(path, info, codec=codec)
    _, got = read(path)
    assert len(got) == len(STAMPS)
    assert any("alpha was read back" in note for note in sink.notes)
    for frame, expected in zip(got, frames(info), strict=True):
        assert frame.picture.alpha is not None
        assert expected.picture.alpha is not None
        error = np.abs(
            frame.picture.alpha / frame.picture.layout.peak - expected.picture.alpha / layout.peak
        )
        assert error.max() <= worst
        assert error.mean() <= mean


@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_hevc_is_called_hvc1(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"o{extension}"
    write(path, made_up(Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, False)), codec="hevc")
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("size", [(33, 21), (66, 35), (65, 64), (67, 81)])
@pytest.mark.parametrize("codec", dict.fromkeys(name for name, _ in HELD))
def test_odd_sizes_are_kept_or_refused_in_words(
    tmp_path: Path, codec: str, size: tuple[int, int]
) -> None:
    info = made_up(Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, False), size)
    extension = next(ext for name, ext in HELD if name == codec)
    path = tmp_path / f"o{extension}"
    if codec == "av1" or (codec == "hevc" and min(size) < 64):
        with pytest.raises(UsageError, match="cannot hold"):
            write(path, info, codec=codec)
        return
    write(path, info, codec=codec)
    read_info, got = read(path)
    assert (read_info.width, read_info.height) == size
    assert len(got) == len(STAMPS)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("codec", "extension"), HELD)
def test_the_shortest_clips(tmp_path: Path, codec: str, extension: str, count: int) -> None:
    info = made_up(Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, False))
    encode = EncodeOptions(codec=codec)
    decided = plan(tmp_path / f"o{extension}", info, encode, alpha=False)
    with VideoFileSink(decided, info, encode) as sink:
        for frame in frames(info, STAMPS[:count]):
            sink.write(frame)
    assert len(read(tmp_path / f"o{extension}")[1]) == count


def moov_edits(path: Path) -> list[tuple[int, int]]:
    """Return the edit lists' entries (duration, media time) of an mp4, and its time scale first."""
    content = path.read_bytes()
    found, at = [], content.find(b"elst")
    while at >= 0:
        wide = content[at + 4] == 1
        step = 20 if wide else 12
        for entry in range(int.from_bytes(content[at + 8 : at + 12], "big")):
            begin = at + 12 + entry * step
            half = 8 if wide else 4
            duration = int.from_bytes(content[begin : begin + half], "big")
            media = int.from_bytes(content[begin + half : begin + 2 * half], "big", signed=True)
            found.append((duration, media))
        at = content.find(b"elst", at + 4)
    return found


@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_last_frame_lasts_as_long_as_it_should(tmp_path: Path, extension: str) -> None:
    info = made_up(Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, False))
    path = tmp_path / f"o{extension}"
    write(path, info, codec="h264")
    (duration, _), *_ = moov_edits(path)
    end = Fraction(STAMPS[-1] + 600) * TICK
    assert abs(Fraction(duration, 90000) - end) <= Fraction(1, 90000)


# --- The name ----------------------------------------------------------------------------------


def synthetic(tmp_path: Path, name: str = "o.mp4", **encode: Any) -> tuple[Any, Synthetic]:
    source = Synthetic(96, 64, 40)
    options = RenderOptions(BackgroundSpec("colour"), encode=EncodeOptions(**encode))
    return open_sink(tmp_path / name, source, options), source


def test_the_name_appears_only_at_the_end(tmp_path: Path) -> None:
    sink, source = synthetic(tmp_path)
    with sink:
        for frame in source.frames():
            sink.write(frame)
            assert [path.name for path in tmp_path.iterdir()] == ["o.mp4.part"]
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("written", [0, 1, 40])
def test_nothing_is_left_of_a_failure(
    tmp_path: Path, written: int, error: type[BaseException]
) -> None:
    sink, source = synthetic(tmp_path)
    with pytest.raises(error), sink:  # noqa: PT012
        for _, frame in zip(range(written), source.frames(), strict=False):
            sink.write(frame)
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_older_result_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "o.mp4").write_text("older")
    source = Synthetic(96, 64, 4)
    options = RenderOptions(BackgroundSpec("colour"), overwrite=True)
    sink = open_sink(tmp_path / "o.mp4", source, options)
    with pytest.raises(ValueError, match="stop"), sink:
        raise ValueError("stop")
    assert (tmp_path / "o.mp4").read_text() == "older"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 100, 3000, 6000])
@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.mov", "o.webm"])
def test_a_file_that_cannot_grow_is_an_error(tmp_path: Path, name: str, limit: int) -> None:
    sink, source = synthetic(tmp_path, name, bitrate=8_000_000)
    written = list(source.frames())
    with pytest.raises(OutputError, match="o\\."), files_up_to(limit), sink:  # noqa: PT012
        for frame in written:
            sink.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_a_trailer_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Only the very end of the file is missing: the mp4 index."""
    sink, source = synthetic(tmp_path)
    with sink:
        for frame in source.frames():
            sink.write(frame)
    whole = (tmp_path / "o.mp4").stat().st_size
    (tmp_path / "o.mp4").unlink()
    sink, source = synthetic(tmp_path)
    written = list(source.frames())
    with pytest.raises(OutputError), files_up_to(whole - 10), sink:  # noqa: PT012
        for frame in written:
            sink.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = made_up(Layout("yuv", 8, 1, 1), Colour(Matrix.BT709, False))
    monkeypatch.setattr(codecs, "H264", replace(codecs.H264, options={"profile": "no-such"}))
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "o.mp4", info)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", [codecs.H264, codecs.HEVC])
def test_centred_chroma_is_told_to_the_encoder(codec: codecs.Codec) -> None:
    told = codecs.encoder_options(codec, EncodeOptions(), centred=True)
    assert any("chromaloc=1" in value for value in told.values())
    told = codecs.encoder_options(codec, EncodeOptions(), centred=False)
    assert not any("chromaloc" in value for value in told.values())


def test_a_light_encoder_leaves_cores_to_the_network() -> None:
    assert codecs.encoder_threads(codecs.H264, EncodeOptions(), 1) == 1
    assert codecs.encoder_threads(codecs.H264, EncodeOptions(), 4) == 2
    assert codecs.encoder_threads(codecs.H264, EncodeOptions(preset="slow"), 4) == 4
    assert codecs.encoder_threads(codecs.HEVC, EncodeOptions(), 64) == codecs.MAX_THREADS
