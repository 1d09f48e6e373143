"""StreamMatte from Python: the same options as on the command line, the same defaults."""

from __future__ import annotations

from dataclasses import fields
from os import PathLike
from typing import TYPE_CHECKING, Any

from streammatte.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from streammatte.cutout import Cutout
    from streammatte.options import (
        Alpha,
        BackgroundFit,
        ColourOptions,
        Decoder,
        Decontaminate,
        EdgeOptions,
        Every,
        MatteOptions,
        NetworkOptions,
        Pass,
        Precision,
        Purpose,
        Quality,
        Refine,
        SequenceOptions,
        StillOptions,
        Subject,
        Temporal,
        Time,
    )
    from streammatte.pipeline import Event, Report


def render(
    footage: str | Path,
    output: str | Path | None = None,
    *,
    bg: str | Path | None = None,
    bg_fit: BackgroundFit = "cover",
    model: str | Path = "selfie",
    weights: str | Path | None = None,
    commercial_only: bool = False,
    size: int | tuple[int, int] | None = None,
    runtime: str = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    require_gpu: bool = False,
    every: Every = 1,
    batch: int | None = None,
    quality: Quality = "balanced",
    temporal: Temporal | None = None,
    strength: float = 1.0,
    refine: Refine | None = None,
    decontaminate: Decontaminate | bool | None = None,
    subject: Subject = "all",
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    start: Time | None = None,
    to: Time | None = None,
    length: Time | None = None,
    decoder: Decoder = "auto",
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    pixel_format: str | None = None,
    bitrate: str | int | None = None,
    passes: Sequence[Pass] | None = None,
    alpha: Alpha | None = None,
    purpose: Purpose | None = None,
    edges: EdgeOptions | str | None = None,
    despill: str = "off",
    light_wrap: float = 0.0,
    mask_override: str | Path | None = None,
    colour: ColourOptions | None = None,
    sequence: SequenceOptions | None = None,
    still: StillOptions | None = None,
    overwrite: bool = False,
    serial: bool = False,
    tell: Callable[[Event], None] | None = None,
) -> Report:
    """Put a new background behind the subject of a video or a photograph.

    Args:
        footage: What to read: a video, a photograph, or an image sequence as ``plate.%04d.exr``;
            of several photographs their folder, a pattern such as ``photos/**/*.jpg``, or a list.
        output: What to write; ``None`` for a name beside the footage, such as ``talk_beach.mp4``;
            of several photographs a folder, made if it is missing.
        bg: An image or video file, ``#00b140``, a colour's name, ``blur``, ``blur:20`` (standard
            deviation in lines of a 1080-line picture) or ``transparent``.
        bg_fit: How a file fills the frame.
        model: Which network: a name (``streammatte models list``), the path of a folder, of a
            ``.safetensors`` or an ``.onnx`` file, or an id of the Hugging Face hub.
        weights: Instead of the network's own: such a path, or ``random`` or ``random:SEED``.
        commercial_only: Refuse networks that may not be used commercially.
        size: The network's input in pixels: its shorter side, or ``(width, height)``.
        runtime: What runs the network; ``auto`` takes the quickest that works here.
        device: Where: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        precision: ``auto`` is fp32 on a CPU and fp16 on a GPU.
        require_gpu: Fail rather than run on a CPU.
        every: The network sees every N-th frame, and what is new; to the frames between, mattes
            are carried along the motion. ``auto`` lets it look when enough has changed.
        batch: Frames that the network sees at once; ``None`` for what the runtime gains from.
        quality: ``live``, ``balanced`` or ``best``: sets what is ``None`` of the following.
        temporal: How mattes are steadied over time: ``off``, ``live`` (by the frames before),
            ``file`` (by those after, too), or ``auto``.
        strength: How much they are steadied, 0 to 2.
        refine: How mattes come to the frame's size: ``fast``, or ``fine`` along its colours.
        decontaminate: How soft edges lose the colour of the old background: ``off``, ``fast`` or
            ``fine``; ``False`` is ``off``.
        subject: ``all`` that the network finds, or only who is ``largest``.
        keep: Zones that are always subject: ``left,top,right,bottom`` as shares of the picture
            (``0.2,0,0.8,1``), or the path of a picture that is white there.
        drop: Zones that never are.
        start: Where to begin: a number of seconds, or ``[hours:]minutes:seconds``.
        to: Where to stop.
        length: How long to go on, instead of ``to``.
        decoder: What decodes the footage: ``cuda`` is an NVIDIA GPU, or the CPU where that cannot
            decode it, which the report says; ``auto`` is the CPU, until measured on hardware.
        codec: ``h264``, ``hevc``, ``av1``, ``prores``, ``vp9``, ``ffv1``, ``qtrle`` or ``png``; or
            ``h264_nvenc``, ``hevc_nvenc`` or ``av1_nvenc`` for an NVIDIA GPU, where it cannot be
            used replaced by the CPU's encoder, which the report says.
        crf: Quality, on the codec's own scale; lower is better.
        preset: Speed against size, in the encoder's own words.
        pixel_format: FFmpeg's name for how samples are stored.
        bitrate: Bits a second, or ``8M`` or ``800k``; instead of ``crf``.
        passes: Some of ``comp``, ``matte``, ``fgr`` (straight colours), ``premult`` (the cut-out,
            premultiplied), ``confidence`` and ``plate``; ``None`` for the comp, or what ``purpose``
            is for. Without a comp, ``bg`` may be left out.
        alpha: ``straight`` or ``premult``; ``None`` for what the file's kind is known for.
        purpose: Where the result goes, such as ``premiere``, ``nuke`` or ``web``: sets what is
            left open.
        edges: An ``EdgeOptions``, or ``choke=1,feather=2,gamma=1.2``.
        despill: ``green``, ``blue``, ``auto``, or with an amount ``green:0.8``.
        light_wrap: How much of the background's light reaches round edges, 0 to 1.
        mask_override: Mattes made by hand, for the frames that they are there for.
        colour: Linear light, or OpenColorIO; see ``options.ColourOptions``.
        sequence: How image sequences are read and written; see ``options.SequenceOptions``.
        still: Product shots, of photographs alone: trimmed, padded, centred, on a canvas of given
            size, with a shadow; see ``options.StillOptions``.
        overwrite: Whether an existing ``output`` may be replaced.
        serial: Run everything on the calling thread; the result is the same.
        tell: Called with a ``pipeline.Start`` and then with ``pipeline.Progress``; before them with
            a ``pipeline.Preparing`` for each step of what is done once, such as an export; and with
            a ``pipeline.Stopping`` if the work ends early and has to wait for a call that cannot
            be interrupted (without ``tell`` that is logged; ``KeyboardInterrupt`` ends the wait).

    Returns:
        What was done, assumed, lost and changed. Of several photographs, ``failed`` has a line for
        each that could not be read; the others are done.

    Raises:
        streammatte.errors.StreamMatteError: with one line that says what is wrong and what to
            do; no output is left behind.
    """
    network, matte = _network(locals()), _matte(locals())
    from streammatte import pipeline
    from streammatte.options import (
        BackgroundSpec,
        ColourOptions,
        EdgeOptions,
        EncodeOptions,
        LookOptions,
        RenderOptions,
        SequenceOptions,
        StillOptions,
        make_window,
        parse_bitrate,
        usual_passes,
    )

    sequence = sequence or SequenceOptions()
    asked = {"passes": passes, "edges": edges}
    named = tuple(name for name, value in asked.items() if value is not None)
    passes = passes or usual_passes(multilayer=sequence.multilayer, behind=bg is not None)
    if bg is None and purpose is None and "comp" in passes:
        raise UsageError("what goes behind? give bg, such as bg='beach.jpg' or bg='blur'")
    rate = None if bitrate is None else parse_bitrate(bitrate)
    options = RenderOptions(
        background=BackgroundSpec.parse("transparent" if bg is None else bg),
        fit=bg_fit,
        network=network,
        matte=matte,
        window=make_window(start, to, length),
        decoder=decoder,
        encode=EncodeOptions(codec, crf, preset, pixel_format, rate),
        passes=tuple(passes),
        alpha=alpha,
        purpose=purpose,
        edges=EdgeOptions.parse(edges) if isinstance(edges, str) else edges or EdgeOptions(),
        look=LookOptions.parse(despill, light_wrap),
        mask_override=None if mask_override is None else str(mask_override),
        colour=colour or ColourOptions(),
        sequence=sequence,
        still=still or StillOptions(),
        named=named,
        overwrite=overwrite,
        serial=serial,
    )
    listener: dict[str, Any] = {} if tell is None else {"tell": tell}
    return pipeline.render(footage, output, options, **listener)


def mattes(
    footage: str | Path,
    *,
    model: str | Path = "selfie",
    weights: str | Path | None = None,
    commercial_only: bool = False,
    size: int | tuple[int, int] | None = None,
    runtime: str = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    require_gpu: bool = False,
    every: Every = 1,
    batch: int | None = None,
    quality: Quality = "balanced",
    temporal: Temporal | None = None,
    strength: float = 1.0,
    refine: Refine | None = None,
    decontaminate: Decontaminate | bool | None = None,
    subject: Subject = "all",
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    start: Time | None = None,
    to: Time | None = None,
    length: Time | None = None,
    decoder: Decoder = "auto",
) -> Iterator[Cutout]:
    """Iterate over footage with the matte of every frame, to composite yourself.

    The arguments mean what they mean for ``render``.

    Decoding and matting run ahead on threads of their own,
    which end when the iterator is exhausted or closed.

    Yields:
        One ``Cutout`` a frame: ``rgb``, ``alpha``, ``foreground()``, ``seconds``.

    Raises:
        streammatte.errors.StreamMatteError: with one line that says what is wrong.
    """
    network, matte = _network(locals()), _matte(locals())
    from streammatte import pipeline
    from streammatte.options import BackgroundSpec, RenderOptions, make_window

    options = RenderOptions(
        background=BackgroundSpec("transparent"),
        network=network,
        matte=matte,
        window=make_window(start, to, length),
        decoder=decoder,
    )
    return pipeline.cutouts(footage, options)


def _matte(given: dict[str, Any]) -> MatteOptions:
    """Pick what concerns the mattes out of a function's arguments, which bear the same names."""
    from streammatte.options import MatteOptions, Zone

    wish = {field.name: given[field.name] for field in fields(MatteOptions) if field.name in given}
    for name in ("keep", "drop"):
        wish[name] = tuple(Zone.parse(str(zone), f"--{name}") for zone in wish[name])
    if isinstance(wish.get("decontaminate"), bool):
        wish["decontaminate"] = None if wish["decontaminate"] else "off"
    return MatteOptions(**wish)


def _network(given: dict[str, Any]) -> NetworkOptions:
    """Pick what concerns the network out of a function's arguments, which bear the same names."""
    from streammatte.options import NetworkOptions

    wish = {field.name: given[field.name] for field in fields(NetworkOptions)}
    paths = {name: str(value) for name, value in wish.items() if isinstance(value, PathLike)}
    return NetworkOptions(**wish | paths)
