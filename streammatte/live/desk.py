"""What a page, a script or a key may ask of the show: see ``live.base.Desk``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from streammatte import home
from streammatte.errors import StreamMatteError, UsageError
from streammatte.models import MODELS, load_card
from streammatte.options import BackgroundSpec
from streammatte.sinks.codecs import IMAGE_EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from streammatte.frames import Picture
    from streammatte.live.base import View
    from streammatte.live.settings import Scene
    from streammatte.live.show import Show

WIDEST = 640
"""Pixels of what is looked at."""
VIDEO_EXTENSIONS = (".mp4", ".mov", ".mkv", ".webm")
OFFERED = ("blur", "blur:40", "green", "black")
"""Backgrounds that need no file."""


class LiveDesk:
    """The desk of a show; all of it from any thread."""

    def __init__(self, show: Show, scenes: Sequence[Scene] = ()) -> None:
        self._show = show
        self._scenes = {scene.name: scene for scene in scenes}
        self._scene: Scene | None = None
        self._until: float | None = None
        """When the next scene follows, by the monotonic clock."""
        self._lock = threading.RLock()
        self._looks: dict[str, tuple[Picture, int, NDArray[np.uint8]]] = {}
        self._scaler = VideoReformatter()
        self._uploads = home.folder("backgrounds")
        threading.Thread(target=self._prepare, name="streammatte-prepare", daemon=True).start()

    def _prepare(self) -> None:
        """Open the backgrounds that may be chosen, so that each change is a matter of a frame."""
        values = [each["value"] for each in self._backgrounds()]
        values += [str(scene.changes.get("background", "")) for scene in self._scenes.values()]
        self._show.backdrop.prepare([value for value in values if value], self._show.settings.fit)

    # ---- asking

    def snapshot(self) -> dict[str, Any]:
        """Return all there is to know, ready for JSON; see ``live.base.Desk``."""
        show = self._show
        beat = show.beat
        return {
            "settings": show.settings.as_dict(),
            "scene": self._scene.name if self._scene else "",
            "state": {
                "name": show.state.name,
                "reason": show.state.reason,
                "camera": show.intake.feed.description,
                "output": ", ".join(outlet.description for outlet in show.outlets),
            },
            "meters": {
                "fps": beat.fps,
                "network_fps": beat.network_fps,
                "latency_ms": show.latencies.milliseconds(),
                "dropped": show.dropped,
                "repeated": show.repeated,
                "cpu": beat.cpu,
                "level": show.governor.index,
                "level_words": str(show.governor.level),
            },
            "choices": {
                "backgrounds": self._backgrounds(),
                "models": list(MODELS),
                "qualities": ["live", "balanced", "best"],
                "scenes": [{"name": one.name, "key": one.key} for one in self._scenes.values()],
            },
        }

    def _backgrounds(self) -> list[dict[str, str]]:
        offered = [{"name": value, "value": value} for value in OFFERED]
        folders = [self._show.options.backgrounds, self._uploads]
        known = (*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS)
        for folder in folders:
            if folder is None or not folder.is_dir():
                continue
            offered += [
                {"name": path.stem, "value": str(path)}
                for path in sorted(folder.iterdir())
                if path.suffix.lower() in known and path.is_file()
            ]
        return offered

    def look(self, view: View) -> tuple[int, NDArray[np.uint8]] | None:
        """Return what is to be seen now; see ``live.base.Desk``."""
        if view == "matte":
            return self._look_at_matte()
        frame = self._show.intake.last
        picture = self._show.sent if view == "result" else frame.picture if frame else None
        return None if picture is None else self._small(view, picture)

    def _look_at_matte(self) -> tuple[int, NDArray[np.uint8]] | None:
        matte = self._show.composer.matte
        if matte is None:
            return None
        info = self._show.info
        width, height = _fitting(info.width, info.height)
        grey = np.rint(cv2.resize(matte.alpha, (width, height)) * 255).clip(0, 255)
        return matte.frame.pts, np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)

    def _small(self, view: View, picture: Picture) -> tuple[int, NDArray[np.uint8]]:
        with self._lock:
            known = self._looks.get(view)
            if known is None or known[0] is not picture:
                serial = known[1] + 1 if known else 1
                size = _fitting(picture.width, picture.height)
                known = picture, serial, picture.view(*size, self._scaler)
                self._looks[view] = known
            return known[1:]

    # ---- changing

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Change settings; all of them or, if one is wrong, none; see ``live.base.Desk``."""
        with self._lock:
            show = self._show
            settings = show.settings.changed(changes)
            if settings.model != show.settings.model:
                _check_model(settings.model)
            before = show.settings
            if (settings.background, settings.fit) != (before.background, before.fit):
                show.backdrop.change(BackgroundSpec.parse(settings.background), settings.fit)
            show.adopt(settings)

    def choose(self, scene: str) -> None:
        """Take over the settings of a scene; see ``live.base.Desk``."""
        with self._lock:
            chosen = self._scenes.get(scene)
            if chosen is None:
                known = ", ".join(self._scenes) or "none; give --scenes FILE"
                raise UsageError(f"there is no scene {scene!r}; there are: {known}")
            self.apply(chosen.changes)
            self._scene = chosen
            self._until = time.monotonic() + chosen.seconds if chosen.then else None

    def press(self, key: str) -> None:
        """Do what a key stands for; other keys do nothing."""
        for scene in self._scenes.values():
            if scene.key == key:
                self.choose(scene.name)
                return
        show = self._show.settings.show
        if key == " ":
            self.apply({"show": "subject" if show == "slate" else "slate"})
        elif key == "f":
            self.apply({"show": "subject" if show == "freeze" else "freeze"})
        elif key == "b":
            self.apply({"show": "subject" if show == "background" else "background"})
        elif key == "m":
            self.apply({"mirror": not self._show.settings.mirror})
        elif key == "q":
            self._show.end()

    def second(self) -> None:
        """Go over to the scene that follows, if its time has come."""
        with self._lock:
            if self._until is None or time.monotonic() < self._until:
                return
            assert self._scene is not None
            then, self._until = self._scene.then, None
            try:
                self.choose(then)
            except StreamMatteError as error:
                self._show.note(f"scene {then}: {error}")

    def add_background(self, name: str, content: bytes) -> str:
        """Keep an uploaded picture among the backgrounds; see ``live.base.Desk``."""
        from streammatte.control.uploads import safe_picture

        path = safe_picture(content, self._uploads, name)
        self._show.backdrop.prepare([str(path)], self._show.settings.fit)
        return str(path)


def _fitting(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, WIDEST / width)
    return max(2, round(width * scale)), max(2, round(height * scale))


def _check_model(name: str) -> None:
    """Refuse networks that nobody knows, as what a page asks for.

    Raises:
        UsageError: if it is unknown.
    """
    try:
        load_card(name)
    except StreamMatteError as error:
        raise UsageError(f"model: {error}") from error
