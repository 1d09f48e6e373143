r"""Measures how near the subject's colours come to the true ones: decontamination and despill.

    python tools/foreground_benchmark.py                    # all of it; makes the clips first
    python tools/foreground_benchmark.py --clips my/clips   # folders with com/, pha/, fgr/
    python tools/foreground_benchmark.py --docs docs/foreground.md \
        --output benchmarks/foreground.json

Errors are means of ``|alpha (F^ - F)|`` in 255ths of white, on soft pixels unless it says inside;
milliseconds are one thread's processor time a frame, the best of three. PyMatting's
``estimate_foreground_ml`` is what ours is compared with, if it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from matting import clips, known

from streammatte.colour import LINEAR, SRGB, Colour, Matrix
from streammatte.convert import from_rgb, to_rgb
from streammatte.errors import StreamMatteError, UsageError
from streammatte.frames import Layout
from streammatte.stages import composite, foreground
from streammatte.stages.despill import PAINTS, Light, despilled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matting.known import Scene
    from numpy.typing import NDArray

    from streammatte.frames import Picture

    Floats = NDArray[np.float32]
    Method = Callable[[Scene], tuple[Floats, float]]

T = TypeVar("T")

MARKERS = ("<!-- foreground -->", "<!-- /foreground -->")
RECIPE = clips.Recipe(frames=4, size=(1920, 1080))
"""The same as the matting benchmark's large clips, so that a cache has them once."""
_HD = Colour(Matrix.BT709, full_range=False)
TRIES = 3
SEEDS = (0, 1, 2)
TONES = (
    (255, 224, 189), (234, 192, 134), (255, 205, 148), (198, 134, 66), (141, 85, 36), (88, 52, 30)
)  # fmt: skip
"""R'G'B' of skin, from pale to dark."""


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what work gives, and the least processor milliseconds that it took."""
    least = float("inf")
    for _ in range(TRIES):
        begun = time.process_time()
        result = work()
        least = min(least, 1000 * (time.process_time() - begun))
    return result, least


def untouched(scene: Scene) -> tuple[Floats, float]:
    """Take the mixture for the foreground."""
    return scene.seen, 0.0


def ours(how: foreground.Quality) -> Method:
    """Return one of the product's ways."""

    def method(scene: Scene) -> tuple[Floats, float]:
        layout = Layout("rgb", 32 if scene.linear else 8)
        picture = from_rgb(scene.seen, layout, LINEAR if scene.linear else SRGB)
        picture = composite.with_room(picture)
        alpha, scaler = scene.alpha, VideoReformatter()
        samples = alpha if scene.linear else np.rint(alpha * 255).astype(np.uint8)

        def work() -> Picture:
            means = foreground.local_means(picture, alpha, scaler, how)
            return composite.isolate(picture, samples, means)

        own, cost = timed(work)
        return to_rgb(own), cost

    return method


def pymatting(scene: Scene) -> tuple[Floats, float]:
    """Ask PyMatting; it clips to 0..1, so linear light is scaled to its brightest first."""
    from pymatting import estimate_foreground_ml  # type: ignore[import-untyped]

    peak = max(float(scene.seen.max()), 1.0)
    seen, alpha = (scene.seen / peak).astype(np.float64), scene.alpha.astype(np.float64)
    made, cost = timed(lambda: estimate_foreground_ml(seen, alpha))
    return np.asarray(made * peak, np.float32), cost


METHODS: dict[str, Method] = {
    "none": untouched,
    "fast": ours("fast"),
    "fine": ours("fine"),
}
if importlib.util.find_spec("pymatting"):
    METHODS["PyMatting"] = pymatting


def decontamination(found: Sequence[Scene]) -> Iterator[dict[str, Any]]:
    """Yield a record for every scene and method."""
    made = [known.made_up(size, seed) for size in known.SIZES for seed in SEEDS]
    light = [known.in_light(scene, glints=glints) for scene in found for glints in (False, True)]
    for part, some in (("made up", made), ("clips", found), ("linear", light)):
        for scene in some:
            for name, method in METHODS.items():
                colours, cost = method(scene)
                yield {
                    "part": part if part != "made up" else f"made up, {scene.name}",
                    "scene": scene.name,
                    "method": name,
                    "error": scene.error(colours),
                    "ms": cost,
                }


def limited(scene: Scene, by: Callable[[Any, Any], Any]) -> tuple[Floats, float]:
    """Take green beyond a limit away, and nothing else: what despill mostly is."""

    def work() -> Floats:
        colours = scene.seen.copy()
        limit = by(colours[..., 0], colours[..., 2])
        np.minimum(colours[..., 1], limit, out=colours[..., 1])
        return colours

    return timed(work)


def cleaned(layout: Layout) -> Method:
    """Return the product's despill, on pictures of a layout."""
    paint = PAINTS["green"]
    light = Light(1, (paint[0] / paint[1], 1.0, paint[2] / paint[1]))

    def method(scene: Scene) -> tuple[Floats, float]:
        picture = from_rgb(scene.seen, layout, SRGB if layout.family == "rgb" else _HD)
        samples = np.rint(scene.alpha * 255).astype(np.uint8)
        made, cost = timed(lambda: despilled(picture, samples, light, 1.0))
        return to_rgb(made), cost

    return method


DESPILLS: dict[str, Method] = {
    "none": untouched,
    "green up to max(R, B)": lambda scene: limited(scene, np.maximum),
    "green up to (R + B) / 2": lambda scene: limited(scene, lambda red, blue: (red + blue) / 2),
    "despill, R'G'B'": cleaned(Layout("rgb", 8)),
    "despill, 4:2:0": cleaned(Layout("yuv", 8, 1, 1)),
}


def spill(found: Sequence[Scene]) -> Iterator[dict[str, Any]]:
    """Yield a record for every scene and way to take spill out."""
    tones = known.stepped(np.repeat(np.array(TONES, np.float32)[None] / 255, 2, 0))
    for scene in found:
        spilt, opaque = known.spilt_only(scene), scene.alpha > 1 - 0.02
        clean = known.Scene(scene.name, scene.truth, scene.truth, scene.alpha)
        skin = known.Scene("skin", tones, tones, np.ones(tones.shape[:2], np.float32))
        for name, method in DESPILLS.items():
            colours, cost = method(spilt)
            yield {
                "part": "spill",
                "scene": scene.name,
                "method": name,
                "soft": spilt.error(colours),
                "inside": spilt.error(colours, opaque),
                "clean": clean.error(method(clean)[0], opaque),
                # The layout itself rounds: what counts is what the method adds to that.
                "skin": 0.0
                if "4:2:0" in name
                else 255 * float(np.abs(method(skin)[0] - tones).max()),
                "ms": cost,
            }


def together(found: Sequence[Scene]) -> Iterator[dict[str, Any]]:
    """Yield records of decontamination and despill one after the other, before a green screen."""
    layout = Layout("rgb", 8)
    for scene in found:
        seen = known.before_a_screen(scene)
        for how in ("none", "fast", "fine"):
            own, _ = METHODS[how](seen)
            mixture = known.Scene(scene.name, known.stepped(own), scene.truth, scene.alpha)
            for name, colours in (
                (how, own),
                (f"{how} + despill", cleaned(layout)(mixture)[0]),
            ):
                error = scene.error(colours)
                yield {"part": "screen", "scene": scene.name, "method": name, "error": error}


# ---- the tables


def tables(records: Sequence[dict[str, Any]]) -> str:
    """Return all of it in words."""
    parts = [
        "**Decontamination**: mean error on soft pixels (CPU ms)",
        *_errors(records),
        "",
        "**Spill on the subject**: mean errors",
        "",
        "| method | soft pixels | inside | a clean subject, inside | skin tones, most | CPU ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for method in DESPILLS:
        some = [one for one in records if one["part"] == "spill" and one["method"] == method]
        cells = [f"{_mean(some, name):.2f}" for name in ("soft", "inside", "clean")]
        skin = max(one["skin"] for one in some)
        most = "untouched (tests)" if "4:2:0" in method else f"{skin:.2f}"
        parts.append(f"| {method} | {' | '.join(cells)} | {most} | {_mean(some, 'ms'):.1f} |")
    some = [one for one in records if one["part"] == "screen"]
    parts += ["", "**Before a green screen**: mean error on soft pixels", ""]
    parts += ["| colours | error |", "|---|---:|"]
    for method in dict.fromkeys(one["method"] for one in some):
        error = _mean([one for one in some if one["method"] == method], "error")
        parts.append(f"| {method} | {error:.2f} |")
    return "\n".join(parts)


def _errors(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table: scenes down, methods across."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in records:
        if one["part"] in ("spill", "screen"):
            continue
        name = one["part"] if one["part"].startswith("made up") else one["scene"]
        groups[name].append(one)
        if one["part"] == "clips":
            groups["all clips"].append(one)
        if one["part"] == "linear":
            groups[f"all clips, {one['scene'].partition(', ')[2]}"].append(one)
    for name in [each for each in groups if each.startswith("all")]:
        groups[name] = groups.pop(name)  # what sums up comes last
    yield ""
    yield f"| scene | {' | '.join(METHODS)} |"
    yield f"|---|{'---:|' * len(METHODS)}"
    for name, some in groups.items():
        if ", linear" in name and not name.startswith("all"):
            continue
        cells = []
        for method in METHODS:
            mine = [one for one in some if one["method"] == method]
            cost = f" ({_mean(mine, 'ms'):.0f})" if method != "none" else ""
            cells.append(f"{_mean(mine, 'error'):.2f}{cost}")
        yield f"| {name} | {' | '.join(cells)} |"


def _mean(records: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for one in records]))


# ---- the command


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="foreground_benchmark",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    cache = Path(tempfile.gettempdir()) / "streammatte-matting"
    parser.add_argument("--clips", type=Path, help="a folder of clips (made ones)")
    parser.add_argument("--count", type=int, help="only so many of them")
    parser.add_argument("--cache", type=Path, default=cache, help="where made clips are kept")
    parser.add_argument("--docs", type=Path, help="put the tables between this file's markers")
    parser.add_argument("--output", type=Path, help="write all figures to this file, as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and tell; returns what ``streammatte`` returns on errors."""
    cv2.setNumThreads(1)  # so that processor time is that of one thread
    try:
        return _run(parse(arguments))
    except StreamMatteError as error:
        print(f"foreground_benchmark: {error}", file=sys.stderr)
        return error.exit_code


def _run(told: argparse.Namespace) -> int:
    chosen = clips.find(told.clips) if told.clips else clips.made(RECIPE, told.cache)
    chosen = [clip for clip in chosen if clip.has_colours][: told.count]
    found = list(known.filmed(chosen))
    records = [*decontamination(found), *spill(found), *together(found)]
    text = tables(records)
    print(text)
    if told.output:
        machine = {"machine": platform.platform(), "opencv": cv2.__version__}
        told.output.write_text(json.dumps({**machine, "records": records}, indent=1) + "\n")
    if told.docs:
        _put_into(told.docs, text)
    return 0


def _put_into(docs: Path, text: str) -> None:
    import benchmark  # needs psutil, which only whoever writes the documents must have

    try:
        benchmark.put_into(docs, text, MARKERS)
    except benchmark.BenchmarkError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
