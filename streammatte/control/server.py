"""The control page and its API, served by an event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpProcessingError

from streammatte.control.address import Address
from streammatte.control.api import MISTAKE, Api
from streammatte.control.bodies import Refused
from streammatte.control.hands import Hands
from streammatte.control.security import HEADERS, Guard, checked, kept_token, policy
from streammatte.errors import InputError, OutputError, StreamMatteError, UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from streammatte.live.base import Desk

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HANDS = 4
"""Threads for what would hold up the loop."""
PATIENCE = 0.9
"""Seconds that ``close`` waits."""
FAREWELL = 0.3
"""Seconds for those that listen to take leave."""
LINGER = 1.0
"""Seconds that a body which nobody reads may still come, so that its sender hears why not."""
PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("app", "api", "backgrounds", "controls", "keys", "meters", "preview")
    },
}
"""All that can be had without a token: a path, the file in ``page/``, and its type."""


class Server:
    """A page and an API for a show, until ``close``."""

    def __init__(self, address: str, desk: Desk, token: str | None = None) -> None:
        """Start to serve; see ``control.serve``."""
        asked = Address.parse(address)
        secret = kept_token() if token is None else checked(token)
        listener = asked.listen()
        place = Address(asked.host, int(listener.getsockname()[1]))
        self.url = f"http://{place.netloc}/#token={secret}"
        """For a browser; what follows ``#`` is not sent."""
        self.notes = _notes(place)
        """What its owner should know, one sentence each."""
        self._hands = Hands(HANDS)
        self._api = Api(desk, self._hands, self._failed)
        self._guard = Guard(place, secret)
        self._page = {path: _file(name, kind) for path, (name, kind) in PAGE.items()}
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="streammatte-control", daemon=True
        )
        self._thread.start()
        self._loop = self._started.result()

    def close(self) -> None:
        """End it within a second, whatever is going on; may be called twice."""
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(PATIENCE)

    # ---- its thread

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except Exception as error:  # noqa: BLE001  whoever started it is to have it
            if self._started.done():
                self._failed(error)
            else:
                self._started.set_exception(error)
        finally:
            listener.close()
            self._hands.dismiss()

    async def _serve(self, listener: socket.socket) -> None:
        app = web.Application(middlewares=[self._answer])
        app.router.add_routes([*self._api.routes(), *self._pages()])
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_silent(),
            auto_decompress=False,  # a few bytes could become gigabytes
            handle_signals=False,
            lingering_time=LINGER,
            shutdown_timeout=FAREWELL,
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listener).start()
            self._started.set_result(asyncio.get_running_loop())
            await self._ending.wait()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._api.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await runner.cleanup()

    # ---- answering

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request that may be made, and say in one line what is wrong with others."""
        try:
            self._judge(request)
            response = await handler(request)
        except Refused as refusal:
            response = _error(refusal.status, refusal.reason)
        except StreamMatteError as error:
            response = _error(_status(error), str(error))
        except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
            response = _error(400, "the request broke off; send it again")
        except web.HTTPException as error:  # aiohttp's own: no such path or method
            response = _error(error.status, f"{request.method} {request.path[:80]}: {error.reason}")
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Exception as error:  # noqa: BLE001  a mistake of ours must not end the show
            self._failed(error)
            response = _error(500, MISTAKE)
        if not response.prepared:
            response.headers.update(HEADERS)
            response.headers["Content-Security-Policy"] = policy(_host(request))
        return response

    def _judge(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            Refused: if it may not.
        """
        refusal = self._guard.stranger(request.headers)
        if refusal is None and request.path not in PAGE:
            refusal = self._guard.intruder(request.headers)
        if refusal is not None:
            raise Refused(refusal.status, refusal.reason)

    def _pages(self) -> list[web.RouteDef]:
        return [web.get(path, self._give) for path in PAGE]

    async def _give(self, request: web.Request) -> web.Response:
        content, kind = self._page[request.path]
        return web.Response(body=content, content_type=kind, charset="utf-8")

    def _failed(self, error: Exception) -> None:
        """Note a mistake of ours, once."""
        note = f"control page: {type(error).__name__}: {error}".splitlines()[0]
        if note not in self.notes:
            self.notes.append(note)


def _host(request: web.Request) -> str:
    """Return ``Host``, if it can stand in a header of ours."""
    host = request.headers.get("Host", "")
    return host if all(letter.isalnum() or letter in ".:-[]" for letter in host) else "invalid"


def _status(error: StreamMatteError) -> int:
    if isinstance(error, UsageError | InputError):
        return 400
    return 507 if isinstance(error, OutputError) else 500


def _error(status: int, reason: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None  # noqa: PLR2004
    return web.json_response({"error": " ".join(reason.split())}, status=status, headers=headers)


def _file(name: str, kind: str) -> tuple[bytes, str]:
    return (resources.files("streammatte.control") / "page" / name).read_bytes(), kind


def _silent() -> logging.Logger:
    """Return a logger for aiohttp, which would write of every stranger's nonsense."""
    logger = logging.getLogger("streammatte.control.aiohttp")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _notes(place: Address) -> list[str]:
    if place.is_loopback:
        return []
    note = (
        f"the control page at {place.netloc} can be reached from other machines, unencrypted: who "
        "sees the token on the way can rule the camera; 127.0.0.1 keeps it to this machine"
    )
    return [note]
