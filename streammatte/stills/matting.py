"""Photographs decoded and looked at: each with its own alpha, or by the network, size by size."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from av.video.reformatter import VideoReformatter

from streammatte.errors import DependencyError, InputError
from streammatte.frames import Matte
from streammatte.stages import matte
from streammatte.stills.finishing import Failed, Matted
from streammatte.stills.headers import header_of, mapped
from streammatte.stills.photo import read_photo
from streammatte.stills.sight import as_srgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from streammatte.frames import Frame
    from streammatte.light import Working
    from streammatte.meters import Meters
    from streammatte.models.base import ModelCard, Size
    from streammatte.options import RenderOptions
    from streammatte.runtimes import Runtime
    from streammatte.stills.photo import Photo
    from streammatte.stills.targets import Task


@dataclass(frozen=True)
class Plan:
    """A photograph, and the size at which the network will see it."""

    task: Task
    size: Size


@dataclass(frozen=True)
class Read:
    """A photograph, decoded."""

    plan: Plan
    photo: Photo
    view: NDArray[np.uint8]
    """As small as the network wants it: uint8 R'G'B' ``[h, w, 3]``."""
    shown: NDArray[np.uint8]
    """The same, in the colours that the network knows."""
    own: bool
    """Whether it brings a matte along."""


class Reader:
    """Decodes photographs and scales them for the network; may be asked from several threads."""

    def __init__(
        self, options: RenderOptions, card: ModelCard, working: Working, meters: Meters
    ) -> None:
        wish = options.network
        self._side = wish.size
        if options.matte.quality == "live":
            self._side = wish.size or card.quick_side
        self._card = card
        self._working = working
        self._meters = meters

    def plan(self, task: Task) -> Plan | Failed:
        """Look at a photograph's head.

        Raises:
            UsageError: if the network does not take the size that is asked for.
        """
        try:
            with mapped(task.path) as data:
                header = header_of(task.path, data)
        except (InputError, DependencyError) as error:
            return Failed(task.path, error)
        return Plan(task, self._card.input_size(header.width, header.height, self._side))

    def read(self, plan: Plan) -> Read | Failed:
        """Decode a photograph."""
        try:
            with self._meters.measure("decode"):
                photo = read_photo(plan.task.path)
        except (InputError, DependencyError) as error:
            return Failed(plan.task.path, error)
        shown = self._working.shown(photo.frame.picture)
        if shown is not None:
            photo = replace(photo, frame=replace(photo.frame, shown=shown))
        with self._meters.measure("network input"):
            view = photo.frame.looks.view(*plan.size, VideoReformatter())
            own = matte.brings_matte(photo.frame.picture)
            profile = b"" if own or shown is not None else photo.tags.profile
            seen = as_srgb(view, profile, photo.notes)
        return Read(plan, photo, view, seen, own)


def with_own(read: Read) -> Matted:
    """Return a photograph with the matte that it brings along."""
    own = matte.own_alpha(read.photo.frame.picture)
    return Matted(read.plan.task, read.photo, Matte(read.photo.frame, read.view, own), own=True)


def by_network(
    reads: Iterable[Read | Failed], network: Runtime, meters: Meters
) -> Iterator[Matted | Failed]:
    """Let the network see photographs of one size, as many at once as it gains from.

    Raises:
        RuntimeFailure: if the engine fails.
    """
    waiting: deque[Read] = deque()
    aside: deque[Matted | Failed] = deque()

    def viewed() -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
        for read in reads:
            if isinstance(read, Failed):
                aside.append(read)
            elif read.own:
                aside.append(with_own(read))
            else:
                waiting.append(read)
                yield read.photo.frame, read.shown
            del read

    for found in matte.seen(viewed(), network, meters):
        seen = waiting.popleft()
        yield Matted(seen.plan.task, seen.photo, replace(found, view=seen.view), own=False)
        del seen, found
        while aside:
            yield aside.popleft()
    yield from aside
