"""Cameras, by FFmpeg: V4L2 on Linux; dshow on Windows and avfoundation on macOS, not yet run there.

A driver does what it likes with the mode that it is asked for, so what it gives is read back. It
also hands out pictures that have waited for up to a second: what has waited is let go of, and only
the newest is decoded. Its memory is its own; every picture is converted into ours at once.
"""

from __future__ import annotations

import errno
import os
import re
import select
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from streammatte.errors import DependencyError, InputError, UsageError
from streammatte.frames import Frame, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import v4l2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streammatte.sources.v4l2 import Device, Mode

_MODE = re.compile(
    r"(?:([0-9]{2,5})x([0-9]{2,5})|([0-9]{3,4})p)?(?:@([0-9]{1,3}(?:\.[0-9]{1,3})?))?(?::(\w{3,8}))?"
)
FORMATS = {
    "mjpeg": ("MJPG", "JPEG"),
    "yuyv422": ("YUYV",),
    "uyvy422": ("UYVY",),
    "nv12": ("NV12",),
    "yuv420p": ("YU12",),
    "yuv422p": ("422P",),
    "rgb24": ("RGB3",),
    "bgr24": ("BGR3",),
}
"""What FFmpeg calls the formats that we take, and the drivers' names for them; the best first,
where they are as quick: small before large."""
NICKNAMES = {"mjpg": "mjpeg", "jpeg": "mjpeg", "yuyv": "yuyv422", "uyvy": "uyvy422",
             "i420": "yuv420p", "yu12": "yuv420p", "rgb": "rgb24", "bgr": "bgr24"}  # fmt: skip
SENSIBLE = (1280, 720), 30
"""The size and rate that are wanted where nobody says."""
HONEST = 5.0
"""Seconds that a driver's clock may be off from ours; what is further off is not that clock."""
_BT601, _BT709 = 5, 1
_LIMITED, _FULL = 1, 2
LOST_EVENTS = select.POLLERR | select.POLLHUP | select.POLLNVAL if hasattr(select, "POLLERR") else 0


class Capture(Protocol):
    """Something that gives pictures, one after the other, until it is lost."""

    description: str
    """What it is, and what it really gives."""
    width: int
    height: int
    rate: Fraction

    def read(self, timeout: float) -> Frame | None:
        """Return the newest picture, in our layout; ``None`` if none comes in time.

        Raises:
            InputError: if it is lost.
        """

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A mode that is asked for; what is ``None`` is open."""

    size: tuple[int, int] | None = None
    """``(width, height)``."""
    rate: Fraction | None = None
    format: str | None = None
    """As FFmpeg calls it."""


def parse_mode(text: str) -> Wish:
    """Read ``1280x720@30:mjpg``, or a part of that such as ``720p``, ``@60`` or ``:yuyv``.

    Raises:
        UsageError: if it is neither.
    """
    match = _MODE.fullmatch(text.strip().lower())
    width, height, lines, rate, name = match.groups() if match else (None,) * 5
    form = NICKNAMES.get(name, name) if name else None
    if match is None or not text.strip() or (form is not None and form not in FORMATS):
        raise UsageError(
            f"--mode: {text!r} is no mode; write it as 1280x720@30:mjpg, or a part of that; "
            "formats are mjpg, yuyv, nv12, i420"
        )
    size = None
    if lines is not None:
        size = round(int(lines) * 16 / 9 / 2) * 2, int(lines)
    elif width is not None and height is not None:
        size = int(width), int(height)
    return Wish(size, Fraction(rate) if rate else None, form)


def choose(modes: Sequence[Mode], wish: Wish) -> Wish:
    """Return the mode of a camera that comes nearest to what is wanted, whole.

    Args:
        modes: That it lists.
        wish: What is asked for; where nothing is, 1280x720 at 30 is wanted.

    Returns:
        ``wish`` itself if nothing that the camera lists is of use.
    """
    size, rate = wish.size or SENSIBLE[0], wish.rate or Fraction(SENSIBLE[1])
    offers = [(form, mode) for form, names in FORMATS.items() for mode in modes
              if mode.format in names and wish.format in (None, form)]  # fmt: skip
    if not offers:
        return wish

    def distance(offer: tuple[str, Mode]) -> tuple[float, ...]:
        form, mode = offer
        area = abs(mode.width * mode.height - size[0] * size[1])
        shape = abs(mode.width * size[1] - mode.height * size[0])
        fastest = float(_rate(mode, rate))
        # Raw pictures are better than JPEG's where they are as quick.
        short = max(0.0, float(rate) - fastest)
        if wish.size is None and wish.rate is None:
            return short > 1, area, shape, short, form == "mjpeg"
        return area, shape, short, form == "mjpeg"

    form, mode = min(offers, key=distance)
    return Wish((mode.width, mode.height), _rate(mode, rate) if mode.rates else wish.rate, form)


def _rate(mode: Mode, wanted: Fraction) -> Fraction:
    """Return the least rate that is quick enough, or the highest there is."""
    enough = [rate for rate in mode.rates if rate >= wanted]
    return min(enough, default=max(mode.rates, default=wanted))


# ---- which


def find(where: str) -> Device:
    """Return the camera that is meant: ``auto``, a number, a path or a part of its name.

    Raises:
        InputError: if there is none, or it is not clear which.
        DependencyError: if it may not be used.
    """
    known = v4l2.cameras()
    if where == "auto":
        real = [device for device in known if not device.is_loopback]
        if not (real or known):
            raise InputError(_nothing())
        return (real or known)[0]
    path = f"/dev/video{where}" if where.isdigit() else where
    if path.startswith("/dev/"):
        return _at(path)
    named = [device for device in known if where.lower() in device.name.lower()]
    if len(named) == 1:
        return named[0]
    which = "is the name of more than one camera" if named else "is no camera"
    raise InputError(f"{where!r} {which}; there are: {listed(named or known)}")


def listed(known: Sequence[Device]) -> str:
    """Return cameras in a line."""
    return ", ".join(f"{device.path} ({device.name})" for device in known) or _nothing()


def _nothing() -> str:
    if not any(v4l2.DEVICES.glob("video*")):
        return "no camera was found: plug one in, or give a file or an address with --camera"
    return "no camera was found; 'streammatte devices' lists what there is"


def _at(path: str) -> Device:
    if not os.path.exists(path):  # noqa: PTH110  /dev/v4l/by-id are links
        known = listed(v4l2.cameras(modes=False))
        raise InputError(f"there is no {path}; there are: {known}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise DependencyError(
            f"no permission to use {path}: sudo usermod -aG video $USER, then log in again"
        )
    device = v4l2.inspect(path)
    if device is None:
        raise InputError(f"{path} is no camera; 'streammatte devices' lists what there is")
    if device.is_capture:
        return device
    if device.is_loopback:
        raise InputError(
            f"{path} is a virtual camera that nobody feeds; start the program that does, first"
        )
    raise InputError(f"{path} ({device.name}) gives no pictures; it is another part of a camera")


def again(device: Device) -> Device | None:
    """Return a camera that was lost, wherever it is now; ``None`` if it is not back.

    By where it is plugged in, then by its name, then by its path.
    """
    known = v4l2.cameras()
    for same in (
        lambda one: (one.bus, one.name) == (device.bus, device.name),
        lambda one: one.name == device.name,
        lambda one: one.path == device.path and one.driver == device.driver,
    ):
        found = [one for one in known if same(one)]
        if found:
            return found[0]
    return None


# ---- V4L2


class V4l2Capture:
    """A camera of Linux."""

    def __init__(self, device: Device, wish: Wish) -> None:
        """Open it.

        Raises:
            InputError: if it is busy, or does not give what is asked for.
        """
        self.device = device
        before = _handles(device.path)
        self._container = _opened(device, wish)
        try:
            self._stream = self._container.streams.video[0]
            (self._handle,) = [one for one in _handles(device.path) if one not in before][:1]
            os.set_blocking(self._handle, False)
        except (IndexError, ValueError) as error:
            self._container.close()
            raise InputError(f"{device.path} gives no pictures; try another --mode") from error
        context = self._stream.codec_context
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLIN)
        self._converter = Converter(jpeg=context.name == "mjpeg")
        self.dropped = 0
        self.width, self.height = context.width, context.height
        self.rate = Fraction(self._stream.average_rate or SENSIBLE[1])
        self.description = f"{device.name} at {device.path}, " + _given(
            (self.width, self.height), self.rate, _format(context), wish
        )

    def read(self, timeout: float) -> Frame | None:
        """Return the newest picture; see ``Capture``."""
        packet = self._packet(timeout)
        while packet is not None and (newer := self._packet(0)) is not None:
            packet = newer  # each stands for itself: none of these formats looks back
            self.dropped += 1
        if packet is None:
            return None
        try:
            frames = packet.decode()
        except (FFmpegError, OSError):
            return None  # a damaged JPEG; the next one will do
        stamp = float(packet.pts * packet.time_base) if packet.pts is not None else 0.0
        return self._converter.frame(frames[-1], stamp) if frames else None

    def _packet(self, timeout: float) -> Any:
        """Return the next packet; ``None`` if none comes in time."""
        events = self._poll.poll(1000 * timeout)
        if not events:
            return None
        try:
            return next(self._container.demux(self._stream), None)
        except BlockingIOError:
            if any(event & LOST_EVENTS for _, event in events):
                raise InputError("it was unplugged") from None
            return None
        except (FFmpegError, OSError) as error:
            raise InputError(f"it was lost: {getattr(error, 'strerror', error)}") from error

    def close(self) -> None:
        """Let go of it."""
        self._container.close()


def _opened(device: Device, wish: Wish) -> Any:
    """Open a device in the mode that comes nearest, or as it stands where nobody asks for any."""
    tries = [choose(device.modes, wish) if device.modes else wish]
    if wish == Wish() and tries != [wish]:
        tries.append(wish)
    for chosen in tries:
        try:
            return av.open(device.path, format="v4l2", options=v4l2_options(chosen))
        except (FFmpegError, OSError) as error:
            if chosen is tries[-1] or getattr(error, "errno", None) != errno.EINVAL:
                raise InputError(refusal(device, error, wish)) from error
    raise AssertionError


def v4l2_options(wish: Wish) -> dict[str, str]:
    """Return FFmpeg's options for a mode."""
    options = {}
    if wish.size is not None:
        options["video_size"] = f"{wish.size[0]}x{wish.size[1]}"
    if wish.rate is not None:
        options["framerate"] = str(wish.rate)
    if wish.format is not None:
        options["input_format"] = wish.format
    return options


def refusal(device: Device, error: BaseException, wish: Wish) -> str:
    """Say why a camera was not opened, and what to do."""
    number = getattr(error, "errno", None)
    if number == errno.EBUSY:
        return f"{device.path} ({device.name}) is in use by another program; close that one"
    if number == errno.EACCES:
        return (
            f"no permission to use {device.path}: sudo usermod -aG video $USER, then log in again"
        )
    if number == errno.ENODEV and device.is_loopback:
        return f"{device.path} is a virtual camera that nobody feeds; start the program that does"
    if number == errno.EINVAL and wish != Wish():
        return f"{device.path} does not know that mode; 'streammatte devices' lists what it knows"
    reason = getattr(error, "strerror", None) or error
    return f"{device.path} ({device.name}) cannot be opened: {reason}"


def _handles(path: str) -> list[int]:
    """Return this process' handles of a device."""
    target, found = os.path.realpath(path), []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == target:  # noqa: PTH115
                found.append(int(name))
    return found


def _format(context: Any) -> str:
    return "mjpeg" if context.name == "mjpeg" else str(context.pix_fmt)


def _given(size: tuple[int, int], rate: Fraction, form: str, wish: Wish) -> str:
    """Say what a camera gives, and what it was asked for if that is something else."""
    words = f"{size[0]}x{size[1]} at {float(rate):.4g} fps, {form}"
    same = (
        wish.size in (None, size)
        and (wish.rate is None or abs(wish.rate - rate) < Fraction(1, 10))
        and wish.format in (None, form)
    )
    if same:
        return words
    asked = f"{wish.size[0]}x{wish.size[1]}" if wish.size else ""
    asked += f"@{float(wish.rate):g}" if wish.rate else ""
    asked += f":{wish.format}" if wish.format else ""
    return f"{words} ({asked} was asked for)"


# ---- Windows and macOS


def system_options(system: str, name: str, wish: Wish) -> tuple[str, str, dict[str, str]]:
    """Return what FFmpeg opens a camera by: address, format and options.

    Args:
        system: ``win32`` or ``darwin``, as ``sys.platform`` has them.
        name: Of the camera; on macOS its number may be given.
        wish: The mode.
    """
    size, rate = wish.size or SENSIBLE[0], wish.rate or Fraction(SENSIBLE[1])
    options = {"video_size": f"{size[0]}x{size[1]}", "framerate": str(rate)}
    if system == "win32":
        options["rtbufsize"] = "64M"
        if wish.format == "mjpeg":
            options["vcodec"] = "mjpeg"
        elif wish.format is not None:
            options["pixel_format"] = wish.format
        return f"video={name}", "dshow", options
    options["pixel_format"] = wish.format if wish.format not in (None, "mjpeg") else "nv12"
    return name, "avfoundation", options


class SystemCapture:
    """A camera of Windows or macOS; not yet run on either."""

    def __init__(self, where: str, wish: Wish, system: str = sys.platform) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be opened.
        """
        name = _named(where, system)
        address, form, options = system_options(system, name, wish)
        try:
            self._container: Any = av.open(address, format=form, options=options)
            self._stream = self._container.streams.video[0]
        except (FFmpegError, OSError, IndexError) as error:
            raise InputError(
                f"the camera {name!r} cannot be opened: {getattr(error, 'strerror', error)}; close "
                "other programs that use it, and allow this one to in the system's settings"
            ) from error
        context = self._stream.codec_context
        self._converter = Converter(jpeg=context.name == "mjpeg")
        self.dropped = 0
        self.width, self.height = context.width, context.height
        self.rate = Fraction(self._stream.average_rate or SENSIBLE[1])
        given = _given((self.width, self.height), self.rate, _format(context), wish)
        self.description = f"{name}, {given}"

    def read(self, timeout: float) -> Frame | None:
        """Return the next picture; see ``Capture``. It may wait for longer."""
        try:
            for frame in self._container.decode(self._stream):
                return self._converter.frame(frame, 0.0)
        except BlockingIOError:  # avfoundation has none yet
            time.sleep(min(timeout, 0.005))
        except (FFmpegError, OSError) as error:
            raise InputError(f"it was lost: {getattr(error, 'strerror', error)}") from error
        return None

    def close(self) -> None:
        """Let go of it."""
        self._container.close()


def _named(where: str, system: str) -> str:
    """Return the name of the camera that is meant."""
    if system == "darwin" and (where == "auto" or where.isdigit()):
        return "0" if where == "auto" else where
    known = [
        str(one.name) if system == "win32" else str(one.description)
        for one in av.enumerate_input_devices("dshow" if system == "win32" else "avfoundation")
    ]
    if where == "auto" or where.isdigit():
        index = 0 if where == "auto" else int(where)
        if index < len(known):
            return known[index]
        raise InputError(f"there is no camera {index}; there are: {', '.join(known) or 'none'}")
    found = [name for name in known if where.lower() in name.lower()]
    if len(found) == 1:
        return found[0]
    raise InputError(f"{where!r} is no camera, or more than one; there are: {', '.join(known)}")


# ---- pictures


class Converter:
    """Makes pictures of all kinds into ours, in memory of their own."""

    def __init__(self, *, jpeg: bool = False, size: tuple[int, int] | None = None) -> None:
        """Prepare it.

        Args:
            jpeg: Whether what is not tagged follows JPEG: BT.601, full range.
            size: ``(width, height)`` of the results; ``None`` for as it is, made even.
        """
        self._jpeg = jpeg
        self._size = size
        self._scaler = VideoReformatter()

    def frame(self, native: av.VideoFrame, seconds: float) -> Frame:
        """Return a picture as a frame.

        Args:
            native: As it was decoded.
            seconds: When it was captured, by the monotonic clock; now, if that cannot be.
        """
        now = time.monotonic()
        # Some stamp a picture with the time when the next one begins.
        seconds = min(seconds, now) if abs(now - seconds) < HONEST else now
        return Frame(self.picture(native), round(seconds * 1e6), 0, TICK)

    def picture(self, native: av.VideoFrame) -> Picture:
        """Return a picture in ``LAYOUT`` and ``COLOUR``."""
        width, height = self._size or (native.width // 2 * 2, native.height // 2 * 2)
        yuv = not native.format.is_rgb
        matrix = _BT709 if int(native.colorspace) == _BT709 else _BT601
        full = self._jpeg or native.format.name.startswith("yuvj") or native.color_range == _FULL
        smaller = width < native.width
        made = self._scaler.reformat(
            native,
            width,
            height,
            LAYOUT.name,
            src_colorspace=matrix if yuv else None,
            dst_colorspace=_BT601,
            src_color_range=_FULL if full or not yuv else _LIMITED,
            dst_color_range=_LIMITED,
            interpolation="AREA" if smaller else "BICUBIC",
            threads=1,
        )
        picture = Picture.over(made, COLOUR)
        return picture if made is not native else Picture.of(picture.planes, LAYOUT, COLOUR)
