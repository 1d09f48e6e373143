"""What is asked of photographs: product shots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from streammatte.cli.further import add_further
from streammatte.options import Shadow, StillOptions

if TYPE_CHECKING:
    import argparse

EPILOG = """\
examples:
  streammatte render photos/ --bg transparent -o cutouts/
  streammatte render 'photos/**/*.jpg' --bg white -o white/ --skip-existing
  streammatte render shoe.jpg --bg white --trim --pad 5% --canvas 2000x2000 --shadow soft

A folder, a pattern or several photographs go in, a folder comes out; see docs/stills.md.
"""


def add_stills(parser: argparse.ArgumentParser) -> None:
    """Declare the options, which are told by ``--help-stills`` alone."""
    summary, description = "stills and product shots", "What is asked of photographs."
    add_further(parser, "--help-stills", summary, description, EPILOG, _declare)


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
