"""What is asked of photographs: product shots."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from streammatte.options import Shadow, StillOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
examples:
  streammatte render photos/ --bg transparent -o cutouts/
  streammatte render 'photos/**/*.jpg' --bg white -o white/ --skip-existing
  streammatte render shoe.jpg --bg white --trim --pad 5% --canvas 2000x2000 --shadow soft

A folder, a pattern or several photographs go in, a folder comes out; see docs/stills.md.
"""


class _Help(argparse.Action):
    """Tells these options, which would make the usual help longer for most people."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        text = "stills and product shots"
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=text)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the help and end."""
        told = argparse.ArgumentParser(
            prog=parser.prog,
            usage=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description="What is asked of photographs.",
            epilog=EPILOG,
            add_help=False,
        )
        _declare(told)
        told.print_help()
        parser.exit()


def add_stills(parser: argparse.ArgumentParser) -> None:
    """Declare the options, which are told by ``--help-stills`` alone."""
    parser.add_argument("--help-stills", action=_Help)
    told = len(parser._actions)  # noqa: SLF001  argparse shows them to nobody else
    _declare(parser)
    for action in parser._actions[told:]:  # noqa: SLF001
        action.help = argparse.SUPPRESS


def _declare(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("stills and product shots")
    group.add_argument("--trim", action="store_true", help="cut the picture down to the subject")
    group.add_argument(
        "--pad", metavar="MARGIN", help="room around it: 5%% of its longer side, or 40px"
    )
    group.add_argument(
        "--centre", "--center", action="store_true", help="put the subject into the middle"
    )
    group.add_argument(
        "--canvas", metavar="WxH", help="fit it into so many pixels, as 2000x2000 (--pad is of it)"
    )
    group.add_argument(
        "--shadow", choices=get_args(Shadow), default="off", help="on the ground below it (off)"
    )
    group.add_argument(
        "--shadow-opacity", type=float, default=0.5, metavar="N", help="how dark, 0 to 1 (0.5)"
    )


def still_options(arguments: Any) -> StillOptions:
    """Return what was asked for.

    Raises:
        UsageError: if it cannot be.
    """
    share, pixels = (0.0, 0) if arguments.pad is None else StillOptions.parse_pad(arguments.pad)
    return StillOptions(
        trim=arguments.trim,
        pad_share=share,
        pad_pixels=pixels,
        centre=arguments.centre,
        canvas=None if arguments.canvas is None else StillOptions.parse_canvas(arguments.canvas),
        shadow=arguments.shadow,
        shadow_opacity=arguments.shadow_opacity,
    )
