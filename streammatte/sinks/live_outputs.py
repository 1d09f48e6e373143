"""Where pictures go while a show runs. A new output is a class and one line in ``open_output``."""

from __future__ import annotations

import contextlib
import queue
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import OutputError, UsageError
from streammatte.frames import Frame, Picture
from streammatte.live.base import TICK
from streammatte.options import EncodeOptions
from streammatte.sinks.base import check_target
from streammatte.sinks.codecs import EXTENSIONS, plan

if TYPE_CHECKING:
    from streammatte.frames import VideoInfo
    from streammatte.live.base import Output
    from streammatte.sinks.video_file import VideoFileSink

QUICK = EncodeOptions(codec="h264", crf=20, preset="superfast")
"""How a show is recorded: at half the processor time of the next better preset."""
MOST_WAITING = 30
"""Pictures that wait to be encoded."""


def open_output(
    where: str, info: VideoInfo, *, overwrite: bool = False, slate: Picture | None = None
) -> Output:
    """Open an output.

    Args:
        where: ``auto``, ``/dev/videoN``, ``obs``, ``window``, ``null``, a file, or an address.
        info: Size and rate of the pictures.
        overwrite: Whether a file may be replaced.
        slate: With it, a virtual camera is fed by a process of its own, which keeps the rate
            whatever this one does, and shows this when nothing comes any more.

    Raises:
        UsageError: if it is none of these.
        OutputError: if it cannot be used.
        DependencyError: if something is not installed, or not allowed.
    """
    if where == "null":
        return Null()
    if "://" in where:
        from streammatte.sinks.stream import Stream

        return Stream(where, info)
    if Path(where).suffix.lower() in EXTENSIONS:  # also in /dev/shm
        return Recorder(Path(where), info, overwrite=overwrite)
    if where in ("auto", "obs") or where.startswith("/dev/"):
        from streammatte.sinks.apart import Apart
        from streammatte.sinks.virtual_camera import open_virtual_camera

        if slate is None:
            return open_virtual_camera(where, info)
        return Apart(where, info, slate, open_virtual_camera)
    if where == "window":
        from streammatte.sinks.preview import Window

        return Window(info)
    raise UsageError(
        f"{where!r} is no output; use auto, /dev/video20, obs, window, null, "
        "udp://..., rtmp://... or a file such as talk.mp4"
    )


class Null:
    """Takes pictures and forgets them, for rehearsals; see ``live.base.Output``."""

    def __init__(self) -> None:
        self.description = "nowhere"
        self.notes: list[str] = []

    def send(self, picture: Picture, pts: int) -> None:
        """Forget it."""

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def close(self) -> None:
        """Nothing to let go of."""


class Recorder:
    """A file that is written on a thread of its own; see ``live.base.Output``.

    It gets its name when it is whole. Pictures that the encoder is too slow for are left out, and
    counted; a full disk ends the recording, not the show.
    """

    def __init__(self, path: Path, info: VideoInfo, *, overwrite: bool = False) -> None:
        """Create the file.

        Raises:
            UsageError: if the container does not hold H.264.
            OutputError: if it cannot be written.
        """
        from streammatte.sinks.video_file import VideoFileSink

        check_target(path, overwrite=overwrite)
        info = replace(info, path=None, time_base=TICK, seconds=None)
        self._sink: VideoFileSink = VideoFileSink(plan(path, info, QUICK, alpha=False), info, QUICK)
        self.description = f"{path}, {self._sink.description}"
        self.notes: list[str] = []
        self._path = path
        self._first: int | None = None
        self._dropped = 0
        self._failure = ""
        self._closed = False
        self._waiting: queue.Queue[Frame | None] = queue.Queue(MOST_WAITING)
        self._length = round(1 / (Fraction(info.rate) * TICK))
        self._thread = threading.Thread(target=self._write, name="streammatte-record", daemon=True)
        self._thread.start()

    def send(self, picture: Picture, pts: int) -> None:
        """Let it be written; see ``live.base.Output``."""
        if self._failure:
            raise OutputError(self._failure)
        if self._first is None:
            self._first = pts
        try:
            self._waiting.put_nowait(Frame(picture, pts - self._first, self._length, TICK))
        except queue.Full:
            self._dropped += 1

    @property
    def readers(self) -> int | None:
        """Nobody can know."""
        return None

    def _write(self) -> None:
        try:
            with self._sink as sink:
                while (frame := self._waiting.get()) is not None:
                    # A copy, because the encoder puts its time stamp on it, and so do others.
                    planes = frame.picture.planes
                    own = Picture.of(planes, frame.picture.layout, frame.picture.colour)
                    sink.write(replace(frame, picture=own))
        except Exception as error:  # noqa: BLE001  whatever it is, ``send`` passes it on
            reason = str(error) or type(error).__name__
            self._failure = f"the recording has ended: {reason}"

    def close(self) -> None:
        """Finish the file, however long that takes; see ``live.base.Output``."""
        if self._closed:
            return
        self._closed = True
        self._end()
        self._thread.join()
        if self._failure:
            self.notes.append(self._failure)
        if self._dropped:
            self.notes.append(
                f"{self._path}: {self._dropped} pictures were left out, the encoder was too slow"
            )

    def _end(self) -> None:
        """Tell the thread that no more will come, unless it has ended already."""
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=0.1)
                return
