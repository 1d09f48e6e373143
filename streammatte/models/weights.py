"""Where a network's weights come from, and whether they are the right ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streammatte.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Embedded:
    """An ONNX file inside the package."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Hub:
    """Safetensors in a repository of the Hugging Face hub."""

    repository: str
    """``owner/name``."""
    revision: str = "main"
    """A commit, where one is known to be right."""
    sha256: str = ""
    """Of ``model.safetensors`` at that revision; empty where it is not known."""


@dataclass(frozen=True)
class Local:
    """A file or a folder that the user brought."""

    path: Path


Weights = Embedded | Hub | Local


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits.

    Raises:
        ModelError: if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()
