"""Who may rule the show: whoever has the token, through a page of our own, under our own name.

A web page that you visit can make your browser send requests to this machine. Three things keep it
out, each of them alone enough: it does not know the token, which no request carries by itself (no
cookies); a browser says which page a request comes from (``Origin``, ``Sec-Fetch-Site``); and if
it has its own name point at this machine (DNS rebinding), that name is in ``Host``.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streammatte import home
from streammatte.control.address import Address, is_ip
from streammatte.errors import OutputError, UsageError
from streammatte.locks import exclusive
from streammatte.whole import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROTOCOL = "streammatte"
"""The WebSocket subprotocol; a browser offers the token beside it, as ``token.TOKEN``."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
_WEB_PORT = 80

HEADERS = {
    "Server": "StreamMatte",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""What every answer says, beside its content security policy."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    reason: str
    """One line: what is wrong, and what to do."""


class Guard:
    """Judges requests by their headers."""

    def __init__(self, address: Address, token: str) -> None:
        """Guard what is served at an address.

        Args:
            address: With the port that was really got.
            token: See ``checked``.
        """
        self._address = address
        self._token = token.encode("ascii")

    def stranger(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request comes under a wrong name or from a wrong page, if it does."""
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return Refusal(403, f"this page is not called {host[:80]!r}; open the printed address")
        origin = headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{host}".lower():
            return Refusal(403, "other pages may not ask this one; open the printed address")
        return None

    def intruder(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request may not use the API, if it may not."""
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return Refusal(403, "other pages may not ask this one; open the printed address")
        given = _token_in(headers)
        if given is None:
            return Refusal(401, "the token is missing; send Authorization: Bearer TOKEN")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token):
            return Refusal(401, "the token is wrong; take that of the printed address")
        return None

    def _is_ours(self, host: str) -> bool:
        """Return whether ``Host`` is a name that this page goes by."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or _WEB_PORT
        except ValueError:
            return False
        plain = bool(host) and parts.netloc == host and "@" not in host
        return plain and port == self._address.port and self._is_our_name(name)

    def _is_our_name(self, name: str) -> bool:
        if name == self._address.host.lower():
            return True
        if self._address.is_loopback:
            return name in ("127.0.0.1", "localhost", "::1")
        own = socket.gethostname().lower()
        return self._address.is_everywhere and (
            is_ip(name) or name in ("localhost", own, f"{own}.local")
        )


def policy(host: str) -> str:
    """Return the content security policy of a page under this ``Host``, which must be ours."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def _token_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    offered = [one.strip() for one in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    tokens = [one.removeprefix("token.") for one in offered if one.startswith("token.")]
    return tokens[0] if tokens else None


def checked(token: str) -> str:
    """Return a token that its owner chose.

    Raises:
        UsageError: if it could be guessed, or does not fit into a header.
    """
    if not _TOKEN.fullmatch(token):
        raise UsageError("the token must be 16 to 128 letters, digits, - or _; leave it to chance")
    return token


def kept_token() -> str:
    """Return the token that is kept in ``$STREAMMATTE_HOME``, made if need be.

    One that others could have read is replaced.

    Raises:
        OutputError: if it cannot be kept.
    """
    folder = home.folder()
    path = folder / "control-token"
    with exclusive(folder / "control-token.lock"):
        try:
            return _read(path) or _written(path)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}; remove it") from error


def _read(path: Path) -> str | None:
    """Return the token in a file that is its owner's alone; ``None`` if there is none."""
    if not path.is_file() or path.is_symlink():
        return None
    shared = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    text = path.read_text("ascii", "replace").strip()
    return text if _TOKEN.fullmatch(text) and not (shared and os.name == "posix") else None


def _written(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    write_file(path, f"{token}\n".encode("ascii"))  # a temporary file's mode is 0600 from the start
    return token
