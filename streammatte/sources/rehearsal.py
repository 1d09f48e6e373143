"""What stands in for a camera: a clip that is played over and over, or a stream from an address."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from streammatte.convert import convert
from streammatte.errors import InputError
from streammatte.frames import Frame, Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import open_source
from streammatte.sources.camera import Converter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.sources import Source

OPENING, READING = 10.0, 5.0
"""Seconds that a stream may take to open, and to go on."""


class ClipCapture:
    """A file, or synthetic footage, at its own pace, for ever."""

    def __init__(self, where: str) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be read.
        """
        self._where = where
        source = open_source(where)
        info = source.info
        self.dropped = 0
        self.width, self.height = info.width // 2 * 2, info.height // 2 * 2
        self.rate = info.rate
        self.description = (
            f"{where}, {self.width}x{self.height} at {float(self.rate):.4g} fps, looped"
        )
        self._converter = Converter(size=(self.width, self.height))
        self._frames = self._played(source)
        self._next: tuple[float, Frame] | None = None

    def _played(self, source: Source) -> Iterator[tuple[float, Frame]]:
        """Yield frames, and when they are due, over and over."""
        base = time.monotonic()
        while True:
            begin = end = None
            with source:
                for frame in source.frames():
                    begin = frame.seconds if begin is None else begin
                    length = float(frame.duration * frame.time_base) or float(1 / self.rate)
                    end = frame.seconds + length
                    yield base + frame.seconds - begin, frame
            if begin is None or end is None:
                raise InputError("the clip has no frames")
            base = max(base + end - begin, time.monotonic() - 1)
            source = open_source(self._where)

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame when its time has come; see ``camera.Capture``."""
        if self._next is None:
            self._next = next(self._frames)
        due, frame = self._next
        wait = due - time.monotonic()
        if wait > timeout:
            time.sleep(timeout)
            return None
        if wait > 0:
            time.sleep(wait)
        self._next = None
        return Frame(self._ours(frame.picture), round(max(due, 0) * 1e6), 0, TICK)

    def _ours(self, picture: Picture) -> Picture:
        colour = picture.colour
        if colour.is_hdr or colour.is_wide or picture.layout.depth != LAYOUT.depth:
            picture = convert(picture, LAYOUT, COLOUR)
        return self._converter.picture(picture.native)

    def close(self) -> None:
        """Let go of it."""
        self._frames.close()  # type: ignore[attr-defined]


class StreamCapture:
    """A stream from an address, as ``rtsp://``, as it comes."""

    def __init__(self, address: str) -> None:
        """Open it.

        Raises:
            InputError: if it cannot be reached, or has no pictures.
        """
        options = {"fflags": "nobuffer", "rtsp_transport": "tcp"} if address[:4] == "rtsp" else {}
        try:
            self._container: Any = av.open(address, options=options, timeout=(OPENING, READING))
            self._stream = self._container.streams.video[0]
        except (FFmpegError, OSError, IndexError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{address} cannot be read: {reason}") from error
        self._stream.thread_type = "AUTO"
        context = self._stream.codec_context
        self.dropped = 0
        self.width, self.height = context.width // 2 * 2, context.height // 2 * 2
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.description = f"{address}, {self.width}x{self.height}, {context.name}"
        self._converter = Converter(jpeg=context.name == "mjpeg")
        self._decoded = self._container.decode(self._stream)

    def read(self, timeout: float) -> Frame | None:  # noqa: ARG002  FFmpeg has its own
        """Return the next picture; see ``camera.Capture``. It may wait for longer."""
        try:
            return self._converter.frame(next(self._decoded), 0.0)
        except StopIteration:
            raise InputError("the stream has ended") from None
        except (FFmpegError, OSError) as error:
            raise InputError(f"it was lost: {getattr(error, 'strerror', error)}") from error

    def close(self) -> None:
        """Let go of it."""
        self._container.close()
