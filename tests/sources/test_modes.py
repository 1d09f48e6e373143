"""Modes as they are written, chosen, and asked of drivers."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streammatte.errors import UsageError
from streammatte.sources.modes import (
    Wish,
    choose,
    given,
    parse_mode,
    system_options,
    v4l2_options,
)
from streammatte.sources.v4l2 import Mode


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


@pytest.mark.parametrize(
    "text", ["", "fast", "1280", "1280x720@", "720p:divx", "720p@x", "720p@1000"]
)
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 1280x720@30:mjpg"):
        parse_mode(text)


def test_no_pictures_a_second_are_refused() -> None:
    with pytest.raises(UsageError, match="0 pictures a second"):
        parse_mode("720p@0")


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
        ("@60:yuyv", Wish((640, 480), Fraction(30), "yuyv422")),  # a rate alone: it counts most
        (":mjpg", Wish((1280, 720), Fraction(30), "mjpeg")),
    ],
)
def test_the_nearest_mode_is_chosen(wish: str, chosen: Wish) -> None:
    assert choose(C920, parse_mode(wish) if wish else Wish()) == chosen


def test_a_rate_of_television_is_as_good_as_a_round_one() -> None:
    modes = [mode("YUYV", 1280, 720, 60), mode("YUYV", 1280, 720)]
    television = Mode("YUYV", 1280, 720, (Fraction(60), Fraction(30000, 1001)))
    assert choose([television], Wish()).rate == Fraction(30000, 1001)
    assert choose(modes[:1], Wish()).rate == 60
    assert choose(modes[1:], Wish()).rate is None


def test_a_camera_without_a_format_of_ours_is_asked_as_it_is() -> None:
    assert choose([mode("H264", 1920, 1080, 30)], Wish()) == Wish()
    assert choose(C920, Wish(format="nv12")) == Wish(format="nv12")


def test_what_is_given_and_was_not_asked_for_is_said() -> None:
    said = given((640, 480), Fraction(25), "yuyv422", parse_mode("720p@30:mjpg"))
    assert said == "640x480 at 25 fps, yuyv422 (1280x720@30:mjpeg was asked for)"
    assert "asked" not in given((640, 480), Fraction(25), "yuyv422", Wish((640, 480)))


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


def test_the_options_of_linux_are_those_that_are_asked_for() -> None:
    assert v4l2_options(parse_mode("1280x720@59.94:mjpg")) == {
        "video_size": "1280x720",
        "framerate": "2997/50",
        "input_format": "mjpeg",
    }
    assert v4l2_options(Wish()) == {}


def test_a_wish_is_said_as_it_is_written() -> None:
    for text in ("1280x720@30:mjpeg", "640x480", "@59.94", ":nv12"):
        assert str(parse_mode(text)) == text
