"""What the API does for those who may ask, over HTTP and WebSocket, and how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import cv2
import numpy as np
import pytest
from control_doubles import TOKEN, Client, FakeDesk

from streammatte.control import api, bodies, looks, serve
from streammatte.control.address import Address
from streammatte.errors import InputError, OutputError, StreamMatteError, UsageError
from streammatte.live.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from streammatte.control.server import Server

JPEG = bytes(cv2.imencode(".jpg", np.full((64, 96, 3), 90, np.uint8))[1].tobytes())
IMAGE = {"Content-Type": "image/jpeg"}


def picture(jpeg: bytes) -> Any:
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found


# ---- HTTP


def test_state(client: Client, desk: FakeDesk) -> None:
    status, told = client.json("GET", "/api/state")
    assert status == 200
    assert told == desk.snapshot()  # no files among the choices, so no thumbnails


def test_settings(client: Client, desk: FakeDesk) -> None:
    changes = {"mirror": True, "softness": 0.5, "background": "#102030", "show": "freeze"}
    status, told = client.json("PATCH", "/api/settings", changes)
    assert status == 200
    assert desk.asked == [("apply", changes)]
    assert told == {"settings": desk.settings.as_dict()}
    assert told["settings"].items() >= changes.items()


def test_settings_are_changed_all_or_none(client: Client, desk: FakeDesk) -> None:
    status, told = client.json("PATCH", "/api/settings", {"mirror": True, "softness": 9})
    assert status == 400
    assert told == {"error": "softness must be 0 to 1, got 9"}
    assert desk.settings == Settings()


def test_scene(client: Client, desk: FakeDesk) -> None:
    status, told = client.json("POST", "/api/scene", {"name": "break"})
    assert (status, told["settings"]["show"]) == (200, "slate")
    assert desk.asked == [("choose", "break")]


@pytest.mark.parametrize("told", [{"name": "nowhere"}, {"name": 3}, {}, {"name": "desk", "x": 1}])
def test_scenes_that_are_none(client: Client, desk: FakeDesk, told: dict[str, Any]) -> None:
    status, answer = client.json("POST", "/api/scene", told)
    assert status == 400
    assert "scene" in answer["error"]
    assert desk.asked == []


@pytest.mark.parametrize("view", ["source", "matte", "result"])
def test_a_picture(client: Client, desk: FakeDesk, view: str) -> None:
    desk.still = True
    status, headers, jpeg = client.ask("GET", f"/api/look/{view}.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    found = picture(jpeg).astype(int)
    shown = desk.look(view)  # type: ignore[arg-type]
    assert shown is not None
    assert np.abs(found[..., ::-1] - shown[1]).mean() < 4


def test_no_picture_yet(client: Client, desk: FakeDesk) -> None:
    desk.dark = True
    status, told = client.json("GET", "/api/look/result.jpg")
    assert (status, "error" in told) == (503, True)


def form(content: bytes, name: str = "beach.jpg") -> tuple[bytes, dict[str, str | None]]:
    head = (
        "--edge\r\nContent-Disposition: form-data; name=x\r\n\r\nword\r\n--edge\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + content + b"\r\n--edge--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=edge"}


def test_uploads_bare_and_in_a_form(client: Client, desk: FakeDesk, tmp_path: Path) -> None:
    bare = client.ask("POST", "/api/backgrounds?name=beach.jpg", JPEG, IMAGE)
    formed = client.ask("POST", "/api/backgrounds", *form(JPEG, "form.jpg"))
    values = [json.loads(body)["background"] for _, _, body in (bare, formed)]
    assert [bare[0], formed[0]] == [201, 201]
    assert values == [str(tmp_path / "beach.jpg"), str(tmp_path / "form.jpg")]
    assert client.json("PATCH", "/api/settings", {"background": values[0]})[0] == 200
    assert desk.settings.background == values[0]


def test_uploads_are_offered_with_thumbnails(client: Client) -> None:
    client.ask("POST", "/api/backgrounds?name=beach.jpg", JPEG, IMAGE)
    _, told = client.json("GET", "/api/state")
    offered = {one["name"]: one.get("thumbnail") for one in told["choices"]["backgrounds"]}
    assert offered["blur"] is None
    status, headers, jpeg = client.ask("GET", offered["beach"])
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert np.abs(picture(jpeg).astype(int) - 90).max() < 5


def test_a_thumbnail_of_a_file_that_is_gone(client: Client, tmp_path: Path) -> None:
    client.ask("POST", "/api/backgrounds?name=beach.jpg", JPEG, IMAGE)
    _, told = client.json("GET", "/api/state")
    path = told["choices"]["backgrounds"][-1]["thumbnail"]
    (tmp_path / "beach.jpg").write_bytes(b"no picture")
    assert client.json("GET", path)[0] == 400
    (tmp_path / "beach.jpg").unlink()
    assert client.json("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", IMAGE, 400),
        (b"no picture", IMAGE, 400),
        (b"\xff\xd8\xff" + bytes(100), IMAGE, 400),
        (JPEG, {"Content-Type": "text/html"}, 415),
        (JPEG, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (JPEG, {**IMAGE, "Content-Encoding": "gzip"}, 415),
        (bytes(300_000), IMAGE, 413),
        (*form(bytes(300_000)), 413),
        (form(JPEG)[0][:200], form(JPEG)[1], 400),
        (form(JPEG)[0], {"Content-Type": "multipart/form-data; boundary=other"}, 400),
        (form(JPEG)[0], {"Content-Type": "multipart/form-data"}, 400),
        (b"--edge\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--edge--\r\n",
         {"Content-Type": "multipart/form-data; boundary=edge"}, 400),
        (b"--edge\r\n" * 1000, {"Content-Type": "multipart/form-data; boundary=edge"}, 400),
    ],
)  # fmt: skip
def test_uploads_that_are_refused(
    client: Client,
    desk: FakeDesk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    headers: dict[str, str | None],
    status: int,
) -> None:
    monkeypatch.setattr(bodies, "LARGEST_FILE", 200_000)
    got, _, answer = client.ask("POST", "/api/backgrounds?name=x.jpg", body, headers)
    assert got == status, answer
    assert set(json.loads(answer)) == {"error"}
    assert desk.asked == []
    assert not list(tmp_path.glob("*.jpg"))


@pytest.mark.parametrize(
    "body", [b"Content-Length: 99\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n"]
)
def test_requests_that_break_off(
    client: Client, desk: FakeDesk, server: Server, body: bytes
) -> None:
    host, _, port = client.netloc.rpartition(":")
    head = (
        f"PATCH /api/settings HTTP/1.1\r\nHost: {client.netloc}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    )
    with socket.create_connection((host, int(port))) as broken:
        broken.sendall(head.encode() + body)
        broken.shutdown(socket.SHUT_WR)
        broken.recv(4096)
    assert client.json("GET", "/api/state")[0] == 200
    assert desk.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api/look/other.jpg", 404),
        ("DELETE", "/api/state", 405),
        ("GET", "/api/settings", 405),
        ("GET", "/api/live", 400),  # no WebSocket
        ("GET", "/api/look?view=other", 404),
        ("GET", "/api/look?fps=fast", 400),
        ("GET", "/api/look?fps=nan", 400),
        ("GET", "/api/look?fps=1000", 400),
    ],
)
def test_errors_are_one_line_of_json(client: Client, method: str, path: str, status: int) -> None:
    got, told = client.json(method, path)
    assert got == status
    assert set(told) == {"error"}
    assert "\n" not in told["error"]


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (InputError("beach.jpg:\nno picture"), 400, "beach.jpg: no picture"),
        (UsageError("no such name"), 400, "no such name"),
        (OutputError("no room"), 507, "no room"),
        (KeyError("a mistake"), 500, "something went wrong"),
    ],
)
def test_what_the_desk_raises(
    desk: FakeDesk, raised: Exception, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise raised

    monkeypatch.setattr(desk, "apply", fail)
    server = serve("127.0.0.1:0", desk, TOKEN)
    got, told = Client(server.url).json("PATCH", "/api/settings", {"mirror": True})
    server.close()
    assert got == status
    assert told["error"].startswith(said)
    ours = isinstance(raised, StreamMatteError)
    assert server.notes == ([] if ours else ["control page: KeyError: 'a mistake'"])


def test_every_file_of_the_page_is_there(client: Client) -> None:
    status, headers, body = client.ask("GET", "/", None, {"Authorization": None})
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"http://" not in body
    assert b"https://" not in body
    for path in ("/app.js", "/style.css", "/icon.svg"):
        assert client.ask("GET", path, None, {"Authorization": None})[0] == 200


def test_json_is_read_only_so_deep() -> None:
    def nested(depth: int) -> str:
        return '{"a":' * depth + "1" + "}" * depth

    assert bodies.parse_json(nested(bodies.DEEPEST_JSON))
    with pytest.raises(UsageError, match="plain object"):
        bodies.parse_json(nested(bodies.DEEPEST_JSON + 1))


# ---- WebSocket


@asynccontextmanager
async def connected(server: Server, path: str) -> AsyncIterator[Any]:
    base = server.url.partition("#")[0].rstrip("/").replace("http", "ws", 1)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(base + path, protocols=("streammatte", f"token.{TOKEN}")) as one,
    ):
        assert one.protocol == "streammatte"
        yield one


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(within())


async def hear(one: Any, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first message that is wanted."""
    while True:
        told: dict[str, Any] = await one.receive_json()
        if wanted(told):
            return told


def event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda told: told["event"] == name


def test_live_tells_the_state_and_then_the_meters(server: Server, desk: FakeDesk) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one:
            assert await one.receive_json() == {"event": "state", **desk.snapshot()}
            meters = {"event": "meters", "meters": desk.snapshot()["meters"]}
            assert [await one.receive_json() for _ in range(3)] == [meters] * 3

    run(work())


def test_live_tells_what_others_change(server: Server, desk: FakeDesk) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one, connected(server, "/api/live") as other:
            await other.send_json({"settings": {"mirror": True}, "id": 7})
            assert (await hear(other, event("done")))["id"] == 7
            await hear(one, lambda told: told.get("settings", {}).get("mirror"))
            desk.state = ("lost", "unplugged")  # by nobody's wish
            told = await hear(one, lambda told: told.get("state", {}).get("name") == "lost")
            assert told["state"]["reason"] == "unplugged"

    run(work())


def test_live_takes_scenes(server: Server, desk: FakeDesk) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one:
            await one.send_json({"scene": "break"})
            await hear(one, event("done"))
            assert desk.settings.show == "slate"

    run(work())


@pytest.mark.parametrize(
    "wish",
    [
        "no JSON", "[]", "{}", '{"settings": 3}', '{"settings": {"mirror": 1}}',
        '{"settings": {"mirror": true}, "scene": "break"}', '{"scene": "nowhere"}',
        '{"settings": {"mirror": true, "x": 1}}', '{"scene": ["break"]}', "[" * 60_000,
    ],
)  # fmt: skip
def test_live_says_what_is_wrong_and_goes_on(server: Server, desk: FakeDesk, wish: str) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one:
            await one.send_str(wish)
            told = await hear(one, event("error"))
            assert "\n" not in told["error"]
            assert desk.asked == []
            await one.send_json({"settings": {"mirror": True}})
            await hear(one, event("done"))

    run(work())


def test_live_ends_a_talk_of_giants(server: Server, desk: FakeDesk) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one:
            await one.send_str(json.dumps({"settings": {"background": "x" * 100_000}}))
            while (message := await one.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG

    run(work())
    assert desk.asked == []


def test_pictures_come_as_they_are_answered(server: Server, desk: FakeDesk) -> None:
    """Without an answer there is no second one, and after it the newest one."""

    async def until_looked(times: int) -> None:
        while desk.looked["result"] < times:  # noqa: ASYNC110  the desk is on another thread
            await asyncio.sleep(0.02)

    async def work() -> None:
        async with connected(server, "/api/look?view=result&fps=30") as one:
            await one.receive_bytes()
            await until_looked(desk.looked["result"] + 8)
            with pytest.raises(TimeoutError):
                await one.receive(timeout=0.1)
        async with connected(server, "/api/look?view=result&fps=30") as one:
            first = await one.receive_bytes()
            await until_looked(desk.looked["result"] + 8)
            await one.send_str("next")
            second = await one.receive_bytes()
            assert np.abs(picture(first).astype(int) - picture(second)).max() > 50
            # 8 steps on, not 1: the newest, no backlog
            edges = [int(np.argmax(picture(each)[100, :, 2] > 200)) for each in (first, second)]
            assert edges[1] - edges[0] >= 7

    run(work())


def test_a_picture_that_stands_still_is_a_sign_of_life(
    server: Server, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "STEADY", 0.3)
    desk.still = True

    async def work() -> None:
        async with connected(server, "/api/look?view=result&fps=30") as one:
            first = await one.receive_bytes()
            await one.send_str("next")
            assert await one.receive_bytes() == first

    run(work())


def test_a_desk_that_hangs_gives_no_sign_of_life(
    server: Server, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "STEADY", 0.1)
    release = threading.Event()

    def hang(_: object) -> None:
        release.wait(10)

    async def work() -> None:
        async with connected(server, "/api/look?view=result&fps=30") as one:
            await one.receive_bytes()
            monkeypatch.setattr(desk, "look", hang)
            for _ in range(2):  # one or two may have been on their way
                await one.send_str("next")
                with suppress(TimeoutError):
                    await one.receive(timeout=0.3)
            await one.send_str("next")
            with pytest.raises(TimeoutError):
                await one.receive(timeout=0.5)

    try:
        run(work())
    finally:
        release.set()


def test_all_who_look_share_one_encoding(
    server: Server, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.still = True
    encodings: list[int] = []
    encode = looks.encoded
    monkeypatch.setattr(looks, "encoded", lambda it: encodings.append(1) or encode(it))

    async def work() -> None:
        async with (
            connected(server, "/api/look?view=matte&fps=30") as one,
            connected(server, "/api/look?view=matte&fps=30") as other,
        ):
            assert await one.receive_bytes() == await other.receive_bytes()
            while desk.looked["matte"] < 8:  # noqa: ASYNC110  the desk is on another thread
                await asyncio.sleep(0.02)

    run(work())
    assert len(encodings) == 1


def test_nobody_looks_when_nobody_looks(server: Server, desk: FakeDesk) -> None:
    async def work() -> None:
        async with connected(server, "/api/look?view=source&fps=30") as one:
            await one.receive_bytes()
        while True:
            seen = desk.looked["source"]
            await asyncio.sleep(0.2)
            if desk.looked["source"] == seen:
                break
        assert desk.looked["matte"] == 0

    run(work())


def test_there_are_not_too_many_websockets(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_SOCKETS", 1)

    async def work() -> None:
        async with connected(server, "/api/live") as one:
            await one.receive_json()
            with pytest.raises(aiohttp.WSServerHandshakeError) as told:
                async with connected(server, "/api/look"):
                    pass
            assert told.value.status == 503
        for _ in range(50):  # it is free again soon after
            try:
                async with connected(server, "/api/live"):
                    return
            except aiohttp.WSServerHandshakeError:
                await asyncio.sleep(0.05)
        pytest.fail("the place was not given back")

    run(work())


# ---- beginning and end


def test_the_end_is_told(server: Server) -> None:
    async def work() -> None:
        async with connected(server, "/api/live") as one:
            await one.receive_json()
            await asyncio.to_thread(server.close)
            while (message := await one.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)

    run(work())


def test_it_ends_although_the_desk_hangs_and_clients_are_deaf(
    desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked = threading.Event(), threading.Event()
    monkeypatch.setattr(desk, "apply", lambda _: asked.set() or release.wait(30))
    server = serve("127.0.0.1:0", desk, TOKEN)
    host, _, port = Client(server.url).netloc.rpartition(":")
    with (
        socket.create_connection((host, int(port))) as half,
        socket.create_connection((host, int(port))) as deaf,
        socket.create_connection((host, int(port))) as waiting,
    ):
        head = f"Host: {host}:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        half.sendall(b"GET /api/sta")
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        deaf.sendall(f"GET /api/live HTTP/1.1\r\n{head}{upgrade}\r\n".encode())
        assert deaf.recv(12) == b"HTTP/1.1 101"
        waiting.sendall(
            f"PATCH /api/settings HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )
        assert asked.wait(5)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 1  # what the contract says, and far from it
        server._thread.join(5)
        assert not server._thread.is_alive()
        server.close()
    release.set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=1)


def test_threads_and_sockets_do_not_pile_up(desk: FakeDesk) -> None:
    def ours() -> set[str]:
        return {one.name for one in threading.enumerate() if "streammatte-control" in one.name}

    for _ in range(5):
        server = serve("127.0.0.1:0", desk, TOKEN)
        assert Client(server.url).json("GET", "/api/state")[0] == 200
        server.close()
    for _ in range(100):
        if not ours():
            break
        time.sleep(0.02)
    assert ours() == set()


def test_a_port_that_is_taken(server: Server, desk: FakeDesk) -> None:
    netloc = Client(server.url).netloc
    with pytest.raises(OutputError, match=r"in use; .* --control 127\.0\.0\.1:") as told:
        serve(netloc, desk, TOKEN)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "address", ["", "here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1", "::1:80",
                "no such host:80", "192.0.2.1:8765", "a" * 300 + ":80"]
)  # fmt: skip
def test_addresses_that_are_none(desk: FakeDesk, address: str) -> None:
    with pytest.raises(UsageError, match=r"--control: .*write it as") as told:
        serve(address, desk, TOKEN)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8765", "127.0.0.1", 8765),
        (":8765", "127.0.0.1", 8765),
        ("localhost:1", "localhost", 1),
        ("[::1]:8765", "::1", 8765),
        ("0.0.0.0:8765", "0.0.0.0", 8765),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


def test_only_loopback_goes_without_saying(desk: FakeDesk) -> None:
    quiet = serve("localhost:0", desk, TOKEN)
    loud = serve("0.0.0.0:0", desk, TOKEN)
    quiet.close()
    loud.close()
    assert quiet.notes == []
    assert "other machines" in loud.notes[0]
    assert loud.url.startswith("http://127.0.0.1:")
