"""The command line: one thin file a command, errors turned into one line and an exit code."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import streammatte
from streammatte.cli import console, devices, doctor, engine, live, matte, models, render, vcam
from streammatte.cli.hints import unknown_word
from streammatte.cli.signals import end_now, interruptible
from streammatte.errors import (
    DependencyError,
    Interrupted,
    OutputError,
    RuntimeFailure,
    StreamMatteError,
    UsageError,
)
from streammatte.threads import any_left

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
examples:
  streammatte render talk.mp4 --bg beach.jpg
  streammatte live --bg blur
  streammatte doctor

exit codes:
  0 done, 2 usage, 3 input, 4 device or package, 5 model, 6 runtime, 7 output, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: The words after the program's name; ``None`` for those of this process, which is
            then taken to end with the command.
    """
    code = _ended(argv)
    if argv is None and any_left():
        # It would be waited for, or torn out of a native call, while Python ends.
        end_now(code)
    return code


def _ended(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    console.repair()
    try:
        with interruptible(restore=argv is not None) as received:
            try:
                return _run(words)
            except BrokenPipeError:  # as in "streammatte doctor | head -1"
                return OutputError.exit_code
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  none may pass
                return _failed(_ours(error, received.name), words)
    except KeyboardInterrupt:  # while another error was being told
        return Interrupted.exit_code


def _run(words: list[str]) -> int:
    parser = _parser()
    if not words:
        console.say(parser.format_help())
        return UsageError.exit_code
    try:
        arguments, unknown = parser.parse_known_args(words)
    except SystemExit as end:  # after --help and --version
        console.out("")
        return int(end.code or 0)
    if unknown:
        raise UsageError(unknown_word(unknown[0], words))
    code: int = arguments.run(arguments)
    return code


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong instead of repeating all options."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("argument --bg: expected"):
            message += "; a colour must be quoted in a shell: --bg '#00b140'"
        raise UsageError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streammatte",
        description="Cut the subject out of moving pictures and put a new background behind it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=streammatte.__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of errors")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (render, matte, live, devices, vcam, doctor, models, engine):
        sub = commands.add_parser(
            command.NAME,
            usage=command.USAGE,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:] + ".",
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _ours(error: BaseException, signal: str) -> StreamMatteError:
    """Return the error of our tree that says the same.

    Args:
        error: What came up.
        signal: The one that was received before, which libraries may have turned into anything.
    """
    if signal or isinstance(error, KeyboardInterrupt):
        by = f" by {signal}" if signal not in ("", "SIGINT") else ""
        done = f"; {error}" if isinstance(error, KeyboardInterrupt) and str(error) else ""
        return Interrupted(f"interrupted{by}{done}; nothing unfinished was left behind")
    if isinstance(error, StreamMatteError):
        ours = error
    elif isinstance(error, ImportError):
        ours = DependencyError(f"a package does not load: {error}; reinstall streammatte")
    elif isinstance(error, MemoryError):
        ours = RuntimeFailure("not enough memory for pictures of this size; make them smaller")
    else:
        ours = StreamMatteError(
            f"internal error: {type(error).__name__}: {error}; "
            "run again with --debug and report what it shows"
        )
    return ours


def _failed(error: StreamMatteError, words: list[str]) -> int:
    """Say what went wrong, in one line, and as an event where events are wanted."""
    if "--debug" in words:
        console.say(traceback.format_exc())
    message = console.one_line(str(error))
    if isinstance(error, UsageError):
        message += _dash_hint(words)
    tells = {render.NAME, matte.NAME, live.NAME, models.NAME, engine.NAME}
    if tells.intersection(words[:2]) and "--json" in words:
        event = {"event": "error", "exit_code": error.exit_code, "message": message}
        with suppress(BrokenPipeError, OutputError):
            console.out(json.dumps(event) + "\n")
    console.say(f"streammatte: {message}\n")
    return error.exit_code


def _dash_hint(words: list[str]) -> str:
    """Explain why a file whose name looks like an option was not found."""
    for word in words:
        if word.startswith("-") and len(word) > 1 and Path(word).is_file():
            return f"; for the file of that name write .{'/'}{word}"
    return ""
