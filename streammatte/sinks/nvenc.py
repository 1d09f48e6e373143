"""Encoding by an NVIDIA GPU (NVENC), through FFmpeg: whether it can be had, and what stands in.

Not run on hardware yet.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import ExternalError, FFmpegError

from streammatte.errors import DependencyError
from streammatte.frames import Layout
from streammatte.options import EncodeOptions
from streammatte.runtimes.hardware import nvidia
from streammatte.sinks.codecs import CODECS, encoder_options

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROBE = 256
"""Rows and columns that every encoder of every GPU takes."""
_WHY = {
    errno.ENOMEM: "the GPU has no memory or no encoding session left",
    errno.ENOSYS: "the GPU or its driver cannot encode this",
}


@contextmanager
def opening() -> Iterator[None]:
    """Turn what FFmpeg says when an encoder does not open into a ``DependencyError``.

    Its text is the reason alone, in a few words.
    """
    try:
        yield
    except FFmpegError as error:
        reason = _WHY.get(error.errno or 0, f"FFmpeg cannot open it ({error.strerror})")
        if isinstance(error, ExternalError):
            reason = _WHY[errno.ENOSYS]
        raise DependencyError(nvidia().why or reason) from error


def why_not(name: str) -> str:
    """Say in a few words why the codec ``name`` of ``CODECS`` does not open here; empty if it does.

    Raises:
        ValueError: if this FFmpeg has no such encoder.
    """
    codec = CODECS.load(name)
    trial: Any = av.CodecContext.create(codec.encoder, "w")
    trial.width = trial.height = _PROBE
    trial.pix_fmt, trial.time_base = codec.formats[0], Fraction(1, 25)
    trial.options = encoder_options(codec, EncodeOptions(), centred=False)
    try:
        with opening():
            trial.open()
    except DependencyError as error:
        return str(error)
    return ""


def stand_in(options: EncodeOptions) -> EncodeOptions | None:
    """Return the options for the software encoder of the same standard; ``None`` if there is none.

    The quality is carried over, its scale being much the same; a preset is not.
    """
    name = CODECS.known(options.codec) if options.codec is not None else ""
    software = CODECS.load(name).stand_in if name else ""
    if not software:
        return None
    stored = options.pixel_format and Layout.nearest(options.pixel_format).name
    return replace(options, codec=software, preset=None, pixel_format=stored)
