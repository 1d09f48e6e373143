"""What requests carry, read within limits: counted while it comes, not when it is there."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from streammatte.control.uploads import FORMATS, LARGEST_FILE
from streammatte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LARGEST_JSON = 64 << 10
"""Bytes."""
DEEPEST_JSON = 8
SLOWEST = 60.0
"""Seconds that a body may take."""
_CHUNK = 64 << 10
_MOST_PARTS = 8
_EDGES = 16 << 10
"""Bytes that the form around a file may take."""


class Refused(Exception):  # noqa: N818  it is an answer
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Read an object.

    Raises:
        UsageError: if it is none, too large, too deep, or no JSON.
    """
    if len(text) > LARGEST_JSON:
        raise UsageError(f"the JSON is longer than {LARGEST_JSON >> 10} KiB; send less")
    try:
        told = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError('this is no JSON; send an object such as {"mirror": true}') from error
    if not isinstance(told, dict) or _depth(told) > DEEPEST_JSON:
        raise UsageError('this is no plain object; send one such as {"mirror": true}')
    return told


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the object that a request carries.

    Raises:
        UsageError: if it carries none.
        Refused: 413, 415 or 408, if it is too large, of another type, or too slow.
    """
    if request.content_type != "application/json":
        raise Refused(415, "send JSON, with Content-Type: application/json")
    return parse_json(await _whole(request, LARGEST_JSON, request.content.readany))


async def file_body(request: web.Request) -> tuple[str, bytes]:
    """Return the name and the content of the file that a request carries, bare or in a form.

    Raises:
        UsageError: if it is empty, or the form is damaged.
        Refused: 413, 415 or 408, if it is too large, of another type, or too slow.
    """
    name = request.query.get("name", "")
    kind = request.content_type
    if kind == "multipart/form-data":
        given, content = await _file_in_form(request)
        name = name or given
    elif kind.startswith("image/") or kind == "application/octet-stream":
        content = await _whole(request, LARGEST_FILE, request.content.readany)
    else:
        raise Refused(415, f"send {FORMATS}, with Content-Type: image/jpeg")
    if not content:
        raise UsageError(f"there is no file in it; send {FORMATS}")
    return name, content


async def _file_in_form(request: web.Request) -> tuple[str, bytes]:
    _check_length(request, LARGEST_FILE + _EDGES)
    try:
        form = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await form.next()
            if isinstance(part, BodyPartReader) and part.filename is not None:
                return part.filename, await _whole(request, LARGEST_FILE, _reader(part))
    except (ValueError, AssertionError, LookupError, HttpProcessingError) as error:  # aiohttp's
        raise UsageError("the form is damaged; send the file itself instead") from error
    raise UsageError(f"there is no file in the form; add {FORMATS}")


def _reader(part: BodyPartReader) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return bytes(await part.read_chunk(_CHUNK))

    return read


def _check_length(request: web.Request, limit: int) -> None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(415, "send it as it is, without Content-Encoding")
    if (request.content_length or 0) > limit:
        raise Refused(413, f"the body is larger than {limit >> 10} KiB; send less")


async def _whole(request: web.Request, limit: int, read: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return a whole body, or stop reading where it goes beyond the limit.

    Raises:
        Refused: 413, 415 or 408.
    """
    _check_length(request, limit + _EDGES)
    content = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            while chunk := await read():
                content += chunk
                if len(content) > limit:
                    raise Refused(413, f"the body is larger than {limit >> 10} KiB; send less")
    except TimeoutError as error:
        raise Refused(408, "the body took too long; send it again") from error
    return bytes(content)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _depth(told: object) -> int:
    """Return how deep an object is nested, without recursion."""
    depth, level = 0, [told]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [each for one in level for each in (one.values() if isinstance(one, dict) else one)]
    return depth
