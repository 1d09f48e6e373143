"""The command line: one thin file a command, errors turned into one line and an exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import streammatte
from streammatte.cli import doctor, models, render
from streammatte.errors import Interrupted, StreamMatteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_EPILOG = "exit codes: 0 done, 2 usage, 3 input, 4 device or package, 5 model, 6 runtime, 7 output, 130 interrupted"  # noqa: E501


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line instead of repeating all options."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with _signals():
            code: int = arguments.run(arguments)
            return code
    except KeyboardInterrupt:
        return _failed(Interrupted("interrupted; nothing was written"), arguments)
    except StreamMatteError as error:
        return _failed(error, arguments)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:  # a bug of ours: no traceback unless asked for
        if arguments.debug:
            raise
        name = type(error).__name__
        sys.stderr.write(
            f"streammatte: internal error: {name}: {error}; run again with --debug and report it\n"
        )
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streammatte",
        description="Cut the subject out of moving pictures and put a new background behind it.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=streammatte.__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of errors")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (render, doctor, models):
        sub = commands.add_parser(
            command.NAME, help=command.HELP, description=command.HELP, allow_abbrev=False
        )
        sub.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


@contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM end the work as cleanly as Ctrl-C does."""

    def interrupt(number: int, _frame: Any) -> NoReturn:
        raise Interrupted(f"ended by {signal.Signals(number).name}; nothing was written")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failed(error: StreamMatteError, arguments: argparse.Namespace) -> int:
    if arguments.debug:
        raise error
    message = " ".join(str(error).split())
    if getattr(arguments, "json", False):
        event = {"event": "error", "exit_code": error.exit_code, "message": message}
        sys.stdout.write(json.dumps(event) + "\n")
    sys.stderr.write(f"streammatte: {message}\n")
    return error.exit_code
