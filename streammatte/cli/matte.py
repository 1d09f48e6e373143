"""``streammatte matte``: the alpha alone. Short for ``render --out matte``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.cli import render

if TYPE_CHECKING:
    import argparse

NAME = "matte"
USAGE = "streammatte matte IN [-o OUT] [options]"
HELP = "write the matte of a video or a photograph"
EPILOG = """\
examples:
  streammatte matte talk.mp4                                    writes talk_matte.mov
  streammatte matte talk.mp4 -o matte.mkv                       FFV1, lossless

The options are those of render; 'render --out comp,matte' writes both in one run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    render.add_arguments(parser)
    parser.set_defaults(out="matte")


def run(arguments: argparse.Namespace) -> int:
    """Render the matte, telling how it goes."""
    return render.run(arguments)
