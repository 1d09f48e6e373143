"""What the parts of ``live`` know of each other: a feed, outputs, and the desk that rules them.

All pictures are alike: 8-bit 4:2:0, BT.601 limited, as readers of virtual cameras assume, and of
one size from beginning to end. Time is the monotonic clock's, in microseconds.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

from streammatte.colour import Colour, Matrix
from streammatte.frames import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from streammatte.frames import Frame, Picture, VideoInfo

COLOUR = Colour(Matrix.SMPTE170M, full_range=False)
"""What all samples mean."""
LAYOUT = Layout("yuv", 8, 1, 1)
"""How they are stored."""
TICK = Fraction(1, 1_000_000)
"""The time base: ``frame.seconds`` is comparable with ``time.monotonic()``."""

Condition = Literal["starting", "running", "stalled", "lost", "ended"]
"""Of a feed: before its first picture; well; silent for a second; gone and looked for; over."""
View = Literal["source", "matte", "result"]
"""What can be looked at while it runs."""


class Feed(Protocol):
    """A camera, or what stands in for one, drained by a thread of its own.

    It never raises once it is open: what goes wrong is its ``condition``, and it tries again.
    """

    info: VideoInfo
    """Size and rate of the pictures, which stay what they are when a camera comes back."""
    description: str
    """The device and the mode that the driver really gave, in words."""

    @property
    def condition(self) -> Condition:
        """How it is."""

    @property
    def reason(self) -> str:
        """Why it is not running, in words; empty if it is."""

    @property
    def dropped(self) -> int:
        """Pictures that nobody took in time, so far."""

    def take(self, after: int, timeout: float) -> Frame | None:
        """Return the newest frame, if it is newer than one taken before.

        Args:
            after: ``pts`` of the last one taken; -1 for any.
            timeout: Seconds to wait for one, at the most.

        Returns:
            A frame in ``LAYOUT``, ``COLOUR`` and ``TICK`` whose memory is its own, its ``pts`` the
            moment at which it was captured; or ``None``.
        """

    def close(self) -> None:
        """End the thread and let go of the device; may be called twice."""


class Output(Protocol):
    """Where pictures go while it runs: a virtual camera, a window, a file, a stream."""

    description: str
    """In words, for the report."""
    notes: list[str]
    """What went wrong on the way, one sentence each."""

    def send(self, picture: Picture, pts: int) -> None:
        """Take a picture; never waits for longer than a copy takes.

        Args:
            picture: In ``LAYOUT`` and ``COLOUR``; not changed afterwards by anybody.
            pts: When it is shown, in units of ``TICK``; grows.

        Raises:
            OutputError: if it is gone for good; one line with what mends it.
        """

    @property
    def readers(self) -> int | None:
        """How many programs look at it now; ``None`` if nobody can know."""

    def close(self) -> None:
        """Finish it; may be called twice."""


class Desk(Protocol):
    """What a page, a script or a key may ask of a show that runs; from any thread."""

    def snapshot(self) -> dict[str, Any]:
        """Return all there is to know, ready for JSON.

        ``scene``: the one that was chosen last, by its name; empty if none was. ``settings``: see
        ``live.settings.Settings``. ``state``: ``name`` (see ``live.state``), ``reason``,
        ``camera``, ``output``. ``meters``: ``fps``, ``latency_ms`` (``p50``, ``p99``), ``dropped``,
        ``repeated``, ``cpu`` (share of the machine, 0..1), ``network_fps``, ``level`` (of the
        governor; 0 is the best), ``level_words``. ``choices``: ``backgrounds`` (``name``,
        ``value``, what to put into the settings), ``models``, ``qualities``, ``scenes`` (``name``,
        ``key``).
        """

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Change settings; all of them or, if one is wrong, none.

        Args:
            changes: Names of ``Settings`` and their new values.

        Raises:
            UsageError: if a name or a value makes no sense.
            InputError: if a background cannot be read.
        """

    def choose(self, scene: str) -> None:
        """Take over the settings of a scene.

        Raises:
            UsageError: if there is none of that name.
        """

    def look(self, view: View) -> tuple[int, NDArray[np.uint8]] | None:
        """Return what is to be seen now: its serial number, and uint8 R'G'B' ``[h, w, 3]``.

        ``None`` before the first picture. Small (at most 640 wide), and made when asked for.
        """

    def add_background(self, name: str, content: bytes) -> str:
        """Keep an uploaded picture among the backgrounds, decoded and written anew.

        Args:
            name: What its owner calls it; any text.
            content: The file.

        Returns:
            The value for the settings' ``background``.

        Raises:
            InputError: if it is no picture, or larger than is sensible.
            OutputError: if it cannot be kept.
        """
