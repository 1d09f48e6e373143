"""Photographs, one or many: decoded ahead, matted size by size, finished behind.

::

    pool "read"                  thread "matte"             pool "finish"
    photo.py: decode, turn  ──>  matting.py: network  ──>   finishing.py: composite, encode, name
    what the network sees        opened once a size

As much as is under way waits in bounded queues, so a thousand photographs take the memory of a few.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte import pipeline
from streammatte.errors import UsageError
from streammatte.light import open_working
from streammatte.meters import Meters
from streammatte.models import load_card
from streammatte.options import EncodeOptions
from streammatte.sinks import default_output
from streammatte.sinks.codecs import IMAGE_EXTENSIONS
from streammatte.sinks.image_file import described
from streammatte.sinks.passes import has_alpha
from streammatte.stages.finish import Finish
from streammatte.stills.backdrops import Backdrops
from streammatte.stills.find import find, is_photograph, is_several
from streammatte.stills.finishing import Done, Failed, Finisher, Matted
from streammatte.stills.matting import Plan, Read, Reader, by_network, with_own
from streammatte.stills.photo import ANY
from streammatte.stills.targets import check_places, make_folders, one_task, suffix_for, tasks_for
from streammatte.threads import Threads, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from streammatte.frames import VideoInfo
    from streammatte.models.base import Size
    from streammatte.options import RenderOptions
    from streammatte.pipeline import Engine, Event, Report
    from streammatte.stills.find import Found, Where
    from streammatte.stills.targets import Task

MOST_WORKERS = 4
"""Threads of a pool: each holds a photograph and, while it composites, several times that."""
_NAMED = 2
"""Photographs that a note names before it counts the others."""


def is_wanted(
    where: Where | Sequence[Where], output: str | Path | None, options: RenderOptions
) -> bool:
    """Whether this is about photographs that become photographs.

    Footage is not, nor is a photograph that becomes a video.
    """
    if is_several(where):
        return True
    assert isinstance(where, (str, os.PathLike))
    to_image = output is None or Path(output).suffix.lower() in IMAGE_EXTENSIONS
    plain = not options.window and options.purpose is None
    return to_image and plain and is_photograph(Path(where))


def render(
    where: Where | Sequence[Where],
    output: str | Path | None,
    options: RenderOptions,
    tell: Callable[[Event], None] = pipeline.unheard,
) -> Report:
    """Put a new background behind the subjects of photographs.

    Args:
        where: A photograph, a folder, a pattern such as ``photos/*.jpg``, or a list of photographs.
        output: Where the result goes: of several a folder, made if it is missing; ``None`` for a
            name beside them.
        options: Everything else.
        tell: Called on this thread, once when all is open and then as the work goes on.

    Returns:
        What was done. Of several photographs, those that failed are in it, and the rest is done.

    Raises:
        StreamMatteError: of the kind that ``errors`` describes. A photograph that is alone and
            cannot be read raises, too.
        KeyboardInterrupt: with how many are done; each of those is whole.
    """
    _check(options)
    found = find(where)
    return _Run(where, found, options, tell).run(output)


def _check(options: RenderOptions) -> None:
    """Refuse what is not for photographs."""
    if options.encode != EncodeOptions():
        raise UsageError("--codec, --crf, --preset, --bitrate and --pix-fmt are not for images")
    if options.window:
        raise UsageError("-ss, -to and -t cut videos; leave them out for photographs")
    if options.purpose is not None:
        raise UsageError(f"--for {options.purpose} is not for several photographs; leave it out")


class _Run:
    """One render of photographs."""

    def __init__(
        self,
        where: Where | Sequence[Where],
        found: Found,
        options: RenderOptions,
        tell: Callable[[Event], None],
    ) -> None:
        self._begun = self._started = time.perf_counter()
        self._where = _told(where)
        self._found = found
        self._options = options
        self._tell = tell
        self._meters = Meters()
        self._working = open_working(ANY, options.colour, stays=False)
        card = load_card(options.network.model)
        self._reader = Reader(options, card, self._working)
        self._backdrops = Backdrops(options.background, options.fit)
        self._finisher = Finisher(
            options, self._working, self._backdrops, self._meters, card.coarse
        )
        with Finish(options, ANY):  # masks that are not there are refused before any work
            pass
        if options.mask_override is not None and not found.alone:
            raise UsageError("--mask-override is not for several photographs; give one at a time")
        self._engine: Engine | None = None
        self._first: pipeline.Start | None = None
        self._notes = [*found.notes]
        self._results: list[Done | Failed] = []

    def run(self, output: str | Path | None) -> Report:
        """Do all of it."""
        tasks, place = self._tasks(output)
        plans, failed = self._plans(tasks)
        self._results += failed
        self._total = len(tasks)
        if not self._found.alone:
            make_folders(tasks)
        self._place = str(place)
        self._codec = self._described(tasks)
        try:
            self._work(plans)
        except KeyboardInterrupt as error:
            done = sum(isinstance(each, Done) for each in self._results)
            raise KeyboardInterrupt(f"{done} of {self._total} photographs are done") from error
        return self._report()

    def _tasks(self, output: str | Path | None) -> tuple[list[Task], Path]:
        """Return what is to be made, and where."""
        found, options = self._found, self._options
        if found.alone:
            (path,) = found.paths
            if output is None:
                usual = default_output(replace(ANY, path=path), options)
                output = usual.with_suffix(suffix_for(path, options))
            return [one_task(path, Path(output), options)], Path(output)
        folder = self._folder(output)
        tasks, told = tasks_for(found, folder, options)
        left, skipped = check_places(tasks, folder, options)
        self._notes += [*told, *skipped]
        return left, folder

    def _folder(self, output: str | Path | None) -> Path:
        if output is None:
            if self._found.folder is None or not Path(self._where).is_dir():
                raise UsageError("give a folder for the results of several photographs with -o")
            folder = self._found.folder.absolute()
            return folder.with_name(f"{folder.name}_{self._options.background.label}")
        folder = Path(output)
        if not folder.is_dir() and folder.suffix.lower() in IMAGE_EXTENSIONS:
            raise UsageError(f"{folder} is one image; several photographs need a folder with -o")
        return folder

    def _plans(self, tasks: list[Task]) -> tuple[list[Plan], list[Failed]]:
        """Return the photographs in the order of the network's size, which is opened once each."""
        looked = [self._reader.plan(task) for task in tasks]
        failed = [each for each in looked if isinstance(each, Failed)]
        if self._found.alone and failed:
            raise failed[0].error
        plans = [each for each in looked if isinstance(each, Plan)]
        first = {plan.size: number for number, plan in reversed([*enumerate(plans)])}
        return sorted(plans, key=lambda plan: first[plan.size]), failed

    def _described(self, tasks: list[Task]) -> str:
        """Return what results are, in words.

        Raises:
            UsageError: if a kind of file cannot hold them.
        """
        transparent = self._options.background.kind == "transparent"
        words = dict.fromkeys(
            described(place, alpha=has_alpha(name, transparent=transparent))
            for task in tasks
            for name, place in task.places.items()
        )
        return ", ".join(words)

    def _work(self, plans: list[Plan]) -> None:
        options, workers = self._options, min(os.cpu_count() or 1, MOST_WORKERS)
        with (
            _pool(workers, "read", serial=options.serial) as readers,
            _pool(workers, "finish", serial=options.serial) as finishers,
        ):
            reads = in_order(readers, self._read, plans, workers)
            mattes = self._matted(reads, plans)
            results = in_order(finishers, self._finisher.finish, mattes, workers)
            with closing(reads), closing(mattes), closing(results):  # type: ignore[type-var]
                for result in results:
                    if self._found.alone and isinstance(result, Failed):
                        raise result.error
                    self._results.append(result)
                    self._progress()

    def _read(self, plan: Plan) -> Read | Failed:
        return self._reader.read(plan, self._meters)

    def _matted(
        self, reads: Iterator[Read | Failed], plans: list[Plan]
    ) -> Iterator[Matted | Failed]:
        """Give every photograph its matte, size by size."""
        sizes: dict[Size, int] = defaultdict(int)
        for plan in plans:
            sizes[plan.size] += 1
        for size, count in sizes.items():
            yield from self._of_size(size, islice(reads, count))

    def _of_size(self, size: Size, reads: Iterator[Read | Failed]) -> Iterator[Matted | Failed]:
        for read in reads:
            if isinstance(read, Failed):
                yield read
            elif read.own:
                self._start(read.photo.info, size, None)
                yield with_own(read)
            else:
                info, group = read.photo.info, chain([read], reads)
                del read
                yield from self._by_network(size, info, group)
                return

    def _by_network(
        self, size: Size, info: VideoInfo, reads: Iterator[Read | Failed]
    ) -> Iterator[Matted | Failed]:
        """Open the network for a size, and let it see all photographs of that size."""
        wish, tell = self._options.network, self._tell
        engine = pipeline.open_engine(wish, size, lambda what: tell(pipeline.Preparing(what)))
        try:
            self._start(info, size, engine)
            with Threads(
                serial=self._options.serial, waiting=lambda names: tell(pipeline.Stopping(names))
            ) as threads:
                yield from threads.ahead(by_network(reads, engine.runtime, self._meters), "matte")
        finally:
            engine.runtime.close()

    def _start(self, info: VideoInfo, size: Size, engine: Engine | None) -> None:
        """Tell that all is open, once."""
        self._engine = self._engine or engine
        if self._first is not None:
            return
        self._first = pipeline.Start(
            input=self._where,
            output=self._place,
            model=engine.model.card.name if engine else "the footage's alpha",
            runtime=engine.runtime.description if engine else "none",
            codec=self._codec,
            size=(info.width, info.height),
            network_size=size,
            frames_expected=self._total,
        )
        self._tell(self._first)
        self._started = time.perf_counter()

    def _progress(self) -> None:
        count = len(self._results)
        seconds = max(time.perf_counter() - self._started, 1e-9)
        stage = "rendering" if count < self._total else "finishing"
        self._tell(pipeline.Progress(count, self._total, count / seconds, stage))

    def _report(self) -> Report:
        ended = time.perf_counter()
        done = [each for each in self._results if isinstance(each, Done)]
        failed = [each for each in self._results if isinstance(each, Failed)]
        engine, first = self._engine, self._first
        used = engine.model.notes if engine else []
        notes = [*self._notes, *used, *self._working.notes, *self._backdrops.notes]
        return pipeline.Report(
            input=self._where,
            output=self._place,
            frames=len(done),
            seconds=round(ended - self._begun, 3),
            fps=round(len(done) / max(ended - self._started, 1e-9), 2),
            model=engine.model.card.name if engine else first.model if first else "none",
            digest=engine.model.digest if engine else "",
            runtime=engine.runtime.description if engine else "none",
            device=engine.runtime.device if engine else "",
            precision=engine.runtime.precision if engine else "",
            codec=self._codec,
            colour=", ".join(dict.fromkeys(each.colour for each in done)),
            assumed="",
            corrupt_frames=0,
            lost_packets=0,
            dropped_frames=0,
            passed_over=engine.passed_over if engine else [],
            notes=list(dict.fromkeys([*notes, *self._notes_on(done)])),
            failed=sorted(str(each.error) for each in failed),
            milliseconds=self._meters.milliseconds(len(done)),
        )

    def _notes_on(self, done: list[Done]) -> Iterator[str]:
        """Yield what is to be told of photographs, each once, and of which."""
        told: dict[str, list[str]] = defaultdict(list)
        for each in done:
            for note in dict.fromkeys(each.notes):
                told[note].append(each.path.name)
        for note, names in told.items():
            yield note if self._found.alone else f"{note} ({_some(names)})"
        if nobody := [each.path.name for each in done if not each.found]:
            what = _some(nobody)
            yield f"nobody was found in {what}; 'streammatte models list' says what networks know"


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _told(where: Where | Sequence[Where]) -> str:
    if isinstance(where, (str, os.PathLike)):
        return os.fspath(where)
    return _some([os.fspath(each) for each in where])


class _Inline(Executor):
    """Does the work where it is asked for."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do it, and return the result as if it had been awaited."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)
        return future


@contextmanager
def _pool(workers: int, name: str, *, serial: bool) -> Iterator[Executor]:
    """Give a pool of threads; what it has not begun when the block ends is not begun any more."""
    pool = _Inline() if serial else ThreadPoolExecutor(workers, f"streammatte-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
