"""Virtual cameras: v4l2loopback through FFmpeg on Linux, OBS's through pyvirtualcam elsewhere.

Readers take the samples for BT.601, limited range, whatever a device is tagged as; so that is what
pictures are, and they pass through byte for byte.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from streammatte.errors import DependencyError, OutputError
from streammatte.sources import v4l2

if TYPE_CHECKING:
    from streammatte.frames import Picture, VideoInfo

MODULE = "v4l2loopback"
VERSION = Path("/sys/module/v4l2loopback/version")
LOAD = (
    'sudo modprobe v4l2loopback devices=1 video_nr=20 card_label="StreamMatte" exclusive_caps=1 '
    "max_buffers=2"
)
RELOAD = f"sudo modprobe -r v4l2loopback && {LOAD}"
OFTEN = 1.0
"""Seconds between two looks for readers, and for the device itself."""


class V4l2Output:
    """A virtual camera of v4l2loopback; see ``live.base.Output``."""

    def __init__(self, path: str, info: VideoInfo) -> None:
        """Open it.

        Raises:
            OutputError: if it is missing, busy, stuck, or no virtual camera.
            DependencyError: if it may not be used.
        """
        check(path)
        self.path = path
        self.notes: list[str] = []
        rate = Fraction(info.rate).limit_denominator(1001)
        try:
            self._container: Any = av.open(path, "w", format="v4l2")
            self._stream: Any = self._container.add_stream("rawvideo", rate=rate)
            self._stream.width, self._stream.height = info.width, info.height
            self._stream.pix_fmt = "yuv420p"
            self._container.start_encoding()
        except (FFmpegError, OSError) as error:
            raise OutputError(refusal(path, error)) from error
        self.description = f"virtual camera {path}, {info.width}x{info.height}"
        self._count, self._tick = 0, 1 / rate
        self._looked = 0.0
        self._readers: int | None = None

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  raw video has no clock
        """Pass a picture on; see ``live.base.Output``."""
        if self._container is None:
            raise OutputError(f"{self.path} is closed")
        frame = picture.native
        frame.pts, frame.time_base = self._count, self._tick
        self._count += 1
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise OutputError(f"{self.path} is gone: {refusal(self.path, error)}") from error
        self._look()

    @property
    def readers(self) -> int | None:
        """How many other programs have it open; of other users' only as root."""
        self._look()
        return self._readers

    def _look(self) -> None:
        """Look from time to time who reads it, and whether it is there at all."""
        now = time.monotonic()
        if now - self._looked < OFTEN:
            return
        self._looked = now
        if not Path(self.path).exists():
            raise OutputError(f"{self.path} is gone; load it again: {LOAD}")
        self._readers = len(others(self.path))

    def close(self) -> None:
        """Let go of it; see ``live.base.Output``."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (FFmpegError, OSError) as error:
                self.notes.append(f"{self.path}: {error}")


def check(path: str) -> None:
    """Refuse what cannot be a virtual camera of ours, with what mends it.

    Raises:
        OutputError: if it is missing, stuck, or something else.
        DependencyError: if it may not be used.
    """
    if not Path(path).exists():
        known = ", ".join(device.path for device in v4l2.virtual_cameras())
        missing = f"there is no {path}; " + (
            f"virtual cameras are {known}" if known else f"load v4l2loopback: {LOAD}"
        )
        raise OutputError(missing)
    if not os.access(path, os.R_OK | os.W_OK):
        raise DependencyError(
            f"no permission to use {path}: sudo usermod -aG video $USER, then log in again"
        )
    device = v4l2.inspect(path, modes=False)
    if device is None or not (device.is_loopback or device.is_output):
        known = ", ".join(one.path for one in v4l2.virtual_cameras()) or "none: " + LOAD
        raise OutputError(f"{path} is no virtual camera; those are {known}")
    if not device.is_output:
        if device.is_capture or others(path):
            raise OutputError(f"{path} is fed by another program; close that one")
        raise OutputError(f"{path} is stuck, as v4l2loopback 0.12.7 gets; reload it: {RELOAD}")


def refusal(path: str, error: BaseException) -> str:
    """Say why a virtual camera does not take pictures, and what to do."""
    number = getattr(error, "errno", None)
    if number == errno.EBUSY:
        return f"{path} is in use by another program; close that one"
    if number in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return f"{path} is not there any more; load it again: {LOAD}"
    if number == errno.EINVAL:
        return (
            f"{path} does not take pictures of this size, which a reader or another program has "
            f"set; close those, or reload it: {RELOAD}"
        )
    return f"{path} takes no pictures: {getattr(error, 'strerror', None) or error}"


def others(path: str) -> set[int]:
    """Return the other processes that have a device open; of other users' only as root."""
    return set(v4l2.holders(path)) - {os.getpid()}


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
        raise OutputError(
            f"there is no virtual camera; 'streammatte vcam setup' helps, or: {LOAD} "
            "(--vcam null or window goes without)"
        )
    check(known[0].path)
    return known[0].path


# ---- pyvirtualcam


class ObsOutput:
    """OBS's virtual camera, through pyvirtualcam; not yet run. See ``live.base.Output``."""

    def __init__(self, info: VideoInfo, backend: str | None = None) -> None:
        """Open it.

        Args:
            info: Size and rate.
            backend: Of pyvirtualcam; ``None`` for the one of this system.

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
        except (RuntimeError, KeyError) as error:
            reason = str(error).replace("\n", "; ").strip("'; ")
            hint = "start OBS, Start Virtual Camera, stop it again, then try this again"
            raise OutputError(f"OBS's virtual camera cannot be used: {reason}; {hint}") from error
        self.description = f"virtual camera {self._camera.device}, by {self._camera.backend}"
        self.notes: list[str] = []

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  it has its own clock
        """Pass a picture on; see ``live.base.Output``."""
        import numpy as np

        if self._camera is None:
            raise OutputError("the virtual camera is closed")
        planes = [np.ascontiguousarray(plane).ravel() for plane in picture.planes]
        try:
            self._camera.send(np.concatenate(planes))
        except RuntimeError as error:
            raise OutputError(f"OBS's virtual camera is gone: {error}") from error

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def close(self) -> None:
        """Let go of it; see ``live.base.Output``."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def open_virtual_camera(where: str, info: VideoInfo) -> V4l2Output | ObsOutput:
    """Open ``auto``, ``obs`` or a path.

    Raises:
        OutputError: if it cannot be used.
        DependencyError: if something is not installed, or not allowed.
    """
    if where == "obs" or (where == "auto" and sys.platform != "linux"):
        return ObsOutput(info, "obs" if where == "obs" else None)
    return V4l2Output(first_free() if where == "auto" else where, info)
