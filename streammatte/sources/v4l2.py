"""What video devices a Linux machine has, asked of the kernel: V4L2's ioctls (videodev2.h)."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.colour import Matrix

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICES = Path("/dev")
LOOPBACK = "v4l2 loopback"
"""What v4l2loopback, the virtual camera, calls its driver."""

PROCESSES = Path("/proc")
BY_ID = Path("/dev/v4l/by-id")

_READ, _READ_WRITE = 2, 3
_CAPABILITY = struct.Struct("=16s32s32s6I")
_FORMAT = struct.Struct("=3I32s5I")
_SIZE = struct.Struct("=3I6I2I")
_INTERVAL = struct.Struct("=5I6I2I")
# A type and a union, which is aligned as its pointers are; of the union, what a picture has.
_UNION = struct.calcsize("P")
_CURRENT = struct.Struct(f"=I{_UNION - 4}x12I{200 - 48}x")

_CAPTURE, _OUTPUT = 0x1, 0x2
# Those of many planes (0x1000) are image processors' parts; FFmpeg does not take from them.
_MEMORY_TO_MEMORY = 0x8000 | 0x4000
_OWN_CAPABILITIES = 0x80000000
_BUFFER_CAPTURE = 1
_DISCRETE = 1
_MOST = 256
"""Entries of any list; a driver that never ends one is broken."""
_JPEG, _REC709, _BT2020, _DCI_P3 = 7, 3, 10, 12
"""Of ``v4l2_colorspace``; all others imply BT.601."""
_ENCODINGS = {2: Matrix.BT709, 4: Matrix.BT709, 6: Matrix.BT2020, 7: Matrix.BT2020}
"""Of ``v4l2_ycbcr_encoding``: 709, XV709, BT2020 and its constant luminance."""
STANDARD = ((1920, 1080), (1280, 720), (960, 540), (640, 480), (640, 360), (320, 240))
"""Sizes that are named of devices that take any."""


def _request(direction: int, number: int, size: int) -> int:
    """Return the number of an ioctl, as the kernel's ``_IOC`` makes it."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


_QUERYCAP = _request(_READ, 0, _CAPABILITY.size)
_G_FMT = _request(_READ_WRITE, 4, _CURRENT.size)
_ENUM_FMT = _request(_READ_WRITE, 2, _FORMAT.size)
_ENUM_FRAMESIZES = _request(_READ_WRITE, 74, _SIZE.size)
_ENUM_FRAMEINTERVALS = _request(_READ_WRITE, 75, _INTERVAL.size)


@dataclass(frozen=True, slots=True)
class Mode:
    """A way in which a camera gives pictures."""

    format: str
    """Four characters, such as ``YUYV`` or ``MJPG``."""
    width: int
    height: int
    rates: tuple[Fraction, ...]
    """Pictures a second, the highest first; empty if the driver does not say."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What the samples of a camera mean, as its driver says."""

    matrix: Matrix
    full_range: bool


@dataclass(frozen=True, slots=True)
class Device:
    """A video device."""

    path: str
    name: str
    driver: str
    bus: str
    """Where it is plugged in; stays the same when the number in ``path`` changes."""
    is_capture: bool
    """Whether pictures can be taken from it, now."""
    is_output: bool
    """Whether pictures can be put into it, now."""
    modes: tuple[Mode, ...] = ()
    """Of captures only."""

    @property
    def is_loopback(self) -> bool:
        """Whether it is a virtual camera."""
        return self.driver == LOOPBACK


def devices(*, modes: bool = True) -> list[Device]:
    """Return all video devices that can be asked, by their numbers; radios and VBI have others.

    Args:
        modes: Whether modes are wanted, which takes some ioctls each.
    """
    found = (inspect(path, modes=modes) for path in _paths())
    return [device for device in found if device is not None]


def cameras(*, modes: bool = True) -> list[Device]:
    """Return the devices that give pictures."""
    return [device for device in devices(modes=modes) if device.is_capture]


def virtual_cameras() -> list[Device]:
    """Return the devices of v4l2loopback, whatever they can do now."""
    return [device for device in devices(modes=False) if device.is_loopback]


def forbidden() -> list[str]:
    """Return the video devices that there are, but may not be used."""
    return [path for path in _paths() if not os.access(path, os.R_OK | os.W_OK)]


def holders(path: str) -> set[int]:
    """Return the processes that have a device open; of other users' only as root."""
    target, found = os.path.realpath(path), set()
    for process in PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # others' may not be looked at, and any may end
            if any(_leads_to(handle, target) for handle in (process / "fd").iterdir()):
                found.add(int(process.name))
    return found


def _leads_to(link: Path, target: str) -> bool:
    try:
        return str(link.readlink()) == target
    except OSError:
        return False


def users(path: str) -> list[str]:
    """Return the names of the programs that have a device open; see ``holders``."""
    found = set()
    for process in holders(path):
        with contextlib.suppress(OSError):
            found.add((PROCESSES / str(process) / "comm").read_text("utf-8", "replace").strip())
    return sorted(found)


def links(path: str) -> frozenset[str]:
    """Return the names that udev gives a device by its maker, model and serial number."""
    target = os.path.realpath(path)
    return frozenset(one.name for one in BY_ID.glob("*") if os.path.realpath(one) == target)


def samples(handle: int) -> Samples | None:
    """Return what the samples of an open camera mean now; ``None`` if its driver does not say."""
    try:
        answer = _asked(
            handle, _G_FMT, struct.pack("=I", _BUFFER_CAPTURE).ljust(_CURRENT.size, b"\0")
        )
    except OSError:
        return None
    space, _, _, encoding, quantization = _CURRENT.unpack(answer)[7:12]
    implied = {_REC709: Matrix.BT709, _DCI_P3: Matrix.BT709, _BT2020: Matrix.BT2020}
    matrix = _ENCODINGS.get(encoding) if encoding else implied.get(space)
    full = quantization == 1 if quantization else space == _JPEG
    return Samples(matrix or Matrix.SMPTE170M, full)


def _paths() -> list[str]:
    numbered = [
        (int(match[1]), str(path))
        for path in DEVICES.glob("video*")
        if (match := re.fullmatch(r"video([0-9]+)", path.name))
    ]
    return [path for _, path in sorted(numbered)]


def inspect(path: str, *, modes: bool = True) -> Device | None:
    """Return what a device is; ``None`` if it is no video device, or may not be asked."""
    if sys.platform != "linux":
        return None
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _device(path, handle, modes)
    except OSError:
        return None
    finally:
        os.close(handle)


def _device(path: str, handle: int, modes: bool) -> Device:
    answer = _asked(handle, _QUERYCAP, bytes(_CAPABILITY.size))
    driver, card, bus, _, all_nodes, own, *_ = _CAPABILITY.unpack(answer)
    able = own if all_nodes & _OWN_CAPABILITIES else all_nodes
    is_capture = bool(able & _CAPTURE) and not able & _MEMORY_TO_MEMORY
    return Device(
        path,
        _text(card),
        _text(driver),
        _text(bus),
        is_capture,
        bool(able & _OUTPUT),
        tuple(_modes(handle)) if modes and is_capture else (),
    )


def _asked(handle: int, request: int, question: bytes) -> bytes:
    answer = bytearray(question)
    fcntl.ioctl(handle, request, answer)
    return bytes(answer)


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace").strip()


def _listed(handle: int, request: int, layout: struct.Struct, *given: int) -> Iterator[bytes]:
    """Yield the entries of a list that the driver has, until it says that there are no more."""
    for index in range(_MOST):
        question = struct.pack(f"={1 + len(given)}I", index, *given).ljust(layout.size, b"\0")
        try:
            yield _asked(handle, request, question)
        except OSError:
            return


def _modes(handle: int) -> Iterator[Mode]:
    for entry in _listed(handle, _ENUM_FMT, _FORMAT, _BUFFER_CAPTURE):
        code = _FORMAT.unpack(entry)[4]
        name = struct.pack("=I", code).decode("latin-1").rstrip()
        for width, height in _sizes(handle, code):
            yield Mode(name, width, height, tuple(_rates(handle, code, width, height)))


def _sizes(handle: int, code: int) -> Iterator[tuple[int, int]]:
    for entry in _listed(handle, _ENUM_FRAMESIZES, _SIZE, code):
        kind, *numbers = _SIZE.unpack(entry)[2:9]
        if kind == _DISCRETE:
            yield numbers[0], numbers[1]
            continue
        least_wide, most_wide, _, least_high, most_high, _ = numbers
        for width, height in STANDARD:
            if least_wide <= width <= most_wide and least_high <= height <= most_high:
                yield width, height
        return


def _rates(handle: int, code: int, width: int, height: int) -> list[Fraction]:
    rates = set()
    for entry in _listed(handle, _ENUM_FRAMEINTERVALS, _INTERVAL, code, width, height):
        kind, seconds, parts = _INTERVAL.unpack(entry)[4:7]
        with contextlib.suppress(ZeroDivisionError):
            rates.add(Fraction(parts, seconds))
        if kind != _DISCRETE:  # the least interval alone: the highest rate
            break
    return sorted(rates, reverse=True)
