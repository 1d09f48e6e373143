"""A desk without a show: it holds settings, draws what they say, and remembers what was asked."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from streammatte.control.uploads import safe_picture
from streammatte.errors import UsageError
from streammatte.live.settings import Scene, Settings
from streammatte.options import BackgroundSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streammatte.live.base import View

TOKEN = "a-token-for-tests-only"
SHADES = {"subject": 200, "background": 120, "slate": 20, "freeze": 160}


class FakeDesk:
    """A desk; ``asked`` holds all that changed it, and ``looked`` how often each view was seen."""

    def __init__(self, folder: Path | None = None, scenes: tuple[Scene, ...] = ()) -> None:
        self.settings = Settings()
        self.scenes = {scene.name: scene for scene in scenes}
        self.folder = folder
        self.asked: list[tuple[str, Any]] = []
        self.looked: dict[str, int] = {"source": 0, "matte": 0, "result": 0}
        self.still = False
        """Whether the picture stands still."""
        self.dark = False
        """Whether there is no picture yet."""
        self.state = ("live", "")
        self.scene = ""
        self.changed = threading.Event()

    def snapshot(self) -> dict[str, Any]:
        held = self.settings.show != "subject"
        name, reason = ("held", f"{self.settings.show}, as asked for") if held else self.state
        return {
            "settings": self.settings.as_dict(),
            "scene": self.scene,
            "state": {
                "name": name,
                "reason": reason,
                "camera": "C920 (/dev/video0), 1280x720@30 mjpg",
                "output": "StreamMatte camera (/dev/video20)",
            },
            "meters": {
                "fps": 29.97,
                "network_fps": 18.4,
                "latency_ms": {"p50": 42.0, "p99": 61.5},
                "dropped": 3,
                "repeated": 12,
                "cpu": 0.37,
                "level": 1,
                "level_words": "the network at 192x192",
            },
            "choices": {
                "backgrounds": self._backgrounds(),
                "models": ["selfie", "birefnet"],
                "qualities": ["live", "balanced", "best"],
                "scenes": [{"name": one.name, "key": one.key} for one in self.scenes.values()],
            },
        }

    def _backgrounds(self) -> list[dict[str, str]]:
        offered = [{"name": value, "value": value} for value in ("blur", "green", "black")]
        files = sorted(self.folder.glob("*.jpg")) if self.folder else []
        return offered + [{"name": path.stem, "value": str(path)} for path in files]

    def apply(self, changes: Mapping[str, Any]) -> None:
        self.settings = self.settings.changed(changes)
        self.asked.append(("apply", dict(changes)))
        self.changed.set()

    def choose(self, scene: str) -> None:
        if scene not in self.scenes:
            raise UsageError(f"there is no scene {scene!r}; there are: {', '.join(self.scenes)}")
        self.settings = self.settings.changed(self.scenes[scene].changes)
        self.scene = scene
        self.asked.append(("choose", scene))
        self.changed.set()

    def look(self, view: View) -> tuple[int, NDArray[np.uint8]] | None:
        if self.dark:
            return None
        self.looked[view] += 1
        serial = 1 if self.still else self.looked[view]
        return serial, self._drawn(view, serial)

    def _drawn(self, view: View, serial: int) -> NDArray[np.uint8]:
        picture = np.full((360, 640, 3), self._behind(view), np.uint8)
        x = 220 + serial % 200
        skin = (255, 255, 255) if view == "matte" else (224, 172, 140)
        shirt = (255, 255, 255) if view == "matte" else (60, 90, 150)
        if view != "result" or self.settings.show in ("subject", "freeze"):
            cv2.ellipse(picture, (x, 380), (130, 150), 0, 0, 360, shirt, -1, cv2.LINE_AA)
            cv2.ellipse(picture, (x, 170), (60, 78), 0, 0, 360, skin, -1, cv2.LINE_AA)
        return picture[:, ::-1] if self.settings.mirror and view == "result" else picture

    def _behind(self, view: View) -> tuple[int, int, int]:
        if view != "result":
            return (0, 0, 0) if view == "matte" else (150, 140, 125)
        if self.settings.show == "slate":
            return (24, 28, 36)
        spec = BackgroundSpec.parse(self.settings.background)
        return spec.rgb if spec.kind == "colour" else (120, 160, 190)

    def add_background(self, name: str, content: bytes) -> str:
        assert self.folder is not None
        path = safe_picture(content, self.folder, name)
        self.asked.append(("add", name))
        return str(path)


class Client:
    """Asks a server over HTTP, with whatever headers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.base = f"http://{parts.netloc}"
        self.netloc = parts.netloc
        self.token = parts.fragment.removeprefix("token=")

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (in lower case) and body; ``None`` leaves a header out."""
        sent: dict[str, str | None] = {"Authorization": f"Bearer {self.token}"}
        sent |= headers or {}
        kept = {name: value for name, value in sent.items() if value is not None}
        request = urllib.request.Request(self.base + path, body, kept, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                found = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status, found, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                found = {name.lower(): value for name, value in error.headers.items()}
                return error.code, found, error.read()

    def json(
        self, method: str, path: str, told: Any = None, **headers: str | None
    ) -> tuple[int, Any]:
        body = None if told is None else json.dumps(told).encode()
        sent: dict[str, str | None] = {"Content-Type": "application/json"} if body else {}
        status, _, answer = self.ask(method, path, body, sent | headers)
        return status, json.loads(answer)

    def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and return all that comes back."""
        host, _, port = self.netloc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer
