"""``streammatte live``: camera in, virtual webcam out."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from streammatte.cli.network import add_network, network_options
from streammatte.cli.process import own_process
from streammatte.errors import UsageError
from streammatte.options import Quality

if TYPE_CHECKING:
    import argparse

    from streammatte.live.options import LiveOptions

NAME = "live"
USAGE = "streammatte live [--camera CAMERA] [--bg BACKGROUND] [--vcam WHERE] [options]"
HELP = "put a new background behind the subject of a camera, for meetings and streams"
EPILOG = """\
examples:
  streammatte live --bg beach.jpg                      the first camera, the first virtual camera
  streammatte live --camera C920 --mode 1280x720@30:mjpg --bg blur:30
  streammatte live --bg office.jpg --control 127.0.0.1:8765
  streammatte live --camera talk.mp4 --bg beach.jpg --vcam window     a rehearsal
  streammatte live --bg beach.jpg --vcam /dev/video20 --record talk.mp4

Before the first: streammatte devices, and on Linux streammatte vcam setup.
Keys, in a terminal: space slate, f freeze, b background alone, m mirror, q end, and the scenes'.
It ends with Ctrl-C, and then says how it was.
--json writes one object a line: {"event": "started"}, "entered" (a state), "told", "beat" (once a
second), then "done" or "error".
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _add_camera(parser)
    _add_outputs(parser)
    _add_picture(parser)
    add_network(parser)
    _add_control(parser)
    _add_behaviour(parser)


def _add_camera(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("camera")
    group.add_argument(
        "--camera",
        default="auto",
        metavar="CAMERA",
        help="its number, path or part of its name; a file or URL for a rehearsal (the first one)",
    )
    group.add_argument(
        "--mode",
        metavar="MODE",
        help="such as 1280x720@30:mjpg, or a part of that (a sensible one)",
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("outputs")
    group.add_argument(
        "--vcam",
        action="append",
        metavar="WHERE",
        help="auto, /dev/video20, obs, window, null, udp://..., rtmp://... or a file; "
        "may be given more than once (auto)",
    )
    group.add_argument("--record", metavar="FILE", help="write it to a file as well")
    group.add_argument("-y", dest="overwrite", action="store_true", help="overwrite FILE")
    group.add_argument("--preview", action="store_true", help="show it in a window as well")
    group.add_argument("--fps", metavar="N", help="pictures a second that leave (the camera's)")


def _add_picture(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("picture")
    group.add_argument(
        "--bg",
        default="blur",
        metavar="BACKGROUND",
        help="beach.jpg, loop.mp4, '#00b140', green, blur or blur:20 (blur)",
    )
    group.add_argument(
        "--bg-fit",
        choices=("cover", "contain", "stretch"),
        default="cover",
        help="how a background file fills the picture (cover)",
    )
    group.add_argument("--mirror", action="store_true", help="mirror the subject")
    group.add_argument(
        "--softness", type=float, default=0.0, metavar="N", help="of the edge, 0 to 1 (0)"
    )
    group.add_argument(
        "--quality",
        choices=get_args(Quality),
        default="live",
        metavar="HOW",
        help=f"{', '.join(get_args(Quality))} (live)",
    )
    group.add_argument(
        "--align",
        choices=("matched", "lowest"),
        default="matched",
        help="matched: each matte on its own frame, a little late; lowest: at once (matched)",
    )
    group.add_argument(
        "--slate", metavar="FILE", help="the picture to show instead of nothing (a plain one)"
    )


def _add_control(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("control")
    group.add_argument(
        "--control",
        nargs="?",
        const="127.0.0.1:8765",
        metavar="HOST:PORT",
        help="serve a page and an API to control it (127.0.0.1:8765 if nothing else is said)",
    )
    group.add_argument("--token", metavar="TOKEN", help="what they must know (one that is kept)")
    group.add_argument(
        "--backgrounds", metavar="FOLDER", help="pictures that the page offers as backgrounds"
    )
    group.add_argument("--scenes", metavar="FILE", help="named sets of settings, in TOML")


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("behaviour")
    group.add_argument(
        "--on-demand",
        action="store_true",
        help="let go of the camera while nobody reads the virtual camera",
    )
    group.add_argument(
        "--no-governor",
        dest="governed",
        action="store_false",
        help="never give up quality for the frame rate",
    )
    group.add_argument("--frames", type=int, metavar="N", help="end after so many pictures")
    group.add_argument("-t", metavar="SECONDS", type=float, help="end after so long")
    group.add_argument("--json", action="store_true", help="events on standard output, see below")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Show until it is ended, telling how it goes."""
    from streammatte.cli.live_told import listener  # heavy: only once the words make sense
    from streammatte.live.show import live

    options = _options(arguments)
    own_process()
    with listener(json=arguments.json, quiet=arguments.quiet) as told:
        report = live(options, told.tell, told.keys)
    told.done(report)
    return 0


def _options(arguments: Any) -> LiveOptions:
    from streammatte.live.options import LiveOptions
    from streammatte.live.settings import Settings

    return LiveOptions(
        camera=arguments.camera,
        mode=arguments.mode,
        outputs=tuple(arguments.vcam or ["auto"]),
        record=_path(arguments.record),
        preview=arguments.preview,
        overwrite=arguments.overwrite,
        settings=Settings(
            background=arguments.bg,
            fit=arguments.bg_fit,
            mirror=arguments.mirror,
            softness=arguments.softness,
            model=arguments.model,
            quality=arguments.quality,
        ),
        network=network_options(arguments),
        align=arguments.align,
        rate=None if arguments.fps is None else _rate(arguments.fps),
        governed=arguments.governed,
        on_demand=arguments.on_demand,
        slate=arguments.slate,
        scenes=_path(arguments.scenes),
        backgrounds=_folder(arguments.backgrounds),
        control=arguments.control,
        token=arguments.token,
        frames=arguments.frames,
        seconds=arguments.t,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _folder(text: str | None) -> Path | None:
    if text is not None and not Path(text).is_dir():
        raise UsageError(f"--backgrounds: {text} is no folder")
    return _path(text)


def _rate(text: str) -> Fraction:
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3}|/[1-9][0-9]{0,3})?", text):
        raise UsageError(f"--fps: {text!r} is not a rate; write it as 30 or 30000/1001")
    return Fraction(text)
