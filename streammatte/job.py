"""The sidecar of a render: a JSON file that says what was done, in enough detail to repeat it.

``shot.job.json`` lies beside ``shot.mov`` or ``shot.%04d.exr``. Which keys it has, and what they
mean, is in ``docs/jobs.md``. It is written when the render is whole, and never half.
"""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streammatte
from streammatte.digests import NUMBER, Contents, Digests, files_of
from streammatte.errors import InputError, OutputError, StreamMatteError
from streammatte.options import RenderOptions
from streammatte.plain import from_plain, to_plain
from streammatte.reads import from_the_environment, sources, through_paths
from streammatte.sinks import is_linear
from streammatte.sinks.base import writable
from streammatte.sinks.passes import is_numbered, targets
from streammatte.versions import versions
from streammatte.whole import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streammatte.digests import Files
    from streammatte.pipeline import Report

__all__ = ["Contents", "Digests", "Job", "check_place", "place", "read", "sources", "wanted"]

SCHEMA = 1
"""Raised when the meaning of a key changes; a new key alone does not."""
SUFFIX = ".job.json"


@dataclass(frozen=True)
class Job:
    """What a job file says."""

    input: str
    output: str
    options: RenderOptions
    """As they were, ``overwrite`` too."""
    warnings: list[str]
    """What is not as it was when the job was written, as far as that is quickly seen."""
    contents: Mapping[str, Contents] = field(default_factory=dict)
    """What was read then, by the names of ``sources``."""
    weights: str = ""
    """SHA-256 of the network's weights; empty if none was used."""
    engine: str = ""
    """What ran the network."""

    def differences(self, contents: Mapping[str, Contents], report: Report) -> list[str]:
        """Return what was not as it had been when the job was repeated, a sentence each.

        Args:
            contents: What was read this time.
            report: What was done this time.
        """
        told = [
            f"the {name} has changed since the job was written: another SHA-256"
            for name, then in self.contents.items()
            if name in contents and contents[name].sha256 != then.sha256
        ]
        if self.weights != report.digest:
            told.append("the network's weights are not those of the job")
        if self.engine != report.runtime:
            told.append(f"the network was run by {self.engine} for the job")
        return told


def place(output: Path) -> Path:
    """Return where the job file of an output lies: ``shot.job.json`` for ``shot.%04d.exr``."""
    stem = NUMBER.sub("", output.stem) if is_numbered(output) else output.stem
    name = stem.rstrip("._- ")
    return output.with_name((name or output.absolute().parent.name) + SUFFIX)


def wanted(output: Path, options: RenderOptions) -> bool:
    """Whether a render has a job file unless it is told otherwise.

    What is handed on to compositors has one: sequences, OpenEXR, several passes, and all that is
    made for some application. A clip for a browser or a talk does not need it beside it.
    """
    handed_on = len(options.passes) > 1 or options.purpose is not None
    return handed_on or is_numbered(output) or is_linear(output)


def check_place(path: Path, output: str, *, overwrite: bool) -> None:
    """Refuse to replace what is not the job file of the same output, before any work is done.

    Raises:
        OutputError: if there is such a file, or the folder is missing.
    """
    with writable(path):
        if not path.absolute().parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; create it first")
        if overwrite or not path.exists():
            return
    with suppress(InputError):
        if _same(read(path).output, output):
            return
    raise OutputError(
        f"{path} exists and is not the job file of {output}; give -y to overwrite it, --job PATH "
        "for another name, or --no-job"
    )


def _same(one: str, other: str) -> bool:
    return Path(one).absolute() == Path(other).absolute()


# ---- writing


def write(
    path: Path,
    where: str | Path,
    options: RenderOptions,
    report: Report,
    contents: Mapping[str, Contents],
    network_size: tuple[int, int] | None = None,
) -> None:
    """Write a job file, when the render is whole.

    Args:
        path: Where to; see ``place``.
        where: What was read, as ``render`` was told.
        options: What else it was told.
        report: What it said.
        contents: What ``Digests`` found of ``sources``.
        network_size: ``(width, height)`` of the network's input; ``None`` if none was used.

    Raises:
        OutputError: if it cannot be written.
    """
    folder = path.absolute().parent
    files: dict[str, Any] = {}

    def note_down(role: str, name: str) -> str:
        absolute = str(Path(name).expanduser().absolute())
        found = {role: to_plain(contents[role])} if role in contents else {}
        files[role] = {**_located(absolute, folder), **found.get(role, {})}
        return absolute

    if files_of(str(where)) is not None:
        note_down("input", str(where))
    pinned = through_paths(from_the_environment(options), note_down)
    content = {
        "job": SCHEMA,
        "streammatte": streammatte.__version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "input": str(where),
        "files": files,
        "output": _located(str(Path(report.output).absolute()), folder),
        "written_files": _written(Path(report.output), options),
        "network": {
            "model": report.model,
            "weights_sha256": report.digest,
            "runtime": report.runtime,
            "device": report.device,
            "precision": report.precision,
            "size": None if network_size is None else list(network_size),
        },
        "colour": {"taken_for": report.colour, "assumed": report.assumed},
        "options": to_plain(pinned),
        "versions": versions(),
        "platform": platform.platform(),
        "report": to_plain(report),
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writable(path):
        write_file(path, text.encode())


def _written(output: Path, options: RenderOptions) -> dict[str, dict[str, int]]:
    """Return how many files each pass has, by its name, and their bytes."""
    told = {}
    for target in {output, *targets(output, options.passes).values()}:
        if (found := files_of(str(target))) is not None:
            sizes = [path.stat().st_size for path in found.paths]
            told[target.name] = {"files": len(sizes), "bytes": sum(sizes)}
    return dict(sorted(told.items()))


def _located(absolute: str, folder: Path) -> dict[str, str]:
    """Return a path, and the same from a folder on, with slashes; alone if that is elsewhere."""
    try:
        return {"path": absolute, "relative": Path(os.path.relpath(absolute, folder)).as_posix()}
    except ValueError:  # on another drive
        return {"path": absolute}


# ---- reading


def read(path: Path) -> Job:
    """Read a job file; files that are no longer where they were are looked for from its folder.

    Raises:
        InputError: if it cannot be read, or is not one that this version understands.
    """
    content = _parsed(path)
    try:
        return _job(path, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}; render again to make a new one") from error
    except (ValueError, StreamMatteError) as error:
        raise InputError(
            f"{path} was written by streammatte {content.get('streammatte', 'of some version')}, "
            f"this is {streammatte.__version__}: {error}"
        ) from error


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError:  # neither JSON nor text
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("job"), int):
        raise InputError(f"{path} is no job file; those are called NAME{SUFFIX}")
    if content["job"] > SCHEMA:
        raise InputError(
            f"{path} was written by streammatte {content.get('streammatte')}, which is newer than "
            f"this one, {streammatte.__version__}; update to read it"
        )
    return content


def _job(path: Path, content: dict[str, Any]) -> Job:
    folder, files = path.absolute().parent, content["files"]
    options = from_plain(RenderOptions, content["options"], "options")
    places = {role: _found(entry, folder) for role, entry in files.items()}
    options = through_paths(options, places.get)
    contents = {role: _contents(entry) for role, entry in files.items() if "sha256" in entry}
    where = places.get("input", content["input"])
    warnings = [*_changed(sources(where, options), contents), *_other_versions(content["versions"])]
    output = content["output"]
    kept = Path(output["path"]).parent.is_dir() or "relative" not in output
    return Job(
        input=where,
        output=output["path"] if kept else str(folder / output["relative"]),
        options=options,
        warnings=warnings,
        contents=contents,
        weights=content["network"]["weights_sha256"],
        engine=content["network"]["runtime"],
    )


def _found(entry: dict[str, Any], folder: Path) -> str:
    """Return where a file is now: where it was, or as far from the job file as it was."""
    was: str = entry["path"]
    if files_of(was) is None and "relative" in entry:
        moved = str(folder / entry["relative"])
        if files_of(moved) is not None:
            return moved
    return was


def _contents(entry: dict[str, Any]) -> Contents:
    located = ("path", "relative")
    return from_plain(Contents, {k: v for k, v in entry.items() if k not in located}, "files")


def _changed(now: Mapping[str, Files], then: Mapping[str, Contents]) -> list[str]:
    """Say of files that are missing or of another size; contents are compared by digest, later."""
    told = []
    for role, before in then.items():
        if role not in now:
            told.append(f"the {role} of the job is not there any more")
            continue
        with suppress(OSError):
            count, size = len(now[role].paths), sum(p.stat().st_size for p in now[role].paths)
            if count != before.files:
                told.append(f"the {role} of the job had {before.files} files, now it has {count}")
            elif size != before.bytes:
                told.append(f"the {role} has changed since the job was written: another size")
    return told


def _other_versions(then: Mapping[str, str]) -> list[str]:
    now = versions()
    others = [
        f"{name} {version} (now {now.get(name, 'missing')})"
        for name, version in then.items()
        if now.get(name) != version
    ]
    return [f"the job was made with {', '.join(others)}"] if others else []
