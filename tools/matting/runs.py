"""What is tried on a clip: steadiness, frames between, edges, colours. Each gives records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from matting import clips, metrics, ours
from matting.metrics import Truth
from streammatte.meters import Meters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from matting.clips import Clip
    from matting.ours import Shown, Source
    from matting.sheet import Sheet
    from streammatte.frames import Matte
    from streammatte.options import Every

    Bytes = NDArray[np.uint8]
    Floats = NDArray[np.float32]

ALONE = "per frame"
"""The method that all others are compared with: each frame's own matte."""
STEADY = ("old", "live", "file", "limit")
EDGE_LINES = (256, 512)
"""Rows of the mattes that edges are tried on, of 1080."""
EDGE_PICTURE = 1080
COLOUR_FRAMES = 2


@dataclass(frozen=True)
class Record:
    """What was measured of one method on one clip."""

    part: str
    """``steady``, ``every``, ``edges`` or ``colours``."""
    source: str
    """Whose mattes."""
    clip: str
    kind: str
    scene: str
    method: str
    figures: dict[str, float]
    ms: float | None = None
    """Processor milliseconds a frame of the method itself."""
    notes: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


@dataclass
class Bench:
    """What all runs share."""

    cache: Path
    refinement: str = "bicubic"
    """How mattes come to the picture's size where that is not what is tried."""
    everies: tuple[Every, ...] = (2, 4, "auto")
    stride: int = 1
    """Grad and Conn are of every so-manieth frame."""
    sheet: Sheet | None = None
    records: list[Record] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """What could not be tried, and why, by method."""

    def add(self, record: Record) -> None:
        """Keep what was measured."""
        self.records.append(record)

    def find(self, part: str, source: str, clip: str, method: str) -> Record | None:
        """Return what was measured before."""
        wanted = (part, source, clip, method)
        for one in self.records:
            if (one.part, one.source, one.clip, one.method) == wanted:
                return one
        return None

    def attempt(self, method: str, work: Callable[[], None]) -> None:
        """Do it, unless the product cannot."""
        try:
            work()
        except ours.Missing as reason:
            self.missing[method] = str(reason)


class Scene:
    """A clip in memory, read once for everything that is tried on it."""

    def __init__(self, clip: Clip, cache: Path, *, stride: int = 1, whole: bool = True) -> None:
        """Read it.

        Args:
            clip: Which.
            cache: For flows.
            stride: See ``Bench``.
            whole: Whether MESSDdt and Conn are wanted, which take longest.
        """
        self.clip = clip
        self.pictures = clip.pictures()
        self.frames = ours.frames_of(self.pictures, clip.rate)
        moves = clips.moves(self.pictures, cache) if whole else None
        self.truth = Truth(
            clip.truths(), moves, binary=clip.kind == "real", stride=stride, connected=whole
        )

    def record(self, part: str, source: str, method: str, **known: Any) -> Record:
        """Return a record about this clip."""
        clip = self.clip
        return Record(part, source, clip.name, clip.kind, clip.scene, method, **known)

    def enlarged(self, mattes: Iterable[Floats], how: str) -> Iterator[Floats]:
        """Yield mattes at the pictures' size."""
        for rgb, alpha in zip(self.pictures, mattes, strict=True):
            yield ours.enlarged(alpha, rgb, how)


def alphas(mattes: Iterable[Matte]) -> list[Floats]:
    """Return only what mattes say of the subject."""
    return [one.alpha for one in mattes]


# ---- steadiness


def steady(bench: Bench, source: Source, scene: Scene) -> None:
    """Compare steadied mattes with per-frame ones."""
    shown = source.show(scene.clip, scene.frames)
    _judge(bench, source, scene, "steady", ALONE, alphas(shown.mattes()), None)
    mattes = shown.unsnapped()
    for how in STEADY:

        def work(how: str = how) -> None:
            # Snapped afterwards, as the product does.
            made, seconds = ours.timed(lambda: list(ours.steadied(iter(mattes), how)))
            snapped = alphas(ours.snapped(made, shown))
            _judge(bench, source, scene, "steady", how, snapped, 1000 * seconds / len(mattes))

        bench.attempt(how, work)


def _judge(
    bench: Bench,
    source: Source,
    scene: Scene,
    part: str,
    method: str,
    made: list[Floats],
    ms: float | None,
    notes: dict[str, float] | None = None,
) -> None:
    """Measure mattes, and keep some for people to look at."""
    large = scene.enlarged(made, bench.refinement)
    if bench.sheet is not None:
        large = bench.sheet.watch(source.name, scene, method, large)
    figures = scene.truth.figures(large)
    bench.add(scene.record(part, source.name, method, figures=figures, ms=ms, notes=notes or {}))


# ---- frames that the network does not see


def between(bench: Bench, source: Source, scene: Scene) -> None:
    """Compare mattes that are carried along, or repeated, with those of every frame."""
    shown = source.show(scene.clip, scene.frames)
    mattes = shown.mattes()
    known = bench.find("steady", source.name, scene.clip.name, ALONE)
    if known is not None:
        bench.add(replace(known, part="every"))
    else:
        _judge(bench, source, scene, "every", ALONE, alphas(mattes), None)
    for every in bench.everies:
        if isinstance(every, int):
            held = alphas(ours.held(mattes, every))
            _judge(bench, source, scene, "every", f"repeat {every}", held, None)
        for ahead in (False, True):
            method = f"{'file' if ahead else 'live'} {every}"
            _carried(bench, source, scene, shown, mattes, every, ahead, method)


def _carried(
    bench: Bench,
    source: Source,
    scene: Scene,
    shown: Shown,
    mattes: list[Matte],
    every: Every,
    ahead: bool,
    method: str,
) -> None:
    before, meters = shown.runtime.seen, Meters()
    made = alphas(ours.carried(shown, every, meters, ahead=ahead))
    ms = meters.milliseconds(len(made)).get(ours.CARRYING, {}).get("cpu")
    notes = {"inferred": (shown.runtime.seen - before) / len(made)}
    late = lateness(alphas(mattes), made)
    if late is not None:
        notes["late"] = late
    _judge(bench, source, scene, "every", method, made, ms, notes)


FOUND = 0.02
"""The share of the picture from which on somebody has entered."""
ABSENT = 0.005
"""The share up to which nobody is there."""


def lateness(wanted: list[Floats], made: list[Floats]) -> float | None:
    """Return how many frames after somebody has entered he is half matted; ``None`` if nobody does.

    Args:
        wanted: The mattes of every frame.
        made: Those that are judged.
    """
    shares = [float(alpha.mean()) for alpha in wanted]
    if shares[0] > ABSENT or max(shares) < FOUND:
        return None
    entered = next(index for index, share in enumerate(shares) if share >= FOUND)
    for index in range(entered, len(made)):
        if float(made[index].mean()) >= shares[index] / 2:
            return float(index - entered)
    return float(len(made) - entered)


# ---- edges


def edges(bench: Bench, source: Source, scene: Scene) -> None:
    """Compare ways of bringing a source's mattes to the picture's size."""
    for lines in EDGE_LINES:
        shown = source.show(scene.clip, scene.frames, _scaled(lines, scene))
        small = alphas(shown.mattes())
        # A render that is to be fine snaps finely, too.
        _edges(bench, scene, source.name, lines, small, alphas(shown.mattes("fine")))


def ideal_edges(bench: Bench, scene: Scene) -> None:
    """Compare them on true mattes, made small."""
    height, width = scene.pictures[0].shape[:2]
    for lines in EDGE_LINES:
        rows = _scaled(lines, scene)
        size = (round(rows * width / height / 2) * 2, rows)
        small = [
            np.asarray(cv2.resize(scene.truth[index], size, interpolation=cv2.INTER_AREA))
            for index in range(len(scene.truth))
        ]
        _edges(bench, scene, "ideal", lines, small)


def _scaled(lines: int, scene: Scene) -> int:
    """Return as many rows for this picture as ``lines`` are for one of 1080."""
    return round(lines * scene.pictures[0].shape[0] / EDGE_PICTURE / 2) * 2


def _edges(
    bench: Bench,
    scene: Scene,
    source: str,
    lines: int,
    small: list[Floats],
    fine: list[Floats] | None = None,
) -> None:
    """Compare them on small mattes; ``fine`` are those that are refined finely, if others."""
    for how in ours.REFINEMENTS:
        given = fine if how == "fine" and fine is not None else small

        def work(how: str = how, given: list[Floats] = given) -> None:
            large, seconds = ours.timed(lambda: list(scene.enlarged(given, how)))
            if bench.sheet is not None:
                bench.sheet.edge(f"{source} {lines}", scene, how, large)
            record = scene.record(
                f"edges {lines}",
                source,
                how,
                figures=scene.truth.figures(large),
                ms=1000 * seconds / len(large),
            )
            bench.add(record)

        bench.attempt(how, work)


# ---- colours


def colours(bench: Bench, source: Source | None, scene: Scene) -> None:
    """Compare ways of taking the old background out of soft pixels.

    Args:
        bench: Keeps the records.
        source: Whose mattes are believed; ``None`` for true ones.
        scene: A clip whose true colours are known.
    """
    count = min(COLOUR_FRAMES, len(scene.truth))
    truth = [scene.truth[index] for index in range(count)]
    believed = truth
    if source is not None:
        mattes = source.show(scene.clip, scene.frames).mattes()[:count]
        believed = [
            ours.enlarged(one.alpha, rgb, bench.refinement)
            for one, rgb in zip(mattes, scene.pictures, strict=False)
        ]
    wanted = [np.asarray(rgb / np.float32(255)) for rgb in scene.clip.colours()[:count]]
    name = source.name if source else "ideal"
    for how in ours.DECONTAMINATIONS:

        def work(how: str = how) -> None:
            pairs = list(zip(scene.pictures, believed, strict=False))
            made, seconds = ours.timed(
                lambda: [ours.decontaminated(rgb, alpha, how) for rgb, alpha in pairs]
            )
            if bench.sheet is not None:
                bench.sheet.colours(name, scene, how, made[0], believed[0], wanted[0])
            figures = _colour_figures(made, believed, wanted, truth)
            ms = 1000 * seconds / count
            bench.add(scene.record("colours", name, how, figures=figures, ms=ms))

        bench.attempt(f"colours {how}", work)


def _colour_figures(
    made: list[Floats], believed: list[Floats], wanted: list[Floats], truth: list[Floats]
) -> dict[str, float]:
    each = [
        metrics.colour_figures(colour, right, alpha)
        | {
            "composite": metrics.composite_error(colour, given, right, alpha),
            "J": 100 * metrics.jaccard(given, alpha),
        }
        for colour, given, right, alpha in zip(made, believed, wanted, truth, strict=True)
    ]
    figures = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    restless = [
        metrics.colour_restlessness(made[index : index + 2], wanted[index : index + 2], alpha)
        for index, alpha in enumerate(truth[1:])
    ]
    return {**figures, "restless": float(np.mean(restless)) if restless else 0.0}
