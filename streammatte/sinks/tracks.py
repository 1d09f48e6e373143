"""A stream on its way from one file to another: copied, or decoded and encoded again."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import OutputContainer

_BITS_A_CHANNEL = 96_000
_PRIMING = {
    "aac": ("aac", 1024),
    "mp3float": ("libmp3lame", 1105),
    "mp2": ("mp2", 481),
    "ac3": ("ac3", 256),
}
"""Decoder -> the encoder that makes so many samples before the first that should be heard."""


class Track(Protocol):
    """A stream on its way from one file to another."""

    stream: Any

    def take(self, packet: Any) -> Iterator[Any]:
        """Turn a packet of the source into packets of the result."""

    def finish(self) -> Iterator[Any]:
        """Yield what is left."""


class Copied:
    """Packets as they are, moved in time."""

    def __init__(self, stream: Any, shift: Fraction) -> None:
        self.stream = stream
        self._shift = shift
        self._last: int | None = None
        self._step = 0

    def take(self, packet: Any) -> Iterator[Any]:
        """See ``Track.take``."""
        ticks = round(self._shift / packet.time_base)
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks
        self._set_duration(packet)
        packet.stream = self.stream
        yield packet

    def _set_duration(self, packet: Any) -> None:
        """Give a sound packet whose length nobody knows that of the one before.

        Matroska often does not tell, and mp4 would end the track where the last packet begins.
        """
        if self.stream.type == "audio" and packet.dts is not None:
            if self._last is not None:
                self._step = packet.dts - self._last
            self._last = packet.dts
            packet.duration = packet.duration or max(self._step, 0)

    def finish(self) -> Iterator[Any]:
        """See ``Track.finish``."""
        yield from ()


class Reencoded:
    """Sound in a codec that the container holds."""

    def __init__(self, source: Any, output: OutputContainer, encoder: str, shift: Fraction) -> None:
        rate, layout = _accepted(encoder, source.codec_context)
        self.stream: Any = output.add_stream(encoder, rate=rate, layout=layout)
        context: Any = self.stream.codec_context
        context.bit_rate = _BITS_A_CHANNEL * context.layout.nb_channels
        self._shift = shift
        self._resampler: AudioResampler | None = None

    def take(self, packet: Any) -> Iterator[Any]:
        """See ``Track.take``."""
        try:
            frames = packet.decode()
        except FFmpegError:
            return  # a damaged packet is a moment of silence
        yield from self._encode(frames)

    def finish(self) -> Iterator[Any]:
        """See ``Track.finish``."""
        if self._resampler is not None:
            yield from self._encode([None])
            yield from self.stream.encode(None)

    def _encode(self, frames: list[Any]) -> Iterator[Any]:
        context = self.stream.codec_context
        if self._resampler is None:
            context.open(strict=False)
            self._resampler = AudioResampler(
                context.format, context.layout, context.rate, context.frame_size or None
            )
        for frame in frames:
            if frame is not None and frame.pts is not None:
                frame.pts += round(self._shift / frame.time_base)
            for ready in self._resampler.resample(frame):
                yield from self.stream.encode(ready)


def alike(output: OutputContainer, stream: Any) -> Any:
    """Add a stream for packets of another; one or two nameless channels are mono or stereo."""
    copy: Any = output.add_stream_from_template(stream)
    if stream.type == "audio" and stream.codec_context.layout.name.endswith("channels"):
        copy.codec_context.layout = _usual_layout(stream.codec_context.layout)
    return copy


def _usual_layout(layout: Any) -> str:
    return {1: "mono", 2: "stereo"}.get(layout.nb_channels, str(layout.name))


def primed(source: Any, priming: Fraction, output: OutputContainer) -> Any:
    """Add a stream for copied sound that begins with ``priming`` seconds nobody should hear.

    Mp4 hides them by an edit list, Matroska by a codec delay; without that delay FFmpeg would move
    all streams until none begins before 0. PyAV can take the delay only from an encoder that
    primes with as many samples; ``None`` if there is none.
    """
    encoder, samples = _PRIMING.get(source.name, ("", 0))
    rate = source.sample_rate
    if priming * rate != samples or not _opens(encoder, rate, source.layout.name):
        return None
    stream: Any = output.add_stream(encoder, rate=rate, layout=source.layout.name)
    stream.codec_context.open(strict=False)
    stream.codec_context.extradata = source.extradata
    return stream


def _accepted(encoder: str, source: Any) -> tuple[int, str]:
    """Return the rate and the layout nearest to the source's that an encoder takes."""
    codec = av.Codec(encoder, "w")
    rates = codec.audio_rates or [source.sample_rate]
    higher = [rate for rate in rates if rate >= source.sample_rate]
    rate = min(higher) if higher else max(rates)
    usual = _usual_layout(source.layout)
    for name in (usual, usual.replace("(side)", "")):
        if _opens(encoder, rate, name):
            return rate, name
    return rate, "stereo"


def _opens(encoder: str, rate: int, layout: Any) -> bool:
    trial: Any = av.CodecContext.create(encoder, "w")
    try:
        trial.sample_rate, trial.layout = rate, layout
        trial.format = trial.codec.audio_formats[0]
        trial.time_base = Fraction(1, rate)
        trial.open()
    except (ValueError, FFmpegError):
        return False
    return True
