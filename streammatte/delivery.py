"""Where results go: what ``--for premiere``, ``nuke``, ``web`` and others set that is left open.

A new purpose is one line in ``PRESETS`` and one word in ``options.Purpose``; what each application
wants, and where that is written, is in docs/delivery.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from streammatte.options import (
    FIRST_NUMBER,
    ColourOptions,
    EdgeOptions,
    EncodeOptions,
    RenderOptions,
    SequenceOptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streammatte.frames import VideoInfo
    from streammatte.options import Alpha, Pass, Purpose


@dataclass(frozen=True)
class Preset:
    """What a purpose sets, unless it is given otherwise."""

    ending: str
    """Of the default name, behind the footage's own: ``.mov``, ``.%04d.exr``; a folder if empty."""
    summary: str
    """What is written, in words."""
    passes: tuple[Pass, ...] = ("comp",)
    alpha: Alpha | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    colour: ColourOptions = field(default_factory=ColourOptions)
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    sequence: SequenceOptions = field(default_factory=SequenceOptions)


_EDITOR = Preset(
    ".mov", "ProRes 4444 with straight alpha", alpha="straight", encode=EncodeOptions("prores")
)
_FOR_COMPOSITING = SequenceOptions(start_number=FIRST_NUMBER)
PRESETS: Mapping[Purpose, Preset] = {
    "premiere": _EDITOR,
    "resolve": _EDITOR,
    "ae": _EDITOR,
    "nuke": Preset(
        ".%04d.exr",
        "OpenEXR, half, ZIPS, linear light, premultiplied",
        alpha="premult",
        colour=ColourOptions(linear=True),
        sequence=_FOR_COMPOSITING,
    ),
    "web": Preset(
        ".webm",
        "VP9 with straight alpha; Safari wants HEVC, which only macOS can encode with alpha",
        alpha="straight",
        encode=EncodeOptions("vp9"),
    ),
    "obs": Preset(".webm", "VP9 with straight alpha", alpha="straight"),
    "unreal": Preset(".%04d.png", "PNG with straight alpha", alpha="straight"),
    "packed": Preset(
        ".mp4",
        "H.264, colours on the left and the matte on the right",
        passes=("fgr", "matte"),
        encode=EncodeOptions("h264"),
    ),
    "corridorkey": Preset(
        "",
        "a folder with the plate in Input and coarse mattes in AlphaHint",
        passes=("plate", "matte"),
        edges=EdgeOptions(choke=2, feather=3),
        sequence=_FOR_COMPOSITING,
    ),
}
_WHOLE = ("passes", "alpha", "edges")
_PARTS = ("encode", "colour", "sequence")


def apply(options: RenderOptions, info: VideoInfo) -> RenderOptions:
    """Return options with what their purpose sets; without one they stay as they are.

    Args:
        options: As they were asked for.
        info: The footage: one that is numbered keeps its numbers.
    """
    if options.purpose is None:
        return options
    preset, plain = PRESETS[options.purpose], RenderOptions(options.background)
    changes: dict[str, Any] = {}
    for name in _WHOLE:
        if name not in options.named and getattr(options, name) == getattr(plain, name):
            changes[name] = getattr(preset, name)
    for name in _PARTS:
        if name == "colour" and options.colour.by_ocio:
            continue  # which goes without --linear
        asked, open_ = getattr(options, name), getattr(plain, name)
        left = [
            part.name
            for part in fields(asked)
            if getattr(asked, part.name) == getattr(open_, part.name)
        ]
        wish = getattr(preset, name)
        changes[name] = replace(asked, **{part: getattr(wish, part) for part in left})
    if info.first_number is not None and options.sequence.start_number is None:
        changes["sequence"] = replace(changes["sequence"], start_number=None)
    return replace(options, **changes)


def extension(purpose: Purpose) -> str:
    """Return how a default name ends: ``.mov``, ``.%04d.exr``; nothing for a folder."""
    return PRESETS[purpose].ending


def hand_over(folder: Path, info: VideoInfo) -> dict[Pass, Path]:
    """Return where CorridorKey looks for a clip's plate and for its hints.

    It pairs the sorted files of two folders, so both have the same names; files in OpenEXR are
    linear to it, all others sRGB.

    Args:
        folder: Of the clip.
        info: What results are like.
    """
    suffix = ".exr" if info.colour.is_linear else ".png"
    name = f"{folder.name}.%04d{suffix}"
    return {"plate": folder / "Input" / name, "matte": folder / "AlphaHint" / name}
