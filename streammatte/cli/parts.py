"""What commands with sub-commands share: how those are declared, and how facts are printed."""

from __future__ import annotations

import argparse
import json
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from streammatte.cli import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streammatte.whole import Waste

    Act = Callable[[argparse.Namespace], int]

WIDTH = 80
_COLUMN = 12
_MEGABYTE = 1e6


def command(
    commands: Any, name: str, text: str, act: Act, epilog: str = "", usage: str | None = None
) -> argparse.ArgumentParser:
    """Declare a sub-command.

    Args:
        commands: What ``add_subparsers`` gave.
        name: The word.
        text: What it does; begins with a small letter.
        act: Does it, and returns the exit code.
        epilog: What its help ends with.
        usage: What its help begins with, where argparse would fill a screen.
    """
    sub: argparse.ArgumentParser = commands.add_parser(
        name,
        usage=usage,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    sub.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    sub.set_defaults(act=act)
    return sub


def add_json(parser: argparse.ArgumentParser, default: Any) -> None:
    """Declare ``--json``."""
    parser.add_argument(
        "--json", action="store_true", default=default, help="as JSON, for programs"
    )


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a command that throws away what can be made again."""
    parser.add_argument(
        "--dry-run", action="store_true", help="remove nothing, but say what would be"
    )
    parser.add_argument(
        "--all", action="store_true", help="remove all; they are made again when used"
    )
    add_json(parser, argparse.SUPPRESS)


def tell_removed(removed: list[Waste], arguments: argparse.Namespace) -> int:
    """Print what was thrown away, or would be; return the exit code."""
    total = sum(waste.bytes for waste in removed)
    if arguments.json:
        found = [{**waste._asdict(), "path": str(waste.path)} for waste in removed]
        print_json({"removed": found, "bytes": total, "dry_run": arguments.dry_run})
        return 0
    lines = [
        f"{_size(waste.bytes)}  {console.one_line(f'{waste.path.name} ({waste.why})')}"
        for waste in removed
    ]
    print_lines(
        [*lines, f"{_size(total)}  {'would be removed' if arguments.dry_run else 'removed'}"]
    )
    return 0


def _size(count: int) -> str:
    return f"{count / _MEGABYTE:8.1f} MB"


def rows(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield names and values, wrapped."""
    wrap = TextWrapper(
        WIDTH,
        subsequent_indent=" " * (_COLUMN + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for name, value in facts:
        yield from wrap.wrap(f"  {name:<{_COLUMN}}{console.one_line(value)}")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    console.out("\n".join(lines) + "\n")


def print_json(what: Any) -> None:
    """Print facts to standard output, for programs."""
    console.out(json.dumps(what, indent=2) + "\n")
