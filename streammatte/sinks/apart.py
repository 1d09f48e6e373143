"""A virtual camera fed by a process of its own, which has nothing to do but to be in time.

Threads of one Python wait for each other: while a library is loaded, or a network asks a GPU for a
thousand small things, none of the others runs, for a tenth of a second and more. In a process of
its own nothing is in the way. Pictures lie in memory that both see::

    show     copies a picture into a slot      slots     tells how it goes      "Tally"
             and says which, and when    ──> pipe ──>    sends it when it is due

What is due and does not come in time is the last picture again, so the rate is kept; when nothing
comes for a second, it is the slate. Nothing ever leaves that the show did not hand over.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import struct
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from streammatte.errors import OutputError, StreamMatteError
from streammatte.frames import Picture
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.live.state import STALE

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from streammatte.frames import VideoInfo
    from streammatte.live.base import Output

    Opener = Callable[[str, VideoInfo], Output]
    Planes = list[NDArray[np.uint8]]

SLOTS = 4
"""Pictures that the process may be behind until one is written over; that is noticed."""
MOST_BEHIND = 64
"""News, at the most, for a process that takes none: a full pipe would hold the show up."""
SLACK = 0.5
"""Of the time between two pictures: what comes by so much too late is waited for."""
OPENING = 30.0
"""Seconds that a device may take to open, on a busy machine."""
ENDING = 0.8
"""Seconds that the process gets to finish."""
URGENT = -10
"""How nice it is, where that may be chosen: it needs little, but that at once."""
END = b""
UNKNOWN = -1
"""Readers."""
_NEWS = struct.Struct("=qqq")
"""Serial number of a picture; when it is due; when it was handed over. In ``TICK``."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How it went, so far."""

    sent: int
    """Pictures that left."""
    missed: int
    """Times that none left, not even an old one."""
    late: float
    """Seconds from handing the last one over until it had left."""


class Tally(ctypes.Structure):
    """What the process counts, in memory that both see."""

    _fields_ = (
        ("sent", ctypes.c_int64),
        ("missed", ctypes.c_int64),
        ("late", ctypes.c_int64),
        ("heard", ctypes.c_int64),
        ("readers", ctypes.c_int64),
    )


class Shared:
    """Memory that both processes see; pictures in I420, one after the other."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Reserve it.

        Args:
            size: ``(width, height)`` of all pictures.
        """
        context = multiprocessing.get_context("spawn")
        self.size = size
        self.slots = [context.RawArray("B", self._length) for _ in range(SLOTS)]
        self.slate = context.RawArray("B", self._length)
        self.serials = context.RawArray(ctypes.c_int64, SLOTS)
        """What is in each slot; 0 while it is written."""
        self.tally = context.RawValue(Tally)
        self.tally.readers = UNKNOWN

    @property
    def _length(self) -> int:
        return sum(height * width for height, width in self._shapes)

    @property
    def _shapes(self) -> tuple[tuple[int, int], ...]:
        width, height = self.size
        chroma = -(-height // 2), -(-width // 2)
        return (height, width), chroma, chroma

    def planes(self, memory: Any) -> Planes:
        """Return the planes of a picture in this memory: uint8 ``[rows, columns]`` each."""
        whole, planes, begin = np.frombuffer(memory, np.uint8), [], 0
        for height, width in self._shapes:
            planes.append(whole[begin : begin + height * width].reshape(height, width))
            begin += height * width
        return planes

    def put(self, serial: int, picture: Picture) -> None:
        """Write a picture into the slot of its number."""
        slot = serial % SLOTS
        self.serials[slot] = 0
        _copy(picture, self.planes(self.slots[slot]))
        self.serials[slot] = serial

    def get(self, serial: int, into: Picture) -> bool:
        """Read a picture; return whether it was there all the time."""
        slot = serial % SLOTS
        for target, plane in zip(into.planes, self.planes(self.slots[slot]), strict=True):
            target[:] = plane
        return int(self.serials[slot]) == serial


def _copy(picture: Picture, planes: Planes) -> None:
    for target, plane in zip(planes, picture.planes, strict=True):
        target[:] = plane


class Apart:
    """A virtual camera in another process; see ``live.base.Output``."""

    def __init__(self, where: str, info: VideoInfo, slate: Picture, opener: Opener) -> None:
        """Start the process, and wait until the camera is open.

        Args:
            where: As for ``opener``.
            info: Size and rate.
            slate: What is shown when nothing comes any more.
            opener: Opens the camera there; a function of a module, to be found again.

        Raises:
            StreamMatteError: what ``opener`` raises.
            OutputError: if the process cannot be started, or dies.
        """
        context = multiprocessing.get_context("spawn")
        self.notes: list[str] = []
        self._shared = Shared((info.width, info.height))
        _copy(slate, self._shared.planes(self._shared.slate))
        self._last: Picture | None = None
        self._serial = self._told = 0
        self._ours, theirs = context.Pipe(duplex=True)
        self._process = context.Process(
            target=keep,
            args=(theirs, self._shared, opener, where, info),
            name="streammatte-camera",
            daemon=True,
        )
        self._closed = False
        self.description = where
        try:
            self._process.start()
        except OSError as error:
            raise OutputError(f"no process for {where} can be started: {error}") from error
        theirs.close()
        try:
            self.description = self._opened(where)
        except BaseException:
            self.close()
            raise

    def _opened(self, where: str) -> str:
        """Return what the process says when the camera is open."""
        if not self._ours.poll(OPENING):
            raise OutputError(f"{where} does not open; unplug it, or load its module again")
        try:
            told = self._ours.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(told, StreamMatteError):
            raise told
        return str(told)

    def _died(self) -> OutputError:
        self._process.join(ENDING)
        return OutputError(f"what feeds {self.description} has died ({self._process.exitcode})")

    def send(self, picture: Picture, pts: int) -> None:
        """Let it be sent when it is due; see ``live.base.Output``."""
        if self._closed:
            raise OutputError(f"{self.description} is closed")
        if picture is not self._last:
            self._shared.put(self._serial + 1, picture)
            self._last, self._serial = picture, self._serial + 1
        try:
            self._listen()
            if self._told - self._shared.tally.heard < MOST_BEHIND:
                self._ours.send_bytes(_NEWS.pack(self._serial, pts, _now()))
                self._told += 1
        except (EOFError, OSError) as error:
            raise self._died() from error

    def _listen(self) -> None:
        """Raise what the process has to say, if it has: that the camera is gone."""
        if self._ours.poll():
            raise self._ours.recv()

    @property
    def pace(self) -> Pace:
        """How it went, so far."""
        tally = self._shared.tally
        return Pace(tally.sent, tally.missed, tally.late * float(TICK))

    @property
    def readers(self) -> int | None:
        """How many other programs look at it; ``None`` if nobody can know."""
        readers = int(self._shared.tally.readers)
        return None if readers == UNKNOWN else readers

    def close(self) -> None:
        """End the process within a second; see ``live.base.Output``."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._ours.send_bytes(END)
        self._process.join(ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._ours.close()


# ---- the other process


def keep(pipe: Connection, shared: Shared, opener: Opener, where: str, info: VideoInfo) -> None:
    """Open a camera and feed it until the pipe says that it is over, or breaks.

    Args:
        pipe: Where news of pictures come from. What is told: the description, once it is open, or
            why it is not; later, why it is gone.
        shared: Where pictures are.
        opener: Opens it.
        where: As for ``opener``.
        info: Size and rate.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    with contextlib.suppress(AttributeError, OSError):  # only some may, and only on some systems
        os.setpriority(os.PRIO_PROCESS, 0, URGENT)
    try:
        output = opener(where, info)
        pipe.send(output.description)
        with contextlib.closing(output):
            Keeper(pipe, shared, output, Fraction(info.rate)).run()
    except (EOFError, ConnectionError):
        return  # the other side has ended
    except Exception as error:  # noqa: BLE001  whatever it is, it is told there
        known = isinstance(error, StreamMatteError)
        with contextlib.suppress(OSError):
            pipe.send(error if known else OutputError(f"{where}: {type(error).__name__}: {error}"))


class Keeper:
    """Sends a picture every 1/fps: the one that is due, or what there is."""

    def __init__(self, pipe: Connection, shared: Shared, output: Output, rate: Fraction) -> None:
        """Wait for nothing yet.

        Args:
            pipe: Where news come from.
            shared: Where pictures are.
            output: Where they go.
            rate: Pictures a second.
        """
        self._pipe, self._shared, self._output = pipe, shared, output
        self._period = 1 / (rate * TICK)
        self._slack = int(SLACK * self._period)
        self._serial = self._due = self._handed = 0
        """Of the newest picture that is known of."""
        self._heard = 0
        self._shown = 0
        """Serial number of ``_picture``."""
        self._slate, self._picture, self._other = (
            Picture.of(shared.planes(shared.slate), LAYOUT, COLOUR) for _ in range(3)
        )
        self._over = False

    def run(self) -> None:
        """Send pictures until it is over.

        Raises:
            OutputError: if the camera is gone.
            EOFError: if the other side is gone.
        """
        self._hear()
        begun, tick = self._due, 0
        while not self._over:
            self._await(begun + round(tick * self._period))
            if self._over:
                break
            self._send()
            tick += 1
            late = _now() - (begun + round(tick * self._period))
            if late > self._period:
                self._shared.tally.missed += int(late / self._period)
                tick += int(late / self._period)

    def _await(self, due: int) -> None:
        """Wait until a picture is due, and for it a little longer."""
        while not self._over:
            is_there = self._due > due - self._slack
            wait = due + (0 if is_there else self._slack) - _now()
            if wait <= 0:
                return
            if self._pipe.poll(wait * float(TICK)):
                self._hear()

    def _hear(self) -> None:
        """Take all news in."""
        while True:
            news = self._pipe.recv_bytes()
            if news == END:
                self._over = True
                return
            self._serial, self._due, self._handed = _NEWS.unpack(news)
            self._heard = _now()
            self._shared.tally.heard += 1
            if not self._pipe.poll():
                return

    def _send(self) -> None:
        is_new = self._serial != self._shown and self._fetch()
        silent = (_now() - self._heard) * float(TICK) > STALE
        self._output.send(self._slate if silent else self._picture, self._due)
        tally = self._shared.tally
        tally.sent += 1
        if is_new:
            tally.late = _now() - self._handed
        readers = self._output.readers
        tally.readers = UNKNOWN if readers is None else readers

    def _fetch(self) -> bool:
        """Take the newest picture over; return whether it could be had whole."""
        while not self._shared.get(self._serial, self._other):
            if not self._pipe.poll():
                return False  # it is being written over by one that nobody has told of yet
            self._hear()
            if self._over:
                return False
        self._picture, self._other, self._shown = self._other, self._picture, self._serial
        return True


def _now() -> int:
    """Return the monotonic clock, which is the same for all processes, in ``TICK``."""
    return time.monotonic_ns() // 1000
