"""The closing report of ``render``, in plain words."""

from __future__ import annotations

from textwrap import TextWrapper
from typing import TYPE_CHECKING

from streammatte.cli.console import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.pipeline import Report


def closing_report(report: Report, width: int | None = None) -> list[str]:
    """Return the report, a line an item; what was damaged or assumed is always in it.

    Args:
        report: What was done.
        width: Of the terminal, to wrap long lines; ``None`` to leave them whole.
    """
    rows = [f"  {name:<9} {one_line(text)}" for name, text in _rows(report)]
    lines = [_headline(report), *rows]
    if width is None:
        return lines
    wrap = TextWrapper(
        max(width, 40), subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
    )
    return [part for line in lines for part in wrap.wrap(line)]


def _headline(report: Report) -> str:
    name = one_line(report.output)
    if report.frames == 1:
        return f"{name}: 1 {report.unit} in {report.seconds:.1f} s"
    speed = f"{report.fps:.1f} {a_second(report.unit)}"
    return f"{name}: {report.frames} {report.unit}s in {report.seconds:.1f} s, {speed}"


def a_second(unit: str) -> str:
    """Return how a number of frames, or of photographs, a second is called."""
    return "fps" if unit == "frame" else "a second"


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    yield "matte", _network(report)
    for line in report.passed_over:
        yield "not by", line
    if report.decoder != "cpu":
        yield "decoded", "by the GPU"
    yield "written", report.codec
    assumed = f" (not all of it is tagged; assumed: {report.assumed})" if report.assumed else ""
    yield "colour", report.colour + assumed
    if report.job:
        yield "job", report.job
    if report.frames > 1:
        yield "CPU time", _times(report)
    damage = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (report.corrupt_frames, "damaged frame kept", "damaged frames kept"),
            (report.lost_packets, "packet lost", "packets lost"),
            (report.dropped_frames, "frame out of order left out", "frames out of order left out"),
        )
        if count
    ]
    if damage:
        yield "damage", ", ".join(damage)
    for line in report.failed:
        yield "failed", line
    for note in report.notes:
        yield "note", note


def _network(report: Report) -> str:
    if not report.digest:
        return report.model
    weights = f"{report.model} ({report.digest[:12]}, {report.precision})"
    return f"{weights}, run by {report.runtime}"


def _times(report: Report) -> str:
    stages = {name: each["cpu"] for name, each in report.milliseconds.items()}
    each = ", ".join(f"{name} {cpu:.1f}" for name, cpu in stages.items())
    return f"{sum(stages.values()):.1f} ms a {report.unit}: {each}"
