"""What is told of photographs while they are made, and in the end."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from streammatte import pipeline
from streammatte.stills.finishing import Done, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from streammatte.frames import VideoInfo
    from streammatte.meters import Meters
    from streammatte.models.base import Size
    from streammatte.pipeline import Engine, Event, Report
    from streammatte.stills.find import Where

UNIT = "photograph"
_NAMED = 2
"""Photographs that a note names before it counts the others."""


class Told:
    """Keeps the results, and tells of them."""

    def __init__(
        self, where: Where | Sequence[Where], *, alone: bool, tell: Callable[[Event], None]
    ) -> None:
        """Remember what is asked for.

        Args:
            where: The photographs.
            alone: Whether it is one, named as such.
            tell: The listener.
        """
        self._begun = self._started = time.perf_counter()
        self._where = _in_words(where)
        self._alone = alone
        self._tell = tell
        self._place = self._codec = ""
        self._total = 0
        self._engine: Engine | None = None
        self._first: pipeline.Start | None = None
        self._results: list[Done | Failed] = []
        self.notes: list[str] = []
        """What was assumed before there were any results."""

    def begin(self, place: Path, codec: str, total: int, failed: list[Failed]) -> None:
        """Remember what will be made.

        Args:
            place: The folder, or the only result.
            codec: What results are, in words.
            total: How many photographs there are.
            failed: Those that are no photographs at all.
        """
        self._place, self._codec, self._total = str(place), codec, total
        self._results += failed

    def start(self, info: VideoInfo, size: Size, engine: Engine | None) -> None:
        """Tell that all is open, once.

        Args:
            info: The first photograph.
            size: Of the network's input.
            engine: The network; ``None`` if the photograph brings its own alpha.
        """
        self._engine = self._engine or engine
        if self._first is not None:
            return
        self._first = pipeline.Start(
            input=self._where,
            output=self._place,
            model=engine.model.card.name if engine else "the footage's alpha",
            runtime=engine.runtime.description if engine else "none",
            codec=self._codec,
            size=(info.width, info.height),
            network_size=size,
            frames_expected=self._total,
            unit=UNIT,
        )
        self._tell(self._first)
        self._started = time.perf_counter()

    def hear(self, result: Done | Failed) -> None:
        """Keep a result, and tell how far it is."""
        self._results.append(result)
        count = len(self._results)
        seconds = max(time.perf_counter() - self._started, 1e-9)
        stage = "rendering" if count < self._total else "finishing"
        self._tell(pipeline.Progress(count, self._total, count / seconds, stage))

    @property
    def _done(self) -> list[Done]:
        return [each for each in self._results if isinstance(each, Done)]

    @property
    def interrupted(self) -> str:
        """What is said to whoever interrupts it."""
        return f"{len(self._done)} of {self._total} photographs are done"

    def report(self, notes: list[str], meters: Meters) -> Report:
        """Return what was done.

        Args:
            notes: What was assumed or lost besides.
            meters: What measured it.
        """
        ended, done, engine = time.perf_counter(), self._done, self._engine
        failed = [each for each in self._results if isinstance(each, Failed)]
        used = engine.model.notes if engine else []
        notes = [*self.notes, *used, *notes, *self._notes_on(done)]
        named = self._first.model if self._first else "none"
        return pipeline.Report(
            input=self._where,
            output=self._place,
            frames=len(done),
            unit=UNIT,
            seconds=round(ended - self._begun, 3),
            fps=round(len(done) / max(ended - self._started, 1e-9), 2),
            model=engine.model.card.name if engine else named,
            digest=engine.model.digest if engine else "",
            runtime=engine.runtime.description if engine else "none",
            device=engine.runtime.device if engine else "",
            precision=engine.runtime.precision if engine else "",
            codec=self._codec,
            colour=", ".join(dict.fromkeys(each.colour for each in done)),
            assumed="",
            corrupt_frames=0,
            lost_packets=0,
            dropped_frames=0,
            passed_over=engine.passed_over if engine else [],
            notes=list(dict.fromkeys(notes)),
            failed=sorted(str(each.error) for each in failed),
            milliseconds=meters.milliseconds(len(done)),
        )

    def _notes_on(self, done: list[Done]) -> Iterator[str]:
        """Yield what is to be told of photographs, each once, and of which."""
        told: dict[str, list[str]] = defaultdict(list)
        for each in done:
            for note in dict.fromkeys(each.notes):
                told[note].append(each.path.name)
        for note, names in told.items():
            yield note if self._alone else f"{note} ({_some(names)})"
        if nobody := [each.path.name for each in done if not each.found]:
            what = _some(nobody)
            yield f"nobody was found in {what}; 'streammatte models list' says what networks know"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_words(where: Where | Sequence[Where]) -> str:
    if isinstance(where, (str, os.PathLike)):
        return os.fspath(where)
    return _some([os.fspath(each) for each in where])
