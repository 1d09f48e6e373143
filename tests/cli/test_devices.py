"""``streammatte devices``, with cameras that are none."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from streammatte.sources import v4l2
from streammatte.sources.v4l2 import LOOPBACK, Device, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")

C920 = Device(
    "/dev/video0",
    "HD Pro Webcam C920",
    "uvcvideo",
    "usb-0000:00:14.0-1",
    True,
    False,
    (
        Mode("YUYV", 640, 480, (Fraction(30), Fraction(15))),
        Mode("YUYV", 1280, 720, (Fraction(10),)),
        Mode("MJPG", 1280, 720, (Fraction(60), Fraction(30000, 1001))),
        Mode("H264", 1920, 1080, (Fraction(30),)),
    ),
)
FREE = Device("/dev/video20", "StreamMatte", LOOPBACK, "platform:v4l2loopback-000", False, True)
FED = Device("/dev/video22", "Phone", LOOPBACK, "platform:v4l2loopback-002", True, False)
STUCK = Device("/dev/video21", "Spare", LOOPBACK, "platform:v4l2loopback-001", False, False)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    devices = [C920, FREE, STUCK, FED]
    monkeypatch.setattr(v4l2, "forbidden", list)
    monkeypatch.setattr(v4l2, "users", {FED.path: ["scrcpy"]}.get)
    monkeypatch.setattr(v4l2, "devices", lambda **_: devices)
    return devices


def test_cameras_with_their_modes_and_virtual_ones(
    found: list[Device], cli: Callable[..., Result]
) -> None:
    out = cli("devices").out
    assert "/dev/video0  HD Pro Webcam C920  (uvcvideo, usb-0000:00:14.0-1)" in out
    assert "  YUYV  640x480@30/15, 1280x720@10" in out
    assert "  MJPG  1280x720@60/29.97" in out
    assert "/dev/video20  StreamMatte  (virtual camera: free)" in out
    assert "stuck: reload v4l2loopback" in out
    assert "/dev/video22  Phone  (virtual camera: fed, opened by scrcpy; a camera for --c" in out
    assert "  not taken: H264" in out
    assert "1920x1080" not in out


def test_none_of_either_says_what_to_do(found: list[Device], cli: Callable[..., Result]) -> None:
    found.clear()
    out = cli("devices").out
    assert "plug one in" in out
    assert "usermod" not in out
    assert "streammatte vcam setup" in out


def test_those_that_may_not_be_used_are_told(
    found: list[Device], cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    found.clear()
    monkeypatch.setattr(v4l2, "forbidden", lambda: ["/dev/video0", "/dev/video1"])
    out = cli("devices").out
    assert "no permission to use /dev/video0, /dev/video1:" in out
    assert "sudo usermod -aG video $USER" in out


def test_for_programs(found: list[Device], cli: Callable[..., Result]) -> None:
    told = json.loads(cli("devices", "--json").out)
    assert [one["path"] for one in told["cameras"]] == ["/dev/video0"]
    virtual = told["virtual_cameras"]
    assert [one["path"] for one in virtual] == ["/dev/video20", "/dev/video21", "/dev/video22"]
    assert virtual[2]["users"] == ["scrcpy"]
    assert told["cameras"][0]["modes"][2]["rates"] == [60.0, 29.97]
