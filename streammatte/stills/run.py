"""Photographs, one or many: decoded ahead, matted size by size, finished behind.

::

    pool "read"                  thread "matte"             pool "finish"
    photo.py: decode, turn  ──>  by_size.py: network   ──>  finishing.py: composite, encode, name
    what the network sees        matting.py

As much as is under way waits in bounded queues, so a thousand photographs take the memory of a few.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte import pipeline
from streammatte.errors import UsageError
from streammatte.light import open_working
from streammatte.meters import Meters
from streammatte.models import load_card
from streammatte.options import EncodeOptions
from streammatte.sinks.codecs import IMAGE_EXTENSIONS
from streammatte.stages.finish import Finish
from streammatte.stills.backdrops import Backdrops
from streammatte.stills.by_size import BySize, sorted_by_size
from streammatte.stills.find import find, is_photograph, is_several
from streammatte.stills.finishing import Failed, Finisher
from streammatte.stills.matting import Plan, Reader
from streammatte.stills.photo import ANY
from streammatte.stills.targets import in_words, make_folders, wanted
from streammatte.stills.told import Told
from streammatte.threads import in_order, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    return _Run(where, find(where), options, tell).run(output)


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
        if options.mask_override is not None and not found.alone:
            raise UsageError("--mask-override is not for several photographs; give one at a time")
        with Finish(options, ANY):  # masks that are not there are refused before any work
            pass
        self._found = found
        self._options = options
        self._meters = Meters()
        self._working = open_working(ANY, options.colour, stays=False)
        card = load_card(options.network.model)
        self._reader = Reader(options, card, self._working, self._meters)
        self._backdrops = Backdrops(options.background, options.fit)
        self._finisher = Finisher(
            options, self._working, self._backdrops, self._meters, card.coarse
        )
        self._told = Told(where, alone=found.alone, tell=tell)
        self._by_size = BySize(options, self._meters, self._told, tell)

    def run(self, output: str | Path | None) -> Report:
        """Do all of it."""
        found, options, told = self._found, self._options, self._told
        tasks, place, notes = wanted(found, output, options)
        told.notes += [*found.notes, *notes]
        plans, failed = self._plans(tasks)
        told.begin(place, in_words(tasks, options), len(tasks), failed)
        if not found.alone:
            make_folders(tasks)
        try:
            self._work(plans)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(told.interrupted) from error
        return told.report([*self._working.notes, *self._backdrops.notes], self._meters)

    def _plans(self, tasks: list[Task]) -> tuple[list[Plan], list[Failed]]:
        """Look at all heads; return the photographs in the order of work, and what is none."""
        looked = [self._reader.plan(task) for task in tasks]
        failed = [each for each in looked if isinstance(each, Failed)]
        if self._found.alone and failed:
            raise failed[0].error
        return sorted_by_size([each for each in looked if isinstance(each, Plan)]), failed

    def _work(self, plans: list[Plan]) -> None:
        serial, workers = self._options.serial, min(os.cpu_count() or 1, MOST_WORKERS)
        with (
            pool(workers, "read", serial=serial) as readers,
            pool(workers, "finish", serial=serial) as finishers,
        ):
            reads = in_order(readers, self._reader.read, plans, workers)
            mattes = self._by_size.matted(reads, plans)
            results = in_order(finishers, self._finisher.finish, mattes, workers)
            with closing(reads), closing(mattes), closing(results):  # type: ignore[type-var]
                for result in results:
                    if self._found.alone and isinstance(result, Failed):
                        raise result.error
                    self._told.hear(result)
