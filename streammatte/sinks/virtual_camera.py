"""Virtual cameras: v4l2loopback through FFmpeg on Linux, OBS's through pyvirtualcam elsewhere.

Readers take the samples for BT.601, limited range, whatever a device is tagged as; so that is what
pictures are, and they pass through byte for byte.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError

from streammatte.errors import DependencyError, OutputError, UsageError
from streammatte.frames import Picture
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.sinks import loopback
from streammatte.sources import v4l2

if TYPE_CHECKING:
    from streammatte.frames import VideoInfo

VERSION = Path("/sys/module/v4l2loopback/version")
LOAD = (
    'sudo modprobe v4l2loopback devices=1 video_nr=20 card_label="StreamMatte" exclusive_caps=1 '
    "max_buffers=2"
)
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"
FORBIDDEN = "no permission to use {}: sudo usermod -aG video $USER, then log in again"
OFTEN = 1.0
"""Seconds between two looks for readers, and for the device itself."""
STORED = "YU12"
"""What V4L2 calls 8-bit planar 4:2:0."""


class V4l2Output:
    """A virtual camera of v4l2loopback; see ``live.base.Output``."""

    def __init__(self, path: str, info: VideoInfo) -> None:
        """Open it.

        Raises:
            OutputError: if it is missing, busy, stuck, of another size, or no virtual camera.
            DependencyError: if it may not be used.
        """
        check(path)
        self.path = path
        self.notes: list[str] = []
        rate = Fraction(info.rate).limit_denominator(1001)
        loopback.tell_rate(path, rate)
        self._container: Any = None
        try:
            self._open(info, rate)
        except (FFmpegError, OSError) as error:
            self.close()
            raise refused(path, error) from error
        except OutputError:
            self.close()
            raise
        self.description = f"virtual camera {path}, {info.width}x{info.height}"
        # Its own, because a picture goes to other outputs, too, at other times.
        self._picture = Picture.empty(info.width, info.height, LAYOUT, COLOUR)
        self._count, self._tick = 0, 1 / rate
        self._looked = time.monotonic()
        self._readers = Readers(path)

    def _open(self, info: VideoInfo, rate: Fraction) -> None:
        self._container = av.open(self.path, "w", format="v4l2")
        self._stream: Any = self._container.add_stream("rawvideo", rate=rate)
        self._stream.width, self._stream.height = info.width, info.height
        self._stream.pix_fmt = LAYOUT.name
        self._container.start_encoding()
        given = loopback.accepted(self.path)
        if given not in (None, (STORED, info.width, info.height)):
            raise OutputError(_held(self.path, given))

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  raw video has no clock
        """Pass a picture on; see ``live.base.Output``."""
        if self._container is None:
            raise OutputError(f"{self.path} is closed")
        self._look()
        for target, plane in zip(self._picture.planes, picture.planes, strict=True):
            target[:] = plane
        frame = self._picture.native
        frame.pts, frame.time_base = self._count, self._tick
        self._count += 1
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise refused(self.path, error) from error

    def _look(self) -> None:
        """See from time to time whether the device is there at all."""
        now = time.monotonic()
        if now - self._looked < OFTEN:
            return
        self._looked = now
        if not Path(self.path).exists():
            raise OutputError(f"{self.path} is not there any more; load it again: {LOAD}")

    @property
    def readers(self) -> int | None:
        """How many other programs have it open, as of a moment ago; see ``Readers``."""
        return self._readers.count

    def close(self) -> None:
        """Let go of it; see ``live.base.Output``."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(FFmpegError, OSError):  # all that was sent has arrived
                container.close()


class Readers:
    """Counts the other programs that have a device open; those of other users only as root.

    v4l2loopback 0.12 does not tell who reads, so all handles of all processes are looked at, on a
    thread of its own, since there may be thousands. From 0.13 on there is an event that tells
    (``V4L2_EVENT_PRI_CLIENT_USAGE``), which would spare this.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._count: int | None = None
        self._looked = -OFTEN
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int | None:
        """What was found when it was looked last; ``None`` before that."""
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and time.monotonic() - self._looked >= OFTEN:
            self._looked = time.monotonic()
            self._thread = threading.Thread(
                target=self._look, name="streammatte-readers", daemon=True
            )
            self._thread.start()
        return self._count

    def _look(self) -> None:
        self._count = len(v4l2.holders(self._path) - {os.getpid()})


# ---- what is wrong with a device


def check(path: str) -> None:
    """Refuse what cannot be a virtual camera of ours, with what mends it.

    Raises:
        OutputError: if it is missing, busy, stuck, or something else.
        DependencyError: if it may not be used.
    """
    if not Path(path).exists():
        known = ", ".join(device.path for device in v4l2.virtual_cameras())
        remedy = f"virtual cameras are {known}" if known else f"load v4l2loopback: {LOAD}"
        raise OutputError(f"there is no {path}; {remedy}")
    try:
        os.close(os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        raise refused(path, error) from error
    device = v4l2.inspect(path, modes=False)
    if device is None or not (device.is_loopback or device.is_output):
        known = ", ".join(one.path for one in v4l2.virtual_cameras()) or f"none: {LOAD}"
        raise OutputError(f"{path} is no virtual camera; those are {known}")
    if not device.is_output:
        raise OutputError(_fed(path) if device.is_capture else _stuck(path))


def _fed(path: str) -> str:
    return f"{path} is fed by another program{_named(path)}; close that one"


def _stuck(path: str) -> str:
    """Say how to mend a device that neither gives nor takes pictures."""
    names = _named(path)
    first = f"close what reads it{names}, then reload" if names else "reload"
    return f"{path} is stuck, as v4l2loopback 0.12.7 gets with exclusive_caps=1; {first}: {RELOAD}"


def _held(path: str, given: tuple[str, int, int] | None) -> str:
    assert given is not None
    code, width, height = given
    return (
        f"{path} is held at {width}x{height} ({code}) by a program that uses it{_named(path)}; "
        "close that one, or take that size"
    )


def _named(path: str) -> str:
    """Return the names of the programs that have a device open, but for this one's."""
    others = v4l2.users(path) if v4l2.holders(path) - {os.getpid()} else []
    return f" ({', '.join(others)})" if others else ""


def refused(path: str, error: FFmpegError | OSError) -> DependencyError | OutputError:
    """Return what to raise when a device does not take pictures: why, and what to do."""
    number = error.errno
    if number in (errno.EACCES, errno.EPERM):
        return DependencyError(FORBIDDEN.format(path))
    if number == errno.EBUSY:
        return OutputError(f"{path} is in use by another program{_named(path)}; close that one")
    if number in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return OutputError(f"{path} is not there any more; load it again: {LOAD}")
    if number == errno.EINVAL:
        return OutputError(
            f"{path} does not take pictures of this size; close what uses it{_named(path)}, or "
            f"reload it: {RELOAD}"
        )
    if number in (errno.ENOTTY, errno.EISDIR):
        return OutputError(f"{path} is no virtual camera; 'streammatte devices' lists them")
    return OutputError(f"{path} takes no pictures: {error.strerror or error}")


def first_free() -> str:
    """Return the virtual camera that ``auto`` takes.

    Raises:
        OutputError: if there is none that is free.
    """
    known = v4l2.virtual_cameras()
    free = [device for device in known if device.is_output]
    unused = [device for device in free if not v4l2.holders(device.path)]
    if free:
        return (unused or free)[0].path
    if not known:
        forbidden = v4l2.forbidden()
        if forbidden:
            raise DependencyError(FORBIDDEN.format(", ".join(forbidden)))
        raise OutputError(
            f"there is no virtual camera; 'streammatte vcam setup' helps, or: {LOAD} "
            "(--vcam null or window goes without)"
        )
    check(known[0].path)
    return known[0].path


# ---- pyvirtualcam


class ObsOutput:
    """OBS's virtual camera, through pyvirtualcam; see ``live.base.Output``.

    Run with pyvirtualcam itself, but never yet with OBS.
    """

    def __init__(self, info: VideoInfo, backend: str | None = None) -> None:
        """Open it.

        Args:
            info: Size and rate.
            backend: Of pyvirtualcam; ``None`` for the first of this system that works.

        Raises:
            DependencyError: if pyvirtualcam is not installed.
            OutputError: if there is no such camera.
        """
        try:
            import pyvirtualcam
        except ImportError as error:
            raise DependencyError(
                "pyvirtualcam is not installed; pip install 'streammatte[virtualcam]'"
            ) from error
        try:
            self._camera: Any = pyvirtualcam.Camera(
                info.width,
                info.height,
                float(info.rate),
                fmt=pyvirtualcam.PixelFormat.I420,
                backend=backend,
            )
        except RuntimeError as error:
            raise OutputError(_no_obs(str(error))) from error
        self.description = f"virtual camera {self._camera.device}, by {self._camera.backend}"
        self.notes: list[str] = []

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  it has its own clock
        """Pass a picture on; see ``live.base.Output``."""
        if self._camera is None:
            raise OutputError("the virtual camera is closed")
        try:
            self._camera.send(np.concatenate([plane.ravel() for plane in picture.planes]))
        except RuntimeError as error:
            raise OutputError(f"the virtual camera is gone: {_line(str(error))}") from error

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def close(self) -> None:
        """Let go of it; see ``live.base.Output``."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def _line(text: str) -> str:
    return "; ".join(part.strip() for part in text.splitlines() if part.strip())


def _no_obs(reason: str) -> str:
    """Say what to do about what pyvirtualcam says."""
    if "could not be started" in reason or "already in use" in reason:
        hint = "stop the virtual camera in OBS and close other programs that feed it"
    else:
        hint = (
            "install OBS Studio (https://obsproject.com), press Start Virtual Camera in it once, "
            "and stop it again"
        )
    return f"the virtual camera of OBS cannot be used; {hint} ({_line(reason)})"


def open_virtual_camera(where: str, info: VideoInfo) -> V4l2Output | ObsOutput:
    """Open ``auto``, ``obs`` or a path.

    Raises:
        UsageError: if this system has no such thing.
        OutputError: if it cannot be used.
        DependencyError: if something is not installed, or not allowed.
    """
    if sys.platform == "linux":
        if where == "obs":
            raise UsageError("--vcam: on Linux OBS feeds v4l2loopback, and so does --vcam auto")
        return V4l2Output(first_free() if where == "auto" else where, info)
    if where.startswith("/dev/"):
        raise UsageError(f"--vcam: {where} is for Linux; here it is --vcam obs")
    return ObsOutput(info, "obs" if where == "obs" else None)
