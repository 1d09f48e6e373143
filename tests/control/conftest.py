"""A served desk for every test that wants one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("aiohttp", reason="no aiohttp: pip install 'streammatte[control]'")

from control_doubles import TOKEN, Client, FakeDesk

from streammatte.control import serve
from streammatte.live.settings import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.control.server import Server

SCENES = (
    Scene("desk", {"background": "green", "show": "subject"}, "1"),
    Scene("break", {"show": "slate"}, "3"),
)


@pytest.fixture
def desk(tmp_path: Path) -> FakeDesk:
    return FakeDesk(tmp_path, SCENES)


@pytest.fixture
def server(desk: FakeDesk) -> Iterator[Server]:
    server = serve("127.0.0.1:0", desk, TOKEN)
    yield server
    server.close()
    assert not server.notes  # nothing went wrong that only the log would tell


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.url)
