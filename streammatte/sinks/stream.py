"""Pictures sent to an address, by a process of their own.

FFmpeg holds Python's lock while it opens a connection, which may take seconds; in another process
that disturbs nobody. When the other side goes away, it is tried again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import struct
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from streammatte.errors import OutputError, UsageError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from streammatte.frames import Picture, VideoInfo

MUXERS = {"udp": "mpegts", "tcp": "mpegts", "rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp"}
"""Kind of address -> FFmpeg's muxer. SRT is in no build of FFmpeg that PyAV comes with."""
WITHOUT_PORT = ("udp", "tcp")
"""Kinds of address that no port is usual for."""
LATENCY = {"preset": "ultrafast", "tune": "zerolatency"}
"""For x264: nothing is held back."""
TUNING_IN = 2
"""Seconds that who tunes in waits for a whole picture, at the most."""
BITS = 0.12
"""A pixel: 3.3 Mbit/s for 720p at 30."""
LEAST_BITS = 500_000
"""A second."""
AGAIN = 1.0
"""Seconds between two tries to connect."""
PATIENCE = 5
"""Seconds that a connection may take to open."""
ENDING = 0.8
"""Seconds that the process gets to finish."""
MOST_WAITING = 2
"""Pictures that wait to be passed on."""
END = b""
TAKEN = b""
"""What the process answers to a picture, unless it has words about trouble."""
TICK = 1_000_000
"""Ticks a second: those of ``live.base``."""
_HEAD = struct.Struct("=q")
"""When a picture is shown, before its samples."""


class Stream:
    """An address that pictures are sent to; see ``live.base.Output``."""

    def __init__(self, address: str, info: VideoInfo) -> None:
        """Start the process; whether anybody is there shows later.

        Raises:
            UsageError: if nothing can be sent to such an address.
            OutputError: if no process can be started.
        """
        _check(address)
        self._shown = shown(address)
        self.description = f"{self._shown}, h264, {info.width}x{info.height}"
        self.notes: list[str] = []
        self._dropped = 0
        self._begun = False  # until the process takes pictures; starting it takes a second
        self._ended = False
        self._waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        context = multiprocessing.get_context("spawn")
        theirs, self._ours = context.Pipe(duplex=True)
        rate = Fraction(info.rate).limit_denominator(1001)
        words = (theirs, address, (info.width, info.height), (rate.numerator, rate.denominator))
        self._process = context.Process(
            target=stream, args=words, name="streammatte-stream", daemon=True
        )
        try:
            self._process.start()
        except OSError as error:
            raise OutputError(f"no process for {self._shown} can be started: {error}") from error
        theirs.close()
        self._thread = threading.Thread(target=self._pass_on, name="streammatte-send", daemon=True)
        self._thread.start()

    def send(self, picture: Picture, pts: int) -> None:
        """Let it be sent; see ``live.base.Output``. The oldest goes if nobody takes them."""
        if not self._ended and not self._process.is_alive():
            raise OutputError(f"what sends to {self._shown} has died; start again")
        content = _HEAD.pack(pts) + b"".join(plane.tobytes() for plane in picture.planes)
        dropped = self._put(content)
        if self._begun:
            self._dropped += dropped

    def _put(self, content: bytes) -> int:
        """Queue a picture; return how many had to go for it."""
        dropped = 0
        while True:
            try:
                self._waiting.put_nowait(content)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()
                    dropped += 1
            else:
                return dropped

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def _pass_on(self) -> None:
        """Hand pictures to the process, and take down what it says; on a thread."""
        with contextlib.suppress(OSError, EOFError):  # it has died, which ``send`` will see
            while (content := self._waiting.get()) != END:
                self._ours.send_bytes(content)
                self._listen()
            self._ours.send_bytes(END)

    def _listen(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while self._ours.poll():
                if words := self._ours.recv_bytes():
                    self.notes.append(words.decode())
                self._begun = True

    def close(self) -> None:
        """End the process within a second; see ``live.base.Output``."""
        if self._ended:
            return
        self._ended = True
        self._put(END)
        self._process.join(ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._thread.join()
        self._listen()
        self._ours.close()
        if self._dropped:
            self.notes.append(f"{self._shown}: {self._dropped} pictures were not sent in time")


def _check(address: str) -> None:
    kind = address.partition("://")[0]
    if kind not in MUXERS:
        known = ", ".join(f"{name}://" for name in MUXERS)
        relay = "; a relay such as MediaMTX turns them into SRT" if kind == "srt" else ""
        raise UsageError(f"pictures are not sent to {kind}://; use one of {known}{relay}")
    try:
        host, port = urlsplit(address).hostname, urlsplit(address).port
    except ValueError as error:
        raise UsageError(f"{shown(address)} is no address: {error}") from error
    if not host or (kind in WITHOUT_PORT and not port):
        raise UsageError(f"{shown(address)} is no whole address; such as {kind}://127.0.0.1:5000")


def shown(address: str) -> str:
    """Return what may be told of an address: its kind and host, and no passwords or keys."""
    kind, _, rest = address.partition("://")
    return f"{kind}://{rest.partition('/')[0].partition('?')[0].rpartition('@')[2]}"


# ---- the other process


def stream(pipe: Connection, address: str, size: tuple[int, int], rate: tuple[int, int]) -> None:
    """Encode the pictures that come through a pipe and send them, until an empty one comes.

    Args:
        pipe: Where I420 pictures come from, each after its time, and words about trouble go to.
        address: Where to.
        size: ``(width, height)``.
        rate: Pictures a second, as a fraction.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    sender: _Sender | None = None
    told: set[str] = set()
    again = 0.0
    with contextlib.suppress(EOFError, OSError):
        while (content := pipe.recv_bytes()) != END:
            try:
                if sender is None and time.monotonic() >= again:
                    sender = _Sender(address, size, Fraction(*rate))
                if sender is not None:
                    sender.send(content)
                words = ""
            except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
                _drop(sender)
                sender = None
                again = time.monotonic() + AGAIN
                words = _trouble(address, error)
            pipe.send_bytes(TAKEN if words in told else words.encode())
            told.add(words)
    _drop(sender)


def _trouble(address: str, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error).replace(address, shown(address))
    return f"{shown(address)}: {reason}; trying again"


def _drop(sender: _Sender | None) -> None:
    if sender is not None:
        with contextlib.suppress(Exception):  # the connection may be gone
            sender.close()


class _Sender:
    """A connection, and an encoder that begins anew with it."""

    def __init__(self, address: str, size: tuple[int, int], rate: Fraction) -> None:
        import av

        muxer = MUXERS[address.partition("://")[0]]
        self._container: Any = av.open(address, "w", format=muxer, timeout=PATIENCE)
        whole = {"g": str(round(TUNING_IN * rate))}
        self._stream: Any = self._container.add_stream(
            "libx264", rate=rate, options=LATENCY | whole
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.bit_rate = max(LEAST_BITS, round(size[0] * size[1] * float(rate) * BITS))
        context = self._stream.codec_context
        context.colorspace, context.color_range = 6, 1
        context.time_base = Fraction(1, TICK)
        self._size = size
        self._first: int | None = None

    def send(self, content: bytes) -> None:
        import av

        (pts,) = _HEAD.unpack_from(content)
        if self._first is None:
            self._first = pts
        width, height = self._size
        samples = np.frombuffer(content, np.uint8, offset=_HEAD.size)
        frame = av.VideoFrame.from_ndarray(samples.reshape(height * 3 // 2, width), "yuv420p")
        frame.pts, frame.time_base = pts - self._first, Fraction(1, TICK)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        self._container.close()
