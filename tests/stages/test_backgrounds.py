"""What goes behind: exact colours, the right place, the right time, and no trace of the subject."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammatte.colour import SRGB, TRANSFER_HLG, TRANSFER_PQ, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.frames import Frame, Layout, Picture, VideoInfo
from streammatte.options import BackgroundSpec
from streammatte.sources.synthetic import Synthetic
from streammatte.stages.backgrounds import Blur, fit_size, open_background
from streammatte.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streammatte.stages.backgrounds import Background, Fit


HD = Colour(Matrix.BT709, full_range=False)
SD_FULL = Colour(Matrix.SMPTE170M, full_range=True)
ANY_ALPHA = np.zeros((4, 4), np.float32)


def footage(
    width: int = 64,
    height: int = 48,
    layout: Layout | None = None,
    colour: Colour = HD,
    aspect: Fraction = Fraction(1),
) -> VideoInfo:
    return VideoInfo(
        path=None,
        width=width,
        height=height,
        layout=layout or Layout("yuv", 8, 1, 1),
        colour=colour,
        time_base=Fraction(1, 90000),
        rate=Fraction(25),
        pixel_aspect=aspect,
    )


def frame_at(seconds: Fraction, info: VideoInfo) -> Frame:
    picture = Picture.empty(info.width, info.height, info.layout, info.colour)
    return Frame(picture, seconds.numerator, 0, Fraction(1, seconds.denominator))


def opened(what: str | Path, info: VideoInfo, threads: Threads, fit: Fit = "cover") -> Background:
    background = open_background(BackgroundSpec.parse(str(what)), fit, info, threads)
    assert background is not None
    return background


def still_of(what: str | Path, info: VideoInfo, fit: Fit = "cover") -> Picture:
    with Threads(serial=True) as threads:
        return opened(what, info, threads, fit).behind(frame_at(Fraction(0), info), ANY_ALPHA)


# --- Colours ------------------------------------------------------------------------------------

GREENS = {  # of #00b140 (0, 177, 64)
    ("yuv420p", HD): (129, 96, 55),
    ("yuv420p", SD_FULL): (111, 101, 49),
    ("yuv444p10le", HD): (515, 385, 219),
    ("gbrp", SRGB): (177, 64, 0),
}


@pytest.mark.parametrize(("name", "colour"), GREENS)
def test_a_colour_is_exact_in_every_layout(name: str, colour: Colour) -> None:
    layout = Layout.nearest(name)
    picture = still_of("#00b140", footage(33, 17, layout, colour))
    assert (picture.layout, picture.colour) == (layout, colour)
    assert (picture.width, picture.height) == (33, 17)
    exact = to_rgb(picture)[0, 0] * 255
    assert np.abs(exact - (0, 177, 64)).max() < 255 / layout.peak * 1.1
    for plane, wanted in zip(picture.planes, GREENS[name, colour], strict=True):
        assert (plane == wanted).all()


def test_alpha_of_the_footage_asks_for_no_alpha_behind() -> None:
    info = footage(layout=Layout("yuv", 8, 1, 1, alpha=True))
    assert still_of("white", info).alpha is None


@pytest.mark.parametrize(("transfer", "signal"), [(TRANSFER_PQ, 0.5807), (TRANSFER_HLG, 0.75)])
def test_white_behind_hdr_is_the_white_of_graphics(transfer: int, signal: float) -> None:
    colour = Colour(Matrix.BT2020, full_range=False, primaries=9, transfer=transfer)
    picture = still_of("white", footage(layout=Layout("yuv", 10, 1, 1), colour=colour))
    assert np.abs(to_rgb(picture) - signal).max() < 2e-3


def test_transparent_is_nothing() -> None:
    with Threads(serial=True) as threads:
        assert open_background(BackgroundSpec("transparent"), "cover", footage(), threads) is None


# --- Fit ----------------------------------------------------------------------------------------

sides = st.integers(1, 2000)
aspects = st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(8, 9), Fraction(2)])


@settings(max_examples=200, deadline=None)
@given(st.tuples(sides, sides), st.tuples(sides, sides), aspects)
def test_cover_leaves_nothing_bare_and_contain_shows_all(
    size: tuple[int, int], frame: tuple[int, int], aspect: Fraction
) -> None:
    info = footage(*frame, aspect=aspect)
    (width, height), (x, y) = fit_size(size, info, "cover")
    assert x <= 0
    assert y <= 0
    assert x + width >= frame[0]
    assert y + height >= frame[1]
    (width, height), (x, y) = fit_size(size, info, "contain")
    assert x >= 0
    assert y >= 0
    assert x + width <= frame[0]
    assert y + height <= frame[1]
    assert fit_size(size, info, "stretch") == (frame, (0, 0))


def test_cover_leaves_nothing_bare_in_odd_frames_either() -> None:
    """Videos are laid on whole chroma samples."""
    for side in range(601, 681, 2):
        (width, _), (x, _) = fit_size((640, 360), footage(side, 360), "cover", step=2)
        assert x <= 0
        assert x + width >= side


@settings(max_examples=200, deadline=None)
@given(
    st.tuples(st.integers(50, 2000), st.integers(50, 2000)),
    st.tuples(st.integers(50, 2000), st.integers(50, 2000)),
    aspects,
    st.sampled_from(["cover", "contain"]),
)
def test_the_shape_is_kept_on_the_display_and_centred(
    size: tuple[int, int], frame: tuple[int, int], aspect: Fraction, fit: Fit
) -> None:
    """To half a pixel of rounding on either side."""
    (width, height), (x, y) = fit_size(size, footage(*frame, aspect=aspect), fit)
    wide, high = width * float(aspect), float(height)
    tolerance = 0.5 / width + 0.5 / height + 1e-9
    assert wide / high == pytest.approx(size[0] / size[1], rel=2 * tolerance)
    assert abs(2 * x + width - frame[0]) <= 1
    assert abs(2 * y + height - frame[1]) <= 1


def picture_file(path: Path, size: tuple[int, int]) -> Path:
    """Left half red, right half blue, with a white top row of a tenth."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 2] = 255
    pixels[:, width // 2 :, 0] = 255
    pixels[: height // 10] = 255
    cv2.imwrite(str(path), pixels)
    return path


RED, BLUE, WHITE, BLACK = (1, 0, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0)


def shown(picture: Picture, x: float, y: float) -> tuple[int, int, int]:
    """Return the colour at a place, in shares of the picture's sides."""
    rgb = to_rgb(picture)[round(y * (picture.height - 1)), round(x * (picture.width - 1))]
    red, green, blue = np.round(rgb).astype(int)
    return int(red), int(green), int(blue)


@pytest.mark.parametrize("size", [(80, 40), (800, 400)])
@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10, 1, 0)])
def test_stills_fit(tmp_path: Path, size: tuple[int, int], layout: Layout) -> None:
    """A picture twice as wide as high, behind a square frame, enlarged and reduced."""
    path = picture_file(tmp_path / "still.png", size)
    info = footage(101, 101, layout)
    cover = still_of(path, info, "cover")
    assert [shown(cover, x, 0.02) for x in (0.02, 0.98)] == [WHITE, WHITE]
    assert [shown(cover, x, 0.5) for x in (0.02, 0.4, 0.6, 0.98)] == [RED, RED, BLUE, BLUE]
    contain = still_of(path, info, "contain")
    assert [shown(contain, 0.5, y) for y in (0.02, 0.2, 0.8, 0.98)] == [BLACK] * 4
    assert [shown(contain, x, 0.5) for x in (0.02, 0.4, 0.6, 0.98)] == [RED, RED, BLUE, BLUE]
    assert shown(contain, 0.5, 0.28) == WHITE
    stretch = still_of(path, info, "stretch")
    assert [shown(stretch, x, 0.02) for x in (0.02, 0.98)] == [WHITE, WHITE]
    assert [shown(stretch, x, 0.95) for x in (0.02, 0.98)] == [RED, BLUE]


def test_stills_keep_their_shape_behind_wide_pixels(tmp_path: Path) -> None:
    """A square picture behind 50 x 100 pixels that are twice as wide as high fills them."""
    path = picture_file(tmp_path / "still.png", (60, 60))
    contain = still_of(path, footage(50, 100, aspect=Fraction(2)), "contain")
    assert shown(contain, 0.02, 0.02) == WHITE
    assert [shown(contain, x, 0.98) for x in (0.02, 0.98)] == [RED, BLUE]


def test_see_through_stills_lie_on_black(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., :3] = 255
    pixels[:, :16, 3] = 255
    cv2.imwrite(str(tmp_path / "logo.png"), pixels)
    picture = still_of(tmp_path / "logo.png", footage())
    assert shown(picture, 0.1, 0.5) == WHITE
    assert shown(picture, 0.9, 0.5) == BLACK


# --- Time ---------------------------------------------------------------------------------------

TICKS = 12800


def grey_clip(
    path: Path,
    stamps: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    last: int = 512,
    aspect: Fraction = Fraction(1),
) -> Path:
    """Write a clip whose frame ``i`` is as bright as 40 + 10 i; stamps in 1/12800 s."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"qp": "0", "bf": "0"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        ends = [*stamps[1:], stamps[-1] + last]
        for index, (pts, end) in enumerate(zip(stamps, ends, strict=True)):
            native = Picture.empty(*size, Layout("yuv", 8, 1, 1), HD)
            for plane, value in zip(native.planes, (40 + 10 * index, 128, 128), strict=True):
                plane[:] = value
            native.native.pts, native.native.time_base = pts, Fraction(1, TICKS)
            native.native.duration = end - pts
            for packet in stream.encode(native.native):
                packet.duration = end - packet.pts
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


def played(path: Path, times: Sequence[Fraction], *, serial: bool = True) -> list[int]:
    """Return which frame of a grey clip is behind each moment of the footage."""
    info = footage()
    with Threads(serial=serial) as threads:
        background = opened(path, info, threads)
        numbers = []
        for time in times:
            picture = background.behind(frame_at(time, info), ANY_ALPHA)
            numbers.append(round((int(picture.planes[0][20, 20]) - 40) / 10))
    return numbers


def steady(rate: int, count: int, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + Fraction(i, rate) for i in range(count)]


def expected(stamps: Sequence[int], last: int, times: Sequence[Fraction]) -> list[int]:
    """The last frame whose time has come, over and over."""
    length = Fraction(stamps[-1] + last - stamps[0], TICKS)
    begins = [Fraction(pts - stamps[0], TICKS) for pts in stamps]
    return [
        max(i for i, begin in enumerate(begins) if begin <= (time - times[0]) % length)
        for time in times
    ]


EVEN = [512 * i for i in range(8)]  # 25 a second
UNEVEN = [0, 512, 600, 2048, 2560, 5120, 5121, 6400]
LATE = [25600 + pts for pts in EVEN]


@pytest.mark.parametrize("stamps", [EVEN, UNEVEN, LATE], ids=["even", "uneven", "late"])
@pytest.mark.parametrize("rate", [10, 24, 25, 60])
def test_a_video_keeps_its_own_time_and_starts_over(
    tmp_path: Path, stamps: list[int], rate: int
) -> None:
    """Slower and faster than the footage, with any gaps, beginning at any time."""
    path = grey_clip(tmp_path / "loop.mp4", stamps)
    times = steady(rate, 2 * rate)
    assert played(path, times) == expected(stamps, 512, times)


def test_a_video_and_footage_of_one_rate_stay_in_step(tmp_path: Path) -> None:
    """Whenever the footage begins: no frame twice, none left out."""
    path = grey_clip(tmp_path / "loop.mp4", EVEN)
    for start in (Fraction(1, 3), Fraction(1001, 30000), Fraction(100)):
        times = steady(25, 40, start)
        assert played(path, times) == [i % 8 for i in range(40)]


def test_threads_play_the_same(tmp_path: Path) -> None:
    path = grey_clip(tmp_path / "loop.mp4", UNEVEN)
    times = steady(30, 50)
    assert played(path, times, serial=False) == played(path, times)


def test_a_video_of_one_frame_stands_still(tmp_path: Path) -> None:
    path = grey_clip(tmp_path / "one.mp4", [0])
    assert played(path, steady(25, 5)) == [0] * 5


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10), Layout("rgb", 8)])
def test_videos_fit_and_take_the_footages_colour(tmp_path: Path, fit: Fit, layout: Layout) -> None:
    path = grey_clip(tmp_path / "loop.mp4", [0, 512], size=(96, 48))
    colour = SD_FULL if layout.family == "yuv" else SRGB
    info = footage(64, 64, layout, colour)
    with Threads(serial=True) as threads:
        picture = opened(path, info, threads, fit).behind(frame_at(Fraction(0), info), ANY_ALPHA)
        assert (picture.layout, picture.colour) == (layout, colour)
        rgb = to_rgb(picture)
    bare = np.zeros((64, 64), bool)
    if fit == "contain":
        bare[:16], bare[48:] = True, True
    assert np.abs(rgb[bare]).max(initial=0) < 0.02
    assert np.abs(rgb[~bare] - (40 - 16) / 219).max() < 0.02


def test_videos_of_wide_pixels_keep_their_shape(tmp_path: Path) -> None:
    """48 x 48 pixels, twice as wide as high, leave bars above and below in a square frame."""
    path = grey_clip(tmp_path / "wide.mp4", [0, 512], size=(48, 48), aspect=Fraction(2))
    luma = still_of(path, footage(64, 64), "contain").planes[0]
    assert (luma[:15] == 16).all()
    assert (luma[49:] == 16).all()
    assert (luma[17:47] == 40).all()


# --- Blur ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [20, 60])
@pytest.mark.parametrize("layout", [Layout("yuv", 8, 1, 1), Layout("yuv", 10, 1, 0)])
def test_blur_leaves_no_trace_of_the_subject(layout: Layout, radius: float) -> None:
    """A red disc on a grey wall: what is seen behind it is the wall, and hardly anything red."""
    rgb = np.full((360, 640, 3), 0.5, np.float32)
    y, x = np.mgrid[:360, :640]
    alpha = np.clip((120 - np.hypot(x - 320, y - 180)) / 8 + 0.5, 0, 1).astype(np.float32)
    rgb += alpha[..., None] * (np.float32([0.9, 0.1, 0.1]) - rgb)
    frame = Frame(from_rgb(rgb, layout, HD), 0, 1, Fraction(1, 25))
    behind = Blur(radius).behind(frame, alpha)
    assert (behind.layout, behind.colour) == (layout, HD)
    rgb = to_rgb(behind)
    assert np.abs((1 - alpha[..., None]) * (rgb - 0.5)).max() < 0.02
    assert np.abs(rgb - rgb.mean(axis=-1, keepdims=True)).max() < 0.04


def test_blur_blurs_by_its_radius() -> None:
    """An edge in the room becomes the Gaussian's own: standard deviation in lines of 1080."""
    info = Synthetic(640, 360, 1).info
    step = np.zeros((360, 640, 3), np.float32)
    step[:, 320:] = 1
    frame = Frame(from_rgb(step, info.layout, info.colour), 0, 1, Fraction(1, 25))
    behind = to_rgb(Blur(60).behind(frame, np.zeros((90, 160), np.float32)))[180, :, 1]
    slope = np.gradient(behind)
    middle = (slope * np.arange(640)).sum() / slope.sum()
    deviation = np.sqrt((slope * (np.arange(640) - middle) ** 2).sum() / slope.sum())
    assert middle == pytest.approx(319.5, abs=0.5)
    assert deviation == pytest.approx(60 / 3, rel=0.15)


def test_a_frame_full_of_subject_is_blurred_to_black() -> None:
    (frame,) = Synthetic(64, 48, 1).frames()
    behind = Blur(20).behind(frame, np.ones((48, 64), np.float32))
    assert np.abs(to_rgb(behind)).max() < 0.01


def test_blur_takes_pictures_smaller_than_its_own_working_size() -> None:
    (frame,) = Synthetic(16, 16, 1).frames()
    small = replace(frame, picture=from_rgb(np.ones((3, 5, 3), np.float32), Layout("yuv", 8), HD))
    assert Blur(200).behind(small, ANY_ALPHA).planes[0].shape == (3, 5)
