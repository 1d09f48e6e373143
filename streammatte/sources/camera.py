"""Cameras, by FFmpeg: V4L2 on Linux; dshow on Windows and avfoundation on macOS, not yet run there.

A driver does what it likes with the mode that it is asked for, so what it gives is read back. It
also hands out pictures that have waited for up to a second: what has waited is let go of, and only
the newest is decoded. Its memory is its own; every picture is converted into ours at once.
"""

from __future__ import annotations

import errno
import os
import select
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.container import Flags
from av.error import FFmpegError

from streammatte.errors import DependencyError, InputError
from streammatte.sources import v4l2
from streammatte.sources.converter import Converter
from streammatte.sources.modes import (
    SENSIBLE,
    TAKEN,
    Wish,
    choose,
    given,
    system_options,
    v4l2_options,
)
from streammatte.sources.v4l2 import Device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streammatte.frames import Frame

SYSTEMS = {"win32": "dshow", "darwin": "avfoundation"}
"""What FFmpeg calls the cameras of each."""
NAP = 0.005
"""Seconds between two looks for a picture, where nothing tells of one."""
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
class Identity:
    """By what a camera is known again when it comes back, under whatever number."""

    device: Device
    links: frozenset[str]
    """See ``v4l2.links``."""
    place: int
    """Among those that have its name and its plug: some cameras are two, one of them infrared."""
    others: frozenset[str]
    """The plugs of others that have its name."""


# ---- which


def find(where: str) -> Device:
    """Return the camera that is meant: ``auto``, a number, a path or a part of its name.

    Raises:
        InputError: if there is none, or it is not clear which.
        DependencyError: if it may not be used.
    """
    known = v4l2.cameras()
    if where == "auto":
        if not known:
            raise _nothing()
        return min(known, key=_strangeness)  # the first of the best
    path = f"/dev/video{where}" if where.isdigit() else where
    if path.startswith("/dev/"):
        return _at(path)
    named = [device for device in known if where.lower() in device.name.lower()]
    if len(named) == 1:
        return named[0]
    if named:
        raise InputError(
            f"{where!r} is a part of more than one camera's name; give one's path: {listed(named)}"
        )
    raise InputError(f"{where!r} is neither a camera nor a file; {_there_are()}")


def _strangeness(device: Device) -> tuple[bool, bool]:
    """Sort virtual cameras after real ones, and what gives no picture that we take after both."""
    return not any(mode.format in TAKEN for mode in device.modes), device.is_loopback


def listed(known: Sequence[Device]) -> str:
    """Return cameras in a line."""
    return ", ".join(f"{device.path} ({device.name})" for device in known)


def _there_are() -> str:
    known = v4l2.cameras(modes=False)
    return f"there are: {listed(known)}" if known else str(_nothing())


def _nothing() -> InputError | DependencyError:
    """Return why there is no camera at all."""
    if locked := v4l2.forbidden():
        return DependencyError(_no_permission(locked[0]))
    return InputError(
        "no camera was found; plug one in, or give a file or an address with --camera; "
        "in a container, start it with --device /dev/video0"
    )


def _no_permission(path: str) -> str:
    return f"no permission to use {path}: sudo usermod -aG video $USER, then log in again"


def _at(path: str) -> Device:
    if not os.path.exists(path):  # noqa: PTH110  /dev/v4l/by-id are links
        raise InputError(f"there is no {path}; {_there_are()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise DependencyError(_no_permission(path))
    device = v4l2.inspect(path)
    if device is None:
        raise InputError(f"{path} is no camera; 'streammatte devices' lists what there is")
    if device.is_capture:
        return device
    if device.is_loopback:
        raise InputError(_unfed(path))
    raise InputError(f"{path} ({device.name}) gives no pictures; it is another part of a camera")


def identity(device: Device) -> Identity:
    """Return by what a camera is known again."""
    alike = _alike(device)
    here = [one.path for one in alike if one.bus == device.bus]
    path = os.path.realpath(device.path)
    return Identity(
        device,
        v4l2.links(device.path),
        here.index(path) if path in here else 0,
        frozenset(one.bus for one in alike if one.bus != device.bus),
    )


def again(lost: Identity) -> Device | None:
    """Return a camera that was lost, wherever it is now; ``None`` if it is not back.

    It is the one in the same plug, or the one with its serial number, or one of its name that was
    not there before. Another camera is never taken for it: that one may look elsewhere.
    """
    alike = _alike(lost.device)
    here = [one for one in alike if one.bus == lost.device.bus]
    if not here:
        here = [one for one in alike if v4l2.links(one.path) & lost.links]
        if here:
            return here[0]
        here = [one for one in alike if one.bus not in lost.others]
    return v4l2.inspect(here[lost.place].path) if lost.place < len(here) else None


def _alike(device: Device) -> list[Device]:
    known = v4l2.cameras(modes=False)
    return [one for one in known if (one.name, one.driver) == (device.name, device.driver)]


# ---- V4L2


def _unfed(path: str) -> str:
    return f"{path} is a virtual camera that nobody feeds; start the program that does, first"


class _Drained(ABC):
    """What captures have in common that FFmpeg hands packets of: the newest is decoded alone."""

    def __init__(self, container: Any, name: str, wish: Wish) -> None:
        """Look at what was opened.

        Raises:
            IndexError: if it has no pictures.
        """
        self._container = container
        self._stream = container.streams.video[0]
        context = self._stream.codec_context
        self._converter = Converter(jpeg=context.name == "mjpeg")
        self.dropped = 0
        self.width, self.height = context.width // 2 * 2, context.height // 2 * 2
        self.rate = Fraction(self._stream.average_rate or SENSIBLE[1])
        form = "mjpeg" if context.name == "mjpeg" else str(context.pix_fmt)
        size = context.width, context.height
        self.description = f"{name}, {given(size, self.rate, form, wish)}"

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
        return self._converter.frame(frames[-1], self._captured(packet)) if frames else None

    @abstractmethod
    def _packet(self, timeout: float) -> Any:
        """Return the next packet; ``None`` if none comes in time, or a damaged one.

        Raises:
            InputError: if the camera is lost.
        """

    @abstractmethod
    def _captured(self, packet: Any) -> float:
        """Return when a packet was captured, by the monotonic clock; 0 if nobody knows."""

    def _next_packet(self) -> Any:
        """Return the next packet, ``None`` for a damaged one, at once.

        Raises:
            BlockingIOError: if there is none yet.
            InputError: if the camera is lost.
        """
        try:
            packet = next(self._container.demux(self._stream), None)
        except BlockingIOError:
            raise
        except (FFmpegError, OSError) as error:
            raise InputError(f"it was lost: {getattr(error, 'strerror', error)}") from error
        if packet is None or (packet.pts is None and not packet.size):
            raise InputError("it gives no more pictures")
        # Drivers mark what was damaged on the way; given to a decoder, it would end that.
        return packet if packet.size else None

    def close(self) -> None:
        """Let go of it."""
        self._container.close()


class V4l2Capture(_Drained):
    """A camera of Linux."""

    def __init__(self, device: Device, wish: Wish) -> None:
        """Open it.

        Raises:
            InputError: if it is busy, or does not give what is asked for.
        """
        before = _handles(device.path)
        container = _opened(device, wish)
        try:
            super().__init__(container, f"{device.name} at {device.path}", wish)
            (handle,) = [one for one in _handles(device.path) if one not in before][:1]
            os.set_blocking(handle, False)
        except (IndexError, ValueError) as error:
            container.close()
            raise InputError(f"{device.path} gives no pictures; try another --mode") from error
        self._converter = Converter(
            jpeg=self._stream.codec_context.name == "mjpeg", samples=v4l2.samples(handle)
        )
        self._poll = select.poll()
        self._poll.register(handle, select.POLLIN)

    def _packet(self, timeout: float) -> Any:
        events = self._poll.poll(1000 * timeout)
        if not events:
            return None
        try:
            return self._next_packet()
        except BlockingIOError:
            if any(event & LOST_EVENTS for _, event in events):
                raise InputError("it was unplugged") from None
            return None

    def _captured(self, packet: Any) -> float:
        return float(packet.pts * packet.time_base) if packet.pts is not None else 0.0


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


def refusal(device: Device, error: BaseException, wish: Wish) -> str:
    """Say why a camera was not opened, and what to do."""
    number = getattr(error, "errno", None)
    if number == errno.EBUSY:
        names = " and ".join(v4l2.users(device.path)) or "another program"
        return f"{device.path} ({device.name}) is in use by {names}; close that one"
    if number == errno.EACCES:
        return _no_permission(device.path)
    if device.is_loopback and (number == errno.ENODEV or wish == Wish()):
        return _unfed(device.path)
    if number == errno.EINVAL and wish != Wish():
        return f"{device.path} does not know that mode; 'streammatte devices' lists what it knows"
    reason = getattr(error, "strerror", None) or error
    return (
        f"{device.path} ({device.name}) cannot be opened: {reason}; "
        "unplug it and plug it in again, or take another: 'streammatte devices' lists them"
    )


def _handles(path: str) -> list[int]:
    """Return this process' handles of a device."""
    target, found = os.path.realpath(path), []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == target:  # noqa: PTH115
                found.append(int(name))
    return found


# ---- Windows and macOS


def system_cameras(system: str) -> list[Device]:
    """Return the cameras of Windows (``win32``) or macOS (``darwin``), as FFmpeg lists them.

    Their ``path`` is what FFmpeg opens them by: a name that keeps to the plug, or a number.

    Raises:
        DependencyError: if this FFmpeg cannot.
    """
    form = SYSTEMS.get(system)
    try:
        found = av.enumerate_input_devices(form or system)
    except (FFmpegError, OSError, ValueError) as error:
        raise DependencyError(
            f"this FFmpeg lists no cameras ({error}); pip install --force-reinstall av"
        ) from error
    return [
        Device(str(one.name), str(one.description or one.name), str(form), "", True, False)
        for one in found
        if "video" in (one.media_types or ["video"])
    ]


def system_find(where: str, system: str) -> Device:
    """Return the camera of Windows or macOS that is meant; see ``find``.

    Raises:
        InputError: if there is none, or it is not clear which.
        DependencyError: if this FFmpeg lists none.
    """
    known = system_cameras(system)
    names = ", ".join(f"{index} ({one.name})" for index, one in enumerate(known))
    if not known:
        raise InputError(
            "no camera was found; plug one in, and allow this program to use it in the system's "
            "settings"
        )
    if where == "auto" or where.isdigit():
        index = 0 if where == "auto" else int(where)
        if index < len(known):
            return known[index]
        raise InputError(f"there is no camera {index}; there are: {names}")
    found = [one for one in known if where.lower() in one.name.lower() or where == one.path]
    if len(found) == 1:
        return found[0]
    which = "a part of more than one camera's name" if found else "neither a camera nor a file"
    raise InputError(f"{where!r} is {which}; there are: {names}")


def system_again(lost: Device, system: str) -> Device | None:
    """Return a camera of Windows or macOS that was lost; ``None`` if it is not back.

    On Windows by its plug. macOS numbers them anew, so there it is the first of its name.
    """
    known = [one for one in system_cameras(system) if one.name == lost.name]
    if system == "win32":
        known = [one for one in known if one.path == lost.path]
    return known[0] if known else None


class SystemCapture(_Drained):
    """A camera of Windows or macOS; written by FFmpeg's documents, not yet run on either."""

    def __init__(self, device: Device, wish: Wish, system: str) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be opened.
        """
        address, form, options = system_options(system, device.path, wish)
        try:
            container: Any = av.open(address, format=form, options=options)
            super().__init__(container, device.name, wish)
        except (FFmpegError, OSError, IndexError) as error:
            raise InputError(
                f"the camera {device.name!r} cannot be opened: "
                f"{getattr(error, 'strerror', error)}; close other programs that use it, allow "
                "this one to in the system's settings, or try another --mode"
            ) from error
        # Else a camera that stalls would keep its reader for ever.
        container.flags |= Flags.non_block.value

    def _packet(self, timeout: float) -> Any:
        end = time.monotonic() + timeout
        while True:
            try:
                return self._next_packet()
            except BlockingIOError:
                if time.monotonic() >= end:
                    return None
                time.sleep(NAP)

    def _captured(self, packet: Any) -> float:  # noqa: ARG002  stamps are of clocks of their own
        return 0.0
