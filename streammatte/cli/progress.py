"""How the work is going: a line for people, NDJSON for programs, nothing for a quiet pipe.

With ``--json``, standard output gets one JSON object a line; ``event`` says which:

========== =========================================================================
preparing  before that, for each step of what is done once and kept: ``what``
start      once, when all is open: the fields of ``pipeline.Start``
progress   about ten times a second: the fields of ``pipeline.Progress``
stopping   if the work ends early and must wait for what cannot be interrupted: ``waiting_for``
done       at the end of a run that worked: the fields of ``pipeline.Report``
error      at the end of one that did not: ``exit_code`` and ``message``
========== =========================================================================

Sizes are ``[width, height]``. Fields may be added; none changes its meaning.
"""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, Self

from streammatte.cli import console
from streammatte.cli.report import a_second, closing_report
from streammatte.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from streammatte.pipeline import Event, Progress, Report, Start


SHORT_MEMORY = 50
"""How many tellings the time left is judged by: 5 s of them."""
SHORT_ENGINE = 20
"""Characters that are enough to know network and runtime by."""
STOPPING = "finishing the current frame; press Ctrl-C again to stop at once"


class Listener(Protocol):
    """Is told what happens."""

    def tell(self, event: Event) -> None:
        """Hear of the start or of progress."""

    def done(self, report: Report) -> None:
        """Hear of the end."""


@contextmanager
def listener(*, json: bool, quiet: bool) -> Iterator[Listener]:
    """Choose who listens; the progress line is gone when the block ends."""
    if json:
        yield _Json()
    elif quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _Moving() as line:
            yield line
    else:
        yield _Plain()


_LARGE = 1 << 30
"""Bytes of a result that is told before it is made."""


class _Silent:
    def tell(self, event: Event) -> None:
        """Ignore it."""

    def done(self, report: Report) -> None:
        """Ignore it."""


class _Json:
    def tell(self, event: Event) -> None:
        write_event(type(event).__name__.lower(), asdict(event))

    def done(self, report: Report) -> None:
        write_event("done", report.as_dict())


def write_event(name: str, values: dict[str, Any]) -> None:
    """Write an event of ``--json``: one object, on a line of its own.

    Raises:
        OutputError: if whoever read them is gone.
    """
    try:
        console.out(jsonlib.dumps({"event": name, **values}) + "\n")
    except BrokenPipeError as error:
        raise OutputError("whoever read the events of --json is gone; stopped") from error


class _Plain(_Silent):
    def __init__(self) -> None:
        self._told = ""

    def tell(self, event: Event) -> None:
        """Say what takes minutes before the first frame, or at the end; a log needs no more."""
        if hasattr(event, "waiting_for"):
            self._say([STOPPING])
        if size := _large(event):
            self._say([f"{size} will be written"])
        what = getattr(event, "what", "").partition(":")[0]
        if what and what != self._told:
            self._told = what
            self._say([f"{what} ..."])

    def done(self, report: Report) -> None:
        self._say(closing_report(report))

    @staticmethod
    def _say(lines: list[str]) -> None:
        console.say("\n".join(lines) + "\n")


class _Moving(_Plain):
    """A line that moves, redrawn by rich several times a second."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._line = Line()
        self._live = Live(
            self._line,
            console=Console(stderr=True, highlight=False),
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def tell(self, event: Event) -> None:
        self._line.hear(event)

    def done(self, report: Report) -> None:
        self._say(closing_report(report, self._live.console.width))

    def __enter__(self) -> Self:
        with suppress(OSError):  # the terminal may have been closed
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._live.stop()


class Line:
    """One line, never more: stage, bar, share, frames, speed, time left, network and runtime."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._preparing = ""
        self._stopping = False
        self._start: Start | None = None
        self._now: Progress | None = None
        self._lately: deque[tuple[float, int]] = deque(maxlen=SHORT_MEMORY)

    def hear(self, event: Event) -> None:
        """Remember the latest news."""
        from streammatte.pipeline import Preparing, Start, Stopping

        if isinstance(event, Stopping):
            self._stopping = True
        elif isinstance(event, Start):
            self._start = event
        elif isinstance(event, Preparing):
            self._preparing = event.what
        else:
            self._lately.append((time.monotonic(), event.frames))
            self._now = event  # last: the thread that draws must find all that belongs to it

    @property
    def share(self) -> float | None:
        """How much is done, 0..1; ``None`` if nobody knows how much there is."""
        if self._now is None or not self._now.frames_expected or self._now.stage != "rendering":
            return None
        if self._stopping:
            return None
        return min(self._now.frames / self._now.frames_expected, 1.0)

    def parts(self) -> list[str]:
        """Return what there is to say: the stage first, network and runtime last."""
        elapsed = clock(time.monotonic() - self._begun)
        if self._stopping:
            return [STOPPING, elapsed]
        if self._start is None:
            return [self._preparing or "opening", elapsed]
        engine = f"{self._start.model}, {self._start.runtime}"
        size = [each] if (each := _large(self._start)) else []
        now, share = self._now, self.share
        if now is None:
            return ["starting", elapsed, engine]
        if now.stage != "rendering":
            return [now.stage, f"{now.frames} {self._start.unit}s", elapsed, engine]
        speed = f"{now.fps:.1f} {a_second(self._start.unit)}"
        if share is None:
            return ["rendering", f"{now.frames} {self._start.unit}s", speed, elapsed, engine]
        counts = [f"{share:3.0%}", f"{now.frames}/{now.frames_expected}", speed]
        return ["rendering", *counts, f"{clock(self._seconds_left())} left", *size, engine]

    def _seconds_left(self) -> float:
        """Judge by the last seconds: the first frames of a run are slow."""
        assert self._now is not None
        (then, few), (now, many) = self._lately[0], self._lately[-1]
        speed = (many - few) / (now - then) if many > few else self._now.fps
        return max((self._now.frames_expected or 0) - many, 0) / max(speed, 1e-3)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        first, *others = self.parts()
        share = self.share
        line = Text(first, "bold", no_wrap=True, overflow="ellipsis", end="")
        bar = bar_width(options.max_width, [first, *others]) if share is not None else 0
        if bar:
            full = round(bar * (share or 0.0))
            done, rest = ("#", "-") if options.ascii_only else ("━", "━")
            line.append("  ").append(done * full, "green").append(rest * (bar - full), "dim")
        for part in others:
            line.append("  ").append(part, "dim" if part is others[-1] else "not bold")
        yield line


def _large(event: Any) -> str:
    """Return how large the result will be, if that is worth knowing beforehand."""
    from streammatte.sinks.estimate import told

    size: int | None = getattr(event, "bytes_expected", None)
    return f"about {told(size)}" if size and size >= _LARGE else ""


def bar_width(width: int, parts: list[str]) -> int:
    """Return how long a bar fits; 0 if it would be too short to read or crowd out the rest.

    The last part may be cut to ``SHORT_ENGINE`` characters for it.
    """
    *needed, last = parts
    room = width - len("  ".join([*needed, last[:SHORT_ENGINE]])) - len("  ")
    return min(room, 24) if room >= 8 else 0  # noqa: PLR2004


def clock(seconds: float) -> str:
    """Return seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, seconds = divmod(round(min(seconds, 3600 * 1000)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
