"""What the kernel's answers are taken for; with a real kernel: tests/rig."""

from __future__ import annotations

import errno
import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from streammatte.colour import Matrix
from streammatte.sources import v4l2

if TYPE_CHECKING:
    from pathlib import Path


def test_requests_are_the_numbers_of_the_kernels_header() -> None:
    """As ``strace`` shows them of any program that uses a camera."""
    assert v4l2._QUERYCAP == 0x80685600
    assert v4l2._ENUM_FMT == 0xC0405602
    assert struct.calcsize("P") != 8 or v4l2._G_FMT == 0xC0D05604
    assert v4l2._ENUM_FRAMESIZES == 0xC02C564A
    assert v4l2._ENUM_FRAMEINTERVALS == 0xC034564B


CAPTURE, OUTPUT, M2M, META = 0x1, 0x2, 0x8000, 0x800000
YUYV = int.from_bytes(b"YUYV", "little")


class Kernel:
    """Answers ioctls as a driver does."""

    def __init__(self, able: int, *, stepwise: bool = False) -> None:
        self.able = able
        self.stepwise = stepwise
        self.colour: tuple[int, int, int] | None = None

    def __call__(self, _handle: int, request: int, question: bytearray) -> None:
        index = struct.unpack_from("=I", question)[0]
        if request == v4l2._QUERYCAP:
            name = (b"uvcvideo", b"C920 HD Pro\xc3\xa9", b"usb-0000:00:14.0-1")
            question[:] = v4l2._CAPABILITY.pack(
                *name, 0x60100, 0x80000000 | 0xFFFF, self.able, 0, 0, 0
            )
        elif request == v4l2._ENUM_FMT and index == 0:
            question[:] = v4l2._FORMAT.pack(0, 1, 0, b"YUYV 4:2:2", YUYV, 0, 0, 0, 0)
        elif request == v4l2._ENUM_FRAMESIZES and self.stepwise and index == 0:
            question[:] = v4l2._SIZE.pack(0, YUYV, 3, 16, 1300, 8, 16, 1000, 8, 0, 0)
        elif request == v4l2._ENUM_FRAMESIZES and not self.stepwise and index < 2:
            size = ((640, 480), (1280, 720))[index]
            question[:] = v4l2._SIZE.pack(index, YUYV, 1, *size, 0, 0, 0, 0, 0, 0)
        elif request == v4l2._ENUM_FRAMEINTERVALS and index < 2:
            parts = ((1, 30), (1001, 15000))[index]
            question[:] = v4l2._INTERVAL.pack(index, YUYV, 0, 0, 1, *parts, 0, 0, 0, 0, 0, 0)
        elif request == v4l2._G_FMT and self.colour is not None:
            space, encoding, quantization = self.colour
            question[:] = v4l2._CURRENT.pack(
                1, 640, 480, YUYV, 1, 1280, 614400, space, 0, 0, encoding, quantization, 0
            )
        else:
            raise OSError(errno.EINVAL, "no more")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(v4l2.sys, "platform", "linux")
    for name in ("video10", "video2", "videoconference", "vbi0"):
        (tmp_path / name).touch()
    return str(tmp_path / "video2")


def test_a_camera_tells_all(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2.fcntl, "ioctl", Kernel(CAPTURE))
    device = v4l2.inspect(node)
    assert device is not None
    assert (device.name, device.driver) == ("C920 HD Proé", "uvcvideo")
    assert device.bus == "usb-0000:00:14.0-1"
    assert (device.is_capture, device.is_output, device.is_loopback) == (True, False, False)
    rates = (Fraction(30), Fraction(15000, 1001))
    assert device.modes == (
        v4l2.Mode("YUYV", 640, 480, rates),
        v4l2.Mode("YUYV", 1280, 720, rates),
    )


def test_one_that_takes_any_size_tells_those_that_are_usual(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2.fcntl, "ioctl", Kernel(CAPTURE, stepwise=True))
    device = v4l2.inspect(node)
    assert device is not None
    sizes = [(mode.width, mode.height) for mode in device.modes]
    assert (1280, 720) in sizes
    assert (1920, 1080) not in sizes


@pytest.mark.parametrize(
    ("able", "capture", "output"),
    [
        (CAPTURE, True, False),
        (OUTPUT, False, True),
        (CAPTURE | OUTPUT, True, True),
        (CAPTURE | M2M, False, False),
        (0x1000, False, False),  # of many planes: FFmpeg takes none of it
        (META, False, False),
    ],
)
def test_what_a_node_can_do_is_its_own(
    able: int, capture: bool, output: bool, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device as a whole can do more: its other nodes."""
    monkeypatch.setattr(v4l2.fcntl, "ioctl", Kernel(able))
    device = v4l2.inspect(node)
    assert device is not None
    assert (device.is_capture, device.is_output) == (capture, output)


@pytest.mark.parametrize(
    ("colour", "samples"),
    [
        ((8, 0, 0), v4l2.Samples(Matrix.SMPTE170M, False)),  # sRGB, as most webcams say
        ((3, 0, 0), v4l2.Samples(Matrix.BT709, False)),
        ((3, 1, 0), v4l2.Samples(Matrix.SMPTE170M, False)),  # the encoding counts
        ((8, 2, 1), v4l2.Samples(Matrix.BT709, True)),
        ((7, 0, 0), v4l2.Samples(Matrix.SMPTE170M, True)),  # JPEG's implies full range, ...
        ((7, 0, 2), v4l2.Samples(Matrix.SMPTE170M, False)),  # ... unless it is said otherwise
        ((10, 0, 0), v4l2.Samples(Matrix.BT2020, False)),
        (None, None),
    ],
)
def test_what_samples_mean_is_asked(
    colour: tuple[int, int, int] | None,
    samples: v4l2.Samples | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(CAPTURE)
    kernel.colour = colour
    monkeypatch.setattr(v4l2.fcntl, "ioctl", kernel)
    assert v4l2.samples(3) == samples


def test_who_has_a_device_open(node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "PROCESSES", tmp_path)
    for process, name, target in ((7, "obs", node), (8, "zoom", "/dev/null"), (9, "obs", node)):
        (tmp_path / f"{process}" / "fd").mkdir(parents=True)
        (tmp_path / f"{process}" / "fd" / "3").symlink_to(target)
        (tmp_path / f"{process}" / "comm").write_text(name + "\n")
    (tmp_path / "7" / "fd" / "5").write_text("no link")
    assert v4l2.holders(node) == {7, 9}
    assert v4l2.users(node) == ["obs"]


def test_a_device_has_names_of_its_own(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2, "BY_ID", tmp_path / "by-id")
    assert v4l2.links(node) == frozenset()
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-C920_AF01-index0").symlink_to("../video2")
    (tmp_path / "by-id" / "usb-BRIO_77-index0").symlink_to("../video10")
    assert v4l2.links(node) == {"usb-C920_AF01-index0"}


def test_those_that_may_not_be_used_are_known(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2.os, "access", lambda path, _: path != node)
    assert v4l2.forbidden() == [node]


def test_nodes_are_in_the_order_of_their_numbers(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v4l2.fcntl, "ioctl", Kernel(CAPTURE))
    assert [device.path.rpartition("/")[2] for device in v4l2.cameras()] == ["video2", "video10"]
    assert v4l2.virtual_cameras() == []


def test_what_is_no_video_device_is_none(node: str) -> None:
    assert v4l2.inspect(node) is None  # a file: no such ioctl
    assert v4l2.inspect(node + "9") is None
    assert v4l2.devices() == []
