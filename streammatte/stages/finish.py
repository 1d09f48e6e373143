"""What people decide about mattes: zones that always or never are subject, and fixed frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from streammatte.options import FIRST_NUMBER, EdgeOptions
from streammatte.stages.override import Override
from streammatte.stages.zones import Garbage, finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from streammatte.frames import Matte, VideoInfo
    from streammatte.options import RenderOptions
    from streammatte.stages.composite import Edges


class Finish:
    """All masks that options name, opened; a context manager that closes them."""

    def __init__(self, options: RenderOptions, info: VideoInfo) -> None:
        """Open them.

        Args:
            options: What is wanted.
            info: The footage.

        Raises:
            InputError: if a mask cannot be read.
        """
        first = options.sequence.start_number
        if first is None:
            first = FIRST_NUMBER if info.first_number is None else info.first_number
        choice, window = options.matte.choice, options.window
        self.early = Garbage(choice, window, first)
        """For mattes at the network's size."""
        self._late = Garbage(choice, window, first)
        self._override: Override | None = None
        if options.mask_override is not None:
            self._override = Override(options.mask_override, window, first)

    def __bool__(self) -> bool:
        return bool(self._late) or self._override is not None

    @property
    def notes(self) -> list[str]:
        """What has to be known of the masks; complete after the last frame."""
        return [*self._late.notes, *(self._override.notes if self._override else [])]

    def done(self, mattes: Iterator[Matte], edges: Edges) -> tuple[Iterator[Matte], Edges]:
        """Return mattes that are final, and what is left to do to their edges.

        Mattes that nobody decides about pass as they are. The others come at their frames' size,
        their edges already moved, softened and bent, for what an artist made is not to be.
        """
        if not self:
            return mattes, edges
        mattes = finished(mattes, self._late, edges.refine, edges.by_hand)
        if self._override is not None:
            mattes = self._override.overridden(mattes)
        return mattes, edges._replace(by_hand=EdgeOptions())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.early.close()
        self._late.close()
        if self._override is not None:
            self._override.close()
