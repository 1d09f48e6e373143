"""What stands in for a camera: a clip that is played over and over, or a stream from an address."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import av
from av.error import ExitError, FFmpegError

from streammatte.convert import convert
from streammatte.errors import InputError
from streammatte.frames import Frame, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import open_source
from streammatte.sources.converter import Converter

if TYPE_CHECKING:
    from collections.abc import Generator

    Pictures = Generator[tuple[float | None, Picture], None, None]

OPENING, READING = 10.0, 5.0
"""Seconds that a stream may take to open, and to go on."""
MOST_LATE = 0.2
"""Seconds; a picture that is later moves all that follow: a slow machine plays slowly."""


class Pace:
    """When the pictures of a recording are due, by the monotonic clock."""

    def __init__(self) -> None:
        """Begin with the first picture that is asked about."""
        self._base: float | None = None

    def due(self, seconds: float) -> float:
        """Return when a picture is to be shown.

        Args:
            seconds: Its place in the recording.
        """
        now = time.monotonic()
        if self._base is None or now - (self._base + seconds) > MOST_LATE:
            self._base = now - seconds
        return self._base + seconds


class Played:
    """A ``camera.Capture`` of pictures that wait until they are due."""

    description: str
    width: int
    height: int
    rate: Fraction

    def __init__(self, pictures: Pictures) -> None:
        """Prepare it.

        Args:
            pictures: And their places in seconds, or ``None`` for those that are shown at once.
        """
        self.dropped = 0
        self._pictures = pictures
        self._pace = Pace()
        self._next: tuple[float, Picture] | None = None

    def read(self, timeout: float) -> Frame | None:
        """Return the next picture when its time has come; see ``camera.Capture``."""
        if self._next is None:
            seconds, picture = next(self._pictures)
            due = time.monotonic() if seconds is None else self._pace.due(seconds)
            self._next = due, picture
        due, picture = self._next
        wait = due - time.monotonic()
        time.sleep(max(0.0, min(wait, timeout)))
        if wait > timeout:
            return None
        self._next = None
        return Frame(picture, round(due * 1e6), 0, TICK)

    def close(self) -> None:
        """Let go of it."""
        self._pictures.close()


class ClipCapture(Played):
    """A file, or synthetic footage, at its own pace, for ever."""

    def __init__(self, where: str) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be read.
        """
        self._where = where
        self._source = open_source(where)
        info = self._source.info
        super().__init__(self._played())
        self.rate = info.rate
        self.width = max(2, round(info.width * info.pixel_aspect) // 2 * 2)
        self.height = max(2, info.height // 2 * 2)
        self.description = (
            f"{where}, {self.width}x{self.height} at {float(self.rate):.4g} fps, looped"
        )
        self._converter = Converter(size=(self.width, self.height))

    def _played(self) -> Pictures:
        so_far = 0.0
        while True:
            begin = end = None
            for frame in self._source.frames():
                begin = frame.seconds if begin is None else begin
                length = float(frame.duration * frame.time_base) or float(1 / self.rate)
                end = frame.seconds + length
                yield so_far + frame.seconds - begin, self._ours(frame.picture)
            if begin is None or end is None:
                raise InputError(f"{self._where} has no pictures")
            so_far += end - begin
            self._source.close()
            self._source = open_source(self._where)

    def _ours(self, picture: Picture) -> Picture:
        colour = picture.colour
        if colour.is_hdr or colour.is_wide or picture.layout.depth != LAYOUT.depth:
            picture = convert(picture, LAYOUT, COLOUR)
        return self._converter.picture(picture.native)

    def close(self) -> None:
        """Let go of it."""
        super().close()
        self._source.close()


class StreamCapture(Played):
    """A stream from an address, as ``rtsp://``: as it comes, or at its pace if it has an end."""

    def __init__(self, address: str) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be reached, or has no pictures.
        """
        shown = public(address)
        options = {"fflags": "nobuffer", "rtsp_transport": "tcp"} if address[:4] == "rtsp" else {}
        try:
            self._container: Any = av.open(address, options=options, timeout=(OPENING, READING))
            self._stream = self._container.streams.video[0]
        except (FFmpegError, OSError, IndexError, ValueError) as error:
            raise InputError(f"{shown} cannot be read: {_why(error, OPENING)}") from error
        super().__init__(self._decoded())
        context = self._stream.codec_context
        self.width, self.height = context.width // 2 * 2, context.height // 2 * 2
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.description = (
            f"{shown}, {self.width}x{self.height} at {float(self.rate):.4g} fps, {context.name}"
        )
        self._converter = Converter(jpeg=context.name == "mjpeg", size=(self.width, self.height))

    def _decoded(self) -> Pictures:
        has_end = bool(self._container.duration)
        try:
            for native in self._container.decode(self._stream):
                yield native.time if has_end else None, self._converter.picture(native)
        except (FFmpegError, OSError) as error:
            raise InputError(f"it was lost: {_why(error, READING)}") from error
        raise InputError("the stream has ended")

    def close(self) -> None:
        """Let go of it."""
        super().close()
        self._container.close()


def public(address: str) -> str:
    """Return an address without the name and the password that may be in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _why(error: BaseException, seconds: float) -> str:
    if isinstance(error, ExitError):
        return f"nothing came within {seconds:.0f} s; is it being sent?"
    if isinstance(error, IndexError):
        return "it has no pictures"
    return str(getattr(error, "strerror", None) or error)
