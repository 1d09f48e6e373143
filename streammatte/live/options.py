"""Everything ``live`` can be told before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from streammatte.errors import UsageError
from streammatte.live.mattes import Align
from streammatte.live.settings import Settings
from streammatte.options import NetworkOptions
from streammatte.sinks.codecs import EXTENSIONS

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

FASTEST = 240


@dataclass(frozen=True)
class LiveOptions:
    """What to show, where from and where to."""

    camera: str = "auto"
    """See ``sources.feed.open_feed``."""
    mode: str | None = None
    """Such as ``1280x720@30:mjpg``; ``None`` for a sensible one."""
    outputs: tuple[str, ...] = ("auto",)
    """See ``sinks.live_outputs.open_output``."""
    record: Path | None = None
    """A file that is written as well."""
    preview: bool = False
    """Whether a window shows the result, too."""
    overwrite: bool = False
    settings: Settings = field(default_factory=Settings)
    """At the start; all of them can be changed while it runs."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    """What runs the network; its ``model`` is the settings'."""
    align: Align = "matched"
    """``matched``: each matte on its own frame, all of it late by what that takes; ``lowest``: the
    newest frame at once, with the last matte carried to it."""
    rate: Fraction | None = None
    """Pictures a second that leave; ``None`` for the camera's."""
    governed: bool = True
    """Whether quality is given up for the frame rate."""
    on_demand: bool = False
    """Whether the camera is let go of while nobody reads the virtual camera."""
    slate: str | None = None
    """A still picture to show instead of nothing; ``None`` for a plain one."""
    scenes: Path | None = None
    """See ``live.settings.read_scenes``."""
    backgrounds: Path | None = None
    """The folder whose pictures are offered as backgrounds."""
    control: str | None = None
    """``HOST:PORT`` of the control page; ``None`` for no page."""
    token: str | None = None
    """What the page and scripts must know; ``None`` for the one that is kept."""
    frames: int | None = None
    """Pictures after which it ends."""
    seconds: float | None = None
    """Seconds after which it ends."""

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices."""
        if self.align not in get_args(Align):
            raise UsageError(f"--align: unknown {self.align!r}; use matched or lowest")
        if self.rate is not None and not 1 <= self.rate <= FASTEST:
            raise UsageError(f"--fps must be 1 to {FASTEST}, got {float(self.rate):g}")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames must be at least 1, got {self.frames}")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"-t must be above 0, got {self.seconds:g}")
        if self.network.batch is not None or self.network.every != 1:
            raise UsageError("--batch and --every are for files; live decides about both itself")
        if self.record is not None and self.record.suffix.lower() not in EXTENSIONS:
            known = ", ".join(EXTENSIONS)
            raise UsageError(f"--record: {self.record} must be a file that ends in {known}")
        if not self.outputs:
            raise UsageError("where to? give --vcam auto, /dev/video20, null or a file")
