"""The pipeline: source, matte, refine, smooth, composite, sink, each a generator over the last.

Threads are an operator, not a structure: ``threads.ahead`` moves all that is upstream of it onto
a thread of its own and changes nothing but the timing.
"""

from __future__ import annotations

import itertools
import logging
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammatte import delivery
from streammatte.cutout import Cutout
from streammatte.errors import InputError, UsageError
from streammatte.light import open_working
from streammatte.meters import Meters
from streammatte.models import load_card, open_model
from streammatte.resume import Rest
from streammatte.runtimes import Placement
from streammatte.runtimes.choice import open_runtime
from streammatte.sinks import default_output, is_linear, open_sink, places
from streammatte.sources import open_source
from streammatte.stages import composite, matte, refine, smooth, subject
from streammatte.stages.backgrounds import open_background
from streammatte.stages.finish import Finish
from streammatte.threads import Threads, log_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from streammatte.frames import Frame, Matte, VideoInfo
    from streammatte.light import Working
    from streammatte.models import Model
    from streammatte.options import MatteOptions, NetworkOptions, RenderOptions
    from streammatte.runtimes import Runtime
    from streammatte.sinks import Sink
    from streammatte.sources import Source

TELL_EVERY = 0.1
"""Seconds between two tellings of progress."""


@dataclass(frozen=True)
class Preparing:
    """Told before the start, for each step of what is done once and kept, such as an export."""

    what: str


@dataclass(frozen=True)
class Start:
    """Told once, when everything is open."""

    input: str
    output: str
    model: str
    runtime: str
    codec: str
    size: tuple[int, int]
    """Of the picture, in pixels."""
    network_size: tuple[int, int]
    """Of the network's input, in pixels."""
    frames_expected: int | None
    bytes_expected: int | None = None
    """About how large the result will be, sound apart; ``None`` if nobody knows."""
    unit: str = "frame"
    """What ``frames_expected`` counts: ``frame``, or ``photograph``."""


@dataclass(frozen=True)
class Progress:
    """Told while the work goes on."""

    frames: int
    frames_expected: int | None
    fps: float
    stage: str = "rendering"
    """``rendering``, then ``finishing`` while the last frames are encoded and checked."""


@dataclass(frozen=True)
class Stopping:
    """Told, once, if work that ends early has to wait for a call that cannot be interrupted.

    That is mostly a large network on a CPU, which takes seconds a frame. ``KeyboardInterrupt``
    ends the waiting.
    """

    waiting_for: list[str]
    """The threads in question."""


Event = Start | Preparing | Progress | Stopping
"""What a listener is told."""


@dataclass(frozen=True)
class Report:
    """What was done; everything that was assumed, lost or changed is in it."""

    input: str
    output: str
    frames: int
    seconds: float
    """By the clock, from opening the source to the finished file: all of it."""
    fps: float
    """Frames a second from ``Start`` to the finished file: without what is done once, such as
    loading or exporting a network, which ``seconds`` has in it."""
    model: str
    digest: str
    """SHA-256 of the network's weights; empty if none was used."""
    runtime: str
    """What ran the network, with its version and device in words."""
    device: str
    """Where it ran, such as ``cpu`` or ``cuda:0``."""
    precision: str
    """``fp32`` or ``fp16``."""
    codec: str
    colour: str
    """What the samples were taken for."""
    assumed: str
    """The part of ``colour`` that the source did not say; empty if it said all."""
    corrupt_frames: int
    lost_packets: int
    dropped_frames: int
    unit: str = "frame"
    """What ``frames`` counts: ``frame``, or ``photograph``."""
    decoder: str = "cpu"
    """Where the footage was decoded: ``cpu``, or ``cuda`` for an NVIDIA GPU."""
    passed_over: list[str] = field(default_factory=list)
    """Why no quicker way to run the network was taken."""
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Of photographs in bulk: what could not be made, a line each; the rest was."""
    job: str = ""
    """Path of the job file, which repeats this; empty if none was written."""
    milliseconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """``{stage: {"cpu": ms, "wall": ms}}`` a frame; library threads are not included."""

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def unheard(event: Event) -> None:
    """Listen where nobody else does: log what would look like a hang."""
    if isinstance(event, Stopping):
        log_waiting(event.waiting_for)


def render(
    where: str | Path | Sequence[str | Path],
    output: str | Path | None,
    options: RenderOptions,
    tell: Callable[[Event], None] = unheard,
) -> Report:
    """Put a new background behind the subject of a video or of photographs.

    Args:
        where: The footage: a path, or ``synthetic[:...]``; of photographs also a folder, a pattern
            or a list: see ``stills.run``.
        output: Where the result goes; ``None`` for a name beside the footage.
        options: Everything else.
        tell: Called on this thread, once when all is open and then as the work goes on.

    Raises:
        StreamMatteError: of the kind that ``errors`` describes; no output is left behind.
    """
    from streammatte.stills import run as stills

    if stills.is_wanted(where, output, options):
        return stills.render(where, output, options, tell)
    assert isinstance(where, (str, Path))
    if options.still:
        raise UsageError("--trim, --pad, --centre, --canvas and --shadow are for photographs")
    begun = time.perf_counter()
    meters = Meters()
    with open_source(where, options.window, options.decoder, options.sequence) as source:
        options = delivery.apply(options, source.info)
        info, spec = source.info, options.background
        path = Path(output) if output is not None else default_output(info, options)
        working = open_working(info, options.colour, stays=_stays_linear(path, options, info))
        rest = Rest(places(path, options, working.outside(info)).values(), source, options)
        if rest.nothing:
            return _nothing(where, path, source, rest, time.perf_counter() - begun)
        with (
            Finish(options, info) as finish,
            _matting(source, options, finish, meters, tell) as matting,
            open_sink(path, source, options, working.outside(info)) as sink,
            Threads(serial=options.serial, waiting=lambda names: tell(Stopping(names))) as threads,
        ):
            inside = working.inside(info)
            background = open_background(
                spec, options.fit, inside, threads, working.adapt, matting.begin
            )
            coverage = matte.Coverage()
            tell(_start(where, path, matting, sink, source))
            started = time.perf_counter()

            frames = _shown(rest.numbered(matting.frames), working)
            frames = threads.ahead(meters.watch("decode", frames), "decode")
            # Steadied mattes come in blocks: while one goes on, the next is made.
            room = smooth.BLOCK if options.matte.steadied == "file" else 1
            seen = coverage.watch(matting.mattes(frames, threads))
            mattes = threads.ahead(seen, "matte", capacity=room)
            mattes, edges = finish.done(mattes, _edges(options, own=matting.engine is None))
            mattes = rest.missing(mattes)
            wanted = composite.Wanted(options.passes, _premultiplied(options, path), options.look)
            results = composite.layers(mattes, background, meters, edges, wanted, working)
            results = threads.ahead(meters.watch("composite", results), "composite")
            count = _write(results, sink, info.frames_expected, meters, tell)
    weights = matting.engine.model.notes if matting.engine else []
    weights = [*weights, *working.notes, *finish.notes, *rest.notes]
    notes = [*weights, *sink.notes, *coverage.notes, *(background.notes if background else [])]
    clock = _Clock(begun, started, time.perf_counter())
    return _report(where, path, matting, sink.description, source, count, clock, meters, notes)


def cutouts(where: str | Path, options: RenderOptions) -> Iterator[Cutout]:
    """Yield every frame with its matte, for those who composite themselves.

    Raises:
        StreamMatteError: of the kind that ``errors`` describes.
    """
    meters = Meters()
    with (
        open_source(where, options.window, options.decoder, options.sequence) as source,
        Finish(options, source.info) as finish,
        _matting(source, options, finish, meters) as matting,
        Threads(serial=options.serial) as threads,
    ):
        if options.decoder not in ("auto", source.info.decoder):
            for note in source.damage.notes:  # there is no report to say so
                logging.getLogger("streammatte").warning(note)
        frames = threads.ahead(matting.frames, "decode")
        mattes = threads.ahead(matting.mattes(frames, threads), "matte")
        mattes, edges = finish.done(mattes, _edges(options, own=matting.engine is None))
        for result in mattes:
            yield Cutout(result, edges)


@dataclass(frozen=True)
class _Matting:
    """How this footage gets its mattes, and the frames, the first of which had to be looked at."""

    frames: Iterator[Frame]
    mattes: Callable[[Iterable[Frame], Threads], Iterator[Matte]]
    size: tuple[int, int]
    begin: Fraction
    """When the footage begins, in seconds, even if what is continued begins later."""
    engine: Engine | None
    """What runs the network; ``None`` if the footage brings its own alpha."""

    @property
    def model(self) -> str:
        return self.engine.model.card.name if self.engine else "the footage's alpha"

    @property
    def runtime(self) -> str:
        return self.engine.runtime.description if self.engine else "none"


@dataclass(frozen=True)
class Engine:
    """A network that is ready to run."""

    model: Model
    runtime: Runtime
    passed_over: list[str]
    """Why no quicker way to run it was taken."""


@contextmanager
def _matting(
    source: Source,
    options: RenderOptions,
    finish: Finish,
    meters: Meters,
    tell: Callable[[Event], None] = unheard,
) -> Iterator[_Matting]:
    """Choose between the network and the footage's own alpha, and open what is needed."""
    wish = options.network
    card = load_card(wish.model)
    info = source.info
    side = wish.size if options.matte.quality != "live" else wish.size or card.quick_side
    size = card.input_size(round(info.width * info.pixel_aspect), info.height, side)
    frames = source.frames()
    first = next(frames, None)
    if first is None:
        raise InputError("the footage has no frames")
    frames = itertools.chain([first], frames)
    own = matte.brings_matte(first.picture)
    begin = Fraction(0) if first.number is not None else first.pts * first.time_base
    del first  # or it would be kept to the end
    if own:
        yield _Matting(frames, lambda them, _: matte.take_own(them, size), size, begin, None)
        return

    def mattes(frames: Iterable[Frame], threads: Threads) -> Iterator[Matte]:
        ahead = options.matte.quality != "live" and options.matte.steadied != "live"
        seen = matte.infer(frames, engine.runtime, size, meters, wish.every, ahead=ahead)
        found = threads.ahead(meters.watch("network", seen), "network")
        if options.matte.choice:
            found = subject.chosen(found, options.matte.choice, finish.early)
        steady = _steadied(found, options.matte, meters)
        # Afterwards: what holds still is snapped to the same edge in every frame.
        if not card.coarse:
            return steady
        return meters.watch("snap", refine.snap(steady, options.matte.refined))

    engine = open_engine(wish, size, lambda what: tell(Preparing(what)))
    try:
        yield _Matting(frames, mattes, size, begin, engine)
    finally:
        engine.runtime.close()


def _stays_linear(path: Path, options: RenderOptions, info: VideoInfo) -> bool:
    """Whether results are written in linear light: OpenEXR, by whatever name."""
    return is_linear(path) or (options.purpose == "corridorkey" and info.colour.is_linear)


def _edges(options: RenderOptions, *, own: bool) -> composite.Edges:
    """Return how edges are made; the footage's own alpha is as its maker wanted it."""
    if own:
        return composite.Edges("fast", "off", options.edges)
    return composite.Edges(options.matte.refined, options.matte.decontaminated, options.edges)


def _premultiplied(options: RenderOptions, path: Path) -> bool:
    """Whether colours with alpha are multiplied by it: as asked, or as the file's kind has it."""
    return (options.alpha or ("premult" if is_linear(path) else "straight")) == "premult"


def _shown(frames: Iterator[Frame], working: Working) -> Iterator[Frame]:
    """Add what a display would show to frames that are not like that themselves."""
    for frame in frames:
        shown = working.shown(frame.picture)
        yield frame if shown is None else replace(frame, shown=shown)
        del frame, shown


def _steadied(mattes: Iterator[Matte], options: MatteOptions, meters: Meters) -> Iterator[Matte]:
    if options.steadied == "off":
        return mattes
    steady = smooth.live if options.steadied == "live" else smooth.file
    return meters.watch("smooth", steady(mattes, options.strength))


def open_engine(
    wish: NetworkOptions, size: tuple[int, int], tell: Callable[[str], None] = lambda _: None
) -> Engine:
    """Make a network ready to run.

    Args:
        wish: Which one, and how.
        size: ``(width, height)`` of its input.
        tell: Told each step of what is done once and kept, such as an export.

    Raises:
        StreamMatteError: if it cannot be had; see ``models.open_model`` and
            ``runtimes.choice.open_runtime``.
    """
    model = open_model(
        wish.model, commercial_only=wish.commercial_only, weights=wish.weights, tell=tell
    )
    placement = Placement(wish.device, wish.precision, wish.require_gpu, wish.batch, tell)
    choice = open_runtime(wish.runtime, model, size, placement)
    return Engine(model, choice.runtime, choice.passed_over)


def _write(
    results: Iterator[Frame],
    sink: Sink,
    expected: int | None,
    meters: Meters,
    tell: Callable[[Event], None],
) -> int:
    count, begun, told = 0, time.perf_counter(), 0.0
    for frame in results:
        with meters.measure("encode"):
            sink.write(frame)
        del frame
        count += 1
        now = time.perf_counter()
        if now - told >= TELL_EVERY:
            told = now
            tell(Progress(count, expected, count / max(now - begun, 1e-9)))
    tell(Progress(count, count, count / max(time.perf_counter() - begun, 1e-9), "finishing"))
    return count


def _start(where: str | Path, path: Path, matting: _Matting, sink: Sink, source: Source) -> Start:
    info = source.info
    return Start(
        input=str(where),
        output=str(path),
        model=matting.model,
        runtime=matting.runtime,
        codec=sink.description,
        size=(info.width, info.height),
        network_size=matting.size,
        frames_expected=info.frames_expected,
        bytes_expected=sink.bytes_expected,
    )


def _nothing(where: str | Path, path: Path, source: Source, rest: Rest, seconds: float) -> Report:
    """Return the report of a render that was finished before."""
    return Report(
        input=str(where),
        output=str(path),
        frames=0,
        seconds=round(seconds, 3),
        fps=0.0,
        model="",
        digest="",
        runtime="none",
        device="",
        precision="",
        codec="",
        colour=str(source.info.colour),
        assumed=source.info.colour.assumed,
        corrupt_frames=0,
        lost_packets=0,
        dropped_frames=0,
        notes=[*rest.notes, "nothing was left to render"],
    )


@dataclass(frozen=True)
class _Clock:
    """When a render was begun, when everything was open, and when it ended, in seconds."""

    begun: float
    started: float
    ended: float


def _report(
    where: str | Path,
    path: Path,
    matting: _Matting,
    codec: str,
    source: Source,
    count: int,
    clock: _Clock,
    meters: Meters,
    notes: list[str],
) -> Report:
    engine, damage = matting.engine, source.damage
    return Report(
        input=str(where),
        output=str(path),
        frames=count,
        seconds=round(clock.ended - clock.begun, 3),
        fps=round(count / max(clock.ended - clock.started, 1e-9), 2),
        model=matting.model,
        digest=engine.model.digest if engine else "",
        runtime=matting.runtime,
        device=engine.runtime.device if engine else "",
        precision=engine.runtime.precision if engine else "",
        codec=codec,
        colour=str(source.info.colour),
        assumed=source.info.colour.assumed,
        corrupt_frames=damage.corrupt_frames,
        lost_packets=damage.lost_packets,
        dropped_frames=damage.dropped_frames,
        decoder=source.info.decoder,
        passed_over=engine.passed_over if engine else [],
        notes=list(dict.fromkeys([*damage.notes, *notes])),
        milliseconds=meters.milliseconds(count),
    )
