"""A whole show, ruled over HTTP: every setting changes what leaves."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import cv2
import live_doubles as doubles
import numpy as np
import pytest
from live_doubles import shows_the_person, shows_the_room

from streammatte.live.desk import LiveDesk
from streammatte.live.options import LiveOptions
from streammatte.live.outlets import Outlet
from streammatte.live.settings import Scene, Settings
from streammatte.live.show import Show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.frames import Picture

pytest.importorskip("aiohttp", reason="the control page needs the extra control")


class Ruled:
    """A show, and a script that rules it."""

    def __init__(self) -> None:
        from streammatte.control import serve

        self.camera, self.screen = doubles.Camera(), doubles.Screen()
        options = LiveOptions(settings=Settings(background="black"))
        outlets = [Outlet(self.screen, None, lambda _: None)]
        self.show = Show(
            options, lambda: self.camera, outlets, self.camera, opener=doubles.Opener()
        )
        self.desk = LiveDesk(self.show, [Scene("away", {"show": "background"}, "2")])
        self.server = serve("127.0.0.1:0", self.desk, "a-token-that-is-long-enough")
        self.address = self.server.url.partition("/#")[0]

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.address + path, data, method=method)
        request.add_header("Authorization", f"Bearer {token or 'a-token-that-is-long-enough'}")
        kind = "image/png" if isinstance(body, bytes) else "application/json"
        request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def put(self, **settings: Any) -> None:
        self.ask("PATCH", "/api/settings", settings)


@pytest.fixture
def ruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ruled]:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
    made = Ruled()
    with made.show:
        made.camera.roll()
        thread = threading.Thread(target=made.show.run)
        thread.start()
        made.screen.wait(shows_the_person)
        yield made
        made.show.end()
        thread.join(20)
        made.camera.close()
        made.server.close()
    assert not [one for _, one in made.screen.pictures if shows_the_room(one)]


def corner(picture: Picture) -> int:
    return int(picture.planes[0][4, 4])


def test_every_control_changes_what_leaves(ruled: Ruled) -> None:
    wait = ruled.screen.wait
    ruled.put(background="red")
    wait(lambda one: 60 < corner(one) < 80)
    ruled.put(show="background")
    wait(lambda one: not shows_the_person(one) and 60 < corner(one) < 80)
    ruled.put(show="slate")
    wait(lambda one: one is ruled.show._slate)
    ruled.put(show="subject", background="black")
    sharp = wait(shows_the_person)
    ruled.put(softness=1.0)
    wait(lambda one: soft(one) > 2 * soft(sharp))
    ruled.put(softness=0.0, mirror=True)
    assert ruled.ask("GET", "/api/state")["settings"]["mirror"] is True
    ruled.put(mirror=False, quality="best")
    wait(shows_the_person)
    ruled.ask("POST", "/api/scene", {"name": "away"})
    wait(lambda one: (one.planes[0] == doubles.BEHIND).all())


def soft(picture: Picture) -> int:
    luma = picture.planes[0].astype(int)
    return int(np.count_nonzero((luma > 30) & (luma < 95)))


def test_an_uploaded_background_is_seen(ruled: Ruled) -> None:
    content = cv2.imencode(".png", np.full((90, 160, 3), 128, np.uint8))[1].tobytes()
    answer = ruled.ask("POST", "/api/backgrounds?name=../../grey", content)
    listed = ruled.ask("GET", "/api/state")["choices"]["backgrounds"]
    (value,) = [each["value"] for each in listed if "grey" in each["name"]]
    assert value in json.dumps(answer)
    ruled.put(background=value)
    ruled.screen.wait(lambda one: abs(corner(one) - 126) <= 2)


def test_strangers_change_nothing(ruled: Ruled) -> None:
    before = ruled.show.settings
    with pytest.raises(urllib.error.HTTPError) as refused:
        ruled.ask("PATCH", "/api/settings", {"show": "slate"}, token="wrong")
    assert refused.value.code == 401
    refused.value.close()
    with pytest.raises(urllib.error.HTTPError) as wrong:
        ruled.ask("PATCH", "/api/settings", {"show": "slate", "fit": "fill"})
    assert wrong.value.code == 400
    assert "fit" in json.loads(wrong.value.read())["error"]
    wrong.value.close()
    assert ruled.show.settings == before
