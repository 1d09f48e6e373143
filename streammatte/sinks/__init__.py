"""Where results go. A new sink is one file here and one line in ``open_sink``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import DependencyError, UsageError
from streammatte.options import EncodeOptions
from streammatte.sinks.base import Sink, check_target
from streammatte.sinks.codecs import CODECS, IMAGE_EXTENSIONS, default_output, plan

if TYPE_CHECKING:
    from streammatte.frames import VideoInfo
    from streammatte.options import RenderOptions
    from streammatte.sources import Source

__all__ = ["CODECS", "Sink", "default_output", "is_linear", "open_sink"]


LINEAR_EXTENSIONS = (".exr",)
"""Kinds of files that hold linear light."""


def is_linear(path: Path) -> bool:
    """Whether what is written under a name is in linear light."""
    return path.suffix.lower() in LINEAR_EXTENSIONS


def open_sink(
    path: Path, source: Source, options: RenderOptions, info: VideoInfo | None = None
) -> Sink:
    """Open a sink for what is rendered from ``source``.

    Args:
        path: Where to.
        source: The footage.
        options: Everything else.
        info: What the results are like; as the footage, if it is not given.

    Raises:
        UsageError: if name, codec and options do not go together.
        DependencyError: if the encoder is not there, and no other stands in for it.
        OutputError: if the target cannot be written.
    """
    from streammatte.sinks.image_file import ImageFile

    info = info or source.info
    behind = Path(options.background.path) if options.background.kind == "file" else None
    check_target(path, info.path, behind, overwrite=options.overwrite)
    alpha = options.background.kind == "transparent"
    if path.suffix.lower() in IMAGE_EXTENSIONS:
        if not info.still:
            raise UsageError(f"{path.name} is one image; give footage a video name such as .mp4")
        if options.encode != EncodeOptions():
            raise UsageError(
                f"--codec, --crf, --preset, --bitrate and --pix-fmt are not for {path.suffix}"
            )
        return ImageFile(path, info, alpha=alpha)
    return _video(path, source, options.encode, info, alpha=alpha)


def _video(
    path: Path, source: Source, options: EncodeOptions, info: VideoInfo, *, alpha: bool
) -> Sink:
    """Open a video file; where an encoder in hardware does not open, one in software stands in."""
    from streammatte.sinks.nvenc import stand_in
    from streammatte.sinks.video_file import VideoFileSink
    from streammatte.sources.video_file import VideoFile

    tracks = source if isinstance(source, VideoFile) and not info.still else None
    try:
        return VideoFileSink(plan(path, info, options, alpha=alpha), info, options, tracks)
    except DependencyError as error:
        software = stand_in(options)
        if software is None:
            raise
        why = str(error).partition(";")[0]
    decided = plan(path, info, software, alpha=alpha)
    sink = VideoFileSink(decided, info, software, tracks)
    dropped = f", without --preset {options.preset}" if options.preset is not None else ""
    sink.notes.insert(
        0, f"{options.codec} cannot be used here: {why}; encoded by {decided.encoder}{dropped}"
    )
    return sink
