"""Pictures sent to an address, by a process of their own.

FFmpeg holds Python's lock while it opens a connection, which may take seconds; in another process
that disturbs nobody. When the other side goes away, it is tried again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import OutputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from streammatte.frames import Picture, VideoInfo

MUXERS = {"udp": "mpegts", "tcp": "mpegts", "rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp"}
LATENCY = {"preset": "ultrafast", "tune": "zerolatency", "g": "60"}
"""For x264: nothing is held back, and who tunes in waits for two seconds at the most."""
AGAIN = 1.0
"""Seconds between two tries to connect."""
ENDING = 1.0
"""Seconds that the process gets to finish."""
MOST_WAITING = 2
"""Pictures that wait to be passed on."""
END = b""


class Stream:
    """An address that pictures are sent to; see ``live.base.Output``."""

    def __init__(self, address: str, info: VideoInfo) -> None:
        """Start the process; whether anybody is there shows later.

        Raises:
            OutputError: if no process can be started.
        """
        self.description = f"{address}, h264, {info.width}x{info.height}"
        self.notes: list[str] = []
        self._address = address
        self._dropped = 0
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
            raise OutputError(f"no process for {address} can be started: {error}") from error
        theirs.close()
        self._thread = threading.Thread(target=self._pass_on, name="streammatte-send", daemon=True)
        self._thread.start()

    def send(self, picture: Picture, pts: int) -> None:  # noqa: ARG002  it has its own clock
        """Let it be sent; see ``live.base.Output``. The oldest goes if nobody takes them."""
        if not self._process.is_alive() and not self._ended:
            raise OutputError(f"what sends to {self._address} has died; start again")
        planes = [np.ascontiguousarray(plane).ravel() for plane in picture.planes]
        content = np.concatenate(planes).tobytes()
        while True:
            try:
                self._waiting.put_nowait(content)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()
                    self._dropped += 1
            else:
                return

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def _pass_on(self) -> None:
        while True:
            content = self._waiting.get()
            try:
                self._ours.send_bytes(content)
                while self._ours.poll():
                    self.notes.append(self._ours.recv_bytes().decode())
            except (OSError, EOFError):
                return
            if content == END:
                return

    def close(self) -> None:
        """End the process; see ``live.base.Output``."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(queue.Full):
            self._waiting.put(END, timeout=ENDING / 4)
        self._process.join(ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        with contextlib.suppress(OSError, EOFError):
            while self._ours.poll():
                self.notes.append(self._ours.recv_bytes().decode())
        self._ours.close()
        self._thread.join(ENDING)
        if self._dropped:
            self.notes.append(f"{self._address}: {self._dropped} pictures were not sent in time")


# ---- the other process


def stream(pipe: Connection, address: str, size: tuple[int, int], rate: tuple[int, int]) -> None:
    """Encode the pictures that come through a pipe and send them, until an empty one comes.

    Args:
        pipe: Where I420 pictures come from, and words about trouble go to.
        address: Where to.
        size: ``(width, height)``.
        rate: Pictures a second, as a fraction.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    sender, told, again = None, "", 0.0
    with contextlib.suppress(EOFError, OSError):
        while (content := pipe.recv_bytes()) != END:
            try:
                if sender is None and time.monotonic() >= again:
                    sender = _Sender(address, size, Fraction(*rate))
                if sender is not None:
                    sender.send(content)
            except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
                _drop(sender)
                sender = None
                again = time.monotonic() + AGAIN
                if str(error) != told:
                    told = str(error)
                    pipe.send_bytes(f"{address}: {told}; trying again".encode())
    _drop(sender)


def _drop(sender: _Sender | None) -> None:
    if sender is not None:
        with contextlib.suppress(Exception):  # the connection may be gone
            sender.close()


class _Sender:
    def __init__(self, address: str, size: tuple[int, int], rate: Fraction) -> None:
        import av

        muxer = MUXERS[address.partition("://")[0]]
        self._container: Any = av.open(address, "w", format=muxer, timeout=5)
        self._stream: Any = self._container.add_stream("libx264", rate=rate, options=LATENCY)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.bit_rate = max(500_000, round(size[0] * size[1] * float(rate) * 0.12))
        context = self._stream.codec_context
        context.colorspace, context.color_range = 6, 1
        self._size, self._begun = size, time.monotonic()
        self._tick = Fraction(1, 90000)
        context.time_base = self._tick
        self._last = -1

    def send(self, content: bytes) -> None:
        import av

        width, height = self._size
        samples = np.frombuffer(content, np.uint8).reshape(height * 3 // 2, width)
        frame = av.VideoFrame.from_ndarray(samples, "yuv420p")
        # By the clock: what was dropped on the way must not make the others early.
        self._last = max(self._last + 1, round((time.monotonic() - self._begun) / self._tick))
        frame.pts, frame.time_base = self._last, self._tick
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        self._container.close()
