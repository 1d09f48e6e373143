"""The background of the show: changed between two frames, opened before that, never missing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streammatte.errors import StreamMatteError
from streammatte.options import BackgroundSpec
from streammatte.stages.backgrounds import Still, open_background
from streammatte.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture, VideoInfo
    from streammatte.options import BackgroundFit
    from streammatte.stages.backgrounds import Background

    Floats = NDArray[np.float32]

MOST_KEPT = 24
"""Stills that are kept ready: 1.4 MB each at 720p."""


class Backdrop:
    """A ``Background`` that can be changed while it is in use."""

    def __init__(
        self, info: VideoInfo, slate: Picture, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Begin with the slate.

        Args:
            info: Size and colour of all pictures.
            slate: What stands for a background that fails.
            tell: Told when one does.
        """
        self.notes: list[str] = []
        self._info = info
        self._slate = slate
        self._tell = tell
        self._now: tuple[BackgroundSpec, Background] = (
            BackgroundSpec("colour"),
            Still(slate),
        )
        self._scope: Threads | None = None
        self._last: Picture | None = None
        self._kept: OrderedDict[tuple[str, float, BackgroundFit], Background] = OrderedDict()
        self._lock = threading.Lock()

    def change(self, spec: BackgroundSpec, fit: BackgroundFit) -> None:
        """Use another background from the next frame on.

        Raises:
            InputError: if it cannot be read; the one that was goes on.
        """
        with self._lock:
            background, scope = self._opened(spec, fit)
            self._now = spec, background
            scope, self._scope = self._scope, scope
        _end(scope)

    def prepare(self, values: Iterable[str], fit: BackgroundFit) -> None:
        """Open stills that may be wanted soon, and skip what cannot be."""
        for value in list(values)[:MOST_KEPT]:
            with suppress(StreamMatteError), self._lock:
                spec = BackgroundSpec.parse(value)
                if spec.kind == "file":
                    _end(self._opened(spec, fit)[1])

    def _opened(
        self, spec: BackgroundSpec, fit: BackgroundFit
    ) -> tuple[Background, Threads | None]:
        """Return a background, and the threads that it needs."""
        key = (spec.path, _changed_at(spec.path), fit) if spec.kind == "file" else None
        if key is not None and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key], None
        scope = Threads()
        background = open_background(spec, fit, self._info, scope)
        assert background is not None
        if key is not None and isinstance(background, Still):
            self._kept[key] = background
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return background, None
        return background, scope

    @property
    def lately(self) -> Picture | None:
        """The background of the last frame, alone; ``None`` if it is made of the room itself."""
        return None if self._now[0].kind == "blur" else self._last

    def behind(self, frame: Frame, alpha: Floats) -> Picture:
        """Return the picture for a frame; see ``stages.backgrounds.Background``."""
        return self._behind(self._now, frame, alpha)

    def _behind(
        self, now: tuple[BackgroundSpec, Background], frame: Frame, alpha: Floats
    ) -> Picture:
        spec, background = now
        try:
            picture = background.behind(frame, alpha)
        except StreamMatteError as error:
            self._replace_failed(spec, error)
            picture = self._last or self._slate
        if spec.kind != "blur":
            self._last = picture
        return picture

    def alone(self, frame: Frame) -> Picture | None:
        """Return the background without a subject; ``None`` if it is made of the room itself."""
        now = self._now  # once: another thread may change it to a blur of all that is seen
        if now[0].kind == "blur":
            return None
        return self._behind(now, frame, np.zeros((2, 2), np.float32))

    def _replace_failed(self, spec: BackgroundSpec, error: StreamMatteError) -> None:
        self._tell(f"the background stands still: {error}")
        self.notes.append(str(error))
        with self._lock:
            if self._now[0] is spec:
                self._now = spec, Still(self._last or self._slate)

    def close(self) -> None:
        """End its threads."""
        scope, self._scope = self._scope, None
        _end(scope)


def _end(scope: Threads | None) -> None:
    """End threads; what they raise at the end concerns nobody any more."""
    if scope is not None:
        with suppress(StreamMatteError):
            scope.__exit__(None, None, None)


def _changed_at(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0
