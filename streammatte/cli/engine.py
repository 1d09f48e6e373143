"""``streammatte engine``: networks compiled by TensorRT for NVIDIA's GPUs, and where they lie."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streammatte.cli import console, engine_build, parts
from streammatte.engines.kinds import KINDS, words_of
from streammatte.errors import ModelError, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streammatte.engines.fingerprint import Fingerprint
    from streammatte.engines.store import Entry, Store

NAME = "engine"
USAGE = "streammatte engine [list | build | info | verify | prune] [options]"
HELP = "compile networks for NVIDIA GPUs; list, check and remove the engines"
EPILOG = """\
examples:
  streammatte engine build birefnet-lite --size 512
  streammatte engine                            all engines
  streammatte engine verify                     are they what was compiled?
  streammatte engine prune --dry-run            which are of no use any more

A render with --runtime tensorrt or tensorrt-rtx compiles what it needs on first use; 'build'
does so beforehand, for other GPUs too. 'streammatte engine build --help' tells its options.
"""
_WHICH = "a network, an engine as 'streammatte engine list' calls it, or its key"
_EXIT = "exit code: 0 if all are what was compiled, 6 if one is not\n"
_PRUNE = """\
Of no use are those of another version of TensorRT than is installed (if it is not installed, they
stay), those that are damaged, and what was left unfinished.
"""
_GOOD = "good"
_MEBIBYTE = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands; without one it is ``list``."""
    parser.set_defaults(act=_list)
    parts.add_json(parser, False)
    commands = parser.add_subparsers(
        title="what to do", metavar="WHAT", prog=f"streammatte {NAME}", parser_class=type(parser)
    )
    sub = parts.command(commands, "list", "list the engines that are here (the default)", _list)
    parts.add_json(sub, argparse.SUPPRESS)
    text = "compile a network with TensorRT or TensorRT-RTX, unless it is here already"
    sub = parts.command(
        commands, "build", text, engine_build.run, engine_build.EPILOG, engine_build.USAGE
    )
    engine_build.add_arguments(sub)
    parts.add_json(sub, argparse.SUPPRESS)
    sub = parts.command(commands, "info", "tell all that is known of engines", _info)
    sub.add_argument("name", metavar="NAME", help=_WHICH)
    parts.add_json(sub, argparse.SUPPRESS)
    sub = parts.command(commands, "verify", "read engines and check them", _verify, _EXIT)
    sub.add_argument("name", metavar="NAME", nargs="?", help=f"{_WHICH} (all)")
    parts.add_json(sub, argparse.SUPPRESS)
    text = "remove engines that are of no use any more"
    parts.add_prune(parts.command(commands, "prune", text, _prune, _PRUNE))


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for."""
    code: int = arguments.act(arguments)
    return code


def _list(arguments: argparse.Namespace) -> int:
    store = _store()
    entries = store.entries()
    if arguments.json:
        parts.print_json([{**facts_of(entry), "state": _state(store, entry)} for entry in entries])
        return 0
    if not entries:
        parts.print_lines(["no engines here; 'streammatte engine build NAME' makes one"])
        return 0
    table = [_line(store, entry) for entry in entries]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    parts.print_lines(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
    return 0


def _line(store: Store, entry: Entry) -> tuple[str, ...]:
    """Return the cells of the list: network, size, precision, runtime, GPUs, MiB, age, state."""
    name, fingerprint = console.one_line(entry.name), entry.fingerprint
    if fingerprint is None:
        return name, "", "", "", "", "", "", _state(store, entry)
    _, height, width = fingerprint.shape
    return (
        name,
        f"{height}x{width}",
        fingerprint.precision,
        f"{fingerprint.kind} {fingerprint.version}",
        for_whom(fingerprint, short=True),
        f"{entry.bytes / _MEBIBYTE:.1f} MiB",
        _age(entry.built),
        _state(store, entry),
    )


def _state(store: Store, entry: Entry, *, read: bool = False) -> str:
    from streammatte.engines.store import outdated

    return store.why_not(entry, read=read) or outdated(entry) or _GOOD


def _age(built: datetime | None) -> str:
    if built is None:
        return "?"
    seconds = max((datetime.now(UTC) - built).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def for_whom(fingerprint: Fingerprint, *, short: bool = False) -> str:
    """Return in words which GPUs an engine is for."""
    if fingerprint.device:
        return fingerprint.device
    words = ", " if not short else ","
    if fingerprint.capabilities:
        numbers = words.join(map(words_of, fingerprint.capabilities))
        return numbers if short else f"GPUs of compute capability {numbers}"
    kind = KINDS.get(fingerprint.kind)
    least = kind.portable_from if kind else None
    if kind is None or least is None:
        return "any"
    if short:
        return f"{words_of(least)} and up"
    return "GPUs of compute capability " + words.join(
        words_of(one) for one in kind.capabilities if one >= least
    )


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return what is known of an engine, for programs."""
    facts: dict[str, Any] = {"name": entry.name, "folder": str(entry.folder)}
    if entry.fingerprint is None:
        return facts
    _, height, width = entry.fingerprint.shape
    return {
        **facts,
        "runtime": entry.fingerprint.kind,
        "version": entry.fingerprint.version,
        "size": (width, height),
        "precision": entry.fingerprint.precision,
        "capabilities": [words_of(one) for one in entry.fingerprint.capabilities],
        "device": entry.fingerprint.device,
        "key": entry.fingerprint.key,
        "plan": str(entry.plan),
        "bytes": entry.bytes,
        "seconds": entry.seconds,
        "built": entry.facts.get("built"),
        "sha256": entry.facts.get("sha256"),
        "fingerprint": entry.fingerprint.as_dict(),
        **{key: entry.facts[key] for key in ("gpu", "driver", "source") if key in entry.facts},
    }


def _info(arguments: argparse.Namespace) -> int:
    store = _store()
    entries = _named(store, arguments.name)
    if arguments.json:
        parts.print_json([{**facts_of(entry), "state": _state(store, entry)} for entry in entries])
        return 0
    for entry in entries:
        parts.print_lines([entry.folder.name, *parts.rows(_told(store, entry))])
    return 0


def _told(store: Store, entry: Entry) -> Iterator[tuple[str, str]]:
    yield "state", _state(store, entry)
    if fingerprint := entry.fingerprint:
        batch, height, width = fingerprint.shape
        yield "network", entry.name
        yield "takes", f"{batch} at once of {height}x{width}, in {fingerprint.precision}"
        yield "runtime", f"{fingerprint.kind} {fingerprint.version}, CUDA {fingerprint.cuda}"
        yield "for", for_whom(fingerprint)
        yield "builder", ", ".join(f"{name} {value}" for name, value in fingerprint.options)
        yield "compiled", f"{entry.facts.get('built')} in {entry.seconds:.0f} s"
        if "gpu" in entry.facts:
            yield "on", f"{entry.facts['gpu']}, driver for CUDA {entry.facts.get('driver')}"
        yield "size", f"{entry.bytes / _MEBIBYTE:.1f} MiB"
        yield "SHA-256", str(entry.facts.get("sha256"))
        yield "graph", fingerprint.onnx
        for key, value in sorted(dict(entry.facts.get("source") or {}).items()):
            yield key.removeprefix("streammatte."), str(value)
    yield "folder", str(entry.folder)


def _verify(arguments: argparse.Namespace) -> int:
    store = _store()
    entries = store.entries() if arguments.name is None else _named(store, arguments.name)
    found = [(entry, store.why_not(entry)) for entry in entries]
    damaged = [(entry, why) for entry, why in found if why]
    if damaged:
        entry, why = damaged[0]
        raise RuntimeFailure(
            f"{len(damaged)} of {len(found)} engines cannot be used, the first is {entry.folder}: "
            f"{why}; it is compiled anew when it is wanted, 'streammatte engine prune' removes it"
        )
    if arguments.json:
        parts.print_json([facts_of(entry) for entry, _ in found])
    else:
        lines = [f"{entry.folder.name}: {_state(store, entry)}" for entry, _ in found]
        parts.print_lines(lines or ["no engines here"])
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    removed = list(_store().prune(everything=arguments.all, dry=arguments.dry_run))
    return parts.tell_removed(removed, arguments)


def _named(store: Store, name: str) -> list[Entry]:
    """Return the engines that are meant.

    Raises:
        ModelError: if there is none.
    """
    found = [
        entry
        for entry in store.entries()
        if name in (entry.name, entry.folder.name) or entry.folder.name.endswith(f"-{name}")
    ]
    if not found:
        raise ModelError(
            f"there is no engine {name}; 'streammatte engine list' shows those that are here, "
            "'streammatte engine build' makes one"
        )
    return found


def _store() -> Store:
    from streammatte.engines.store import Store

    return Store()
