"""How the work is going: a line for people, NDJSON for programs, nothing for a quiet pipe."""

from __future__ import annotations

import json as jsonlib
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.pipeline import Progress, Report, Start


class Listener(Protocol):
    """Is told what happens."""

    def tell(self, event: Start | Progress) -> None:
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
        with _Line() as line:
            yield line
    else:
        yield _Plain()


class _Silent:
    def tell(self, event: Start | Progress) -> None:
        """Ignore it."""

    def done(self, report: Report) -> None:
        """Ignore it."""


class _Json:
    def tell(self, event: Start | Progress) -> None:
        self._write(type(event).__name__.lower(), asdict(event))

    def done(self, report: Report) -> None:
        self._write("done", report.as_dict())

    @staticmethod
    def _write(name: str, values: dict[str, Any]) -> None:
        sys.stdout.write(jsonlib.dumps({"event": name, **values}) + "\n")
        sys.stdout.flush()


class _Plain(_Silent):
    def done(self, report: Report) -> None:
        sys.stderr.write("\n".join(summary(report)) + "\n")


class _Line(_Plain):
    """A line that moves: bar, frames, frames a second, time left, stage, network and runtime."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[engine]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("opening", total=None, fps=0.0, engine="")

    def tell(self, event: Start | Progress) -> None:
        from streammatte.pipeline import Start

        if isinstance(event, Start):
            engine = f"{event.model}, {event.runtime}"
            self._bar.update(
                self._task, description="rendering", total=event.frames_expected, engine=engine
            )
        else:
            self._bar.update(
                self._task,
                description=event.stage,
                completed=event.frames,
                total=event.frames_expected,
                fps=event.fps,
            )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def summary(report: Report) -> list[str]:
    """Return the closing report, a line an item."""
    assumed = f" (not tagged, assumed: {report.assumed})" if report.assumed else ""
    times = ", ".join(f"{name} {each['cpu']:.1f}" for name, each in report.milliseconds.items())
    lines = [
        f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({report.fps:.1f} fps)",
        f"  network  {report.model}, {report.runtime}",
        f"  written  {report.codec}",
        f"  colour   {report.colour}{assumed}",
        f"  CPU ms   {times}",
    ]
    damage = [
        f"{count} {what}"
        for count, what in (
            (report.corrupt_frames, "damaged frames kept"),
            (report.lost_packets, "packets lost"),
            (report.dropped_frames, "frames with backward time stamps dropped"),
        )
        if count
    ]
    if damage:
        lines.append(f"  damage   {', '.join(damage)}")
    return lines + [f"  note     {note}" for note in report.notes]
