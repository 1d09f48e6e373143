"""Exports in the cache: made once, whole or not there at all, verified, and thrown away.

Each has a folder of its own below ``home.folder("exports")``: the graph, its weights if they lie
beside it, and ``sizes.json``, which says how long the files are, when they were written and what
their digests are. It is made in a folder ``KEY.part-...`` beside its place, which it takes in one
step (``whole.py``): graph and weights of two exports never mix.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from streammatte import home, locks, whole
from streammatte.errors import ModelError
from streammatte.models.weights import sha256_of
from streammatte.whole import Waste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

GRAPH = "model.onnx"
FACTS = "sizes.json"
_EXPORTS, _LOCKS = "exports", "locks"


@dataclass(frozen=True)
class _File:
    bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class _Facts:
    """What ``sizes.json`` says."""

    format: int
    """``EXPORT_VERSION`` when it was made."""
    weights: str
    """Digest of what it was made from."""
    files: dict[str, _File]


def place(key: str) -> Path:
    """Return the folder of an export, whether it is there or not."""
    return home.home() / _EXPORTS / key


def is_whole(folder: Path) -> bool:
    """Whether an export is all there, and is what was written: disks fill up, people tidy up.

    Digests are worked out only of files whose time is another: those were copied, or changed.
    """
    facts = _read(folder)
    if facts is None:
        return False
    try:
        found = {name: (folder / name).stat() for name in facts.files}
    except OSError:
        return False
    if any(found[name].st_size != file.bytes for name, file in facts.files.items()):
        return False
    times = {name: status.st_mtime_ns for name, status in found.items()}
    touched = [name for name, file in facts.files.items() if times[name] != file.mtime_ns]
    if any(not _is_as_written(folder / name, facts.files[name]) for name in touched):
        return False
    if touched:
        files = {name: replace(file, mtime_ns=times[name]) for name, file in facts.files.items()}
        with suppress(OSError):  # it is looked at again, then
            _write(folder, replace(facts, files=files))
    return True


def made_once(
    key: str, weights: str, make: Callable[[Path], Iterable[Path]], tell: Callable[[str], None]
) -> Path:
    """Return the folder of an export that was not whole; whoever else makes it is waited for.

    Args:
        key: The folder's name.
        weights: Digest of what it is made from.
        make: Writes a graph to a path, and returns all files it wrote, in that path's folder.
        tell: Told if another process is waited for.

    Raises:
        OutputError: if it cannot be written.
    """
    folder = home.folder(_EXPORTS) / key
    with locks.exclusive(_lock(key), tell):
        if is_whole(folder):  # by now
            return folder
        with whole.part(folder) as made:
            files = [_noted(file) for file in make(made / GRAPH)]
            _write(made, _Facts(_version(), weights, dict(files)))
            whole.publish(made, folder, is_whole)
    return folder


def verify(weights: str) -> list[Path]:
    """Read all exports that were made from weights, and return their folders.

    Raises:
        ModelError: if one is not what was written.
    """
    mine = [(folder, facts) for folder, facts in _all() if facts and facts.weights == weights]
    for folder, facts in mine:
        for name, file in facts.files.items():
            if not _is_as_written(folder / name, file):
                raise ModelError(
                    f"{folder / name}, exported from these weights, was changed or damaged since; "
                    f"remove the folder {folder}, and it is made again"
                )
    return [folder for folder, _ in mine]


def prune(*, everything: bool, dry: bool) -> Iterator[Waste]:
    """Remove exports that are of no use any more, and yield each; none that is being made.

    Args:
        everything: Whether to remove those that are of use, too.
        dry: Whether to remove nothing, but say what would be.

    Raises:
        OutputError: if one cannot be removed.
    """
    for folder, _ in _all():
        with locks.if_free(_lock(whole.meant(folder) or folder.name)) as free:
            if not free or not folder.exists():  # it may have found its place by now
                continue
            why = _why(folder) or ("not wanted" if everything else "")
            if why:
                yield whole.removed(Waste(folder, whole.bytes_of(folder), why), dry=dry)


def _why(folder: Path) -> str:
    """Say why an export is of no use; nothing if it is of use."""
    if whole.meant(folder):
        return "unfinished"
    facts = _read(folder)
    if facts and facts.format != _version():
        return f"of format {facts.format}, not {_version()}"
    return "" if is_whole(folder) else "not whole"


def _all() -> list[tuple[Path, _Facts | None]]:
    """Return all exports, finished or not, by name; of which nothing is known without facts."""
    return [(folder, _read(folder)) for folder in whole.folders(place(""))]


def _lock(key: str) -> Path:
    return home.folder(_LOCKS) / f"{key}.lock"


def _version() -> int:
    from streammatte.models import birefnet

    return birefnet.EXPORT_VERSION


def _noted(file: Path) -> tuple[str, _File]:
    status = file.stat()
    return file.name, _File(status.st_size, status.st_mtime_ns, sha256_of(file))


def _is_as_written(path: Path, file: _File) -> bool:
    try:
        return sha256_of(path) == file.sha256
    except ModelError:  # it cannot be read
        return False


def _read(folder: Path) -> _Facts | None:
    """Return what is known of an export; nothing if that is not there, or of an older make."""
    try:
        said = json.loads((folder / FACTS).read_text("utf-8"))
        files = {name: _File(**facts) for name, facts in said["files"].items()}
        return _Facts(said["format"], said["weights"], files) if GRAPH in files else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(folder: Path, facts: _Facts) -> None:
    draft = folder / f"{FACTS}.{os.getpid()}.part"
    draft.write_text(json.dumps(asdict(facts)), "utf-8")
    draft.replace(folder / FACTS)
