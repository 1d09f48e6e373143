"""How a show is going: a line for people, NDJSON for programs, nothing for a quiet pipe.

With ``--json``, standard output gets one JSON object a line; ``event`` says which: ``started``,
``entered``, ``told``, ``beat`` (the fields of ``live.events``), then ``done`` (``LiveReport``).
"""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, Self

from streammatte.cli import console
from streammatte.cli.console import one_line
from streammatte.cli.progress import write_event
from streammatte.live.events import Beat, Entered, Event, LiveReport, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADVICE = {
    "matched": "if you hear the voice before you see it, delay the microphone by {0} ms "
    "(in OBS: Advanced Audio Properties, Sync Offset)",
}


class Listener(Protocol):
    """Is told what happens."""

    def tell(self, event: Event) -> None:
        """Hear of it; on any thread."""

    def done(self, report: LiveReport) -> None:
        """Hear of the end."""

    def keys(self, press: Callable[[str], None]) -> None:
        """Pass on the keys that are pressed from now on."""


@contextmanager
def listener(*, json: bool, quiet: bool) -> Iterator[Listener]:
    """Choose who listens."""
    with _Keyboard() as keyboard:
        if json:
            yield _Json(keyboard)
        elif quiet:
            yield _Silent(keyboard)
        else:
            yield _Lines(keyboard, moving=sys.stderr.isatty())


class _Silent:
    def __init__(self, keyboard: _Keyboard) -> None:
        self._keyboard = keyboard

    def tell(self, event: Event) -> None:
        """Ignore it."""

    def done(self, report: LiveReport) -> None:
        """Ignore it."""

    def keys(self, press: Callable[[str], None]) -> None:
        self._keyboard.listen(press)


class _Json(_Silent):
    def tell(self, event: Event) -> None:
        write_event(type(event).__name__.lower(), asdict(event))

    def done(self, report: LiveReport) -> None:
        write_event("done", report.as_dict())


class _Lines(_Silent):
    """A line for each event, and in a terminal one that moves with the beat."""

    def __init__(self, keyboard: _Keyboard, *, moving: bool) -> None:
        super().__init__(keyboard)
        self._moving = moving
        self._lock = threading.Lock()
        self._shown = 0
        self._advised = False
        self._align = ""

    def tell(self, event: Event) -> None:
        if isinstance(event, Beat):
            self._beat(event)
        elif isinstance(event, Started):
            self._align = event.align
            self._say(started_lines(event))
        elif isinstance(event, Entered):
            self._say([f"{event.state}{': ' if event.reason else ''}{one_line(event.reason)}"])
        else:
            self._say([one_line(event.what)])

    def done(self, report: LiveReport) -> None:
        self._say(closing_report(report))

    def _beat(self, beat: Beat) -> None:
        advice = ADVICE.get(self._align)
        if advice and beat.latency_ms is not None and not self._advised and beat.state == "live":
            self._advised = True
            self._say(
                [
                    f"the picture is {beat.latency_ms:.0f} ms late; "
                    + advice.format(round(beat.latency_ms))
                ]
            )
        if self._moving:
            with self._lock:
                self._draw(beat_line(beat))

    def _say(self, lines: list[str]) -> None:
        with self._lock:
            if self._moving:
                self._draw("")
            console.say("\n".join(lines) + "\n")

    def _draw(self, text: str) -> None:
        """Write over the line that moves."""
        with suppress(OSError):
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            text = text[:width]
            console.say(f"\r{text}{' ' * max(self._shown - len(text), 0)}\r")
            self._shown = len(text)


def started_lines(event: Started) -> list[str]:
    """Return what there is to say when it starts."""
    width, height = event.size
    lines = [
        f"camera    {one_line(event.camera)}",
        *(f"output    {one_line(output)}" for output in event.outputs),
        f"picture   {width}x{height} at {event.fps:g} fps, {event.align}",
    ]
    if event.control:
        lines.append(f"control   {event.control}")
    return lines + [f"note      {one_line(note)}" for note in event.notes]


def beat_line(beat: Beat) -> str:
    """Return the line that moves."""
    late = "" if beat.latency_ms is None else f"  {beat.latency_ms:.0f} ms late"
    level = f"  level {beat.level}" if beat.level else ""
    return (
        f"{beat.state}  {beat.fps:.1f} fps{late}  network {beat.network_fps:.1f} fps  "
        f"{beat.dropped} dropped  {beat.repeated} repeated  CPU {beat.cpu:.0%}{level}"
    )


def closing_report(report: LiveReport) -> list[str]:
    """Return the report, a line an item."""
    p50, p99 = report.latency_ms["p50"], report.latency_ms["p99"]
    network = f"{report.model}, run by {report.runtime}"
    seen = f"{report.inferred} frames seen, {report.carried} mattes carried"
    left = f"{report.composited} new, {report.repeated} repeated, {report.missed} missed"
    rows = [
        ("camera", report.camera),
        *(("output", output) for output in report.outputs),
        ("matte", f"{network}: {seen}"),
        ("pictures", f"{left}; {report.dropped} of the camera's dropped"),
    ]
    if p50 is not None and p99 is not None:
        rows.append(("latency", f"{p50:.0f} ms, 99 % within {p99:.0f} ms (capture to output)"))
    rows += [
        ("state", f"{at:.1f} s: {name}{': ' if why else ''}{why}")
        for at, name, why in report.states
    ]
    rows += [("event", f"{at:.1f} s: {what}") for at, what in report.events]
    rows += [("note", note) for note in report.notes]
    headline = f"{report.frames} pictures in {report.seconds:.1f} s, {report.fps:.1f} fps"
    return [headline, *(f"  {name:<9} {one_line(text)}" for name, text in rows)]


class _Keyboard:
    """Single keys from a terminal, without Enter; nothing where there is none."""

    def __init__(self) -> None:
        self._before: Any = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if os.name == "posix" and sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            with suppress(termios.error, OSError):
                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=1)
        if self._before is not None:
            import termios

            with suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def listen(self, press: Callable[[str], None]) -> None:
        """Pass on every key from now on."""
        if self._before is not None:
            self._thread = threading.Thread(
                target=self._read, args=(press,), name="streammatte-keys", daemon=True
            )
            self._thread.start()

    def _read(self, press: Callable[[str], None]) -> None:
        while not self._ending.is_set():
            ready, _, _ = select.select([sys.stdin], [], [], 0.2)
            if ready:
                key = os.read(sys.stdin.fileno(), 1).decode("latin-1")
                if not key:
                    return
                with suppress(Exception):  # a background may be gone; the page says more
                    press(key)
