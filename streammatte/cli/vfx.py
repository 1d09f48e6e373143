"""What compositors ask of ``render`` and ``matte``: passes, edges, colour, image sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from streammatte.cli.further import add_further
from streammatte.options import (
    Alpha,
    ColourOptions,
    Compression,
    EdgeOptions,
    LookOptions,
    Missing,
    Purpose,
    SequenceOptions,
    parse_passes,
    usual_passes,
)

if TYPE_CHECKING:
    import argparse

PURPOSES = get_args(Purpose)
EPILOG = """\
examples:
  streammatte render shot.mov --out comp,matte,fgr --bg sky.jpg -o shot_v2.mov
  streammatte render shot.mov --bg sky.jpg --linear --edge choke=1 -o shot_linear.mov
  streammatte render talk.mp4 --for premiere
  streammatte render plate.%04d.exr --bg sky.exr --frames 1001-1100 -o comp.%04d.exr
  streammatte render plate.####.exr --out premult,fgr,matte --multilayer -o cut.####.exr
"""


def add_vfx(parser: argparse.ArgumentParser) -> None:
    """Declare the options, which are told by ``--help-vfx`` alone."""
    summary, description = "passes, edges, colour, image sequences", "What compositors ask for."
    add_further(parser, "--help-vfx", summary, description, EPILOG, _declare)


def _declare(parser: argparse.ArgumentParser) -> None:
    _add_passes(parser)
    _add_look(parser)
    _add_colour(parser)
    _add_sequences(parser)


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
        help="straight or premult (straight; EXR premult)",
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
        ("output", "of OUT (the input's; of EXR the working space)"),
    ):
        group.add_argument(f"--{name}-space", metavar="SPACE", help=what)


def _add_sequences(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "image sequences: plate.%%04d.exr or plate.####.exr (.exr, .dpx, .tif, .png, .jpg)"
    )
    group.add_argument("--frames", metavar="A-B", help="by their numbers, as 1001-1100 (all)")
    group.add_argument("--handles", type=int, default=0, metavar="N", help="more on either side")
    group.add_argument(
        "--start-number", type=int, metavar="N", help="of OUT (as IN; 1001 if IN has none)"
    )
    group.add_argument(
        "--missing",
        choices=get_args(Missing),
        default="fail",
        metavar="HOW",
        help="what is not there: hold the frame before, skip or fail (fail)",
    )
    group.add_argument("--rate", metavar="FPS", help="frames a second (as the files say, or 24)")
    group.add_argument(
        "--compression",
        choices=get_args(Compression),
        default="zips",
        metavar="NAME",
        help=f"of EXR: {', '.join(get_args(Compression))} (zips); mattes never dwaa",
    )
    group.add_argument("--float", dest="full_float", action="store_true", help="EXR in 32 bits")
    group.add_argument("--multilayer", action="store_true", help="all passes in one EXR a frame")
    group.add_argument("--skip-existing", action="store_true", help="render what is not there yet")


def vfx_options(arguments: Any) -> dict[str, Any]:
    """Return what was asked for, by the names of the fields of ``RenderOptions``."""
    frames, rate = arguments.frames, arguments.rate
    usual = usual_passes(multilayer=arguments.multilayer, behind=arguments.bg is not None)
    asked = {"passes": arguments.out, "edges": arguments.edge}
    return {
        "named": tuple(name for name, value in asked.items() if value is not None),
        "passes": usual if arguments.out is None else parse_passes(arguments.out),
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
        "sequence": SequenceOptions(
            frames=None if frames is None else SequenceOptions.parse_frames(frames),
            start_number=arguments.start_number,
            missing=arguments.missing,
            handles=arguments.handles,
            rate=None if rate is None else SequenceOptions.parse_rate(rate),
            compression=arguments.compression,
            full_float=arguments.full_float,
            multilayer=arguments.multilayer,
            skip_existing=arguments.skip_existing,
        ),
    }
