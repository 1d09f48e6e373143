"""The contract of a source: what it tells beforehand, what it yields, what it lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from types import TracebackType

    from streammatte.frames import Frame, VideoInfo


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a clip that is wanted, in seconds from its beginning."""

    start: Fraction | None = None
    end: Fraction | None = None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None


@dataclass(slots=True)
class Damage:
    """What could not be read as it should have been."""

    corrupt_frames: int = 0
    """Frames that the decoder patched up; they are in the output."""
    lost_packets: int = 0
    """Packets that could not be decoded at all."""
    dropped_frames: int = 0
    """Frames left out because their time stamps ran backwards."""
    notes: list[str] = field(default_factory=list)
    """Anything else, one sentence each."""

    def __bool__(self) -> bool:
        return bool(self.corrupt_frames or self.lost_packets or self.dropped_frames or self.notes)


class Source(Protocol):
    """Footage to be read once, from its first frame to its last.

    Time stamps grow strictly. Pictures are upright, progressive, and all of one size and layout.
    ``frames`` is called once, possibly on another thread, and nothing else is called meanwhile.
    """

    info: VideoInfo
    damage: Damage

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in presentation order.

        Raises:
            InputError: if nothing more can be read and it is not merely the end.
        """

    def close(self) -> None:
        """Let go of files and decoders; may be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
