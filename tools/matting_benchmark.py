"""Measures mattes over whole clips: how steady, how sharp, how far from the truth.

    python tools/matting_benchmark.py                       # all of it; makes the clips first
    python tools/matting_benchmark.py --quick               # four short clips, under a minute
    python tools/matting_benchmark.py --network birefnet.onnx --only steady,every
    python tools/matting_benchmark.py --clips my/clips --edges my/clips --real my/footage --other
    python tools/matting_benchmark.py --readme README.md --check

Four questions, each against the mattes that a network makes frame by frame:

steady   What does steadying them (``--temporal live`` and ``file``, and the way of old) gain, and
         what does it cost?
every    What is lost if the network sees every second or fourth frame, or those that it should
         (``--every``), and the mattes between are carried along; and if they are just repeated?
edges    How do mattes of 256 and 512 rows come to 1080 (``--refine``): from true mattes made small,
         and from a network's?
colours  How much of the old background is left in soft pixels (decontamination), with the true
         alpha and with the network's?

Clips have exact truth: cut-outs that move before photographs, made by ``../shared/clips`` (or
``$STREAMMATTE_SHARED``) and kept in a cache; real ones are DAVIS's, with masks. Any folder with
``com/`` and ``pha/`` will do instead. The mattes are those of the network inside the package and,
so that all subjects count, the truth damaged as networks damage it; ``--network`` names others.

Where mattes are compared they came to the picture's size the same way. Ratios are geometric means
over clips; clips of what a network does not know (J below 50 %) are left out of them and named,
but persons always count.
Milliseconds are processor time of the method itself, on one thread, as medians over clips. It
prints tables and what the project promises; beside them a contact sheet and JSON are written.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import cv2
from matting import clips, ours, runs, tables
from matting.clips import Recipe
from matting.sheet import Sheet

from streammatte.errors import OutputError, StreamMatteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matting.clips import Clip
    from matting.ours import Source

    from streammatte.options import Every

PARTS = ("steady", "every", "edges", "colours")
FULL = Recipe()
QUICK = Recipe(clips=4, frames=16, size=(640, 360), scenes=("talk", "walk", "cut", "enter"))
LARGE = Recipe(frames=4, size=(1920, 1080))
"""What edges and colours are tried on."""
QUICK_STRIDE = 4
QUICK_EDGE_FRAMES = 3
MARKERS = ("<!-- matting -->", "<!-- /matting -->")
CHECK_FAILED = 1


@dataclass(frozen=True)
class Plan:
    """What is measured, on what."""

    parts: tuple[str, ...]
    moving: list[Clip]
    """For ``steady`` and ``every``."""
    large: list[Clip]
    """For ``edges`` and ``colours``."""
    sources: list[Source]


def measure(plan: Plan, bench: runs.Bench) -> None:
    """Try everything on every clip, one clip in memory at a time."""
    first = [part for part in (runs.steady, runs.between) if _name(part) in plan.parts]
    for clip in plan.moving if first else []:
        _tell(clip.name)
        scene = runs.Scene(clip, bench.cache, stride=bench.stride)
        for source in plan.sources:
            for part in first:
                part(bench, source, scene)
    for clip in plan.large if {"edges", "colours"} & set(plan.parts) else []:
        _tell(f"{clip.name}, large")
        scene = runs.Scene(clip, bench.cache, stride=bench.stride, whole=False)
        _measure_large(plan, bench, scene)


def _measure_large(plan: Plan, bench: runs.Bench, scene: runs.Scene) -> None:
    networks = [source for source in plan.sources if source.name != ours.DAMAGE]
    networks = networks or plan.sources
    if "edges" in plan.parts:
        runs.ideal_edges(bench, scene)
        for source in networks:
            runs.edges(bench, source, scene)
    if "colours" in plan.parts and scene.clip.has_colours:
        for believed in (None, *networks):
            runs.colours(bench, believed, scene)


def _name(part: Callable[..., None]) -> str:
    return {runs.steady: "steady", runs.between: "every"}[part]


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


# ---- the command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        UsageError: if it makes no sense.
    """
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = _Parser(
        prog="matting_benchmark",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_what(parser)
    _add_how(parser)
    told = parser.parse_args(arguments)
    told.only = tuple(told.only.split(","))
    if unknown := set(told.only) - set(PARTS):
        raise UsageError(f"--only {', '.join(sorted(unknown))}: use {', '.join(PARTS)}")
    if told.output and not told.output.absolute().parent.is_dir():
        raise UsageError(f"--output {told.output}: there is no such folder; make it first")
    return told


def _add_what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("on what")
    what.add_argument("--clips", type=Path, metavar="DIR", help="clips instead of those it makes")
    what.add_argument("--edges", type=Path, metavar="DIR", help="large ones, for edges and colours")
    what.add_argument("--real", type=Path, metavar="DIR", help="real clips, or 'none' (DAVIS's)")
    what.add_argument(
        "--scenes", type=_scenes, help=f"of clips it makes ({','.join(clips.SCENES)})"
    )
    what.add_argument("--count", type=_count, help="how many clips it makes (one a scene)")
    what.add_argument("--frames", type=_count, help=f"of each clip ({FULL.frames})")
    what.add_argument("--size", type=_size, help="of clips it makes (960x540, quick 640x360)")
    what.add_argument("--seed", type=int, help=f"of clips it makes ({FULL.seed})")
    what.add_argument(
        "--network",
        action="append",
        metavar="NAME|PATH.onnx|damage",
        help="whose mattes; may be said more than once (selfie and damage)",
    )
    what.add_argument(
        "--network-size", type=_side, metavar="N|WxH", help="of its input (the network's default)"
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("how")
    how.add_argument("--only", default=",".join(PARTS), help="which questions (%(default)s)")
    how.add_argument("--every", type=_everies, default=(2, 4, "auto"), metavar="2,4,auto")
    how.add_argument("--refine", choices=ours.REFINEMENTS, default="bicubic", help="(%(default)s)")
    how.add_argument("--quick", action="store_true", help="four clips of sixteen frames")
    how.add_argument("--other", action="store_true", help="clips that nothing was made with")
    how.add_argument("--check", action="store_true", help="exit with 1 if a promise is not kept")
    how.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="all that was measured")
    how.add_argument("--sheet", type=Path, metavar="FILE.png", help="to look at (beside --output)")
    how.add_argument("--readme", type=Path, help="put the tables between this file's markers")
    how.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "streammatte-matting",
        help="folder for clips, flows and mattes (%(default)s)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return _count(width), _count(height)


def _side(text: str) -> int | tuple[int, int]:
    return _size(text) if "x" in text else _count(text)


def _scenes(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _everies(text: str) -> tuple[Every, ...]:
    return tuple("auto" if part == "auto" else _count(part) for part in text.split(","))


def planned(told: argparse.Namespace) -> Plan:
    """Find or make the clips, and open what makes mattes.

    Raises:
        StreamMatteError: if something is missing.
    """
    parts = set(told.only)
    moving = _moving(told) if parts & {"steady", "every"} else []
    large = _large(told, moving) if parts & {"edges", "colours"} else []
    names = told.network or ["selfie", ours.DAMAGE]
    sources = [ours.open_source(name, told.cache, told.network_size) for name in names]
    return Plan(told.only, moving, large, sources)


def _recipe(told: argparse.Namespace, base: Recipe) -> Recipe:
    scenes = told.scenes or base.scenes
    return Recipe(
        clips=told.count or (len(scenes) if told.scenes else base.clips),
        frames=base.frames if told.frames is None or base is LARGE else told.frames,
        size=base.size if told.size is None or base is LARGE else told.size,
        seed=base.seed if told.seed is None else told.seed,
        scenes=scenes,
    )


def _moving(told: argparse.Namespace) -> list[Clip]:
    found = (
        clips.find(told.clips, told.frames)
        if told.clips
        else clips.made(_recipe(told, QUICK if told.quick else FULL), told.cache)
    )
    return [*found, *_real(told)]


def _real(told: argparse.Namespace) -> list[Clip]:
    if told.real is not None:
        return [] if str(told.real) == "none" else clips.find(told.real, told.frames)
    place = clips.shared() / "clips" / "davis"
    return [] if told.clips or told.quick or not place.is_dir() else clips.find(place, told.frames)


def _large(told: argparse.Namespace, moving: list[Clip]) -> list[Clip]:
    if told.edges:
        return clips.find(told.edges, told.frames)
    if told.clips:
        return [
            clip for clip in moving or clips.find(told.clips, told.frames) if clip.kind != "real"
        ]
    if told.quick:  # small ones, with mattes as much smaller
        made = clips.made(_recipe(told, QUICK), told.cache)
        return [one.only(QUICK_EDGE_FRAMES) for one in made]
    return clips.made(_recipe(told, LARGE), told.cache)


def report(plan: Plan, bench: runs.Bench, found: Iterable[tables.Check]) -> dict[str, Any]:
    """Return all that is known, ready for JSON."""
    return {
        "machine": platform.platform(),
        "opencv": cv2.__version__,
        "sources": [source.name for source in plan.sources],
        "missing": bench.missing,
        "checks": [{**one._asdict(), "result": one.word} for one in found],
        "records": [one.as_dict() for one in bench.records],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and tell.

    Returns:
        0; 1 with ``--check`` if a promise is not kept; what ``streammatte`` returns on errors.
    """
    cv2.setNumThreads(1)  # so that processor time is that of one thread
    try:
        return _run(parse(arguments))
    except StreamMatteError as error:
        print(f"matting_benchmark: {error}", file=sys.stderr)
        return error.exit_code


def _run(told: argparse.Namespace) -> int:
    begun = time.perf_counter()
    plan = planned(told)
    sheet = told.sheet or (told.output and told.output.with_suffix(".png"))
    bench = runs.Bench(told.cache, told.refine, told.every)
    bench.stride = QUICK_STRIDE if told.quick else 1
    bench.sheet = Sheet() if sheet else None
    measure(plan, bench)
    records = tables.Records(bench.records)
    found = tables.checks(records, other=told.other)
    text = tables.tables(records, bench.missing)
    print(f"{text}\n\n{tables.check_table(found)}")
    print(f"\n{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    try:
        if bench.sheet is not None:
            bench.sheet.write(sheet)
        if told.output:
            told.output.write_text(json.dumps(report(plan, bench, found), indent=1) + "\n")
        if told.readme:
            _put_into(told.readme, text)
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be written: {error.strerror}") from error
    failed = [one for one in found if one.word == "FAIL"]
    return CHECK_FAILED if told.check and failed else 0


def _put_into(readme: Path, text: str) -> None:
    import benchmark  # needs psutil, which only whoever writes the README must have

    try:
        benchmark.put_into(readme, text, MARKERS)
    except benchmark.BenchmarkError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
