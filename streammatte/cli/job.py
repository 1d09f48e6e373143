"""``render``'s options for job files: whether one is written, and which one is repeated."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

BESIDE = ""
"""What ``--job`` is without a path."""
ALLOWED = ("job_from", "output", "overwrite", "job", "json", "quiet")
"""What may be given along with ``--from``, by argparse's names."""


def add_job(parser: ArgumentParser, *, told: bool = True) -> None:
    """Declare the options.

    Args:
        parser: Of the command.
        told: Whether they are in its help.
    """

    def text(words: str) -> str:
        return words if told else SUPPRESS

    group = parser.add_argument_group("job file: what was done, to repeat it" if told else None)
    group.add_argument(
        "--from",
        dest="job_from",
        metavar="JOB",
        help=text("what a .job.json says, once more; -o, -y, -q, --json and --job go with it"),
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--job",
        nargs="?",
        const=BESIDE,
        metavar="PATH",
        help=text("write one beside OUT, or to PATH (for several passes and --for)"),
    )
    either.add_argument("--no-job", dest="job", action="store_false", help=text("write none"))


def record_of(arguments: Namespace) -> bool | Path | None:
    """Return where the job file goes, as ``recorded.render`` takes it."""
    if isinstance(arguments.job, str):
        return Path(arguments.job) if arguments.job != BESIDE else True
    return None if arguments.job is None else False


def check_input(arguments: Namespace) -> None:
    """Refuse a command that names no footage.

    Raises:
        UsageError: in argparse's own words.
    """
    if arguments.input is None:
        raise UsageError("the following arguments are required: IN; see streammatte render --help")


def check_alone(arguments: Namespace, declare: Callable[[ArgumentParser], None]) -> None:
    """Refuse options that would change the job that is to be repeated.

    Args:
        arguments: What was given.
        declare: Declares all options of the command.

    Raises:
        UsageError: that names one of them.
    """
    parser = ArgumentParser(add_help=False)
    declare(parser)
    plain = vars(parser.parse_args([]))
    changed = {
        name
        for name, value in vars(arguments).items()
        if name in plain and name not in ALLOWED and value != plain[name]
    }
    for action in parser._actions:  # noqa: SLF001  argparse has no other way to list them
        if action.dest in changed:
            word = action.option_strings[0] if action.option_strings else str(action.metavar)
            raise UsageError(
                f"--from repeats a job as it was, so {word} does not go with it; leave it out, or "
                "give all options without --from"
            )
