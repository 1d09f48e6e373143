"""Engines on disk: compiled once, whole or not there, verified before they are used.

Each has a folder of its own, ``NAME-HxW-PRECISION-KIND-KEY``, with ``engine.plan`` and
``engine.json``, which tells its fingerprint, how long the plan is and what its digest is. A folder
takes its place in one step (``whole.py``), and whoever wants what another process compiles waits
for it. What is damaged or of another version counts as not there, and the reason is told when it
is compiled anew.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streammatte
from streammatte import home, locks, whole
from streammatte.engines.fingerprint import SCHEMA, Fingerprint
from streammatte.engines.kinds import KINDS
from streammatte.errors import DependencyError, ModelError
from streammatte.models.weights import sha256_of
from streammatte.whole import Waste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from streammatte.engines.kinds import Capability, Kind

    Make = Callable[[], bytes | bytearray | memoryview]
    Tell = Callable[[str], None]

PLAN, SIDECAR = "engine.plan", "engine.json"
_FOLDER = "engines"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")
_KEY = re.compile(r"[0-9a-f]{16}")
_LONGEST = 80
"""Characters of a network's name in a folder's: paths have an end, and the key tells them apart."""


@dataclass(frozen=True)
class Entry:
    """An engine in the store, be it any good or not."""

    folder: Path
    fingerprint: Fingerprint | None = None
    """``None`` if its sidecar cannot be read, or is of another format."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The sidecar."""

    @property
    def plan(self) -> Path:
        """The engine itself."""
        return self.folder / PLAN

    @property
    def name(self) -> str:
        """Of the network."""
        return str(self.facts.get("name", self.folder.name))

    @property
    def bytes(self) -> int:
        """Of the engine itself."""
        return int(self.facts.get("bytes", 0))

    @property
    def seconds(self) -> float:
        """What it took to compile it."""
        return float(self.facts.get("seconds", 0.0))

    @property
    def built(self) -> datetime | None:
        """When; ``None`` if that is not known."""
        try:
            return datetime.fromisoformat(str(self.facts.get("built")))
        except ValueError:
            return None


class Store:
    """A folder of engines."""

    def __init__(self, folder: Path | None = None) -> None:
        """Take a folder, which need not be there yet: ``$STREAMMATTE_HOME/engines`` by default."""
        self.folder = (folder or home.home() / _FOLDER).absolute()

    # --- found or made ---

    def find(self, fingerprint: Fingerprint) -> Entry | None:
        """Return an engine that will do and is whole.

        Where engines can be carried from GPU to GPU, one will do that is also for others.
        """
        fitting = [entry for entry in self.entries() if _will_do(entry.fingerprint, fingerprint)]
        fitting.sort(key=lambda entry: _distance(entry.fingerprint, fingerprint))
        return next((entry for entry in fitting if not self.why_not(entry)), None)

    def get_or_build(
        self,
        name: str,
        fingerprint: Fingerprint,
        make: Make,
        tell: Tell = lambda _: None,
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Return an engine that will do, compiled first if there is none.

        Args:
            name: Of the network.
            fingerprint: What is wanted.
            make: Compiles it; called once at most, by one process at a time.
            tell: Told why it is compiled anew, and whether another process is waited for.
            facts: More for the sidecar, such as ``driver``, ``gpu`` and ``source``.

        Raises:
            OutputError: if it cannot be kept.
            StreamMatteError: what ``make`` raises.
        """
        if found := self.find(fingerprint):
            return found
        with self._alone(name, fingerprint, tell):
            if found := self.find(fingerprint):  # by now
                return found
            if why := self._why_anew(name, fingerprint):
                tell(_anew(name, why))
            return self._built(name, fingerprint, make, facts)

    def rebuilt(
        self,
        entry: Entry,
        reason: str,
        name: str,
        fingerprint: Fingerprint,
        make: Make,
        tell: Tell = lambda _: None,
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Return an engine in place of one that its library does not load, which is thrown away.

        If another process has replaced it by now, nothing is compiled.

        Args:
            entry: What was found, and is of no use.
            reason: What the library says, in a few words.
            name: As for ``get_or_build``, like the others.
            fingerprint: What is wanted.
            make: Compiles it.
            tell: Told that, and why, it is compiled anew.
            facts: More for the sidecar.

        Raises:
            OutputError: if the old one cannot be removed, or the new one cannot be kept.
            StreamMatteError: what ``make`` raises.
        """
        with self._alone(name, fingerprint, tell):
            now = _read(self.place(name, fingerprint))
            if now.facts != entry.facts and self._is_good(now.folder, fingerprint):
                return now
            tell(_anew(name, reason))
            if entry.folder.exists() and _read(entry.folder).facts == entry.facts:
                self.remove(entry)
            return self._built(name, fingerprint, make, facts)

    def _built(
        self, name: str, fingerprint: Fingerprint, make: Make, facts: Mapping[str, Any] | None
    ) -> Entry:
        place, begun = self.place(name, fingerprint), time.monotonic()
        plan = memoryview(make())  # before there is anything on the disk that could be left behind
        seconds = round(time.monotonic() - begun, 3)
        with whole.part(place) as made:
            (made / PLAN).write_bytes(plan)
            told = {
                **(facts or {}),
                "schema": SCHEMA,
                "name": name,
                "fingerprint": fingerprint.as_dict(),
                "bytes": plan.nbytes,
                "sha256": sha256_of(made / PLAN),
                "seconds": seconds,
                "built": datetime.now(UTC).isoformat(timespec="seconds"),
                "streammatte": streammatte.__version__,
            }
            (made / SIDECAR).write_text(json.dumps(told, indent=2) + "\n", "utf-8")
            whole.publish(made, place, lambda folder: self._is_good(folder, fingerprint))
        return _read(place)

    def _is_good(self, folder: Path, fingerprint: Fingerprint) -> bool:
        entry = _read(folder)
        return entry.fingerprint == fingerprint and not self.why_not(entry)

    def _why_anew(self, name: str, wanted: Fingerprint) -> str:
        """Return what is wrong with the engine that is there; nothing if there is none.

        Of several it is the one that is most like what is wanted.
        """
        start = f"{_title(name, wanted)}-"
        whys = []
        for entry in self.entries():
            rest = entry.folder.name.removeprefix(start)
            if rest == entry.folder.name or not _KEY.fullmatch(rest):
                continue
            found = entry.fingerprint
            if rest == wanted.key or found is None or _will_do(found, wanted):
                return self.why_not(entry) or "it is of another make than its name says"
            whys.append(found.difference(wanted))
        return min(whys, key=len, default="")

    def _alone(
        self, name: str, fingerprint: Fingerprint, tell: Tell
    ) -> AbstractContextManager[None]:
        home.folder(str(self.folder))  # it is made if need be, or refused in a line
        return locks.exclusive(
            self._lock(fingerprint.key), lambda wait: tell(f"{wait}: compiling {name}")
        )

    def _lock(self, key: str) -> Path:
        return self.folder / f".{key}.lock"

    # --- looked at ---

    def place(self, name: str, fingerprint: Fingerprint) -> Path:
        """Return the folder of an engine, whether it is there or not."""
        return self.folder / f"{_title(name, fingerprint)}-{fingerprint.key}"

    def entries(self) -> list[Entry]:
        """Return all that has its place, by name of its folder, without reading any engine.

        Raises:
            OutputError: if the store cannot be read.
        """
        return [_read(folder) for folder in whole.folders(self.folder) if not whole.meant(folder)]

    def why_not(self, entry: Entry, *, read: bool = True) -> str:
        """Return why an engine must not be used, in a few words; nothing if it may.

        Args:
            entry: Which.
            read: Whether to read it all, and not only look how long it is.
        """
        if entry.fingerprint is None:
            schema = entry.facts.get("schema", SCHEMA)
            return (
                "what is told of it cannot be read"
                if schema == SCHEMA
                else (f"format {SCHEMA}, not {schema}")
            )
        try:
            if entry.plan.stat().st_size != entry.bytes:
                return "its file is cut off or damaged"
            if read and sha256_of(entry.plan) != entry.facts["sha256"]:
                return "its file is damaged"
        except FileNotFoundError:
            return "its file is missing"
        except (OSError, ModelError) as error:
            return f"its file cannot be read: {getattr(error, 'strerror', None) or error}"
        return ""

    # --- thrown away ---

    def remove(self, entry: Entry) -> None:
        """Throw an engine away.

        Raises:
            OutputError: if it cannot be removed.
        """
        whole.removed(_waste(entry.folder, "not wanted"))

    def prune(self, *, everything: bool = False, dry: bool = False) -> Iterator[Waste]:
        """Remove engines that are of no use any more, and yield each; none that is being compiled.

        Of no use are those that are damaged or unfinished, of another format, or of a version of
        their library that is not the installed one; where none is installed nobody knows.

        Args:
            everything: Whether to remove those that are of use, too.
            dry: Whether to remove nothing, but say what would be.

        Raises:
            OutputError: if one cannot be removed, or the store cannot be read.
        """
        for folder in whole.folders(self.folder):
            with locks.if_free(self._lock(_key(whole.meant(folder) or folder.name))) as free:
                if not free or not folder.exists():  # it may have found its place by now
                    continue
                why = self._why_useless(folder) or ("not wanted" if everything else "")
                if why:
                    yield whole.removed(_waste(folder, why), dry=dry)

    def _why_useless(self, folder: Path) -> str:
        if whole.meant(folder):
            return "unfinished"
        entry = _read(folder)
        return self.why_not(entry) or outdated(entry)

    # --- what else is kept ---

    def timing_cache(self, kind: Kind, version: str, device: str) -> Path:
        """Return the file in which TensorRT notes how long what took on a GPU; it may not exist."""
        return self.folder / f"timing-{_safe(f'{kind.name}-{version}-{device}')}.cache"


def outdated(entry: Entry) -> str:
    """Return that an engine is of another version of its library than is installed, if it is."""
    found = entry.fingerprint
    if found is None or found.kind not in KINDS:
        return ""
    try:
        version = KINDS[found.kind].version
    except DependencyError:
        return ""
    return "" if found.version == version else f"of version {found.version}, not {version}"


def _will_do(found: Fingerprint | None, wanted: Fingerprint) -> bool:
    if found is None or found.schema != SCHEMA:
        return False
    if found == wanted:
        return True
    kind = KINDS.get(wanted.kind)
    if kind is None or not kind.for_any_gpu or not wanted.capabilities:
        return False
    same = replace(found, capabilities=wanted.capabilities) == wanted
    return same and all(_runs_on(found, capability, kind) for capability in wanted.capabilities)


def _runs_on(found: Fingerprint, capability: Capability, kind: Kind) -> bool:
    if found.capabilities:
        return capability in found.capabilities
    known = capability in kind.capabilities
    return known and kind.portable_from is not None and kind.portable_from <= capability


def _distance(found: Fingerprint | None, wanted: Fingerprint) -> tuple[bool, bool, int]:
    """Return what engines are ordered by: just what is wanted, for some GPUs, for most."""
    capabilities = found.capabilities if found else ()
    return found != wanted, not capabilities, len(capabilities)


def _title(name: str, fingerprint: Fingerprint) -> str:
    _, height, width = fingerprint.shape
    words = (_safe(name), f"{height}x{width}", fingerprint.precision, fingerprint.kind)
    return "-".join(words)


def _safe(name: str) -> str:
    return _UNSAFE.sub("-", name).strip("-.")[:_LONGEST] or "network"


def _key(name: str) -> str:
    """Return the key at the end of a folder's name; for what has another name, all of that."""
    key = name.rpartition("-")[2]
    return key if _KEY.fullmatch(key) else _safe(name)


def _anew(name: str, why: str) -> str:
    return f"engine of {name} is compiled anew ({why})"


def _waste(folder: Path, why: str) -> Waste:
    return Waste(folder, whole.bytes_of(folder), why)


def _read(folder: Path) -> Entry:
    """Return what is known of an engine; of which nothing makes sense, only where it lies."""
    try:
        facts = json.loads((folder / SIDECAR).read_text("utf-8"))
        if not isinstance(facts, dict):
            return Entry(folder)
        if facts["schema"] != SCHEMA:
            return Entry(folder, None, {"schema": facts["schema"]})
        fingerprint = Fingerprint.from_dict(facts["fingerprint"])
        _ = int(facts["bytes"]), str(facts["name"]), str(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder)
    return Entry(folder, fingerprint, facts)
