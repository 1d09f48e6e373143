"""``streammatte render``: footage in, finished file out."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from streammatte.cli.job import add_job, check_alone, check_input, record_of
from streammatte.cli.network import add_network, network_options
from streammatte.cli.process import own_process
from streammatte.cli.progress import listener
from streammatte.cli.stills import add_stills, still_options
from streammatte.cli.vfx import add_vfx, vfx_options
from streammatte.errors import InputError, UsageError
from streammatte.options import (
    BackgroundSpec,
    Decontaminate,
    EncodeOptions,
    MatteOptions,
    Quality,
    Refine,
    RenderOptions,
    Subject,
    Temporal,
    Zone,
    make_window,
    parse_bitrate,
    parse_every,
)

NAME = "render"
USAGE = "streammatte render IN --bg BACKGROUND [-o OUT] [options]"
HELP = "put a new background behind the subject of a video or a photograph"
EPILOG = """\
examples:
  streammatte render talk.mp4 --bg beach.jpg                    writes talk_beach.mp4
  streammatte render talk.mp4 --bg blur:30 -o private.mp4
  streammatte render talk.mp4 --bg '#00b140' --codec hevc --crf 22
  streammatte render talk.mp4 --bg transparent -o talk.mov      ProRes 4444 with alpha
  streammatte render talk.mp4 --bg loop.mp4 -ss 1:30 -t 20      20 s from 1:30 on
  streammatte render photos/ --bg transparent -o cutouts/       every photograph in it
  streammatte render talk.mp4 --bg beach.jpg --model birefnet-lite --every 5
  streammatte render --from shot.job.json -o again.mov          the same once more

OUT is refused if it exists (-y replaces it), and appears only when it is whole.
--json writes one object a line: {"event": "start"}, "progress", then "done" or "error".
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input",
        metavar="IN",
        nargs="?",
        help="a video, plate.%%04d.exr, a photograph or a folder",
    )
    parser.add_argument("more", metavar="IN", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=".mp4, .mov, .mkv or .webm; of a photograph .png, .jpg, ... (IN_BACKGROUND beside IN)",
    )
    parser.add_argument(
        "--bg",
        metavar="BACKGROUND",
        help="beach.jpg, loop.mp4, '#00b140', green, blur, blur:20 or transparent",
    )
    _add_picture(parser)
    _add_matte(parser)
    _add_network(parser)
    _add_range(parser)
    _add_encoding(parser)
    add_vfx(parser)
    add_stills(parser)
    add_job(parser, told=False)  # they would make the help too long for most people
    _add_behaviour(parser)


def _add_picture(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("picture")
    group.add_argument(
        "--bg-fit",
        choices=("cover", "contain", "stretch"),
        default="cover",
        help="how a background file fills the frame (cover)",
    )


def _add_matte(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("matte (what is left out, --quality chooses)")

    def choice(flag: str, choices: Any, text: str, default: str | None = None) -> None:
        words = get_args(choices)
        known = f"{', '.join(words[:-1])} or {words[-1]}"
        group.add_argument(
            flag, choices=words, default=default, metavar="HOW", help=text.format(known)
        )

    choice("--quality", Quality, "{} (balanced)", "balanced")
    choice("--temporal", Temporal, "steady it over time: {}")
    group.add_argument(
        "--strength", type=float, default=1.0, metavar="N", help="how much, 0 to 2 (1)"
    )
    choice("--refine", Refine, "bring it to the picture's edges: {}")
    choice("--decontaminate", Decontaminate, "old background out of edges: {}")
    group.add_argument(
        "--no-decontaminate",
        dest="decontaminate",
        action="store_const",
        const="off",
        help=argparse.SUPPRESS,
    )
    choice("--subject", Subject, "{} (all)", "all")
    group.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="ZONE",
        help="always subject: left,top,right,bottom, as 0.2,0,0.8,1, or a mask",
    )
    group.add_argument("--drop", action="append", default=[], metavar="ZONE", help="never subject")


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = add_network(parser)
    group.add_argument(
        "--every", default="1", metavar="N", help="show it every N-th frame only, or auto (1)"
    )
    group.add_argument(
        "--batch", type=int, metavar="N", help="frames at once (what the runtime gains from)"
    )


def _add_range(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("range (seconds or [hours:]minutes:seconds)")
    group.add_argument("-ss", metavar="TIME", help="where to begin")
    group.add_argument("-to", metavar="TIME", help="where to stop")
    group.add_argument("-t", metavar="TIME", help="how long to go on, instead of -to")


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("decoding and encoding")
    group.add_argument(
        "--decoder",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        metavar="NAME",
        help="cpu, or cuda: an NVIDIA GPU (auto: cpu, till measured)",
    )
    group.add_argument(
        "--codec",
        metavar="NAME",
        help="h264, hevc, av1, prores, vp9, ffv1, qtrle, png, h264_nvenc, hevc_nvenc or av1_nvenc "
        "(from OUT's extension)",
    )
    group.add_argument("--crf", type=float, metavar="N", help="quality; lower is better (h264: 18)")
    group.add_argument(
        "--preset", metavar="NAME", help="speed against size, in the encoder's own words"
    )
    group.add_argument("--bitrate", metavar="RATE", help="such as 8M, instead of --crf")
    group.add_argument("--pix-fmt", metavar="FORMAT", help="such as yuv420p (as the source)")


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("behaviour")
    over = group.add_mutually_exclusive_group()
    over.add_argument("-y", dest="overwrite", action="store_true", help="overwrite OUT")
    over.add_argument(
        "-n", dest="overwrite", action="store_false", help="never overwrite OUT (the default)"
    )
    group.add_argument("--serial", action="store_true", help="one thread; same result")
    group.add_argument("--json", action="store_true", help="events on standard output, see below")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Render, telling how it goes."""
    if arguments.job_from is None:
        check_input(arguments)
        options = _options(arguments)
    else:
        check_alone(arguments, add_arguments)
    from streammatte import recorded  # heavy: only once the options make sense

    own_process()
    record = record_of(arguments)
    with listener(json=arguments.json, quiet=arguments.quiet) as told:
        if arguments.job_from is None:
            where = [arguments.input, *arguments.more] if arguments.more else arguments.input
            report = recorded.render(where, arguments.output, options, told.tell, record=record)
        else:
            report = recorded.repeat(
                arguments.job_from,
                arguments.output,
                overwrite=arguments.overwrite,
                tell=told.tell,
                record=record,
            )
    told.done(report)
    return InputError.exit_code if report.failed else 0


def _options(arguments: Any) -> RenderOptions:
    more = vfx_options(arguments)
    if arguments.bg is None and "comp" in more["passes"] and arguments.purpose is None:
        raise UsageError("what goes behind? give --bg beach.jpg, --bg blur, --bg '#00b140' ...")
    bitrate = parse_bitrate(arguments.bitrate) if arguments.bitrate is not None else None
    return RenderOptions(
        background=BackgroundSpec.parse("transparent" if arguments.bg is None else arguments.bg),
        fit=arguments.bg_fit,
        network=network_options(
            arguments, every=parse_every(arguments.every), batch=arguments.batch
        ),
        matte=MatteOptions(
            quality=arguments.quality,
            temporal=arguments.temporal,
            strength=arguments.strength,
            refine=arguments.refine,
            decontaminate=arguments.decontaminate,
            subject=arguments.subject,
            keep=tuple(Zone.parse(zone, "--keep") for zone in arguments.keep),
            drop=tuple(Zone.parse(zone, "--drop") for zone in arguments.drop),
        ),
        window=make_window(arguments.ss, arguments.to, arguments.t),
        decoder=arguments.decoder,
        encode=EncodeOptions(
            arguments.codec, arguments.crf, arguments.preset, arguments.pix_fmt, bitrate
        ),
        still=still_options(arguments),
        overwrite=arguments.overwrite,
        serial=arguments.serial,
        **more,
    )
