"""Where results go. A new sink is one file here and one line in ``open_sink``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.errors import UsageError
from streammatte.options import EncodeOptions
from streammatte.sinks.base import Sink, check_target
from streammatte.sinks.codecs import CODECS, IMAGE_EXTENSIONS, default_output, plan

if TYPE_CHECKING:
    from streammatte.options import RenderOptions
    from streammatte.sources import Source

__all__ = ["CODECS", "Sink", "default_output", "open_sink"]


def open_sink(path: Path, source: Source, options: RenderOptions) -> Sink:
    """Open a sink for what is rendered from ``source``.

    Raises:
        UsageError: if name, codec and options do not go together.
        OutputError: if the target cannot be written.
    """
    from streammatte.sinks.image_file import ImageFile
    from streammatte.sinks.video_file import VideoFileSink
    from streammatte.sources.video_file import VideoFile

    info = source.info
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
    decided = plan(path, info, options.encode, alpha=alpha)
    tracks = source if isinstance(source, VideoFile) and not info.still else None
    return VideoFileSink(decided, info, options.encode, tracks)
