"""Where results go. A new sink is one file here and one line in ``open_sink``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from streammatte.delivery import hand_over
from streammatte.errors import DependencyError, UsageError
from streammatte.images import SEQUENCE_ONLY
from streammatte.options import EncodeOptions
from streammatte.resume import check_numbers, numbers_of
from streammatte.sinks.base import Sink, check_target
from streammatte.sinks.codecs import (
    CODECS,
    IMAGE_EXTENSIONS,
    Manner,
    default_output,
    for_pass,
    plan,
)
from streammatte.sinks.estimate import estimate, room
from streammatte.sinks.passes import (
    DATA_PASSES,
    Passes,
    has_alpha,
    is_multiplied,
    is_numbered,
    of_pass,
    targets,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streammatte.frames import VideoInfo
    from streammatte.options import Pass, RenderOptions
    from streammatte.sinks.video_file import VideoFileSink
    from streammatte.sources import Source

__all__ = ["CODECS", "Sink", "default_output", "is_linear", "open_sink", "places"]


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
    info = info or source.info
    behind = Path(options.background.path) if options.background.kind == "file" else None
    if options.purpose == "packed":
        check_target(path, info.path, behind, overwrite=options.overwrite)
        return _packed(path, source, options, info)
    where = places(path, options, info)
    sinks: dict[Pass, Sink] = {}
    try:
        for place in where.values():
            if is_numbered(place):
                _check_sequence(place, source, options, (info.path, behind))
            else:
                check_target(place, info.path, behind, overwrite=options.overwrite)
        if options.sequence.multilayer:
            return _images(path, options.passes, source, options, info)
        for name, place in where.items():
            sinks[name] = _one(name, place, source, options, info)
    except BaseException as error:
        for sink in sinks.values():
            sink.__exit__(type(error), error, error.__traceback__)
        if options.purpose == "corridorkey":
            _sweep(path, where)
        raise
    name = next(iter(sinks))
    return sinks[name] if len(sinks) == 1 and name not in DATA_PASSES else Passes(sinks)


def places(path: Path, options: RenderOptions, info: VideoInfo) -> dict[Pass, Path]:
    """Return where each pass goes.

    Args:
        path: What was asked for.
        options: Which passes, and what for.
        info: What results are like.
    """
    if options.sequence.multilayer:
        return dict.fromkeys(options.passes, path)
    if options.purpose != "corridorkey":
        return targets(path, options.passes)
    known = hand_over(path, info)
    return {name: known[name] for name in options.passes if name in known}


def _check_sequence(
    path: Path, source: Source, options: RenderOptions, read: Iterable[Path | None]
) -> None:
    """Refuse a sequence that should not be written, before any work is done."""
    from streammatte.numbered import Pattern

    pattern = Pattern(path)
    for other in (Pattern(each) for each in read if each is not None):
        if other.is_numbered and other.file(0).absolute() == pattern.file(0).absolute():
            raise UsageError(f"{path} is read for this; give another output with -o")
    if not (options.overwrite or options.sequence.skip_existing):
        check_numbers(pattern, numbers_of(source, options.sequence))


def _sweep(path: Path, where: dict[Pass, Path]) -> None:
    """Remove folders that were made for nothing."""
    for folder in (*(place.parent for place in where.values()), path):
        with contextlib.suppress(OSError):  # which is what it says if there is something in it
            folder.rmdir()


def _one(name: Pass, path: Path, source: Source, options: RenderOptions, info: VideoInfo) -> Sink:
    """Open what one pass is written to."""
    from streammatte.sinks.image_file import ImageFile

    alpha = has_alpha(name, transparent=options.background.kind == "transparent")
    info = of_pass(name, info)
    if is_numbered(path) or path.suffix.lower() in SEQUENCE_ONLY:
        return _images(path, (name,), source, options, info)
    if path.suffix.lower() in IMAGE_EXTENSIONS:
        if not info.still:
            raise UsageError(f"{path.name} is one image; give footage a video name such as .mp4")
        if options.encode != EncodeOptions():
            raise UsageError(
                f"--codec, --crf, --preset, --bitrate and --pix-fmt are not for {path.suffix}"
            )
        return ImageFile(path, info, alpha=alpha)
    data, multiplied = name in DATA_PASSES, alpha and is_multiplied(name, options.alpha)
    manner = Manner(alpha, data, multiplied, layer=name != "comp")
    encode = options.encode
    if len(options.passes) > 1:
        encode = for_pass(encode, path.suffix, manner)
    return _video(path, source, encode, info, manner)


def _images(
    path: Path, passes: tuple[Pass, ...], source: Source, options: RenderOptions, info: VideoInfo
) -> Sink:
    """Open an image sequence, of one pass or of all in each file."""
    from streammatte.sinks.images import Images
    from streammatte.sources.video_file import VideoFile

    if options.encode != EncodeOptions():
        raise UsageError(
            "--codec, --crf, --preset, --bitrate and --pix-fmt are for videos; for OpenEXR there "
            "are --compression and --float"
        )
    transparent = options.background.kind == "transparent"
    alphas = {name: has_alpha(name, transparent=transparent) for name in passes}
    usual = "premult" if is_linear(path) else "straight"
    multiplied = "premult" in passes or (options.alpha or usual) == "premult"
    sink = Images(path, info, alphas, options.sequence, multiplied=multiplied)
    if isinstance(source, VideoFile) and source.sound_rates:
        sink.notes.append("images hold no sound: it stays in the footage alone")
    return sink


def _packed(path: Path, source: Source, options: RenderOptions, info: VideoInfo) -> Sink:
    """Open a video of two passes side by side."""
    from streammatte.sinks.packed import Packed, packed_info

    sides = [name for name in options.passes if name != "matte"]
    if len(sides) != 1 or sides[0] in DATA_PASSES or "matte" not in options.passes:
        raise UsageError("--for packed takes two passes: --out fgr,matte or --out premult,matte")
    return Packed(_video(path, source, options.encode, packed_info(info), Manner()), sides[0])


def _video(
    path: Path, source: Source, options: EncodeOptions, info: VideoInfo, manner: Manner
) -> VideoFileSink:
    """Open a video file; where an encoder in hardware does not open, one in software stands in."""
    from streammatte.sinks.nvenc import stand_in
    from streammatte.sinks.video_file import VideoFileSink
    from streammatte.sources.video_file import VideoFile

    def opened(wish: EncodeOptions) -> VideoFileSink:
        decided = plan(path, info, wish, manner)
        scarce = room(path, estimate(decided, info))  # before a byte is written
        sink = VideoFileSink(decided, info, wish, tracks)
        sink.notes += scarce
        return sink

    tracks = source if isinstance(source, VideoFile) and not info.still else None
    try:
        return opened(options)
    except DependencyError as error:
        software = stand_in(options)
        if software is None:
            raise
        why = str(error).partition(";")[0]
    sink = opened(software)
    dropped = f", without --preset {options.preset}" if options.preset is not None else ""
    by = sink.plan.encoder
    sink.notes.insert(0, f"{options.codec} cannot be used here: {why}; encoded by {by}{dropped}")
    return sink
