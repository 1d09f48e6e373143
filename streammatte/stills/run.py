"""Photographs, one or many: decoded ahead, matted size by size, finished behind.

::

    pool "read"                  thread "matte"             pool "finish"
    photo.py: decode, turn  ──>  matting.py: network  ──>   finishing.py: composite, encode, name
    what the network sees        opened once a size

As much as is under way waits in bounded queues, so a thousand photographs take the memory of a few.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import closing
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
from streammatte.sinks.codecs import EXTENSIONS, IMAGE_EXTENSIONS
from streammatte.sinks.image_file import described
from streammatte.sinks.passes import has_alpha
from streammatte.stages.finish import Finish
from streammatte.stills.backdrops import Backdrops
from streammatte.stills.find import find, is_photograph, is_several
from streammatte.stills.finishing import Failed, Finisher, Matted
from streammatte.stills.matting import Plan, Read, Reader, by_network, with_own
from streammatte.stills.photo import ANY
from streammatte.stills.targets import check_places, make_folders, one_task, suffix_for, tasks_for
from streammatte.stills.told import Told
from streammatte.threads import Threads, in_order, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streammatte.frames import VideoInfo
    from streammatte.models.base import Size
    from streammatte.options import RenderOptions
    from streammatte.pipeline import Event, Report
    from streammatte.stills.find import Found, Where
    from streammatte.stills.targets import Task

MOST_WORKERS = 4
"""Threads of a pool: each holds a photograph and, while it composites, several times that."""


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
        self._told = Told(where, alone=found.alone, tell=tell)
        self._told.notes += found.notes

    def run(self, output: str | Path | None) -> Report:
        """Do all of it."""
        tasks, place = self._tasks(output)
        plans, failed = self._plans(tasks)
        told = self._told
        told.begin(place, self._described(tasks), len(tasks), failed)
        if not self._found.alone:
            make_folders(tasks)
        try:
            self._work(plans)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(told.interrupted) from error
        return told.report([*self._working.notes, *self._backdrops.notes], self._meters)

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
        self._told.notes += [*told, *skipped]
        return left, folder

    def _folder(self, output: str | Path | None) -> Path:
        if output is None:
            if self._found.named is None:
                raise UsageError("give a folder for the results of several photographs with -o")
            folder = self._found.named.absolute()
            return folder.with_name(f"{folder.name}_{self._options.background.label}")
        folder = Path(output)
        if not folder.is_dir() and folder.suffix.lower() in (*IMAGE_EXTENSIONS, *EXTENSIONS):
            raise UsageError(f"{folder} is one file; several photographs need a folder with -o")
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
            pool(workers, "read", serial=options.serial) as readers,
            pool(workers, "finish", serial=options.serial) as finishers,
        ):
            reads = in_order(readers, self._read, plans, workers)
            mattes = self._matted(reads, plans)
            results = in_order(finishers, self._finisher.finish, mattes, workers)
            with closing(reads), closing(mattes), closing(results):  # type: ignore[type-var]
                for result in results:
                    if self._found.alone and isinstance(result, Failed):
                        raise result.error
                    self._told.hear(result)

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
                self._told.start(read.photo.info, size, None)
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
            self._told.start(info, size, engine)
            with Threads(
                serial=self._options.serial, waiting=lambda names: tell(pipeline.Stopping(names))
            ) as threads:
                yield from threads.ahead(by_network(reads, engine.runtime, self._meters), "matte")
        finally:
            engine.runtime.close()
