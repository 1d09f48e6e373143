"""Where the page is served: ``HOST:PORT`` in words, and the socket that listens there."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from streammatte.errors import OutputError, UsageError

LOOPBACK = "127.0.0.1"
EXAMPLE = "write it as 127.0.0.1:8765"
_LAST_PORT = 65535
_WAITING = 16
"""Connections that may wait to be accepted."""
_IN_USE = (errno.EADDRINUSE, 10048)  # the latter: Windows
_FORBIDDEN = (errno.EACCES, errno.EPERM, 10013)


@dataclass(frozen=True, slots=True)
class Address:
    """A host as it was named, and a port; 0 for any that is free."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Read ``127.0.0.1:8765``, ``[::1]:8765``, ``localhost:8765``, ``:8765`` or ``8765``.

        Raises:
            UsageError: if it is none of these.
        """
        host, _, port = text.strip().rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
            raise UsageError(f"--control: {text!r} has no port; {EXAMPLE}")
        if ":" in bare and bare == host:
            raise UsageError(f"--control: {text!r} is unclear; write it as [::1]:8765")
        return Address(bare or LOOPBACK, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine gets there."""
        return self.host == "localhost" or (is_ip(self.host) and _ip(self.host).is_loopback)

    @property
    def is_everywhere(self) -> bool:
        """Whether it is every address that this machine has."""
        return is_ip(self.host) and _ip(self.host).is_unspecified

    @property
    def netloc(self) -> str:
        """``HOST:PORT`` as it stands in a URL that this machine can open."""
        host = LOOPBACK if self.is_everywhere else self.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            UsageError: if this machine has no such address.
            OutputError: if the port is taken or not for us.
        """
        try:
            family, _, _, _, where = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (OSError, UnicodeError) as error:
            raise UsageError(f"--control: {self.host!r} is no address; {EXAMPLE}") from error
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # on Windows it would let two programs share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(_WAITING)
        except OSError as error:
            listener.close()
            raise self._refused(error) from error
        return listener

    def _refused(self, error: OSError) -> UsageError | OutputError:
        where = f"--control: {self.netloc}"
        if error.errno in _IN_USE:
            other = Address(self.host, min(self.port + 1, _LAST_PORT)).netloc
            return OutputError(f"{where} is in use; end what uses it, or use --control {other}")
        if error.errno in _FORBIDDEN:
            return OutputError(f"{where} is not allowed; use a port from 1024 on, such as 8765")
        return UsageError(f"{where} is not an address of this machine; {EXAMPLE}")


def is_ip(host: str) -> bool:
    """Return whether it is an address in figures, and so no name that somebody could redirect."""
    try:
        _ip(host)
    except ValueError:
        return False
    return True


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(host)
