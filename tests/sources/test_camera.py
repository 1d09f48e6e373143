"""Modes, names and pictures of cameras, without one; with one: tests/rig."""

from __future__ import annotations

import errno
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from streammatte.colour import Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.errors import DependencyError, InputError, UsageError
from streammatte.frames import Layout
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.sources import camera, v4l2
from streammatte.sources.camera import Converter, Wish, choose, parse_mode, system_options
from streammatte.sources.v4l2 import Device, Mode


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("1280x720@30:mjpg", Wish((1280, 720), Fraction(30), "mjpeg")),
        ("1280x720", Wish((1280, 720))),
        ("720p", Wish((1280, 720))),
        ("1080p@59.94", Wish((1920, 1080), Fraction("59.94"))),
        ("@60", Wish(rate=Fraction(60))),
        (":YUYV", Wish(format="yuyv422")),
        ("640x480:nv12", Wish((640, 480), format="nv12")),
    ],
)
def test_modes_are_read(text: str, wish: Wish) -> None:
    assert parse_mode(text) == wish


@pytest.mark.parametrize("text", ["", "fast", "1280", "1280x720@", "1280x720:divx", "720p@x"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 1280x720@30:mjpg"):
        parse_mode(text)


def mode(name: str, width: int, height: int, *rates: float) -> Mode:
    return Mode(name, width, height, tuple(Fraction(rate) for rate in rates))


C920 = [
    mode("YUYV", 640, 480, 30, 15),
    mode("YUYV", 1280, 720, 10, 5),
    mode("YUYV", 1920, 1080, 5),
    mode("MJPG", 640, 480, 30, 15),
    mode("MJPG", 1280, 720, 60, 30, 15),
    mode("MJPG", 1920, 1080, 30),
    mode("H264", 1920, 1080, 30),
]


@pytest.mark.parametrize(
    ("wish", "chosen"),
    [
        ("", Wish((1280, 720), Fraction(30), "mjpeg")),  # raw is not quick enough there
        ("640x480", Wish((640, 480), Fraction(30), "yuyv422")),  # raw is
        ("1280x720:yuyv", Wish((1280, 720), Fraction(10), "yuyv422")),
        ("1280x720@60", Wish((1280, 720), Fraction(60), "mjpeg")),
        ("1080p", Wish((1920, 1080), Fraction(30), "mjpeg")),
        ("800x600@20", Wish((640, 480), Fraction(30), "yuyv422")),
        ("@5", Wish((1280, 720), Fraction(5), "yuyv422")),
    ],
)
def test_the_nearest_mode_is_chosen(wish: str, chosen: Wish) -> None:
    assert choose(C920, parse_mode(wish) if wish else Wish()) == chosen


def test_a_camera_without_a_format_of_ours_is_asked_as_it_is() -> None:
    assert choose([mode("H264", 1920, 1080, 30)], Wish()) == Wish()
    assert choose(C920, Wish(format="nv12")) == Wish(format="nv12")


def test_what_is_given_and_was_not_asked_for_is_said() -> None:
    given = camera._given((640, 480), Fraction(25), "yuyv422", parse_mode("720p@30:mjpg"))
    assert given == "640x480 at 25 fps, yuyv422 (1280x720@30:mjpeg was asked for)"
    assert "asked" not in camera._given((640, 480), Fraction(25), "yuyv422", Wish((640, 480)))


def test_the_options_of_other_systems() -> None:
    wish = parse_mode("1280x720@30:mjpg")
    assert system_options("win32", "C920", wish) == (
        "video=C920",
        "dshow",
        {"video_size": "1280x720", "framerate": "30", "rtbufsize": "64M", "vcodec": "mjpeg"},
    )
    assert system_options("darwin", "0", Wish()) == (
        "0",
        "avfoundation",
        {"video_size": "1280x720", "framerate": "30", "pixel_format": "nv12"},
    )
    assert system_options("win32", "C920", parse_mode(":nv12"))[2]["pixel_format"] == "nv12"


# --- which


def device(path: str, name: str, driver: str = "uvcvideo", *, capture: bool = True) -> Device:
    return Device(path, name, driver, f"usb-{path}", capture, not capture)


KNOWN = [
    device("/dev/video0", "Integrated Camera"),
    device("/dev/video2", "C920 HD Pro Webcam"),
    device("/dev/video4", "C922 Pro Webcam"),
    device("/dev/video20", "StreamMatte", v4l2.LOOPBACK),
]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    devices = list(KNOWN)
    monkeypatch.setattr(v4l2, "cameras", lambda **_: devices)
    return devices


def test_a_camera_is_meant_by_a_part_of_its_name(known: list[Device]) -> None:
    assert camera.find("c920").path == "/dev/video2"
    with pytest.raises(InputError, match=r"more than one camera; .*C920.*C922"):
        camera.find("pro webcam")
    with pytest.raises(InputError, match=r"'C930' is no camera; there are: /dev/video0"):
        camera.find("C930")


def test_the_first_is_one_of_glass(known: list[Device]) -> None:
    known.reverse()
    assert camera.find("auto").path == "/dev/video4"
    del known[1:]
    assert camera.find("auto").path == "/dev/video20"
    del known[:]
    with pytest.raises(InputError, match="no camera was found"):
        camera.find("auto")


def test_paths_and_numbers_are_looked_at(
    known: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera.os.path, "exists", lambda path: path != "/dev/video9")
    monkeypatch.setattr(camera.os, "access", lambda path, _: path != "/dev/video8")
    answers = {
        "/dev/video2": KNOWN[1],
        "/dev/video1": device("/dev/video1", "C920", capture=False),
        "/dev/video20": device("/dev/video20", "StreamMatte", v4l2.LOOPBACK, capture=False),
    }
    monkeypatch.setattr(v4l2, "inspect", answers.get)
    assert camera.find("2") is KNOWN[1]
    for path, words in (
        ("/dev/video9", "there is no /dev/video9; there are: /dev/video0"),
        ("/dev/video1", "another part of a camera"),
        ("/dev/video20", "that nobody feeds"),
        ("/dev/video7", "is no camera"),
    ):
        with pytest.raises(InputError, match=words):
            camera.find(path)
    with pytest.raises(DependencyError, match="sudo usermod -aG video"):
        camera.find("8")


def test_a_camera_that_was_lost_is_known_again(known: list[Device]) -> None:
    lost = KNOWN[1]
    assert camera.again(lost) is lost
    moved = Device("/dev/video7", lost.name, lost.driver, lost.bus, True, False)
    known[:] = [KNOWN[0], moved]
    assert camera.again(lost) is moved
    elsewhere = Device("/dev/video7", lost.name, lost.driver, "usb-other", True, False)
    known[:] = [KNOWN[0], elsewhere]
    assert camera.again(lost) is elsewhere
    known[:] = [KNOWN[0]]
    assert camera.again(lost) is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EBUSY, "in use by another program"),
        (errno.EACCES, "usermod"),
        (errno.EINVAL, "does not know that mode"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_refusals_say_what_to_do(number: int, words: str) -> None:
    assert words in camera.refusal(KNOWN[1], OSError(number, "reason"), Wish((640, 480)))


def test_a_virtual_camera_without_a_producer_says_so() -> None:
    assert "nobody feeds" in camera.refusal(KNOWN[3], OSError(errno.ENODEV, "x"), Wish())


# --- pictures

BARS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [120, 120, 120]], np.float32) / 255


def bars(layout: Layout, colour: Colour) -> Any:
    rgb = np.repeat(np.repeat(BARS[None], 32, axis=0), 16, axis=1)
    return from_rgb(rgb, layout, colour)


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
    exact = bars(LAYOUT, COLOUR)
    for found, wanted in zip(picture.planes, exact.planes, strict=True):
        middle = slice(found.shape[1] // 8, None, found.shape[1] // 4)  # of each bar
        off = found[8, middle].astype(int) - wanted[8, middle]
        assert np.abs(off).max() <= 2


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
