"""Where a network's weights come from, and whether they are the right ones."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte import home
from streammatte.errors import ModelError, OutputError
from streammatte.models import hub

if TYPE_CHECKING:
    from streammatte.models.base import ModelCard
    from streammatte.models.hub import Tell

FILE = hub.FILE
_BLOCK = 1 << 20
_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


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
    exact: bool = False
    """Whether no other revision will do: the user named this one."""


@dataclass(frozen=True)
class Local:
    """A file or a folder that the user brought."""

    path: Path


Weights = Embedded | Hub | Local


def cached(weights: Hub | Local) -> Path | None:
    """Return the file that holds a network's weights if it is on this machine, right or not.

    Raises:
        ModelError: if a user's file is missing, or of a kind that is not opened.
    """
    if isinstance(weights, Local):
        return _local(weights.path)
    path = hub.snapshot(weights)
    if path.is_file():
        return path
    # The same file may have come under another revision, for another program.
    return next((other for other in hub.snapshots(weights) if _same(other, weights.sha256)), None)


def at_hand(weights: Hub | Local) -> Path | None:
    """Return what ``locate`` does where nothing can be downloaded; ``None`` if there is nothing."""
    return cached(weights) or (hub.current(weights) if isinstance(weights, Hub) else None)


def locate(weights: Hub | Local, name: str, tell: Tell | None = None) -> Path:
    """Return the file that holds a network's weights, downloaded first if need be.

    If that is not possible, those of the repository's main branch will do, if they are in the
    cache; see ``is_another``.

    Args:
        weights: Where they come from.
        name: What the user calls the network.
        tell: Told how a download goes; by default standard error is.

    Raises:
        ModelError: if they cannot be had, or are of a kind that is not opened.
        DependencyError: if they must be downloaded, and the package that does it is missing.
    """
    path = cached(weights)
    if path is not None:
        return path
    assert isinstance(weights, Hub)
    try:
        return hub.download(weights, name, tell)
    except ModelError:
        other = hub.current(weights)
        if other is None:
            raise
        return other


def pull(weights: Hub, name: str, tell: Tell | None = None) -> Path:
    """Return the file that holds a network's weights, downloaded if it is missing or changed.

    Args:
        weights: Where they come from.
        name: What the user calls the network.
        tell: Told how a download goes; by default standard error is.

    Raises:
        ModelError: if they cannot be had, or what came is not what was published.
        DependencyError: if they must be downloaded, and the package that does it is missing.
    """
    path = cached(weights)
    if path is not None:
        with suppress(ModelError):
            check(weights, name, path, fresh=True)
            return path
    path = hub.download(weights, name, tell, again=path is not None)
    check(weights, name, path, fresh=True)
    return path


def verify(card: ModelCard, *, fresh: bool = False) -> str:
    """Return the SHA-256 of a network's weights, which are on this machine, if they are right.

    Args:
        card: The network.
        fresh: Whether to read all of them even if that was done before.

    Raises:
        ModelError: if they are missing, or were changed.
    """
    weights = card.weights
    if isinstance(weights, Embedded):
        return _embedded(weights, card.name)
    if isinstance(weights, Local) and weights.path.suffix == ".onnx":
        return sha256_of(weights.path)
    path = at_hand(weights)
    if path is None:
        raise ModelError(
            f"the weights of {card.name} are not here; run 'streammatte models pull {card.name}'"
        )
    return check(weights, card.name, path, fresh=fresh)


def check(weights: Hub | Local, name: str, path: Path, *, fresh: bool = False) -> str:
    """Return the SHA-256 of a file of weights if it is the right one.

    What it must be is what the card says of the revision, or else what the hub announced, or else
    what it was when a file of that revision was first seen. A user's own file is always right.

    Args:
        weights: Where they come from.
        name: What the user calls the network.
        path: What ``locate`` said.
        fresh: Whether to read all of it even if that was done before.

    Raises:
        ModelError: if it is another, or cannot be read.
    """
    digest = _digest(path, fresh=fresh)
    if isinstance(weights, Local):
        return digest
    published = weights.sha256 if path == hub.snapshot(weights) else ""
    expected = published or hub.blob_digest(path) or _first_seen(weights, path, digest)
    if digest != expected:
        raise ModelError(
            f"the weights of {name} are not the published ones ({path} has SHA-256 {digest[:12]}, "
            f"not {expected[:12]}); run 'streammatte models pull {name}' to replace them, or give "
            f"--model {path.parent} if they are meant to be your own"
        )
    return digest


def is_another(weights: Hub | Local, path: Path) -> str:
    """Return which revision a file in the hub's cache is, if it is not the one that was meant."""
    if isinstance(weights, Local) or path == hub.snapshot(weights):
        return ""
    return "" if _same(path, weights.sha256) else path.parent.name


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


def _embedded(weights: Embedded, name: str) -> str:
    digest = sha256_of(weights.path)
    if digest != weights.sha256:
        raise ModelError(
            f"the weights of {name} were changed ({weights.path}); reinstall streammatte"
        )
    return digest


def _local(path: Path) -> Path:
    """Return the file that a user means, if it is of the kind that is opened."""
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        raise ModelError(f"there is no {path}; give a .safetensors file or a folder that holds one")
    if path.suffix.lower() in _PICKLES:
        raise _pickle(path)
    if path.suffix.lower() != ".safetensors":
        raise ModelError(f"{path} is not a .safetensors file, nor a folder that holds one")
    return path


def _in_folder(folder: Path) -> Path:
    file = folder / FILE
    if file.is_file():
        return file
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}") from error
    if f"{FILE}.index.json" in names:
        raise ModelError(f"{folder} holds weights in several files; save them as one {FILE}")
    single = [name for name in names if name.endswith(".safetensors")]
    if single:
        raise ModelError(f"{folder} has no {FILE}; give the file itself: {folder / single[0]}")
    pickles = [name for name in names if Path(name).suffix.lower() in _PICKLES]
    if pickles:
        raise _pickle(folder / pickles[0])
    raise ModelError(f"{folder} has no {FILE}; give a folder that has, or the file itself")


def _pickle(path: Path) -> ModelError:
    return ModelError(
        f"{path} is a pickle, which can run any code when it is opened, so it stays closed; give "
        f"the weights as .safetensors"
    )


def _same(path: Path, sha256: str) -> bool:
    """Return whether a file in the hub's cache is the one with that digest."""
    return bool(sha256) and sha256 == (hub.blob_digest(path) or _digest(path))


def _digest(path: Path, *, fresh: bool = False) -> str:
    """Return a file's SHA-256, which is not worked out twice while the file stays as it is."""
    try:
        facts = path.stat()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    state = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    known_state, _, known = _remembered("digests", key).rpartition(" ")
    if known_state == state and not fresh:
        return known
    digest = sha256_of(path)
    _remember("digests", key, f"{state} {digest}")
    return digest


def _first_seen(weights: Hub, path: Path, digest: str) -> str:
    """Return the digest of the first file that was seen of a repository and revision."""
    key = f"{weights.repository.replace('/', '--')}@{path.parent.name}"
    known = _remembered("pins", key)
    if not known:
        _remember("pins", key, digest)
    return known or digest


_MEMORY: dict[tuple[str, str], str] = {}
"""What could not be written: by kind and key."""


def _remembered(kind: str, key: str) -> str:
    if (kind, key) in _MEMORY:
        return _MEMORY[kind, key]
    try:
        return (home.home() / kind / key).read_text().strip()
    except (OSError, ValueError):
        return ""


def _remember(kind: str, key: str, text: str) -> None:
    """Write a line into a folder of ours; where that cannot be, keep it while the process lasts."""
    try:
        file = home.folder(kind) / key
        draft = file.with_name(f"{key}.{os.getpid()}.part")
        draft.write_text(text + "\n")
        draft.replace(file)
    except (OSError, OutputError):
        _MEMORY[kind, key] = text
