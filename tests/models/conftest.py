"""Checkpoints in the layouts that users have them in, and a hub that is not the real one."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from doubles import COMMIT, PUBLIC_CONFIG, Checkpoint, FakeHub

from streammatte.models import weights as weights_module
from streammatte.models.weights import FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's caches; return where the hub's cache is instead."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights_module, "_MEMORY", {})
    return tmp_path / "hf" / "hub"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if anything so much as looks up a host."""
    tried: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        tried.append(address)
        raise OSError("networking is off")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not tried


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a hub on this machine, as a mirror does."""
    constants = pytest.importorskip("huggingface_hub.constants")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_content=False)

        def do_GET(self) -> None:
            self._answer(with_content=True)

        def _answer(self, *, with_content: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            file = self.path.endswith(FILE)
            status, headers = (200, {}) if self.path == "/" else (404, {})
            if self.path != "/" and hub.refusal is not None:
                status, headers = hub.refusal
            elif file:
                status, headers = (
                    200,
                    {
                        "ETag": f'"{hub.digest}"',
                        "X-Repo-Commit": COMMIT,
                        "X-Linked-Size": str(len(hub.content)),
                    },
                )
            content = hub.content if file and status == 200 else b""
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_content:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    template = hub.address + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def shapes() -> Callable[[str], dict[str, tuple[int, ...]]]:
    """Return a function that says the keys and shapes of a checkpoint, by backbone."""
    pytest.importorskip("torch")
    from streammatte.models.birefnet.checkpoint import expected_shapes

    known: dict[str, dict[str, tuple[int, ...]]] = {}

    def of(backbone: Any) -> dict[str, tuple[int, ...]]:
        if backbone not in known:
            known[backbone] = expected_shapes(backbone)
        return dict(known[backbone])

    return of


@pytest.fixture(scope="session")
def checkpoint(
    shapes: Callable[[str], dict[str, tuple[int, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """Return the small network's checkpoint in half precision."""
    import torch
    from safetensors.torch import save_file

    from streammatte.models.birefnet.random_weights import random_state
    from streammatte.models.birefnet.swin import relative_positions

    wanted = shapes("swin_t")
    state = {key: torch.from_numpy(value) for key, value in random_state(wanted.items()).items()}
    state = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    for key in wanted.keys() - state.keys():
        state[key] = relative_positions(7)
    folder = tmp_path_factory.mktemp("BiRefNet_lite")
    save_file({key: value.clone() for key, value in state.items()}, folder / FILE)
    (folder / "config.json").write_text(json.dumps(PUBLIC_CONFIG))
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    return Checkpoint(folder, state, digest)
