"""One render to several files: each pass goes to a sink of its own.

``--out comp,matte -o shot.mov`` makes ``shot_comp.mov`` and ``shot_matte.mov``; one pass alone
gets the name as it is given. Every video keeps sound and time code, so that an editor can relink
any of them.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from streammatte.colour import FLOAT, PRIMARIES_BT709, TRANSFER_BT709, Colour, Matrix
from streammatte.frames import Layout
from streammatte.sinks.base import InTwoSteps
from streammatte.sinks.codecs import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from streammatte.frames import Frame, Picture, VideoInfo
    from streammatte.options import Alpha, Pass
    from streammatte.sinks.base import Sink

DATA_PASSES = ("matte", "confidence")
"""Passes whose samples are numbers, which no transfer function may touch."""
DATA = Colour(Matrix.RGB, full_range=True, primaries=PRIMARIES_BT709, transfer=TRANSFER_BT709)
"""What the samples of such a pass are told to be, where a file must say something."""
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<tail>[._-]?(?:%0?[0-9]*d|#+)(?:\.[^.]*)?)")


def is_numbered(path: Path) -> bool:
    """Whether a name is the pattern of an image sequence, such as ``shot.%04d.exr``."""
    return path.suffix.lower() not in EXTENSIONS and bool(_NUMBERED.fullmatch(path.name))


def targets(path: Path, passes: Sequence[Pass]) -> dict[Pass, Path]:
    """Return where each pass goes: the name itself for one, ``shot_matte.mov`` for several.

    Args:
        path: What was asked for, such as ``shot.mov`` or ``shot.%04d.exr``.
        passes: Which, in order.
    """
    if len(passes) == 1:
        return {passes[0]: path}
    numbered = _NUMBERED.fullmatch(path.name) if is_numbered(path) else None
    stem, tail = numbered.group("stem", "tail") if numbered else (path.stem, path.suffix)
    if tail[:1] in ("%", "#"):
        tail = f".{tail}"
    return {name: path.with_name(f"{stem}_{name}{tail}".lstrip("_")) for name in passes}


def has_alpha(name: Pass, *, transparent: bool) -> bool:
    """Whether a pass has alpha; a comp has it if nothing is put behind."""
    return name == "premult" or (name == "comp" and transparent)


def is_multiplied(name: Pass, alpha: Alpha | None) -> bool:
    """Whether the colours of a pass with alpha are multiplied by it, in a video or a photograph."""
    return name == "premult" or alpha == "premult"


def of_pass(name: Pass, info: VideoInfo) -> VideoInfo:
    """Return what the pictures of a pass are like, if results are like ``info``."""
    if name not in DATA_PASSES:
        return info
    if info.colour.is_linear:  # no transfer function can touch it
        return replace(info, layout=Layout("rgb", FLOAT))
    return replace(info, layout=Layout("rgb", 16), colour=DATA)


def picture_of(frame: Frame, name: Pass) -> Picture:
    """Return a pass of a frame, as its sink takes it; a frame without layers is its only pass."""
    picture = frame.layers.get(name, frame.picture)
    if name in DATA_PASSES and not picture.colour.is_linear:
        return replace(picture, colour=DATA)
    return picture


class Passes:
    """Writes several passes; see ``sinks.base.Sink``. If one fails, none gets its name.

    Files of an image sequence are each whole as soon as they are written, so they stay.
    """

    def __init__(self, sinks: Mapping[Pass, Sink]) -> None:
        """Take over sinks that are open, in the order of the passes."""
        self._sinks = dict(sinks)
        self._steps: list[InTwoSteps] = [
            sink for sink in sinks.values() if isinstance(sink, InTwoSteps)
        ]
        self._others = [sink for sink in sinks.values() if not isinstance(sink, InTwoSteps)]
        self.description = "; ".join(f"{name}: {sink.description}" for name, sink in sinks.items())
        known = [sink.bytes_expected for sink in sinks.values()]
        self.bytes_expected = sum(filter(None, known)) or None

    @property
    def notes(self) -> list[str]:
        """What each of them has to say, once."""
        return list(dict.fromkeys(note for sink in self._sinks.values() for note in sink.notes))

    def write(self, frame: Frame) -> None:
        """Hand each pass to its sink."""
        for name, sink in self._sinks.items():
            sink.write(replace(frame, picture=picture_of(frame, name), layers={}))

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for sink in self._sinks.values():
                opened.enter_context(sink)
            opened.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self._abandon((exc_type, exc_value, traceback))
            return
        try:
            self._finish()
        except BaseException as error:
            self._abandon((type(error), error, error.__traceback__))
            raise

    def _finish(self) -> None:
        """Let all have their names once all are whole; none, if one cannot."""
        for sink in self._steps:
            sink.finish()
        while self._others:
            self._others.pop().__exit__(None, None, None)
        named: list[InTwoSteps] = []
        try:
            for sink in self._steps:
                sink.commit()
                named.append(sink)
        except BaseException:
            for sink in named:
                sink.path.unlink(missing_ok=True)
            raise

    def _abandon(self, why: tuple[type[BaseException], BaseException | None, Any]) -> None:
        for sink in self._steps:
            sink.abandon()
        while self._others:
            self._others.pop().__exit__(*why)
