"""What can be asked for, over HTTP and WebSocket: see ``docs/control.md``."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from streammatte.control.bodies import LARGEST_JSON, Refused, file_body, json_body, parse_json
from streammatte.control.looks import FASTEST, VIEWS, Eye
from streammatte.control.pulse import Pulse
from streammatte.control.security import PROTOCOL
from streammatte.control.thumbnails import file_of, thumbnail
from streammatte.errors import StreamMatteError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from streammatte.control.hands import Hands
    from streammatte.control.looks import Shot
    from streammatte.control.pulse import News
    from streammatte.live.base import Desk, View

MOST_SOCKETS = 24
MOST_UPLOADS = 2
"""At once."""
USUAL_RATE = 12.0
"""Pictures a second."""
MISTAKE = "something went wrong in StreamMatte; its terminal says what"
ALIVE = 20.0
"""Seconds between pings, so that those who are gone do not count for ever."""


class Api:
    """Answers for a desk; all of it on one event loop."""

    def __init__(self, desk: Desk, hands: Hands, failed: Callable[[Exception], None]) -> None:
        """Answer for a desk.

        Args:
            desk: The show.
            hands: Where it is asked.
            failed: Told of exceptions that the desk should not have raised.
        """
        self._desk = desk
        self._hands = hands
        self._failed = failed
        self._pulse = Pulse(desk, hands, failed)
        self._eyes = {view: Eye(view, desk, hands, failed) for view in VIEWS}
        self._sockets: set[web.WebSocketResponse] = set()
        self._changing = asyncio.Lock()
        """One change after another, in the order in which they came."""
        self._decoding = asyncio.Lock()
        """One picture at a time, as each may take hundreds of megabytes."""
        self._uploads = 0

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered, and by what."""
        return [
            web.get("/api/state", self._state),
            web.patch("/api/settings", self._settings),
            web.post("/api/scene", self._scene),
            web.post("/api/backgrounds", self._background),
            web.get("/api/thumbnails/{key}.jpg", self._thumbnail),
            web.get("/api/look/{view}.jpg", self._picture),
            web.get("/api/look", self._look),
            web.get("/api/live", self._live),
        ]

    async def close(self) -> None:
        """Take leave of all who listen."""
        leaving = [one.close(code=1001, message=b"the show has ended") for one in self._sockets]
        await asyncio.gather(*leaving, return_exceptions=True)

    # ---- HTTP

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(await self._pulse.snapshot())

    async def _settings(self, request: web.Request) -> web.Response:
        await self._do({"settings": await json_body(request)})
        return web.json_response({"settings": (await self._pulse.snapshot())["settings"]})

    async def _scene(self, request: web.Request) -> web.Response:
        told = await json_body(request)
        if set(told) != {"name"} or not isinstance(told["name"], str):
            raise UsageError('name a scene, and nothing else: {"name": "desk"}')
        await self._do({"scene": told["name"]})
        return web.json_response({"settings": (await self._pulse.snapshot())["settings"]})

    async def _background(self, request: web.Request) -> web.Response:
        if self._uploads >= MOST_UPLOADS:
            raise Refused(429, "other pictures are on their way; send it again in a moment")
        self._uploads += 1
        try:
            name, content = await file_body(request)
            async with self._decoding:
                value = await self._hands.call(self._desk.add_background, name, content)
        finally:
            self._uploads -= 1
        self._pulse.hurry()
        return web.json_response({"background": value}, status=201)

    async def _thumbnail(self, request: web.Request) -> web.Response:
        choices = (await self._pulse.snapshot())["choices"]["backgrounds"]
        path = file_of(choices, request.match_info["key"])
        if path is None:
            raise Refused(404, "there is no such background; see GET /api/state")
        jpeg = await self._hands.call(thumbnail, path)
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def _picture(self, request: web.Request) -> web.Response:
        shot = await self._hands.call(self._eyes[_view(request.match_info["view"])].look)
        if shot is None:
            raise Refused(503, "there is no picture yet; ask again in a moment")
        return web.Response(body=shot.jpeg, content_type="image/jpeg")

    # ---- WebSocket

    async def _look(self, request: web.Request) -> web.WebSocketResponse:
        """Send pictures, each when the last one was answered: a slow client has no backlog."""
        eye, rate = self._eyes[_view(request.query.get("view", "result"))], _rate(request)
        async with self._socket(request) as socket, eye.watched(rate):
            answered = asyncio.Event()
            await _first_of(_send_pictures(socket, eye, rate, answered), _hear(socket, answered))
        return socket

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        """Send what changes, and take wishes."""
        async with self._socket(request) as socket, self._pulse.felt():
            await _first_of(self._send_news(socket), self._take_wishes(socket))
        return socket

    @asynccontextmanager
    async def _socket(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        """Give a WebSocket to talk to; it ends with the block, and with the connection.

        Raises:
            Refused: if there are too many.
        """
        if len(self._sockets) >= MOST_SOCKETS:
            raise Refused(503, f"there are {MOST_SOCKETS} WebSockets already; close some")
        socket = web.WebSocketResponse(
            timeout=0.25,
            heartbeat=ALIVE,
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=LARGEST_JSON,
        )
        self._sockets.add(socket)
        try:
            await socket.prepare(request)
            with suppress(ConnectionError):  # gone in the middle of a sentence
                yield socket
        finally:
            self._sockets.discard(socket)

    async def _send_news(self, socket: web.WebSocketResponse) -> None:
        last: News | None = None
        while True:
            news = await self._pulse.newer(last)
            await socket.send_json(news.told_after(last))
            last = news

    async def _take_wishes(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.ERROR:  # too large, or against the protocol; it is closed
                return
            await socket.send_json(await self._fulfilled(message.data))

    async def _fulfilled(self, wish: str | bytes) -> dict[str, Any]:
        """Do what a message asks for, and return the answer."""
        answer: dict[str, Any] = {}
        try:
            told = parse_json(wish)
            if "id" in told:
                answer["id"] = told.pop("id")
            await self._do(told)
        except StreamMatteError as error:
            return {"event": "error", "error": " ".join(str(error).split()), **answer}
        except Exception as error:  # noqa: BLE001  a mistake of ours must not end the talk
            self._failed(error)
            return {"event": "error", "error": MISTAKE, **answer}
        return {"event": "done", **answer}

    async def _do(self, told: Mapping[str, Any]) -> None:
        """Change settings, or choose a scene.

        Raises:
            UsageError: if it is neither, or makes no sense.
            InputError: if a background cannot be read.
        """
        match dict(told):
            case {"settings": dict(changes), **rest} if not rest:
                change = partial(self._desk.apply, changes)
            case {"scene": str(name), **rest} if not rest:
                change = partial(self._desk.choose, name)
            case _:
                raise UsageError(
                    'ask for {"settings": {"mirror": true}} or {"scene": "desk"}, one at a time'
                )
        async with self._changing:
            await self._hands.call(change)
        self._pulse.hurry()


async def _send_pictures(
    socket: web.WebSocketResponse, eye: Eye, rate: float, answered: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    shot: Shot | None = None
    while True:
        answered.clear()
        due = loop.time() + 1 / rate
        shot = await eye.newer(shot)
        await socket.send_bytes(shot.jpeg)
        await answered.wait()
        await asyncio.sleep(due - loop.time())


async def _hear(socket: web.WebSocketResponse, answered: asyncio.Event) -> None:
    async for _ in socket:
        answered.set()


async def _first_of(*work: Coroutine[Any, Any, None]) -> None:
    """Do several things at once until one of them is done, and raise what that one raised."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _view(name: str) -> View:
    for view in VIEWS:
        if view == name:
            return view
    raise Refused(404, f"there is no view {name[:20]!r}; there are {', '.join(VIEWS)}")


def _rate(request: web.Request) -> float:
    text = request.query.get("fps", str(USUAL_RATE))
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= FASTEST:
        raise UsageError(f"fps must be above 0 and up to {FASTEST:g}, got {text[:20]!r}")
    return rate
