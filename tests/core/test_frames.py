"""Layouts are FFmpeg's, pictures are views of FFmpeg's memory, time is exact."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streammatte.colour import SRGB, TRANSFER_PQ, Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.frames import Frame, Layout, Picture, VideoInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = set(av.video.format.names)  # type: ignore[attr-defined]
HD = Colour(Matrix.BT709, full_range=False, primaries=1, transfer=1)
DEPTHS = (8, 9, 10, 12, 14, 16)
EVERY = [
    Layout(family, depth, x, y, alpha)
    for family, depth, (x, y), alpha in product(
        ("yuv", "rgb"), DEPTHS, ((0, 0), (1, 0), (1, 1), (0, 1)), (False, True)
    )
    if family == "yuv" or not (x or y)
]
STORED = [layout for layout in EVERY if layout.stored == layout]


def test_every_stored_layout_is_a_format_of_ffmpeg() -> None:
    assert len(STORED) > 30
    for layout in EVERY:
        stored = layout.stored
        assert stored.name in FORMATS
        assert stored.stored == stored
        assert (stored == layout) == (layout.name in FORMATS)


def test_a_layout_that_ffmpeg_lacks_is_stored_in_one_that_holds_it() -> None:
    for layout in EVERY:
        stored = layout.stored
        assert (stored.family, stored.alpha) == (layout.family, layout.alpha)
        assert stored.depth >= layout.depth
        assert stored.chroma_x <= layout.chroma_x
        assert stored.chroma_y <= layout.chroma_y
    assert Layout("yuv", 12, 1, 1).with_alpha(alpha=True).name == "yuva420p16le"
    assert Layout("yuv", 8, 0, 1).with_alpha(alpha=True).name == "yuva444p"


@pytest.mark.parametrize("layout", STORED, ids=lambda layout: layout.name)
def test_a_picture_sees_the_memory_of_its_frame(layout: Layout) -> None:
    """Odd sizes, every plane, written by us and read by FFmpeg."""
    colour = HD if layout.family == "yuv" else SRGB
    picture = Picture.empty(17, 9, layout, colour)
    assert Layout.nearest(layout.name) == layout
    assert picture.layout == layout
    assert (picture.width, picture.height) == (17, 9)
    chroma = ((9 + layout.chroma_y) >> layout.chroma_y, (17 + layout.chroma_x) >> layout.chroma_x)
    assert [plane.shape for plane in picture.planes] == [(9, 17), chroma, chroma]
    assert (picture.alpha is not None) == layout.alpha
    planes: list[NDArray[Any]] = [*picture.planes]
    planes += [] if picture.alpha is None else [picture.alpha]
    for index, plane in enumerate(planes):
        assert plane.dtype == layout.dtype
        plane[:] = layout.peak - index
    for index, plane in enumerate(picture.native.planes):
        row = np.frombuffer(plane, layout.dtype).reshape(plane.height, -1)[:, : plane.width]
        assert (row == layout.peak - index).all()


def test_a_picture_carries_its_tags() -> None:
    native = Picture.empty(16, 16, Layout("yuv", 10, 1, 1), HD).native
    tags = (native.colorspace, native.color_range, native.color_primaries, native.color_trc)
    assert tuple(map(int, tags)) == (1, 1, 1, 1)


NEAREST = {
    "yuv420p": "yuv420p",
    "yuvj420p": "yuv420p",
    "yuvj422p": "yuv422p",
    "yuvj444p": "yuv444p",
    "yuvj440p": "yuv440p",
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
    "y210le": "yuv422p10le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yuv411p": "yuv422p",
    "yuv410p": "yuv420p",
    "yuv420p9be": "yuv420p9le",
    "yuv420p10be": "yuv420p10le",
    "yuv422p10le": "yuv422p10le",
    "yuv444p12le": "yuv444p12le",
    "yuv444p14le": "yuv444p14le",
    "yuv444p16be": "yuv444p16le",
    "yuva420p": "yuva420p",
    "yuva444p10le": "yuva444p10le",
    "yuva444p12le": "yuva444p12le",
    "ayuv64le": "yuva444p16le",
    "vuya": "yuva444p",
    "gray": "yuv420p",
    "gray10le": "yuv420p10le",
    "gray12le": "yuv420p12le",
    "gray16be": "yuv420p16le",
    "ya8": "yuva420p",
    "ya16le": "yuva420p16le",
    "monow": "yuv420p",
    "pal8": "gbrap",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
    "rgba": "gbrap",
    "bgra": "gbrap",
    "bgr0": "gbrp",
    "rgb565le": "gbrp",
    "rgb48le": "gbrp16le",
    "rgba64be": "gbrap16le",
    "x2rgb10le": "gbrp10le",
    "gbrp": "gbrp",
    "gbrp9le": "gbrp9le",
    "gbrp10be": "gbrp10le",
    "gbrp14le": "gbrp14le",
    "gbrap12le": "gbrap12le",
}


@pytest.mark.parametrize(("name", "nearest"), NEAREST.items())
def test_the_nearest_layout_holds_a_format_without_loss(name: str, nearest: str) -> None:
    assert Layout.nearest(name).name == nearest


def test_every_format_of_ffmpeg_has_a_layout_or_is_refused() -> None:
    refused = set()
    for name in FORMATS:
        try:
            layout = Layout.nearest(name)
        except ValueError as error:
            assert str(error) == f"pictures in {name} are not supported"  # noqa: PT017
            refused.add(name)
        else:
            assert layout.stored == layout
    floats = {"grayf32le", "gbrpf16le", "gbrapf16le", "rgbaf16le", "yaf32le"}
    assert {*floats, "bayer_rggb8", "xyz12le", "cuda", "vaapi", "gray32le"} <= refused


@pytest.mark.parametrize("wrong", [(11, 0, 0), (8, 2, 0), (8, 0, 3)])
def test_a_layout_that_cannot_be_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"depth must be|subsampling"):
        Layout("yuv", *wrong)


def test_packed_frames_are_no_pictures() -> None:
    with pytest.raises(ValueError, match="rgb24 is not planar colour"):
        Picture.over(av.VideoFrame(16, 16, "rgb24"), SRGB)


def test_pictures_of_planes_are_copies() -> None:
    layout = Layout("yuv", 8, 1, 1, alpha=True)
    planes = [np.full(size, index, np.uint8) for index, size in enumerate([(4, 6), (2, 3), (2, 3)])]
    picture = Picture.of([*planes, np.full((4, 6), 9, np.uint8)], layout, HD)
    planes[0][:] = 200
    assert [int(plane[0, 0]) for plane in picture.planes] == [0, 1, 2]
    assert picture.alpha is not None
    assert (picture.alpha == 9).all()


@pytest.mark.parametrize("matrix", [Matrix.BT709, Matrix.SMPTE170M, Matrix.BT2020])
@pytest.mark.parametrize("full", [True, False])
def test_the_view_shows_what_a_display_would(matrix: Matrix, full: bool) -> None:
    """The fast path of swscale, with the right matrix and range: a code or three off, no more."""
    rgb = np.zeros((64, 96, 3), np.float32)
    rgb[:, :32], rgb[:, 32:64], rgb[:, 64:] = (0.8, 0.2, 0.1), (0.1, 0.7, 0.9), (1, 1, 1)
    picture = from_rgb(rgb, Layout("yuv", 8), Colour(matrix, full_range=full))
    view = picture.view(48, 32, VideoReformatter())
    assert view.shape == (32, 48, 3)
    assert view.flags.c_contiguous
    for x in (8, 24, 40):
        assert np.abs(view[16, x] - 255 * rgb[32, 2 * x]).max() < 4


def test_the_view_of_hdr_is_bent_to_standard_range() -> None:
    pq = Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=TRANSFER_PQ)
    rgb = np.full((32, 32, 3), 0.58, np.float32)  # SDR white
    view = from_rgb(rgb, Layout("yuv", 10, 1, 1), pq).view(16, 16, VideoReformatter())
    assert 230 < view.mean() < 250


@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10, 1, 0)])
@pytest.mark.parametrize("full", [True, False])
def test_the_small_picture_keeps_the_samples(layout: Layout, full: bool) -> None:
    colour = Colour(Matrix.BT709, full_range=full)
    picture = Picture.empty(64, 48, layout, colour)
    for plane, value in zip(picture.planes, (0.7, 0.3, 0.6), strict=True):
        plane[:] = round(value * layout.peak)
    small = picture.small(16, 12, VideoReformatter())
    assert small.shape == (3, 12, 16)
    assert small.dtype == np.float32
    wanted = np.round(np.array([0.7, 0.3, 0.6]) * layout.peak)
    assert np.abs(small - wanted[:, None, None]).max() <= 1


@pytest.mark.parametrize("size", [(20, 15), (130, 90)])
@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("rgb", 10)])
def test_a_scaled_picture_keeps_its_colour(size: tuple[int, int], layout: Layout) -> None:
    colour = HD if layout.family == "yuv" else SRGB
    picture = from_rgb(np.full((48, 64, 3), (0.9, 0.3, 0.2), np.float32), layout, colour)
    scaled = picture.scaled(*size, layout, VideoReformatter())
    assert (scaled.width, scaled.height) == size
    assert (scaled.layout, scaled.colour) == (layout, colour)
    for plane, other in zip(scaled.planes, picture.planes, strict=True):
        assert np.abs(plane.astype(int) - int(other[0, 0])).max() <= 1


def test_seconds_are_exact_to_the_last_bit() -> None:
    picture = Picture.empty(16, 16, Layout("yuv", 8, 1, 1), HD)
    frame = Frame(picture, 1001 * 90000 * 3600, 3003, Fraction(1, 90000))
    assert frame.seconds == 1001 * 3600


def test_the_expected_frames_are_rounded_and_at_least_one() -> None:
    def info(seconds: float | None) -> VideoInfo:
        layout = Layout("yuv", 8, 1, 1)
        return VideoInfo(None, 16, 16, layout, HD, Fraction(1, 25), Fraction(25), seconds)

    assert info(2.01).frames_expected == 50
    assert info(0.001).frames_expected == 1
    assert info(None).frames_expected is None
