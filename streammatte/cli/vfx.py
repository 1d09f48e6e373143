"""What compositors ask of ``render`` and ``matte``: passes, edges, colour."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from streammatte.options import (
    Alpha,
    ColourOptions,
    EdgeOptions,
    LookOptions,
    parse_passes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PURPOSES = ("premiere", "resolve", "ae", "web", "obs", "packed")
"""The others of ``delivery.PRESETS`` need image sequences, which are not written yet."""
EPILOG = """\
examples:
  streammatte render shot.mov --out comp,matte,fgr --bg sky.jpg -o shot_v2.mov
  streammatte render shot.mov --bg sky.jpg --linear --edge choke=1 -o shot_linear.mov
  streammatte render talk.mp4 --for premiere
"""


class _Help(argparse.Action):
    """Tells these options, which would make the usual help twice as long for most people."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        text = "passes, edges, colour"
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=text)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the help and end."""
        told = argparse.ArgumentParser(
            prog=parser.prog,
            usage=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description="What compositors ask for.",
            epilog=EPILOG,
            add_help=False,
        )
        _declare(told)
        told.print_help()
        parser.exit()


def add_vfx(parser: argparse.ArgumentParser) -> None:
    """Declare the options, which are told by ``--help-vfx`` alone."""
    parser.add_argument("--help-vfx", action=_Help)
    told = len(parser._actions)  # noqa: SLF001  argparse shows them to nobody else
    _declare(parser)
    for action in parser._actions[told:]:  # noqa: SLF001
        action.help = argparse.SUPPRESS


def _declare(parser: argparse.ArgumentParser) -> None:
    _add_passes(parser)
    _add_look(parser)
    _add_colour(parser)


def _add_passes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("passes")
    group.add_argument(
        "--out",
        metavar="LIST",
        help="some of comp, matte, fgr, premult, confidence, plate (comp): OUT_matte.mov",
    )
    group.add_argument(
        "--alpha",
        choices=get_args(Alpha),
        metavar="HOW",
        help="straight or premult (straight)",
    )
    group.add_argument(
        "--for",
        dest="purpose",
        choices=PURPOSES,
        metavar="WHERE",
        help=f"{', '.join(PURPOSES)}: sets what is left open, see docs/delivery.md",
    )


def _add_look(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("edges and colours")
    group.add_argument(
        "--edge",
        metavar="LIST",
        help="such as choke=1,feather=2,gamma=1.2, in lines of 1080 (none of it)",
    )
    group.add_argument(
        "--despill",
        default="off",
        metavar="SCREEN",
        help="a key screen's light out of the subject: green, blue, auto, green:0.8 (off)",
    )
    group.add_argument(
        "--light-wrap",
        type=float,
        default=0.0,
        metavar="N",
        help="the background's light round edges, 0 to 1 (0)",
    )
    group.add_argument(
        "--mask-override",
        metavar="MASKS",
        help="mattes made by hand, fix.%%04d.png, for the frames they are there for",
    )


def _add_colour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("colour (see docs/colour.md)")
    group.add_argument("--linear", action="store_true", help="composite in linear light")
    group.add_argument(
        "--ocio", metavar="CONFIG", help="a path or ocio://NAME ($OCIO if a space is given)"
    )
    for name, what in (
        ("input", "of IN"),
        ("working", "that layers are put together in (scene_linear)"),
        ("output", "of OUT (the input's)"),
    ):
        group.add_argument(f"--{name}-space", metavar="SPACE", help=what)


def vfx_options(arguments: Any) -> dict[str, Any]:
    """Return what was asked for, by the names of the fields of ``RenderOptions``."""
    return {
        "passes": parse_passes(arguments.out) if arguments.out is not None else ("comp",),
        "alpha": arguments.alpha,
        "purpose": arguments.purpose,
        "edges": EdgeOptions() if arguments.edge is None else EdgeOptions.parse(arguments.edge),
        "look": LookOptions.parse(arguments.despill, arguments.light_wrap),
        "mask_override": arguments.mask_override,
        "colour": ColourOptions(
            arguments.linear,
            arguments.ocio,
            arguments.input_space,
            arguments.working_space,
            arguments.output_space,
        ),
    }
