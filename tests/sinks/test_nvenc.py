"""Encoding by a GPU: what it is told, and that the CPU's encoder stands in where it is not there.

There is no GPU here, but the encoders are: what they are told is tried on their own tables of
options, and that they do not open is real.
"""

from __future__ import annotations

import ctypes
import errno
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.codec.codec
import clips
import numpy as np
import pytest
from av.error import ExternalError, FFmpegError

from streammatte.colour import Colour, Matrix
from streammatte.errors import DependencyError, OutputError, UsageError
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.options import BackgroundSpec, EncodeOptions, RenderOptions
from streammatte.runtimes.hardware import nvidia
from streammatte.sinks import CODECS, codecs, nvenc, open_sink
from streammatte.sinks.codecs import EXTENSIONS, encoder_options, plan
from streammatte.sources.synthetic import Synthetic
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.sinks import Sink

NAMES = [name for name in CODECS if CODECS.load(name).stand_in]
PAIRS = [
    (name, extension)
    for name in NAMES
    for extension, muxer in EXTENSIONS.items()
    if muxer in CODECS.load(name).containers
]
WISHES = [
    EncodeOptions(),
    EncodeOptions(crf=1),
    EncodeOptions(crf=23.5),
    EncodeOptions(crf=51),
    EncodeOptions(bitrate=8_000_000),
    *(EncodeOptions(preset=preset) for preset in codecs.H264_NVENC.presets),
]
no_gpu = pytest.mark.skipif(nvidia().gpus > 0, reason="there is an NVIDIA GPU")


# --- What the encoders are told ----------------------------------------------------------------


class Encoder:
    """One of FFmpeg's encoders with its options, asked past PyAV, which does not show them."""

    def __init__(self, name: str) -> None:
        self.lib = ctypes.CDLL(av.codec.codec.__file__)
        try:
            find, make = self.lib.avcodec_find_encoder_by_name, self.lib.avcodec_alloc_context3
            self._set, self._free = self.lib.av_opt_set, self.lib.avcodec_free_context
        except AttributeError:
            pytest.skip("FFmpeg's libraries do not show their functions here")
        find.restype = make.restype = ctypes.c_void_p
        make.argtypes = [ctypes.c_void_p]
        self._set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
        found = find(name.encode())
        if not found:
            pytest.skip(f"this FFmpeg has no {name}")
        self.context = ctypes.c_void_p(make(found))

    def takes(self, option: str, value: str) -> bool:
        """Whether it knows the option, its own or one of all codecs, and takes the value."""
        children = 1
        return bool(self._set(self.context, option.encode(), value.encode(), children) == 0)

    def close(self) -> None:
        self._free(ctypes.byref(self.context))


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Iterator[tuple[str, Encoder]]:
    opened = Encoder(CODECS.load(request.param).encoder)
    yield request.param, opened
    opened.close()


@pytest.mark.parametrize("wish", WISHES)
def test_every_option_and_value_is_one_that_the_encoder_has(
    encoder: tuple[str, Encoder], wish: EncodeOptions
) -> None:
    name, real = encoder
    told = encoder_options(CODECS.load(name), wish, centred=True)
    refused = {option: value for option, value in told.items() if not real.takes(option, value)}
    assert not refused


def test_the_table_of_options_can_refuse(encoder: tuple[str, Encoder]) -> None:
    _, real = encoder
    for option, value in (
        *(("crf", "18"), ("rc", "vbr_quality"), ("preset", "p8"), ("preset", "veryfast")),
        *(("cq", "64"), ("cq", "-1")),
    ):
        assert not real.takes(option, value), option


def test_the_scale_of_quality_is_the_encoders(encoder: tuple[str, Encoder]) -> None:
    name, real = encoder
    codec = CODECS.load(name)
    assert real.takes("cq", str(codec.worst_crf))
    assert not real.takes("cq", str(codec.worst_crf + 1))
    assert codec.best_crf == 1  # 0 means that the driver chooses


@pytest.mark.parametrize("name", NAMES)
def test_quality_and_bit_rate(name: str) -> None:
    codec = CODECS.load(name)
    plain = encoder_options(codec, EncodeOptions(), centred=False)
    assert plain == {"rc": "vbr", "b": "0", "preset": "p5", "cq": f"{codec.crf:g}"}
    finer = encoder_options(codec, EncodeOptions(crf=12.5, preset="p7"), centred=False)
    assert finer == {"rc": "vbr", "b": "0", "preset": "p7", "cq": "12.5"}
    steady = encoder_options(codec, EncodeOptions(bitrate=10**6), centred=False)
    assert steady == {"rc": "vbr", "preset": "p5"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *((name, wrong) for name in NAMES for wrong in ({"crf": 0}, {"preset": "veryfast"})),
        *((name, {"crf": 52}) for name in ("h264_nvenc", "hevc_nvenc")),
    ],
)
def test_what_is_off_the_scale_is_refused_and_not_replaced(
    name: str, wrong: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=name):
        opened(tmp_path / "out.mp4", codec=name, **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_the_encoders_and_ours(name: str) -> None:
    codec = CODECS.load(name)
    offered = {fmt.name for fmt in av.Codec(codec.encoder, "w").video_formats or []}
    assert set(codec.formats) <= offered
    software = CODECS.load(codec.stand_in)
    assert codec.containers == software.containers
    assert codec.tag == software.tag
    assert codec.delivery == software.delivery


def info(pixel_format: str, size: tuple[int, int] = (96, 64)) -> VideoInfo:
    layout = Layout.nearest(pixel_format)
    colour = Colour(Matrix.BT709, full_range=False)
    return VideoInfo(None, *size, layout, colour, Fraction(1, 12800), Fraction(25))


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("h264_nvenc", "yuv420p", "yuv420p"),
        ("h264_nvenc", "yuv420p10le", "yuv420p"),
        ("h264_nvenc", "yuv422p", "yuv444p"),
        ("h264_nvenc", "yuv444p", "yuv444p"),
        ("h264_nvenc", "gbrp", "yuv420p"),
        ("hevc_nvenc", "yuv420p", "yuv420p"),
        ("hevc_nvenc", "yuv420p10le", "p010le"),
        ("hevc_nvenc", "yuv420p12le", "p010le"),
        ("hevc_nvenc", "yuv444p", "yuv444p"),
        ("av1_nvenc", "yuv420p", "yuv420p"),
        ("av1_nvenc", "yuv420p10le", "p010le"),
        ("av1_nvenc", "yuv444p", "yuv420p"),
    ],
)
def test_what_the_encoder_gets(name: str, given: str, taken: str, tmp_path: Path) -> None:
    decided = plan(tmp_path / "out.mp4", info(given), EncodeOptions(name), alpha=False)
    assert decided.encoder == name
    assert decided.pixel_format == taken
    assert decided.layout == Layout.nearest(taken)


def test_ten_bits_reach_the_encoder_unharmed() -> None:
    """``VideoFileSink`` lets FFmpeg store 10 bits in the upper part of a word: nothing else."""
    layout = Layout("yuv", 10, 1, 1)
    rng = np.random.default_rng(0)
    planes = [rng.integers(0, 1024, plane.shape) for plane in clips.planes(0, (96, 64), layout)]
    picture = Picture.of(planes, layout, Colour(Matrix.BT709, full_range=False))
    stored = picture.native.reformat(format="p010le", threads=1)
    luma, chroma = (
        np.frombuffer(plane, np.uint16).reshape(plane.height, -1) for plane in stored.planes
    )
    assert np.array_equal(luma[:, :96] >> 6, planes[0])
    assert np.array_equal(chroma[:, :96:2] >> 6, planes[1])
    assert np.array_equal(chroma[:, 1:96:2] >> 6, planes[2])


# --- Where it does not open --------------------------------------------------------------------


def opened(path: Path, *, layout: Layout | None = None, **options: Any) -> tuple[Sink, Synthetic]:
    source = Synthetic(128, 96, 5, Fraction(30000, 1001), layout or Layout("yuv", 8, 1, 1))
    wish = RenderOptions(BackgroundSpec("blur"), encode=EncodeOptions(**options))
    return open_sink(path, source, wish), source


def written(path: Path, **options: Any) -> Sink:
    sink, source = opened(path, **options)
    with sink:
        for frame in source.frames():
            sink.write(frame)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return sink


def told_of(path: Path) -> tuple[str, str, int]:
    with VideoFile(path) as result:
        return result.info.codec, result.info.layout.name, len(list(result.frames()))


@no_gpu
@pytest.mark.parametrize(("name", "extension"), PAIRS)
def test_the_software_of_the_same_standard_stands_in(
    name: str, extension: str, tmp_path: Path
) -> None:
    sink = written(tmp_path / f"out{extension}", codec=name)
    software = CODECS.load(CODECS.load(name).stand_in)
    assert sink.notes == [
        f"{name} cannot be used here: {nvidia().why}; encoded by {software.encoder}"
    ]
    assert sink.description.startswith(f"{CODECS.load(name).stand_in} ")
    codec, layout, count = told_of(tmp_path / f"out{extension}")
    assert codec == {"av1": "libdav1d"}.get(CODECS.load(name).stand_in, codec)
    assert codec in ("h264", "hevc", "libdav1d", "av1")
    assert (layout, count) == ("yuv420p", 5)


@no_gpu
def test_what_was_asked_for_goes_along(tmp_path: Path) -> None:
    wish = EncodeOptions("HEVC_NVENC", crf=30, preset="p7", pixel_format="p010le")
    software = nvenc.stand_in(wish)
    assert software == EncodeOptions("hevc", crf=30, pixel_format="yuv420p10le")
    path = tmp_path / "out.mkv"
    sink = written(path, codec="hevc_nvenc", crf=30, preset="p7", pixel_format="p010le")
    assert sink.notes[0].endswith("encoded by libx265, without --preset p7")
    assert told_of(path) == ("hevc", "yuv420p10le", 5)
    steady = nvenc.stand_in(EncodeOptions("h264_nvenc", bitrate=10**6))
    assert steady == EncodeOptions("h264", bitrate=10**6)


@no_gpu
def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    sink = written(tmp_path / "out.mp4", codec="av1_nvenc", layout=Layout("yuv", 10, 1, 1))
    assert len(sink.notes) == 1
    assert told_of(tmp_path / "out.mp4")[1] == "yuv420p10le"


@pytest.mark.parametrize("codec", [None, "h264", "x264", "prores"])
def test_nothing_stands_in_for_software(codec: str | None) -> None:
    assert nvenc.stand_in(EncodeOptions(codec)) is None


def test_a_software_encoder_that_is_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "HEVC", replace(codecs.HEVC, encoder="no_such_encoder"))
    with pytest.raises(DependencyError, match="no_such_encoder"):
        opened(tmp_path / "out.mp4", codec="hevc")


def test_an_ffmpeg_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as PyAV's for macOS."""
    missing = replace(codecs.H264_NVENC, encoder="no_such_nvenc")
    monkeypatch.setattr(codecs, "H264_NVENC", missing)
    sink = written(tmp_path / "out.mp4", codec="h264_nvenc")
    (note,) = sink.notes
    why = "this build of FFmpeg has no no_such_nvenc"
    assert note == f"h264_nvenc cannot be used here: {why}; encoded by libx264"


@no_gpu
def test_two_encoders_that_do_not_open_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "H264", replace(codecs.H264, preset=("preset", "no such")))
    with pytest.raises(OutputError):
        opened(tmp_path / "out.mp4", codec="h264_nvenc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FFmpegError(errno.ENOMEM, "Cannot allocate memory"), "no encoding session left"),
        (FFmpegError(errno.ENOSYS, "Function not implemented"), "cannot encode this"),
        (ExternalError(1, "Generic error in an external library"), "cannot encode this"),
        (FFmpegError(errno.EINVAL, "Invalid argument"), "Invalid argument"),
    ],
)
def test_why_it_does_not_open(
    error: FFmpegError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammatte.runtimes.hardware import Nvidia

    monkeypatch.setattr(nvenc, "nvidia", lambda: Nvidia(1))
    with pytest.raises(DependencyError, match=words), nvenc.opening():
        raise error


@no_gpu
@pytest.mark.parametrize("name", NAMES)
def test_why_not(name: str) -> None:
    assert nvenc.why_not(name) == nvidia().why


# --- Where it opens ----------------------------------------------------------------------------


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libx264 play the GPU's encoder."""
    played = replace(
        codecs.H264_NVENC,
        encoder="libx264",
        quality="crf",
        options={},
        preset=("preset", "veryfast"),
    )
    monkeypatch.setattr(codecs, "H264_NVENC", played)


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv"])
def test_an_encoder_that_opens_is_used(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{extension}"
    sink = written(path, codec="h264_nvenc")
    assert sink.notes == []
    assert sink.description.startswith("h264_nvenc (yuv420p)")
    assert told_of(path) == ("h264", "yuv420p", 5)
    assert nvenc.why_not("h264_nvenc") == ""


@pytest.mark.usefixtures("there")
def test_time_and_colour_reach_the_file(tmp_path: Path) -> None:
    stamps = [0, 300, 901, 1500, 2750]
    about = replace(
        info("yuv420p"), colour=Colour(Matrix.BT2020, full_range=True, primaries=9, transfer=14)
    )
    source = Synthetic(96, 64, 5)
    source.info = about
    wish = RenderOptions(BackgroundSpec("blur"), encode=EncodeOptions("h264_nvenc"))
    path = tmp_path / "out.mp4"
    with open_sink(path, source, wish) as sink:
        for index, pts in enumerate(stamps):
            planes = clips.planes(index, (96, 64), about.layout)
            picture = Picture.of(planes, about.layout, about.colour)
            sink.write(Frame(picture, pts, 600, about.time_base))
    with VideoFile(path) as result:
        assert [frame.pts for frame in result.frames()] == stamps
        colour = result.info.colour
    assert (colour.matrix, colour.full_range) == (Matrix.BT2020, True)
    assert (colour.primaries, colour.transfer) == (9, 14)


@pytest.mark.usefixtures("there")
def test_a_failure_on_the_way_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, source = opened(tmp_path / "out.mp4", codec="h264_nvenc")

    def encode(*_: Any) -> None:
        raise ExternalError(1, "Generic error in an external library")

    frames = source.frames()

    def work() -> None:
        with sink:
            sink.write(next(frames))
            monkeypatch.setattr(sink, "_mux", encode)
            sink.write(next(frames))

    with pytest.raises(OutputError, match="cannot be written"):
        work()
    assert list(tmp_path.iterdir()) == []
