"""Photographs get their mattes size by size, so that the network is opened once for each."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice
from typing import TYPE_CHECKING

from streammatte import pipeline
from streammatte.stills.finishing import Failed
from streammatte.stills.matting import by_network, with_own
from streammatte.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streammatte.frames import VideoInfo
    from streammatte.meters import Meters
    from streammatte.models.base import Size
    from streammatte.options import RenderOptions
    from streammatte.pipeline import Event
    from streammatte.stills.finishing import Matted
    from streammatte.stills.matting import Plan, Read
    from streammatte.stills.told import Told


def sorted_by_size(plans: list[Plan]) -> list[Plan]:
    """Return photographs with those of one size together, else in their order."""
    first = {plan.size: number for number, plan in reversed([*enumerate(plans)])}
    return sorted(plans, key=lambda plan: first[plan.size])


class BySize:
    """Gives photographs their mattes."""

    def __init__(
        self, options: RenderOptions, meters: Meters, told: Told, tell: Callable[[Event], None]
    ) -> None:
        """Remember who is told.

        Args:
            options: Which network, and how it is run.
            meters: Measure it.
            told: Hears of the first photograph, and of networks.
            tell: The listener, for what takes long.
        """
        self._options = options
        self._meters = meters
        self._told = told
        self._tell = tell

    def matted(
        self, reads: Iterator[Read | Failed], plans: list[Plan]
    ) -> Iterator[Matted | Failed]:
        """Give every photograph its matte.

        Args:
            reads: The photographs.
            plans: Of all of them, in the same order: that of ``sorted_by_size``.

        Raises:
            StreamMatteError: if the network cannot be opened, or fails.
        """
        for size, count in Counter(plan.size for plan in plans).items():
            yield from self._of_size(size, islice(reads, count))

    def _of_size(self, size: Size, reads: Iterator[Read | Failed]) -> Iterator[Matted | Failed]:
        """Open no network until there is a photograph that needs it."""
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
