"""Which camera is meant, known again and opened, without one; with one: tests/rig."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from streammatte.errors import DependencyError, InputError
from streammatte.sources import camera, v4l2
from streammatte.sources.camera import SystemCapture, V4l2Capture
from streammatte.sources.modes import Wish
from streammatte.sources.v4l2 import Device, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    monkeypatch.setattr(v4l2, "inspect", lambda path: _at(path, devices))
    monkeypatch.setattr(v4l2, "forbidden", list)
    monkeypatch.setattr(v4l2, "links", lambda _: frozenset())
    return devices


def _at(path: str, devices: list[Device]) -> Device | None:
    return next((one for one in devices if one.path == path), None)


def test_a_camera_is_meant_by_a_part_of_its_name(known: list[Device]) -> None:
    assert camera.find("c920").path == "/dev/video2"
    with pytest.raises(InputError, match=r"more than one camera.*C920.*C922"):
        camera.find("pro webcam")
    with pytest.raises(
        InputError, match=r"'C930' is neither a camera nor a file; there are: /dev/v"
    ):
        camera.find("C930")


def test_the_first_is_one_of_glass_that_gives_what_we_take(known: list[Device]) -> None:
    yuyv, grey = (Mode(name, 640, 480, (Fraction(30),)) for name in ("YUYV", "GREY"))
    known[:] = [
        replace(KNOWN[3], modes=(yuyv,)),
        replace(KNOWN[0], modes=(grey,)),
        replace(KNOWN[1], modes=(grey, yuyv)),
        replace(KNOWN[2], modes=(yuyv,)),
    ]
    order = []
    while known:
        order.append(camera.find("auto").path)
        known[:] = [one for one in known if one.path != order[-1]]
    assert order == ["/dev/video2", "/dev/video4", "/dev/video20", "/dev/video0"]


def test_no_camera_at_all_says_what_to_do(
    known: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    del known[:]
    for where in ("auto", "C920"):
        with pytest.raises(InputError, match="no camera was found; plug one in"):
            camera.find(where)
    monkeypatch.setattr(v4l2, "forbidden", lambda: ["/dev/video0"])
    with pytest.raises(DependencyError, match=r"use /dev/video0: sudo usermod -aG video"):
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


def test_a_camera_that_was_lost_is_known_by_its_plug(known: list[Device]) -> None:
    lost = camera.identity(KNOWN[1])
    assert camera.again(lost) is KNOWN[1]
    moved = replace(KNOWN[1], path="/dev/video7")
    known[:] = [KNOWN[0], moved]
    assert camera.again(lost) is moved
    known[:] = [KNOWN[0]]
    assert camera.again(lost) is None


def test_a_camera_in_another_plug_is_known_by_its_name_if_it_was_not_there_before(
    known: list[Device],
) -> None:
    twin = replace(KNOWN[1], path="/dev/video8", bus="usb-twin")
    known.append(twin)
    lost = camera.identity(KNOWN[1])
    known[:] = [KNOWN[0], twin]
    assert camera.again(lost) is None, "the twin looks elsewhere"
    elsewhere = replace(KNOWN[1], path="/dev/video2", bus="usb-other")
    known[:] = [KNOWN[0], elsewhere, twin]
    assert camera.again(lost) is elsewhere


def test_a_camera_in_another_plug_is_known_by_its_serial_number(
    known: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    serials = {"/dev/video2": frozenset({"usb-C920_AF01-index0"})}
    monkeypatch.setattr(v4l2, "links", lambda path: serials.get(path, frozenset()))
    lost = camera.identity(KNOWN[1])
    first = replace(KNOWN[1], path="/dev/video3", bus="usb-a")
    second = replace(KNOWN[1], path="/dev/video9", bus="usb-b")
    known[:] = [first, second]
    serials["/dev/video9"] = serials.pop("/dev/video2")
    assert camera.again(lost) is second


def test_another_camera_at_the_same_path_is_not_taken_for_it(known: list[Device]) -> None:
    lost = camera.identity(KNOWN[1])
    known[:] = [replace(KNOWN[2], path=KNOWN[1].path, bus=KNOWN[1].bus)]
    assert camera.again(lost) is None


def test_a_camera_of_two_parts_comes_back_as_the_same_part(known: list[Device]) -> None:
    infrared = replace(KNOWN[1], path="/dev/video3")
    known.insert(2, infrared)
    lost = camera.identity(infrared)
    assert camera.again(lost) is infrared
    known.remove(KNOWN[1])
    assert camera.again(lost) is None, "one of them is not there yet"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EBUSY, "in use by another program; close that one"),
        (errno.EACCES, "usermod"),
        (errno.EINVAL, "does not know that mode"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_refusals_say_what_to_do(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "users", lambda _: [])
    assert words in camera.refusal(KNOWN[1], OSError(number, "reason"), Wish((640, 480)))


def test_who_uses_a_busy_camera_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "users", lambda _: ["obs", "zoom"])
    said = camera.refusal(KNOWN[1], OSError(errno.EBUSY, "busy"), Wish())
    assert "in use by obs and zoom" in said


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EINVAL])
def test_a_virtual_camera_without_a_producer_says_so(number: int) -> None:
    assert "nobody feeds" in camera.refusal(KNOWN[3], OSError(number, "x"), Wish())


# --- drivers


class Driver:
    """What FFmpeg and a driver give, as a test says: packets, errors, nothing."""

    def __init__(self, codec: str = "rawvideo", size: tuple[int, int] = (65, 33)) -> None:
        self.reader, self.writer = os.pipe()
        context = SimpleNamespace(name=codec, pix_fmt="yuyv422", width=size[0], height=size[1])
        self.stream = SimpleNamespace(codec_context=context, average_rate=Fraction(25))
        self.streams = SimpleNamespace(video=[self.stream])
        self.flags = 0
        self.waiting: list[Any] = []
        self.closed = False

    def give(self, *packets: Any) -> None:
        """Let packets, or errors, come."""
        for packet in packets:
            self.waiting.append(packet)
            os.write(self.writer, b"!")

    def demux(self, _stream: object) -> Iterator[Any]:
        if not self.waiting:
            raise av.error.BlockingIOError(errno.EAGAIN, "nothing yet")
        os.read(self.reader, 1)
        packet = self.waiting.pop(0)
        if isinstance(packet, Exception):
            raise packet
        yield packet

    def close(self) -> None:
        self.closed = True


def picture(value: int, *, ago: float = 0.0, decode: Callable[[], Any] | None = None) -> Any:
    frame = av.VideoFrame(64, 32, "yuv420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = value
    stamp = round((time.monotonic() - ago) * 1e6)
    return SimpleNamespace(
        size=9, pts=stamp, time_base=Fraction(1, 10**6), decode=decode or (lambda: [frame])
    )


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    handles = iter([[], [made.reader]])
    monkeypatch.setattr(camera, "_handles", lambda _: next(handles))
    monkeypatch.setattr(camera.av, "open", lambda *_, **__: made)
    yield made
    os.close(made.reader)
    os.close(made.writer)


@pytest.fixture(params=["linux", "win32", "darwin"])
def capture(request: pytest.FixtureRequest, driver: Driver) -> V4l2Capture | SystemCapture:
    if request.param == "linux":
        pytest.importorskip("fcntl")
        return V4l2Capture(KNOWN[1], Wish())
    return SystemCapture(KNOWN[1], Wish(), request.param)


Either = V4l2Capture | SystemCapture


def test_only_the_newest_picture_is_decoded(capture: Either, driver: Driver) -> None:
    def never() -> Any:
        raise AssertionError("it was stale")

    driver.give(picture(1, ago=0.9, decode=never), picture(2, ago=0.8, decode=never), picture(90))
    frame = capture.read(1)
    assert frame is not None
    assert int(frame.picture.planes[0][0, 0]) == 90
    assert capture.dropped == 2
    assert capture.read(0) is None


def test_what_is_given_is_said_and_made_even(capture: Either) -> None:
    assert (capture.width, capture.height, capture.rate) == (64, 32, 25)
    assert "C920" in capture.description
    assert "65x33 at 25 fps, yuyv422" in capture.description


def test_damaged_pictures_are_left_out(capture: Either, driver: Driver) -> None:
    """An empty packet, which is how FFmpeg hands on what a driver marked, would end a decoder."""

    def broken() -> Any:
        raise av.error.InvalidDataError(1, "broken")

    def ended() -> Any:
        raise AssertionError("an empty packet ends the decoder")

    empty = picture(1, decode=ended)
    empty.size = 0
    for packet in (empty, picture(2, decode=broken)):
        driver.give(packet)
        assert capture.read(0.1) is None
    driver.give(empty, picture(90))
    found = [frame for frame in (capture.read(0.1) for _ in range(2)) if frame is not None]
    assert [int(frame.picture.planes[0][0, 0]) for frame in found] == [90]


@pytest.mark.parametrize(
    "error",
    [
        av.error.FFmpegError(errno.ENODEV, "No such device"),
        av.error.ArgumentError(errno.EINVAL, "Invalid argument"),
        OSError(errno.EIO, "Input/output error"),
        av.error.InvalidDataError(1, "Invalid data"),
    ],
)
def test_any_error_of_a_driver_is_a_loss(capture: Either, driver: Driver, error: Any) -> None:
    driver.give(error)
    with pytest.raises(InputError, match="it was lost: "):
        capture.read(1)


def test_an_end_is_a_loss(capture: Either, driver: Driver) -> None:
    driver.give(SimpleNamespace(size=0, pts=None))
    with pytest.raises(InputError, match="gives no more"):
        capture.read(1)


def test_a_stall_is_no_loss_yet(capture: Either) -> None:
    assert capture.read(0.01) is None


def test_letting_go_closes(capture: Either, driver: Driver) -> None:
    capture.close()
    assert driver.closed


@pytest.mark.skipif(sys.platform == "win32", reason="V4L2 is Linux's")
def test_a_handle_that_hangs_up_is_a_loss(driver: Driver) -> None:
    """Though FFmpeg says only that there is nothing yet."""
    capture = V4l2Capture(KNOWN[1], Wish())
    os.close(driver.writer)
    driver.writer = os.dup(driver.reader)
    with pytest.raises(InputError, match="unplugged"):
        capture.read(1)


def test_the_moment_of_capture_is_the_drivers(driver: Driver) -> None:
    pytest.importorskip("fcntl")
    capture = V4l2Capture(KNOWN[1], Wish())
    packet = picture(1, ago=0.5)
    driver.give(packet)
    frame = capture.read(1)
    assert frame is not None
    assert frame.pts == packet.pts


def test_elsewhere_reads_never_wait_inside_ffmpeg(driver: Driver) -> None:
    SystemCapture(KNOWN[1], Wish(), "win32")
    assert driver.flags == av.container.Flags.non_block.value


def test_what_cannot_be_opened_elsewhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(camera.av, "open", refuse)
    with pytest.raises(InputError, match="Webcam' cannot be opened: Input/output error; close"):
        SystemCapture(KNOWN[1], Wish(), "win32")


def listed(name: str, description: str, kind: str = "video") -> Any:
    return SimpleNamespace(name=name, description=description, media_types=[kind])


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What FFmpeg lists on Windows; on macOS the first are numbers."""
    devices = [
        listed("@device_pnp_1", "C920"),
        listed("@device_cm_9", "Microphone (C920)", "audio"),
        listed("@device_pnp_2", "C922"),
        listed("@device_pnp_3", "BRIO"),
    ]
    monkeypatch.setattr(camera.av, "enumerate_input_devices", lambda _: devices)
    return devices


def test_elsewhere_cameras_are_meant_by_number_or_name(others: list[Any]) -> None:
    assert camera.system_find("auto", "win32").path == "@device_pnp_1"
    assert camera.system_find("2", "win32").name == "BRIO"
    assert camera.system_find("c922", "win32").path == "@device_pnp_2"
    for where, words in (
        ("3", "no camera 3; there are: 0 (C920), 1 (C922), 2 (BRIO)"),
        ("C92", "a part of more than one camera's name"),
        ("Logitech", "'Logitech' is neither a camera nor a file; there are"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            camera.system_find(where, "darwin")
    others.clear()
    with pytest.raises(InputError, match="no camera was found; plug one in"):
        camera.system_find("auto", "darwin")


def test_elsewhere_a_lost_camera_is_never_another(others: list[Any]) -> None:
    lost = camera.system_find("auto", "win32")
    assert camera.system_again(lost, "win32") == lost
    others[0] = listed("@device_pnp_8", "C920")  # in another plug: its twin
    assert camera.system_again(lost, "win32") is None
    found = camera.system_again(lost, "darwin")
    assert found is not None
    assert found.path == "@device_pnp_8"
    del others[0]
    assert camera.system_again(lost, "darwin") is None


def test_an_ffmpeg_without_cameras_is_said() -> None:
    if sys.platform == "linux":
        with pytest.raises(DependencyError, match="lists no cameras"):
            camera.system_cameras("win32")
