"""Pictures of cameras as those of a show: colours, memory, sizes, times."""

from __future__ import annotations

import time
from typing import Any

import av
import numpy as np
import pytest

from streammatte.colour import Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.frames import Layout, Picture
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.sources.converter import Converter
from streammatte.sources.v4l2 import Samples

BARS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [120, 120, 120]], np.float32) / 255


def bars(layout: Layout, colour: Colour) -> Any:
    rgb = np.repeat(np.repeat(BARS[None], 32, axis=0), 16, axis=1)
    return from_rgb(rgb, layout, colour)


def assert_like_bars(picture: Picture) -> None:
    exact = bars(LAYOUT, COLOUR)
    for found, wanted in zip(picture.planes, exact.planes, strict=True):
        middle = slice(found.shape[1] // 8, None, found.shape[1] // 4)  # of each bar
        off = found[8, middle].astype(int) - wanted[8, middle]
        assert np.abs(off).max() <= 2


@pytest.mark.parametrize(
    ("name", "colour", "jpeg"),
    [
        ("yuv420p", Colour(Matrix.SMPTE170M, full_range=False), False),
        ("yuv422p", Colour(Matrix.SMPTE170M, full_range=False), False),
        ("yuyv422", Colour(Matrix.SMPTE170M, full_range=False), False),
        ("nv12", Colour(Matrix.SMPTE170M, full_range=False), False),
        ("yuv422p", Colour(Matrix.SMPTE170M, full_range=True), True),
        ("yuv420p", Colour(Matrix.BT709, full_range=False), False),
        ("yuv420p", Colour(Matrix.BT709, full_range=True), False),
        ("rgb24", Colour(Matrix.RGB, full_range=True), False),
    ],
)
def test_colours_are_within_two_codes(name: str, colour: Colour, jpeg: bool) -> None:
    layout = Layout.nearest(name)
    native = bars(layout, colour).native
    native = native if native.format.name == name else native.reformat(format=name)
    native.colorspace = int(colour.matrix) if colour.matrix is Matrix.BT709 else 2
    native.color_range = 2 if colour.full_range and not jpeg else 0
    picture = Converter(jpeg=jpeg).picture(native)
    assert picture.layout.name == "yuv420p"
    assert_like_bars(picture)


def test_odd_pictures_become_even_and_memory_is_their_own() -> None:
    native = av.VideoFrame(65, 33, "yuv420p")
    picture = Converter().picture(native)
    assert (picture.width, picture.height) == (64, 32)
    even = av.VideoFrame(64, 32, "yuv420p")
    kept = Converter().picture(even)
    before = kept.planes[0].copy()
    memory = np.frombuffer(even.planes[0], np.uint8)
    memory[:] = memory ^ 255
    assert (kept.planes[0] == before).all()


@pytest.mark.parametrize("off", [-0.02, -1.0, 0.03])
def test_time_stamps_are_the_drivers_but_never_of_the_future(off: float) -> None:
    now = time.monotonic()
    frame = Converter().frame(av.VideoFrame(64, 32, "yuv420p"), now + off)
    assert frame.seconds == pytest.approx(now + min(off, 0), abs=0.5 if off > 0 else 1e-5)
    assert frame.seconds <= time.monotonic()


def test_clocks_that_are_not_ours_are_not_believed() -> None:
    for strange in (0.0, time.time(), time.monotonic() + 100):
        frame = Converter().frame(av.VideoFrame(64, 32, "yuv420p"), strange)
        assert abs(frame.seconds - time.monotonic()) < 5


def test_a_change_of_matrix_is_exact_for_all_colours() -> None:
    """Saturated ones too, where swscale's quick way is three codes off."""
    rgb = np.random.default_rng(1).random((8, 8, 3)).astype(np.float32)
    patches = np.kron(rgb, np.ones((16, 16, 1), np.float32))
    native = from_rgb(patches, LAYOUT, Colour(Matrix.BT709, full_range=False)).native
    found = Converter().picture(native)
    exact = from_rgb(patches, LAYOUT, COLOUR)
    for size, plane, wanted in zip((16, 8, 8), found.planes, exact.planes, strict=True):
        middle = slice(size // 2, None, size)
        off = plane[middle, middle].astype(int) - wanted[middle, middle]
        assert np.abs(off).max() <= 2
        assert abs(off.mean()) < 0.3


@pytest.mark.parametrize("matrix", [Matrix.BT709, Matrix.SMPTE170M])
@pytest.mark.parametrize("full", [False, True])
def test_what_the_driver_says_of_its_samples_holds(matrix: Matrix, full: bool) -> None:
    """FFmpeg has no tags for what comes from V4L2."""
    native = bars(LAYOUT, Colour(matrix, full_range=full)).native
    native.colorspace, native.color_range = 2, 0
    assert_like_bars(Converter(samples=Samples(matrix, full)).picture(native))


def test_tags_hold_against_the_driver() -> None:
    """Pictures in JPEG say themselves what they are."""
    native = bars(LAYOUT, Colour(Matrix.BT709, full_range=True)).native
    assert_like_bars(Converter(samples=Samples(Matrix.SMPTE170M, False)).picture(native))


def test_another_size_keeps_colours() -> None:
    native = bars(LAYOUT, COLOUR).native
    picture = Converter(size=(128, 64)).picture(native)
    assert (picture.width, picture.height) == (128, 64)
    assert abs(int(picture.planes[0][32, 16]) - int(bars(LAYOUT, COLOUR).planes[0][16, 8])) <= 1
