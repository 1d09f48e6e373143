"""Decoding by a GPU: what its pictures become, and that the CPU stands in whenever it cannot.

There is no GPU: FFmpeg's decoder on the CPU plays it, its frames stored as the GPU stores them.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import clips
import numpy as np
import pytest
from av.error import ExternalError, InvalidDataError

from streammatte.errors import InputError
from streammatte.frames import Layout
from streammatte.runtimes.hardware import nvidia
from streammatte.sources import Window, nvdec, open_source
from streammatte.sources.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.frames import Frame

    Make = Callable[..., Path]

GPU_FORMATS = {
    "yuv420p": "nv12",
    "yuv422p": "nv16",
    "yuv420p10le": "p010le",
    "yuv422p10le": "p210le",
    "yuv444p10le": "yuv444p10msble",
    "yuv420p12le": "p016le",
    "yuv444p12le": "yuv444p16le",
}
"""What NVDEC gives where the CPU's decoder gives the first; 8-bit 4:4:4 is the same in both."""


def stored_by_gpu(planes: list[Any], layout: Layout, pixel_format: str) -> av.VideoFrame:
    """Store planes as the GPU does, written out sample by sample, apart from what is tested."""
    height, width = planes[0].shape
    return fill(av.VideoFrame(width, height, pixel_format), planes, layout)


def fill(frame: av.VideoFrame, planes: list[Any], layout: Layout) -> av.VideoFrame:
    shift = 0 if layout.depth == 8 else 16 - layout.depth
    luma, cb, cr = (np.left_shift(np.array(plane), shift) for plane in planes)
    stored = [luma, cb, cr]
    if len(frame.planes) == 2:
        stored = [luma, np.dstack([cb, cr]).reshape(len(cb), -1)]
    for plane, samples in zip(frame.planes, stored, strict=True):
        rows = np.frombuffer(plane, layout.dtype).reshape(plane.height, -1)
        rows[:] = 77  # what lies behind a line is nobody's
        rows[:, : samples.shape[1]] = samples
    return frame


class Gpu:
    """Decodes as the CPU does and hands out frames as the GPU does."""

    def __init__(self, decoder: Any, spoil: Callable[[int], None] = lambda _: None) -> None:
        self.decoder = decoder
        self.pix_fmt = "cuda"
        self.spoil = spoil
        self.packets = 0
        self.formats: set[str] = set()

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        self.packets += 1
        self.spoil(self.packets - 1)
        return [self.stored(frame) for frame in self.decoder.decode(packet)]

    def stored(self, frame: av.VideoFrame) -> av.VideoFrame:
        name = frame.format.name.replace("yuvj", "yuv")
        layout = Layout.nearest(name)
        if name not in GPU_FORMATS:
            return frame
        planes = [
            np.frombuffer(plane, layout.dtype).reshape(plane.height, -1)[:, : plane.width].copy()
            for plane in frame.planes
        ]
        result = frame.reformat(format=GPU_FORMATS[name])  # takes its properties along
        self.formats.add(result.format.name)
        return fill(result, planes, layout)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[Gpu]:
    """Make believe that there is a GPU; return the decoders that were opened on it."""
    opened: list[Gpu] = []
    on_cpu = VideoFile._decoder

    def decoder(source: VideoFile) -> Any:
        if not source._gpu:
            return on_cpu(source)
        opened.append(Gpu(source._stream.codec_context))
        return opened[-1]

    monkeypatch.setattr(VideoFile, "_decoder", decoder)
    monkeypatch.setattr(nvdec, "accelerator", lambda: None)
    monkeypatch.setattr(nvdec, "why_not", lambda: "")
    return opened


def samples(frame: Frame) -> list[Any]:
    return [np.array(plane) for plane in frame.picture.planes]


def both(path: Path, window: Window | None = None) -> tuple[VideoFile, VideoFile]:
    """Read a file on the CPU and with ``cuda``; check that the same came out, to the bit."""
    with VideoFile(path, window) as cpu, VideoFile(path, window, "cuda") as other:
        assert replace(other.info, decoder="cpu") == cpu.info
        ones, others = list(cpu.frames()), list(other.frames())
    assert ones
    assert [(f.pts, f.duration, f.time_base) for f in ones] == [
        (f.pts, f.duration, f.time_base) for f in others
    ]
    for one, two in zip(ones, others, strict=True):
        assert one.picture.layout == two.picture.layout
        assert one.picture.colour == two.picture.colour
        assert all(map(np.array_equal, samples(one), samples(two)))
    return cpu, other


def decoded_by_gpu(path: Path, window: Window | None = None) -> VideoFile:
    cpu, other = both(path, window)
    assert cpu.info.decoder == "cpu"
    assert other.info.decoder == "cuda", other.damage.notes
    assert other.damage == cpu.damage
    assert other.shift == cpu.shift
    return other


def decoded_by_cpu(path: Path, *words: str) -> VideoFile:
    """Check that all is as without ``cuda`` but for one note that says why."""
    cpu, other = both(path)
    assert other.info.decoder == "cpu"
    (note,) = (note for note in other.damage.notes if note not in cpu.damage.notes)
    assert note.startswith("decoded on the CPU: ")
    assert not [word for word in words if word not in note], note
    assert replace(other.damage, notes=[]) == replace(cpu.damage, notes=[])
    return other


# --- Samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [(96, 64), (65, 47), (2, 2), (1, 1)])
@pytest.mark.parametrize(
    ("planar", "stored"),
    [
        *GPU_FORMATS.items(),
        ("yuv444p", "nv24"),
        ("yuv420p10le", "p016le"),
        ("yuv420p12le", "p012le"),
        ("yuv422p12le", "p216le"),
        ("yuv444p10le", "p410le"),
        ("yuv444p12le", "yuv444p12msble"),
    ],
)
def test_the_samples_are_the_very_same(
    planar: str, stored: str, size: tuple[int, int], whole: bool
) -> None:
    layout = Layout.nearest(planar)
    rng = np.random.default_rng(3)
    planes = [
        rng.integers(0, layout.peak + 1, plane.shape).astype(layout.dtype)
        for plane in clips.planes(0, size, layout)
    ]
    native = stored_by_gpu(planes, layout, stored)
    native.pts, native.duration, native.time_base = 7, 3, Fraction(1, 25)
    assert nvdec.foreign(native)
    result = nvdec.planar(native, layout, whole=whole)
    assert result.format.name == planar
    assert (result.width, result.height) == size
    assert (result.pts, result.duration, result.time_base) == (7, 3, Fraction(1, 25))
    for plane, wanted in zip(result.planes, planes, strict=True):
        rows = np.frombuffer(plane, layout.dtype).reshape(plane.height, -1)
        assert np.array_equal(rows[:, : plane.width], wanted)


def test_frames_without_a_time() -> None:
    result = nvdec.planar(av.VideoFrame(16, 16, "nv12"), Layout.nearest("yuv420p"))
    assert (result.pts, result.time_base) == (None, None)


def test_what_is_planar_already_is_left_alone() -> None:
    layout = Layout.nearest("yuv444p16le")
    native = av.VideoFrame(16, 16, "yuv444p16le")
    assert nvdec.planar(native, layout) is native
    native = av.VideoFrame(16, 16, "yuv420p")
    assert nvdec.planar(native, layout) is native


# --- Files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "pixel_format", "stored"),
    [
        ("libx264", "yuv420p", "nv12"),
        ("libx264", "yuv420p10le", "p010le"),
        ("libx264", "yuv422p10le", "p210le"),
        ("libx265", "yuv420p10le", "p010le"),
        ("libx265", "yuv420p12le", "p016le"),
        ("libx265", "yuv444p12le", "yuv444p16le"),
        ("libsvtav1", "yuv420p10le", "p010le"),
        ("libvpx-vp9", "yuv420p", "nv12"),
    ],
)
def test_files(clip: Make, gpu: list[Gpu], codec: str, pixel_format: str, stored: str) -> None:
    decoded_by_gpu(clip("p.mkv", codec=codec, pixel_format=pixel_format, count=5))
    assert gpu[-1].formats == {stored}


def test_one_thread_is_enough(clip: Make, gpu: list[Gpu], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would hold some of the GPU's few surfaces."""
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    decoded_by_gpu(clip("p.mp4"))
    assert gpu[-1].decoder.thread_count == 1


def test_full_range_and_untagged_footage(clip: Make, gpu: list[Gpu]) -> None:
    decoded_by_gpu(clip("p.mp4", pixel_format="yuvj420p", tags=(2, 2, 2, 2)))
    assert gpu[-1].formats == {"nv12"}
    decoded_by_gpu(clip("p.mp4", tags=(9, 1, 9, 16)))


@pytest.mark.parametrize("rotation", [90, 180])
def test_rotation_and_time_stamps(clip: Make, gpu: list[Gpu], rotation: int) -> None:
    stamps = (0, 300, 901, 1500, 2750, 2800, 3333, 4096, 4500, 6001, 7000, 9999)
    decoded_by_gpu(clip("p.mp4", rotation=rotation, mirrored=(True, False), pts=stamps))


def test_a_window(clip: Make, gpu: list[Gpu]) -> None:
    path = clip("p.mp4", count=60, options={"g": "10", "bf": "2"})
    decoded_by_gpu(path, Window(Fraction(1), Fraction(2)))
    decoded_by_gpu(path, Window(Fraction(12, 10)))
    decoded_by_gpu(path, Window(None, Fraction(1, 2)))


@pytest.mark.parametrize("order", ["tff=1", "bff=1"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_interlaced_footage(clip: Make, gpu: list[Gpu], order: str, pixel_format: str) -> None:
    path = clip("p.mkv", pixel_format=pixel_format, options={"x264-params": order})
    with av.open(str(path)) as container:
        assert next(iter(container.decode(video=0))).interlaced_frame
    decoded_by_gpu(path)


def test_footage_that_is_interlaced_in_part(clip: Make, gpu: list[Gpu]) -> None:
    parts = [
        clip("p.ts", count=40, pixel_format="yuv420p10le", options={"x264-params": kind})
        for kind in ("bframes=1", "tff=1", "bframes=2")
    ]
    path = parts[0].with_name("joined.ts")
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded_by_gpu(path)


def test_damage_is_counted_alike(clip: Make, gpu: list[Gpu], tmp_path: Path) -> None:
    content = bytearray(clip("p.mkv", count=60, options={"g": "12"}).read_bytes())
    rng = np.random.default_rng(1)
    for place in rng.integers(len(content) // 4, len(content), 20):
        content[place] ^= 0x55
    path = tmp_path / "damaged.mkv"
    path.write_bytes(content)
    assert decoded_by_gpu(path).damage
    path.write_bytes(content[: len(content) // 2])
    decoded_by_gpu(path)


def test_pictures_that_change_their_size(gpu: list[Gpu], clip: Make) -> None:
    parts = [clip("p.ts", size=size, count=40) for size in ((96, 64), (64, 48))]
    path = parts[0].with_name("joined.ts")
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    cpu, other = VideoFile(path), VideoFile(path, None, "cuda")
    with cpu, other:
        ones, others = list(cpu.frames()), list(other.frames())
    assert len(ones) == len(others) == 80
    assert other.info.decoder == "cuda"
    assert all(map(np.array_equal, samples(ones[0]), samples(others[0])))
    for one, two in zip(samples(ones[-1]), samples(others[-1]), strict=True):
        assert np.abs(one.astype(int) - two).max() <= 1  # swscale, from another layout


def test_real_footage(gpu: list[Gpu], footage: Callable[[str], Path]) -> None:
    for name in ("h264_10bits.mp4", "h265_10bits.mp4", "short_hamilton_clip.mp4"):
        decoded_by_gpu(footage(name), Window(None, Fraction(1)))


# --- The CPU stands in ---------------------------------------------------------------------------


@pytest.mark.skipif(nvidia().gpus > 0, reason="there is an NVIDIA GPU")
@pytest.mark.parametrize("name", ["p.mp4", "p.mkv"])
def test_without_a_gpu(clip: Make, name: str) -> None:
    decoded_by_cpu(clip(name), nvidia().why)


@pytest.mark.skipif(nvidia().gpus > 0, reason="there is an NVIDIA GPU")
def test_it_is_the_driver_that_is_missing() -> None:
    assert nvdec.why_not() == nvidia().why
    with pytest.raises(PermissionError):
        av.CodecContext.create("h264", "r", hwaccel=nvdec.accelerator())


def test_covers_may_be_what_the_gpu_does_not_decode() -> None:
    hwaccel: Any = nvdec.accelerator()
    assert hwaccel.allow_software_fallback
    assert not hwaccel.is_hw_owned


def test_an_ffmpeg_without_cuda(clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvdec, "hwdevices_available", lambda: ["videotoolbox"])
    decoded_by_cpu(clip("p.mp4"), "no CUDA")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codec": "ffv1"}, ["ffv1"]),
        ({"codec": "prores_ks", "pixel_format": "yuv422p10le"}, ["prores"]),
        ({"codec": "mpeg2video", "time_base": Fraction(1, 25)}, ["mpeg2video"]),
        ({"codec": "libx264rgb", "pixel_format": "rgb24"}, ["gbrp"]),
        ({"codec": "libvpx-vp9", "pixel_format": "yuva420p"}, ["yuva420p"]),
    ],
)
def test_what_the_gpu_is_not_asked_for(
    clip: Make, gpu: list[Gpu], changes: dict[str, Any], words: list[str]
) -> None:
    decoded_by_cpu(clip("p.mkv", **changes), *words)
    assert not gpu


def test_photographs(clip: Make, gpu: list[Gpu]) -> None:
    path = clip("p.jpg", codec="mjpeg", pixel_format="yuvj420p", count=1, muxer="image2")
    decoded_by_cpu(path, "photograph")


@pytest.fixture
def spoilt(gpu: list[Gpu], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the GPU behave otherwise."""
    decoder = VideoFile._decoder

    def spoil(**behaviour: Any) -> None:
        def opened(source: VideoFile) -> Any:
            result = decoder(source)
            if source._gpu:
                for name, value in behaviour.items():
                    setattr(result, name, value)
            return result

        monkeypatch.setattr(VideoFile, "_decoder", opened)

    return spoil


def fails(error: type[Exception], after: int = 0) -> Callable[[int], None]:
    def decode(packets: int) -> None:
        if packets >= after:
            raise error(1, "boom")

    return decode


def test_ffmpeg_falls_back_on_its_own(clip: Make, spoilt: Callable[..., None]) -> None:
    """That is what happens if the GPU does not know a profile or a size."""
    spoilt(pix_fmt="yuv420p")
    decoded_by_cpu(clip("p.mp4", count=30), "does not decode h264 in yuv420p at 96x64")


@pytest.mark.parametrize("error", [ExternalError, InvalidDataError])
def test_it_decodes_nothing(
    clip: Make, spoilt: Callable[..., None], error: type[Exception]
) -> None:
    spoilt(spoil=fails(error))
    decoded_by_cpu(clip("p.mp4", count=30), "gave no picture")
    decoded_by_cpu(clip("long.mp4", count=90), "stopped decoding")


@pytest.mark.parametrize("flashes", [None, (1.0,)])
def test_it_misses_the_first_pictures(
    clip: Make, spoilt: Callable[..., None], flashes: tuple[float, ...] | None
) -> None:
    """Even where the next looks the same."""

    def spoil(packets: int) -> None:
        if packets < 4:
            raise InvalidDataError(errno.EINVAL, "boom")

    spoilt(spoil=spoil)
    path = clip("p.mp4", count=30, options={"g": "1"}, flashes=flashes)
    decoded_by_cpu(path, "is another one")


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_it_decodes_another_picture(
    clip: Make, gpu: list[Gpu], monkeypatch: pytest.MonkeyPatch, plane: int
) -> None:
    exact = nvdec.planar

    def planar(native: av.VideoFrame, layout: Layout, *, whole: bool = False) -> av.VideoFrame:
        result = exact(native, layout, whole=whole)
        if nvdec.foreign(native):
            np.frombuffer(result.planes[plane], np.uint8)[5] ^= 1
        return result

    monkeypatch.setattr(nvdec, "planar", planar)
    decoded_by_cpu(clip("p.mp4"), "is another one")


def test_it_does_not_open(clip: Make, gpu: list[Gpu], monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("p.mp4")
    real = VideoFile._open

    def refuse(source: VideoFile) -> None:
        if source._gpu:
            raise InputError("no memory left on the GPU")
        real(source)

    monkeypatch.setattr(VideoFile, "_open", refuse)
    decoded_by_cpu(path, "no memory left")


def test_it_is_lost_on_the_way(clip: Make, spoilt: Callable[..., None]) -> None:
    path = clip("p.mp4", count=90, options={"bf": "0"})
    spoilt(spoil=fails(ExternalError, after=20))
    with (
        VideoFile(path, None, "cuda") as source,
        pytest.raises(InputError, match="--decoder cpu"),
    ):
        list(source.frames())


def test_damage_here_and_there_is_no_lost_gpu(clip: Make, spoilt: Callable[..., None]) -> None:
    def spoil(packets: int) -> None:
        if packets > 9 and packets % 2:
            raise InvalidDataError(errno.EINVAL, "boom")

    spoilt(spoil=spoil)
    path = clip("p.mp4", count=130, options={"g": "1", "bf": "0"})
    with VideoFile(path, None, "cuda") as source:
        assert len(list(source.frames())) == 70
        assert source.damage.lost_packets > nvdec.LOST_IN_A_ROW


def test_a_part_that_the_cpu_had_to_decode_is_told(
    clip: Make, gpu: list[Gpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    with VideoFile(clip("p.mp4", count=30, options={"bf": "0"}), None, "cuda") as source:
        frames = source.frames()
        next(frames)
        gpu[-1].pix_fmt = "yuv420p"
        assert len(list(frames)) == 29
        assert source.damage.notes == ["the GPU does not decode all of p.mp4; the CPU did the rest"]


@pytest.mark.parametrize("decoder", ["auto", "cpu"])
def test_nobody_asked_for_it(clip: Make, gpu: list[Gpu], decoder: Any) -> None:
    with open_source(clip("p.mp4"), None, decoder) as source:
        assert source.info.decoder == "cpu"
        assert not source.damage
    assert not gpu


def test_what_is_no_video_is_told_as_ever(tmp_path: Path, gpu: list[Gpu]) -> None:
    path: Path = tmp_path / "p.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(InputError, match="is not a video"):
        VideoFile(path, None, "cuda")


def test_av1_takes_the_decoder_that_knows_gpus() -> None:
    assert nvdec.native_decoder("libdav1d") == "av1"
    assert nvdec.native_decoder("h264") == ""
    for name in ("h264", "hevc", "av1", "vp8", "vp9"):
        configs = av.Codec(name, "r").hardware_configs
        assert any(config.device_type.name == "cuda" for config in configs)
