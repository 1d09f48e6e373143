"""Decoding by an NVIDIA GPU (NVDEC), through FFmpeg: whether it can be had, and what it gives.

The one file that knows PyAV's hardware decoding. Not run on hardware yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from streammatte.runtimes.hardware import nvidia

if TYPE_CHECKING:
    from streammatte.frames import Layout, VideoInfo

DEVICE = "cuda"
"""FFmpeg's name for the device, and for pictures that are still on it."""
LOST_IN_A_ROW = 50
"""So many packets that cannot be decoded are a GPU that is gone, not damaged footage."""
_EXACT = ("h264", "hevc", "av1", "vp8", "vp9")
"""Codecs whose standards say every sample; of others the GPU may make other pictures."""
_INTERLEAVED = frozenset(
    (
        *("nv12", "nv16", "nv24"),
        *(f"p{chroma}{bits}le" for chroma in (0, 2, 4) for bits in (10, 12, 16)),
    )
)
_HIGH = frozenset(("yuv444p10msble", "yuv444p12msble", "yuv444p16le"))
"""Planar, the bits that count at the top of each word."""


class Unfit(Exception):  # noqa: N818  it is no fault: the CPU decodes instead
    """The GPU cannot decode this, or nothing at all; the text says why in a few words."""


def accelerator() -> HWAccel:
    """Return what tells PyAV to decode on the GPU and to bring the pictures back.

    PyAV's documentation and its types disagree on whether it falls back on its own by default. It
    must be allowed to: a cover picture in the same file need not be one that the GPU decodes.
    """
    return HWAccel(DEVICE, allow_software_fallback=True, is_hw_owned=False)


def why_not() -> str:
    """Say in a few words why no GPU decodes here; empty if one does."""
    if DEVICE not in hwdevices_available():
        return "this build of FFmpeg has no CUDA"
    try:
        av.CodecContext.create("h264", "r", hwaccel=accelerator())
    except FFmpegError as error:
        return nvidia().why or f"FFmpeg cannot use the GPU: {error.strerror}"
    return ""


def check(info: VideoInfo, codec: str) -> None:
    """Refuse footage that is better left to the CPU.

    Args:
        info: What the CPU's decoder says of it.
        codec: FFmpeg's canonical name of its codec.

    Raises:
        Unfit: if it is a photograph, or the GPU has no decoder that gives the same samples.
    """
    if info.still:
        raise Unfit("it is a photograph")
    if codec not in _EXACT:
        raise Unfit(f"the GPU is used for {', '.join(_EXACT)}, not for {codec}")
    if info.layout.family == "rgb" or info.layout.alpha:
        raise Unfit(f"the GPU decodes no {info.layout.name}")
    if reason := why_not():
        raise Unfit(reason)


def native_decoder(codec: str) -> str:
    """Return which of FFmpeg's decoders can use the GPU, if it is not the one that it prefers."""
    return "av1" if codec == "libdav1d" else ""


def decodes(context: Any) -> bool:
    """Whether the GPU, not FFmpeg's own fallback, made the frames that came from a decoder."""
    return bool(context.pix_fmt == DEVICE)


def foreign(native: av.VideoFrame) -> bool:
    """Whether a frame is stored as the GPU stores it, and is not one of our layouts."""
    return native.format.name in _INTERLEAVED | _HIGH


def planar(native: av.VideoFrame, layout: Layout, *, whole: bool = False) -> av.VideoFrame:
    """Return a frame of the GPU's in ``layout``, the very same samples.

    Interleaved chroma is parted; samples of more than 8 bits lie in the upper bits of a word and
    are moved down. Nothing is scaled, rounded or taken for a colour.

    Args:
        native: Of a format for which ``foreign`` is true, or already in ``layout``.
        layout: What the CPU's decoder gives for the same footage.
        whole: Carry along what only FFmpeg can copy: field order, side data, damage. Slower.
    """
    if not foreign(native) or native.format.name == layout.name:
        return native
    if whole:
        result = native.reformat(format=layout.name, threads=1)
    else:
        result = av.VideoFrame(native.width, native.height, layout.name)
        result.pts, result.duration = native.pts, native.duration
        if native.time_base is not None:
            result.time_base = native.time_base
    sources = [_samples(plane, layout) for plane in native.planes]
    if native.format.name in _INTERLEAVED:
        luma, chroma = sources
        sources = [luma, chroma[:, 0::2], chroma[:, 1::2]]
    shift = 0 if layout.depth == 8 else 16 - layout.depth  # noqa: PLR2004
    for plane, source in zip(result.planes, sources, strict=True):
        target = _samples(plane, layout)[:, : plane.width]
        np.right_shift(source[:, : plane.width], shift, out=target)
    return result


def _samples(plane: Any, layout: Layout) -> Any:
    """Return all of a plane's samples, padding included: ``[rows, stride]``."""
    samples = np.frombuffer(plane, layout.dtype)
    return samples.reshape(plane.height, plane.line_size // samples.itemsize)
