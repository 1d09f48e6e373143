"""Where StreamMatte keeps what it makes: exports, later engines."""

from __future__ import annotations

import os
from pathlib import Path

from streammatte.errors import OutputError

VARIABLE = "STREAMMATTE_HOME"


def home() -> Path:
    """Return ``$STREAMMATTE_HOME``, or the user's cache folder for StreamMatte."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("streammatte", appauthor=False)


def folder(*parts: str) -> Path:
    """Return a folder below ``home()``, made if need be.

    Raises:
        OutputError: if it cannot be written.
    """
    path = home().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}; set {VARIABLE} elsewhere") from error
    if not writable:
        raise OutputError(f"{path} cannot be written; set {VARIABLE} to a folder that can")
    return path
