"""Options that a help of their own tells, which would make the usual one too long for most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def add_further(
    parser: argparse.ArgumentParser,
    flag: str,
    summary: str,
    description: str,
    epilog: str,
    declare: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Declare options that only ``flag`` tells of.

    Args:
        parser: Of the command.
        flag: Such as ``--help-vfx``.
        summary: What the usual help says of it.
        description: What its own help begins with.
        epilog: What that ends with.
        declare: Adds the options to a parser.
    """

    class Help(argparse.Action):
        def __init__(self, option_strings: list[str], dest: str, **_: Any) -> None:
            super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=summary)

        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            told = argparse.ArgumentParser(
                prog=parser.prog,
                usage=argparse.SUPPRESS,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                description=description,
                epilog=epilog,
                add_help=False,
            )
            declare(told)
            told.print_help()
            parser.exit()

    parser.add_argument(flag, action=Help)
    usual = len(parser._actions)  # noqa: SLF001  argparse shows them to nobody else
    declare(parser)
    for action in parser._actions[usual:]:  # noqa: SLF001
        action.help = argparse.SUPPRESS
