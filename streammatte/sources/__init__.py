"""Where pictures come from. A new source is one file here and one line in ``open_source``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.sources.base import Damage, Source, Window

if TYPE_CHECKING:
    from pathlib import Path

    from streammatte.options import Decoder, SequenceOptions

__all__ = ["Damage", "Source", "Window", "open_source"]


def open_source(
    where: str | Path,
    window: Window | None = None,
    decoder: Decoder = "auto",
    sequence: SequenceOptions | None = None,
) -> Source:
    """Open footage: a path, ``plate.%04d.exr``, or ``synthetic[:WIDTHxHEIGHT[@RATE][xFRAMES]]``.

    Args:
        where: The footage.
        window: The part of it that is wanted; ``None`` for all.
        decoder: What decodes a file: ``auto``, ``cpu`` or ``cuda``; see ``VideoFile``.
        sequence: How image sequences are read.

    Raises:
        InputError: if it cannot be read.
    """
    if str(where).partition(":")[0] == "synthetic":
        from streammatte.errors import UsageError
        from streammatte.sources.synthetic import Synthetic

        if window:
            raise UsageError("-ss, -to and -t cut files; a synthetic clip says its length itself")

        return Synthetic.parse(str(where))
    from streammatte.errors import UsageError
    from streammatte.sources.video_file import VideoFile

    if _is_sequence(str(where)):
        from streammatte.options import SequenceOptions
        from streammatte.sources.sequence import Sequence

        return Sequence(where, window, sequence or SequenceOptions())
    if sequence is not None and (sequence.frames or sequence.handles or sequence.rate):
        raise UsageError(
            f"{where} is no image sequence: --frames, --handles and --rate are for those; "
            "-ss, -to and -t cut videos"
        )
    return VideoFile(where, window, decoder)


def _is_sequence(where: str) -> bool:
    """Whether a name is a sequence's, or an image's of a kind that only compositors use."""
    from pathlib import Path

    from streammatte.digests import NUMBER
    from streammatte.images import KINDS, SEQUENCE_ONLY

    path = Path(where)
    suffix = path.suffix.lower()
    if suffix in SEQUENCE_ONLY:
        return True
    return suffix in KINDS and bool(NUMBER.search(path.name)) and not path.is_file()
