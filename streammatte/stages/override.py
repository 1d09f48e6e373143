"""Mattes that an artist made take the place of ours, frame by frame, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streammatte.numbered import ranges
from streammatte.stages.mask_files import open_masks
from streammatte.stages.zones import sized

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streammatte.frames import Matte
    from streammatte.sources.base import Window


class Override:
    """An artist's mattes, and which frames had one."""

    def __init__(self, where: str, window: Window | None = None, first: int = 0) -> None:
        """Open them.

        Args:
            where: A sequence, a folder of pictures with numbers, or a video; see ``mask_files``.
            window: The part of the footage that is used.
            first: The number of the first frame, for footage whose frames have none.

        Raises:
            InputError: if there is no such thing.
        """
        self._where = where
        self._masks = open_masks(where, window, first, hold=False)
        self._next = first
        self._done: list[int] = []
        self._resized: list[int] = []

    @property
    def notes(self) -> list[str]:
        """Which frames were overridden; complete after the last frame."""
        if not self._done:
            return [f"{self._where}: no frame has the number of a mask there, none was overridden"]
        count = len(self._done)
        what = "frame was" if count == 1 else "frames were"
        notes = [f"{count} {what} overridden by {self._where}: {ranges(self._done)}"]
        if self._resized:
            notes.append(
                f"{self._where}: the masks of frames {ranges(self._resized)} have another size "
                "than the footage and were resized"
            )
        return [*notes, *self._masks.notes]

    def overridden(self, mattes: Iterable[Matte]) -> Iterator[Matte]:
        """Put the artist's mattes, at the frame's size, where there are any; others pass untouched.

        Comes after all else that is done to mattes: those before and after a frame do not change.

        Raises:
            InputError: if a mask cannot be read.
        """
        for matte in mattes:
            frame = matte.frame
            number = self._next if frame.number is None else frame.number
            self._next = number + 1
            mask = self._masks.at(frame)
            if mask is None:
                yield matte
            else:
                self._done.append(number)
                size = (frame.picture.width, frame.picture.height)
                if mask.shape != (size[1], size[0]):
                    self._resized.append(number)
                yield replace(matte, alpha=sized(mask, *size), inferred=True)
            del matte, frame, mask

    def close(self) -> None:
        """Let go of files."""
        self._masks.close()
