"""Nobody without the token, no page but our own, no name but ours: and nothing changes."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from control_doubles import TOKEN, Client, FakeDesk

from streammatte.control import security, serve
from streammatte.control.address import Address
from streammatte.control.security import Guard, kept_token
from streammatte.control.server import PAGE
from streammatte.errors import StreamMatteError, UsageError
from streammatte.live.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.control.server import Server

CHANGE = json.dumps({"mirror": True}).encode()
JSON = {"Content-Type": "application/json"}
FOREIGN = "https://evil.example"


@pytest.fixture
def untouched(desk: FakeDesk, tmp_path: Path) -> Iterator[None]:
    """Whatever a test asks for, the desk has not heard of it."""
    yield
    assert desk.settings == Settings()
    assert desk.asked == []
    assert not list(tmp_path.glob("*.jpg"))


def refused(answer: tuple[int, dict[str, str], bytes], status: int) -> str:
    """Check that an answer is a refusal in one line, and return that line."""
    got, headers, body = answer
    assert got == status, body
    told = json.loads(body)
    assert set(told) == {"error"}
    assert told["error"]
    assert "\n" not in told["error"]
    assert "Traceback" not in told["error"]
    assert "access-control-allow-origin" not in headers
    return str(told["error"])


def test_with_the_token_it_does_what_is_asked(client: Client, desk: FakeDesk) -> None:
    assert client.ask("PATCH", "/api/settings", CHANGE, JSON)[0] == 200
    assert desk.settings.mirror


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     f"Basic {TOKEN}", TOKEN, "Bearer \xe4\xf6\xfc"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/state"),
        ("PATCH", "/api/settings"),
        ("POST", "/api/scene"),
        ("POST", "/api/backgrounds"),
        ("GET", "/api/look/source.jpg"),
        ("GET", "/api/look"),
        ("GET", "/api/live"),
        ("GET", "/api/thumbnails/0.jpg"),
        ("GET", "/elsewhere"),
    ],
)
def test_nothing_without_the_token(
    client: Client, method: str, path: str, authorization: str | None
) -> None:
    sent = {**JSON, "Authorization": authorization}
    answer = client.ask(method, path, None if method == "GET" else CHANGE, sent)
    assert "token" in refused(answer, 401)
    assert answer[1]["www-authenticate"] == "Bearer"


@pytest.mark.usefixtures("untouched")
def test_a_token_in_the_address_is_none(client: Client) -> None:
    answer = client.ask(
        "PATCH", f"/api/settings?token={TOKEN}", CHANGE, {**JSON, "Authorization": None}
    )
    refused(answer, 401)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost:1", "http://127.0.0.1", ""])
def test_nothing_from_another_page(client: Client, origin: str) -> None:
    answer = client.ask("PATCH", "/api/settings", CHANGE, {**JSON, "Origin": origin})
    refused(answer, 403)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_nothing_that_a_browser_says_is_from_another_site(client: Client, site: str) -> None:
    refused(client.ask("PATCH", "/api/settings", CHANGE, {**JSON, "Sec-Fetch-Site": site}), 403)


def test_our_own_page_may(client: Client, desk: FakeDesk) -> None:
    own = {**JSON, "Origin": client.base, "Sec-Fetch-Site": "same-origin"}
    assert client.ask("PATCH", "/api/settings", CHANGE, own)[0] == 200
    assert desk.settings.mirror


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", ["/", "/app.js", "/api/settings"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:{port}",
             "user@127.0.0.1:{port}", "127.0.0.1:{port}.evil.example", "[::1", "127.0.0.1:{port}/x"]
)  # fmt: skip
def test_nothing_under_another_name(client: Client, host: str, path: str) -> None:
    name = host.format(port=client.netloc.rpartition(":")[2])
    method, body = ("PATCH", CHANGE) if path.startswith("/api") else ("GET", None)
    # the very page that rebound its name would be of its own origin
    sent = {**JSON, "Host": name, "Origin": f"http://{name}"}
    refused(client.ask(method, path, body, sent), 403)


@pytest.mark.usefixtures("untouched")
def test_a_request_without_a_name_is_refused(client: Client) -> None:
    answer = client.raw(b"GET / HTTP/1.0\r\n\r\n")
    assert b" 403 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    ("address", "host", "ours"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.0.0.1:8765", "localhost:8765", True),
        ("127.0.0.1:8765", "LOCALHOST:8765", True),
        ("127.0.0.1:8765", "[::1]:8765", True),
        ("127.0.0.1:8765", "192.168.1.5:8765", False),
        ("0.0.0.0:8765", "192.168.1.5:8765", True),
        ("0.0.0.0:8765", "localhost:8765", True),
        ("0.0.0.0:8765", "evil.example:8765", False),
        ("192.168.1.5:8765", "192.168.1.5:8765", True),
        ("192.168.1.5:8765", "192.168.1.6:8765", False),
        ("studio.lan:8765", "studio.lan:8765", True),
        ("studio.lan:8765", "localhost:8765", False),
    ],
)
def test_names(address: str, host: str, ours: bool) -> None:
    guard = Guard(Address.parse(address), TOKEN)
    assert (guard.stranger({"Host": host}) is None) == ours


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_forms_of_other_pages_are_refused(client: Client, kind: str) -> None:
    """What a page can send without asking first: no JSON, no header, and its own origin."""
    sent = {"Content-Type": kind, "Origin": FOREIGN, "Authorization": None}
    refused(client.ask("POST", "/api/scene", b'{"name": "break"}', sent), 403)
    refused(client.ask("POST", "/api/scene", b'{"name": "break"}', {**sent, "Origin": None}), 401)
    refused(client.ask("POST", "/api/scene", b'{"name": "break"}', {"Content-Type": kind}), 415)
    refused(client.ask("PATCH", "/api/settings", CHANGE, {"Content-Type": kind}), 415)


@pytest.mark.usefixtures("untouched")
def test_no_page_is_asked_whether_others_may(client: Client) -> None:
    sent = {"Origin": FOREIGN, "Access-Control-Request-Method": "PATCH", "Authorization": None}
    refused(client.ask("OPTIONS", "/api/settings", None, sent), 403)
    refused(client.ask("OPTIONS", "/api/settings", None, {}), 405)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"mirror", 400),
        (b"[1]", 400),
        (b'{"mirror": tru', 400),
        (b'{"softness": NaN}', 400),
        (b'{"softness": ' + b"9" * 5000 + b"}", 400),
        (b"\xff\xfe\xfd", 400),
        (b"[" * 60_000, 400),
        (b'{"mirror":' * 20 + b"1" + b"}" * 20, 400),
        (b'{"background": "' + b"x" * 70_000 + b'"}', 413),
        (b'{"mirror": true, "softness": 7}', 400),
        (b'{"mirror": true, "nonsense": 1}', 400),
        (b'{"mirror": [true]}', 400),
    ],
)
def test_json_that_makes_no_sense(client: Client, body: bytes, status: int) -> None:
    refused(client.ask("PATCH", "/api/settings", body, JSON), status)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("length", [b"Content-Length: 99999999", b"Transfer-Encoding: chunked"])
def test_a_giant_is_refused_while_it_comes(client: Client, length: bytes) -> None:
    """Neither the whole of it is needed to refuse it, nor a length that tells."""
    head = (
        b"PATCH /api/settings HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
        b"Connection: close\r\nContent-Type: application/json\r\n%s\r\n\r\n"
    ) % (client.netloc.encode(), TOKEN.encode(), length)
    chunk = b"12000\r\n" + b" " * 0x12000 + b"\r\n"  # and no end
    answer = client.raw(head + (chunk if b"chunked" in length else b""))
    assert b" 413 " in answer.splitlines()[0]


@pytest.mark.usefixtures("untouched")
def test_a_packed_body_is_not_unpacked(client: Client) -> None:
    sent = {**JSON, "Content-Encoding": "gzip"}
    refused(client.ask("PATCH", "/api/settings", b"\x1f\x8b\x08", sent), 415)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "path",
    [
        "/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/page/index.html",
        "/index.html", "//etc/passwd", "/style.css/..", "/app.js%00", "/api/look/..%2f..%2fx.jpg",
        "/api/thumbnails/..%2f..%2fsecret.jpg", "/api/look/secret.jpg",
    ],
)  # fmt: skip
def test_only_files_of_the_table_are_given(client: Client, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {client.netloc}\r\nConnection: close\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    )
    status = client.raw(request.encode()).splitlines()[0].split()[1]
    assert status in (b"404", b"400")


def test_thumbnails_are_of_what_can_be_chosen(client: Client, desk: FakeDesk) -> None:
    import hashlib

    secret = "/etc/hostname.jpg"
    key = hashlib.sha256(secret.encode()).hexdigest()[:16]
    refused(client.ask("GET", f"/api/thumbnails/{key}.jpg"), 404)


def test_every_answer_says_how_it_may_be_used(client: Client) -> None:
    for path in (*PAGE, "/api/state", "/nothing"):
        _, headers, _ = client.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "set-cookie" not in headers


def test_a_name_cannot_smuggle_into_the_policy(client: Client) -> None:
    _, headers, _ = client.ask("GET", "/", None, {"Host": "x; script-src *"})
    assert "script-src *" not in headers["content-security-policy"]


# ---- WebSockets


def handshake(server: Server, path: str, **options: Any) -> int:
    """Return the status that a WebSocket is answered with; 101 if it is let in."""

    async def knock() -> int:
        base = server.url.partition("#")[0].rstrip("/").replace("http", "ws", 1)
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(base + path, **options) as socket:
                    await socket.send_json({"settings": {"mirror": True}})
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    return asyncio.run(knock())


OFFER = ("streammatte", f"token.{TOKEN}")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", ["/api/live", "/api/look?view=source"])
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 401),
        ({"protocols": ("streammatte",)}, 401),
        ({"protocols": ("streammatte", "token.wrong")}, 401),
        ({"headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"protocols": OFFER, "origin": FOREIGN}, 403),
        ({"protocols": OFFER, "origin": "null"}, 403),
        ({"protocols": OFFER, "headers": {"Host": "evil.example"}}, 403),
        ({"protocols": OFFER, "headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    ],
)
def test_no_strangers_at_a_websocket(
    server: Server, path: str, options: dict[str, Any], status: int
) -> None:
    assert handshake(server, path, **options) == status


@pytest.mark.parametrize(
    "options", [{"protocols": OFFER}, {"headers": {"Authorization": f"Bearer {TOKEN}"}}]
)
def test_friends_at_a_websocket(server: Server, options: dict[str, Any]) -> None:
    own = server.url.partition("/#")[0]
    assert handshake(server, "/api/live", origin=own, **options) == 101


# ---- the token


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(
        security.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or False
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert Guard(Address.parse("127.0.0.1:1"), TOKEN).intruder(headers) is not None
    assert len(compared) == 1


@pytest.mark.parametrize("token", ["", "short", "sixteen letters!", "a" * 129, "ä" * 20])
def test_tokens_that_could_be_guessed_are_refused(desk: FakeDesk, token: str) -> None:
    with pytest.raises(UsageError, match="token"):
        serve("127.0.0.1:0", desk, token)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMMATTE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_kept_token_stays_the_same(home: Path, desk: FakeDesk) -> None:
    token = kept_token()
    assert len(token) >= 43
    assert kept_token() == token
    server = serve("127.0.0.1:0", desk)
    server.close()
    assert server.url.endswith(f"/#token={token}")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX'")
def test_the_kept_token_is_its_owners_alone(home: Path) -> None:
    token = kept_token()
    path = home / "control-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)  # others could have read it
    assert kept_token() != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"x\n", b"\xff" * 40])
def test_a_damaged_token_is_made_anew(home: Path, content: bytes) -> None:
    kept_token()
    (home / "control-token").write_bytes(content)
    assert kept_token() == (home / "control-token").read_text("ascii").strip()
    assert len(kept_token()) >= 43


def test_a_token_that_cannot_be_kept_is_said(home: Path) -> None:
    home.mkdir()
    (home / "control-token").mkdir()
    with pytest.raises(StreamMatteError, match="control-token"):
        kept_token()
