"""Which codecs there are, what they can hold, and which one a file name asks for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av

from streammatte.colour import (
    HD_LINES,
    SRGB,
    TRANSFER_BT709,
    TRANSFER_HLG,
    TRANSFER_PQ,
    UNSPECIFIED,
    Colour,
    Matrix,
)
from streammatte.delivery import extension
from streammatte.errors import DependencyError, UsageError
from streammatte.frames import Layout
from streammatte.registry import Entry, Registry

if TYPE_CHECKING:
    from streammatte.frames import VideoInfo
    from streammatte.hdr import Hdr
    from streammatte.options import EncodeOptions, RenderOptions

EXTENSIONS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""File name extension -> FFmpeg muxer."""
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

_LIKE_BT709 = (6, 14, 15)
"""Transfer functions that H.273 calls the same as BT.709's: of BT.601 and of BT.2020."""
_DEFAULT_CODEC = {"mp4": "h264", "mov": "h264", "matroska": "h264", "webm": "vp9"}
_ALPHA_CODEC = {"mov": "prores", "webm": "vp9", "matroska": "ffv1"}
_LAYER_CODEC = {"mp4": "h264", "mov": "prores", "webm": "vp9", "matroska": "ffv1"}
"""For what is composited further: every pass but a comp."""


@dataclass(frozen=True)
class Codec:
    """How to drive one of FFmpeg's encoders."""

    encoder: str
    containers: tuple[str, ...]
    """Muxers that hold it, alpha included if it has any."""
    alpha: bool = False
    crf: float | None = None
    """The default quality; ``None`` if the encoder has no such scale."""
    preset: tuple[str, str] | None = None
    """The encoder's option for speed against size, and its default value."""
    worst_crf: int = 0
    """The end of its scale of quality."""
    best_crf: int = 0
    """The other end of it."""
    quality: str = "crf"
    """The encoder's option for quality."""
    presets: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    delivery: bool = False
    """Made for players: R'G'B' becomes 4:2:0, as all of them expect."""
    whole_chroma: bool = False
    """Refuses sizes that leave half a chroma sample."""
    limited_only: bool = False
    """Players take its samples for limited range whatever the tags say."""
    careful_encoder: str = ""
    """Another encoder that is better where there is alpha, and takes odd widths."""
    data_crf: float | None = None
    """The default quality of mattes, whose faults are multiplied into a composite."""
    data_options: dict[str, str] = field(default_factory=dict)
    """What is told the encoder besides ``options`` for mattes."""
    alpha_error: tuple[float, float] = (0.0, 0.0)
    """How far an alpha may come back from what was encoded, in steps of 8 bits: at most, and on
    average."""
    alpha_formats: tuple[str, ...] = ()
    """The only formats in which alpha works, whatever the encoder claims; empty for all."""
    smallest: int = 1
    """Rows and columns that the encoder needs at least."""
    tells_aspect: bool = False
    """Whether its own bits say how wide a pixel is."""
    tag: str = ""
    """The FourCC that players want in mp4 and mov."""
    formats: tuple[str, ...] = ()
    """The formats of the encoder that are used; empty for all."""
    stand_in: str = ""
    """Which of ``CODECS`` encodes instead if the encoder, being hardware, does not open."""
    light: bool = False
    """Whether encoding with the default preset costs no more than matting does."""


MAX_THREADS = 8
"""Each costs an encoder the memory of a frame or more, and more do not make renders faster."""

_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)

H264 = Codec(
    "libx264",
    ("mp4", "mov", "matroska"),
    crf=18,
    data_crf=8,
    worst_crf=51,
    presets=_X26X_PRESETS,
    preset=("preset", "veryfast"),
    # Looking ahead on a thread of its own holds four frames more and changes no bit.
    options={"x264-params": "sync-lookahead=0"},
    delivery=True,
    whole_chroma=True,
    tells_aspect=True,
    light=True,
)
HEVC = Codec(
    "libx265",
    ("mp4", "mov", "matroska"),
    crf=20,
    data_crf=10,
    worst_crf=51,
    presets=_X26X_PRESETS,
    preset=("preset", "veryfast"),
    options={"x265-params": "log-level=error"},
    delivery=True,
    whole_chroma=True,
    smallest=64,  # x265 corrupts the heap below the size of its coding tree units
    tells_aspect=True,
    tag="hvc1",
)
AV1 = Codec(
    "libsvtav1",
    ("mp4", "matroska", "webm"),
    crf=28,
    data_crf=14,
    worst_crf=63,
    presets=tuple(map(str, range(14))),
    preset=("preset", "8"),
    delivery=True,
    whole_chroma=True,
)
VP9 = Codec(
    "libvpx-vp9",
    ("webm", "matroska"),
    alpha=True,
    crf=24,
    data_crf=8,
    worst_crf=63,
    presets=tuple(map(str, range(9))),
    preset=("cpu-used", "5"),
    options={"deadline": "good", "row-mt": "1", "b": "0"},
    delivery=True,
    alpha_error=(128.0, 5.0),  # 21 and 0.4 at its best on hair; what it may be is up to --crf
    alpha_formats=("yuva420p",),
)
PRORES = Codec(
    "prores_aw",
    ("mov",),
    alpha=True,
    options={"vendor": "apl0"},
    whole_chroma=True,
    limited_only=True,
    careful_encoder="prores_ks",
    data_options={"profile": "5"},  # 4444 XQ: noisy grey to 0.1 of 255, not 0.3; 0.7 at most
    alpha_error=(0.2, 0.1),  # 10 bits that come back as 12
)
FFV1 = Codec("ffv1", ("matroska",), alpha=True, options={"level": "3", "g": "1", "slicecrc": "1"})
QTRLE = Codec("qtrle", ("mov",), alpha=True)
PNG = Codec("png", ("mov",), alpha=True, options={"compression_level": "3"})


def _nvenc(name: str, software: Codec, crf: float, worst: int, *formats: str) -> Codec:
    """Return how to drive NVENC for what ``software`` encodes on the CPU."""
    return Codec(
        f"{name}_nvenc",
        software.containers,
        crf=crf,
        best_crf=1,  # 0 leaves the quality to the driver
        worst_crf=worst,
        quality="cq",
        presets=("p1", "p2", "p3", "p4", "p5", "p6", "p7"),
        preset=("preset", "p5"),
        options={"rc": "vbr", "b": "0"},  # without a bit rate, variable is constant quality
        delivery=True,
        whole_chroma=True,
        tag=software.tag,
        formats=formats,
        stand_in=name,
    )


H264_NVENC = _nvenc("h264", H264, 18, 51, "yuv420p", "yuv444p")
HEVC_NVENC = _nvenc("hevc", HEVC, 20, 51, "yuv420p", "p010le", "yuv444p")
AV1_NVENC = _nvenc("av1", AV1, 28, 63, "yuv420p", "p010le")

CODECS = Registry(
    "codec",
    {
        "h264": Entry("streammatte.sinks.codecs:H264", "plays everywhere"),
        "hevc": Entry("streammatte.sinks.codecs:HEVC", "smaller; phones and recent players"),
        "av1": Entry("streammatte.sinks.codecs:AV1", "smallest; recent players"),
        "prores": Entry("streammatte.sinks.codecs:PRORES", "for editors; 10 bit, carries alpha"),
        "vp9": Entry("streammatte.sinks.codecs:VP9", "for the web; carries alpha"),
        "ffv1": Entry("streammatte.sinks.codecs:FFV1", "lossless archive; carries alpha"),
        "qtrle": Entry("streammatte.sinks.codecs:QTRLE", "lossless 8-bit R'G'B'; carries alpha"),
        "png": Entry("streammatte.sinks.codecs:PNG", "lossless R'G'B'; carries alpha"),
        "h264_nvenc": Entry("streammatte.sinks.codecs:H264_NVENC", "h264 by an NVIDIA GPU"),
        "hevc_nvenc": Entry("streammatte.sinks.codecs:HEVC_NVENC", "hevc by an NVIDIA GPU"),
        "av1_nvenc": Entry("streammatte.sinks.codecs:AV1_NVENC", "av1 by an NVIDIA GPU"),
    },
    aliases={
        **dict.fromkeys(("x264", "libx264", "h.264", "avc"), "h264"),
        **dict.fromkeys(("h265", "x265", "libx265", "h.265"), "hevc"),
        **dict.fromkeys(("svtav1", "libsvtav1"), "av1"),
        **dict.fromkeys(("libvpx-vp9",), "vp9"),
        **dict.fromkeys(("prores_ks", "prores_aw", "prores4444"), "prores"),
    },
)


class Manner(NamedTuple):
    """What kind of pictures are written."""

    alpha: bool = False
    data: bool = False
    """Whether they are no colours but numbers, such as mattes."""
    premultiplied: bool = False
    """Whether colours are multiplied by alpha."""
    layer: bool = False
    """Whether they will be composited further."""


@dataclass(frozen=True)
class Plan:
    """What will be written, decided before any work is done."""

    path: Path
    name: str
    """The codec's name in ``CODECS``."""
    codec: Codec
    muxer: str
    encoder: str
    pixel_format: str
    """FFmpeg's name for what the encoder gets."""
    layout: Layout
    """The planar layout that holds the same."""
    colour: Colour
    manner: Manner

    @property
    def tells_aspect(self) -> bool:
        """Whether the file will say how wide a pixel is; PyAV does not let Matroska say it."""
        return self.codec.tells_aspect or self.muxer in ("mp4", "mov")


def default_codec(suffix: str, manner: Manner) -> str | None:
    """Return the codec that a kind of file gets if none is asked for; ``None`` if none fits."""
    layer = manner.layer or manner.data
    codecs = _ALPHA_CODEC if manner.alpha else _LAYER_CODEC if layer else _DEFAULT_CODEC
    return codecs.get(EXTENSIONS.get(suffix.lower(), ""))


def for_pass(options: EncodeOptions, suffix: str, manner: Manner) -> EncodeOptions:
    """Return what of the encoding asked for is meant for one of several passes.

    A quality that only one pass's codec knows is not for the others, if nobody named their codec.
    """
    name = default_codec(suffix, manner)
    if options.codec is not None or name is None or CODECS.load(name).crf is not None:
        return options
    return replace(options, crf=None, preset=None, bitrate=None, pixel_format=None)


def plan(
    path: Path,
    info: VideoInfo,
    options: EncodeOptions,
    manner: Manner | None = None,
    *,
    alpha: bool = False,
) -> Plan:
    """Decide how to write footage like ``info`` to ``path``.

    Args:
        path: Where to.
        info: What the pictures are like.
        options: What is asked for.
        manner: What kind of pictures they are.
        alpha: Whether they have alpha, if nothing more is to be said of them.

    Raises:
        UsageError: if name, codec and options do not go together.
        DependencyError: if this FFmpeg lacks the encoder.
    """
    manner = manner or Manner(alpha)
    alpha = manner.alpha
    muxer = EXTENSIONS.get(path.suffix.lower())
    if muxer is None:
        raise UsageError(
            f"cannot tell a container from {path.name!r}; use one of {', '.join(EXTENSIONS)}"
        )
    name = options.codec or default_codec(path.suffix, manner)
    if name is None:
        raise UsageError(
            f"{path.suffix} carries no alpha with any codec; use .mov (ProRes 4444), .webm (VP9) "
            "or .mkv (FFV1)"
        )
    name = CODECS.known(name)
    codec: Codec = CODECS.load(name)
    if alpha and not codec.alpha:
        carriers = ", ".join(key for key in CODECS if CODECS.load(key).alpha)
        raise UsageError(f"{name} carries no alpha; use one of {carriers}")
    if muxer not in codec.containers:
        fitting = [ext for ext, held in EXTENSIONS.items() if held in codec.containers]
        raise UsageError(f"{path.suffix} does not hold {name}; use {' or '.join(fitting)}")
    _check_quality(name, codec, options)
    if manner.data:
        codec = _for_data(codec)
        info = replace(info, layout=Layout("rgb", 8 if codec.delivery else info.layout.depth))
    careful = codec.careful_encoder if alpha or manner.data or info.width % 2 else ""
    encoder = careful or codec.encoder
    pixel_format, layout = _pixel_format(name, codec, encoder, info, options, alpha=alpha)
    colour = _target_colour(info, layout, codec)
    return Plan(path, name, codec, muxer, encoder, pixel_format, layout, colour, manner)


def _for_data(codec: Codec) -> Codec:
    told = {**codec.options, **codec.data_options}
    return replace(codec, options=told, crf=codec.crf if codec.data_crf is None else codec.data_crf)


def _check_quality(name: str, codec: Codec, options: EncodeOptions) -> None:
    if options.crf is not None and codec.crf is None:
        raise UsageError(f"{name} has no --crf; its quality is fixed")
    if options.preset is not None and codec.preset is None:
        raise UsageError(f"{name} has no --preset")
    if options.bitrate is not None and codec.crf is None:
        raise UsageError(f"{name} has no --bitrate; its quality is fixed")
    if options.crf is not None and not codec.best_crf <= options.crf <= codec.worst_crf:
        scale = f"{codec.best_crf} to {codec.worst_crf}"
        raise UsageError(f"--crf for {name} goes from {scale}, got {options.crf:g}")
    if options.preset is not None and options.preset not in codec.presets:
        raise UsageError(
            f"{name} has no --preset {options.preset}; it has {', '.join(codec.presets)}"
        )


def encoder_threads(codec: Codec, options: EncodeOptions, cores: int) -> int:
    """Return how many threads an encoder gets: half the cores if matting needs the other half."""
    shares = codec.light and options.preset is None
    return min(max(cores // 2, 1) if shares else cores, MAX_THREADS)


def encoder_options(
    codec: Codec, options: EncodeOptions, *, centred: bool, hdr: Hdr | None = None
) -> dict[str, str]:
    """Return what to tell the encoder.

    Args:
        codec: Which one.
        options: Quality.
        centred: Where chroma lies; see ``Colour``.
        hdr: What HDR says of its mastering; what the encoder cannot take is left out.
    """
    told = dict(codec.options)
    if hdr and (word := hdr.told(codec.encoder)):
        name, value = word
        told[name] = f"{told[name]}:{value}" if name in told else value
    for params in ("x264-params", "x265-params"):
        if centred and params in told:
            told[params] += ":chromaloc=1"
    if codec.preset is not None:
        told[codec.preset[0]] = options.preset or codec.preset[1]
    if options.bitrate is not None:
        told.pop("b", None)
    elif codec.encoder == "libx264" and options.crf == 0:
        told["qp"] = "0"  # in 10 bit, crf 0 is not lossless, and goes before qp
    elif codec.crf is not None:
        told[codec.quality] = f"{codec.crf if options.crf is None else options.crf:g}"
    return told


def _pixel_format(
    name: str, codec: Codec, encoder: str, info: VideoInfo, options: EncodeOptions, *, alpha: bool
) -> tuple[str, Layout]:
    try:
        formats = [fmt.name for fmt in av.Codec(encoder, "w").video_formats or []]
    except (av.error.FFmpegError, ValueError) as error:
        raise DependencyError(
            f"this build of FFmpeg has no {encoder}; use another --codec"
        ) from error
    held = {
        fmt: layout
        for fmt in formats
        if fmt in (codec.formats or formats) and (layout := _planar(fmt)) is not None
    }
    if options.pixel_format is not None:
        if options.pixel_format not in held:
            raise UsageError(
                f"{name} does not take {options.pixel_format}; it takes {', '.join(held)}"
            )
        if alpha and not held[options.pixel_format].alpha:
            raise UsageError(f"{options.pixel_format} carries no alpha")
        return options.pixel_format, held[options.pixel_format]
    wanted = info.layout.with_alpha(alpha=alpha)
    if codec.delivery and wanted.family == "rgb" and not alpha:
        wanted = Layout("yuv", min(wanted.depth, 10), 1, 1)
    fitting = {
        fmt: layout
        for fmt, layout in held.items()
        if layout.alpha == alpha
        and not (codec.whole_chroma and _leaves_half(layout, info))
        and not (alpha and codec.alpha_formats and fmt not in codec.alpha_formats)
        and min(info.width, info.height) >= codec.smallest
    }
    if not fitting:
        raise UsageError(
            f"{name} cannot hold {info.width}x{info.height} pictures"
            f"{' with alpha' if alpha else ''}; use --codec h264"
        )
    best = min(fitting, key=lambda fmt: _distance(wanted, fitting[fmt], exact=fmt))
    return best, fitting[best]


def _planar(pixel_format: str) -> Layout | None:
    """Return the layout that holds a format exactly; ``None`` for formats we do not write."""
    if pixel_format.startswith(("yuvj", "nv", "gray", "ya", "mono", "pal", "rgb555", "yuv41")):
        return None
    try:
        return Layout.nearest(pixel_format)
    except ValueError:
        return None


def _leaves_half(layout: Layout, info: VideoInfo) -> bool:
    return bool(info.width % (1 << layout.chroma_x) or info.height % (1 << layout.chroma_y))


def _distance(wanted: Layout, offered: Layout, exact: str) -> tuple[int, ...]:
    """Return how far an offer is from the wish: first what would be lost, then what is wasted."""
    return (
        int(wanted.family != offered.family),
        max(0, wanted.depth - offered.depth),
        max(0, offered.chroma_x - wanted.chroma_x) + max(0, offered.chroma_y - wanted.chroma_y),
        max(0, offered.depth - wanted.depth),
        max(0, wanted.chroma_x - offered.chroma_x) + max(0, wanted.chroma_y - offered.chroma_y),
        int(exact != offered.name),
    )


def _target_colour(info: VideoInfo, layout: Layout, codec: Codec) -> Colour:
    colour = info.colour
    if layout.family == "rgb" and info.layout.family == "yuv":
        return replace(SRGB, primaries=colour.primaries, transfer=colour.transfer)
    if layout.family == "yuv" and info.layout.family == "rgb":
        matrix = Matrix.BT709 if info.height >= HD_LINES else Matrix.SMPTE170M
        matrix = Matrix.BT2020 if colour.is_wide else matrix
        return replace(colour, matrix=matrix, full_range=False)
    if codec.limited_only and layout.family == "yuv":
        return _prores_colour(colour)
    return colour


def _prores_colour(colour: Colour) -> Colour:
    """Return the nearest colour that a ProRes frame header can tell (SMPTE RDD 36)."""
    matrix = Matrix.SMPTE170M if colour.matrix is Matrix.BT470BG else colour.matrix
    if matrix not in (Matrix.BT709, Matrix.SMPTE170M, Matrix.BT2020):
        matrix = Matrix.BT709
    transfer = TRANSFER_BT709 if colour.transfer in _LIKE_BT709 else colour.transfer
    if transfer not in (TRANSFER_BT709, TRANSFER_PQ, TRANSFER_HLG):
        transfer = UNSPECIFIED
    return replace(colour, matrix=matrix, transfer=transfer, full_range=False)


def default_output(info: VideoInfo, options: RenderOptions) -> Path:
    """Return the name of a result that was given none: ``talk_beach.mp4`` beside the footage."""
    base = info.path or Path("synthetic.mp4")
    what = options.background.label if "comp" in options.passes else options.passes[0]
    if options.purpose is None:
        name = f"{base.stem}_{what}" if len(options.passes) == 1 else base.stem
        return base.with_name(f"{name}{_suffix(info, options)}")
    name, ending = f"{base.stem}_{options.purpose}", extension(options.purpose)
    if "%" in ending:  # a folder for what are many files
        return base.with_name(name) / f"{name}{ending}"
    return base.with_name(f"{name}{ending}")


def _suffix(info: VideoInfo, options: RenderOptions) -> str:
    """Return the footage's own extension if it can hold the result, else the most usual one."""
    own = info.path.suffix.lower() if info.path else ".mp4"
    transparent = options.background.kind == "transparent"
    alpha = "premult" in options.passes or ("comp" in options.passes and transparent)
    if info.still:
        return own if own in IMAGE_EXTENSIONS and not alpha else ".png"
    if options.encode.codec is not None:
        containers = CODECS.load(options.encode.codec).containers
        wish = EXTENSIONS.get(own) if not alpha else None
        muxer = wish if wish in containers else containers[0]
        return own if wish == muxer else next(ext for ext in EXTENSIONS if EXTENSIONS[ext] == muxer)
    if alpha or options.passes != ("comp",):
        return ".mov"
    return own if own in EXTENSIONS and own != ".webm" else ".mp4"
