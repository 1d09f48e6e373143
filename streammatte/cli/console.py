"""The two standard streams, so that a closed, full or broken one never turns into a traceback."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from typing import TextIO

from streammatte.errors import OutputError

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def repair() -> None:
    """Replace closed streams, and print what an encoding lacks as an escape.

    Were a closed stream left alone, the next file to be opened would get its number, and what
    libraries print would end up in that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(text: str) -> str:
    """Return ``text`` with line breaks and other control characters written as escapes."""
    return _UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], text.strip())


def out(text: str) -> None:
    """Write to standard output, now.

    Raises:
        BrokenPipeError: if nobody reads it.
        OutputError: if the system does not take it.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        raise
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def say(text: str) -> None:
    """Write to standard error, if that is possible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let what a broken stream still holds go nowhere, or Python complains when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
