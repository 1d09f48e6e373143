"""Where pictures come from. A new source is one file here and one line in ``open_source``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.sources.base import Damage, Source, Window

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.options import Decoder

__all__ = ["Damage", "Source", "Window", "open_source"]


def open_source(
    where: str | Path, window: Window | None = None, decoder: Decoder = "auto"
) -> Source:
    """Open footage: a path, or ``synthetic[:WIDTHxHEIGHT[@RATE][xFRAMES]]``.

    Args:
        where: The footage.
        window: The part of it that is wanted; ``None`` for all.
        decoder: What decodes a file: ``auto``, ``cpu`` or ``cuda``; see ``VideoFile``.

    Raises:
        InputError: if it cannot be read.
    """
    if str(where).partition(":")[0] == "synthetic":
        from streammatte.errors import UsageError
        from streammatte.sources.synthetic import Synthetic

        if window:
            raise UsageError("-ss, -to and -t cut files; a synthetic clip says its length itself")

        return Synthetic.parse(str(where))
    from streammatte.digests import files_of
    from streammatte.errors import InputError
    from streammatte.sources.video_file import VideoFile

    found = files_of(str(where))
    if found is not None and found.numbers:
        raise InputError(
            f"{where}: image sequences are not read yet; make a video of it first, such as "
            "ffmpeg -i plate.%04d.png -c:v ffv1 plate.mkv"
        )
    return VideoFile(where, window, decoder)
