"""The control page of a show, and its API over HTTP and WebSocket: see ``docs/control.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.errors import DependencyError

if TYPE_CHECKING:
    from streammatte.control.server import Server
    from streammatte.live.base import Desk

__all__ = ["serve"]


def serve(address: str, desk: Desk, token: str | None = None) -> Server:
    """Serve the page and the API on a thread of their own; return when they can be reached.

    Args:
        address: ``HOST:PORT``, such as ``127.0.0.1:8765``; port 0 is any free one.
        desk: The show.
        token: What requests must know; the one in ``$STREAMMATTE_HOME/control-token`` if ``None``.

    Raises:
        UsageError: if there is no such address, or the token could be guessed.
        OutputError: if the port is taken.
        DependencyError: without aiohttp.
    """
    try:
        from streammatte.control.server import Server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiohttp":
            raise
        raise DependencyError(
            'the control page needs aiohttp: pip install "streammatte[control]"'
        ) from error
    return Server(address, desk, token)
