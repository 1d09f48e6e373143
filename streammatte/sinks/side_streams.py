"""Everything in a file but its picture: sound, subtitles, attachments, chapters, metadata.

Packets are copied as they are, at their own times; only what the new container cannot hold is
re-encoded (sound) or left out, and both are said.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.audio.resampler import AudioResampler
from av.error import FFmpegError, InvalidDataError

from streammatte.sources.video_file import SECOND, open_input, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import OutputContainer

    from streammatte.sources.video_file import VideoFile

_REPLACEMENT = {"mp4": "aac", "mov": "aac", "webm": "libopus", "matroska": "libopus"}
_OPUS_RATE = 48000
_LANGUAGE_AND_TITLE = ("language", "title", "handler_name")


class _Track(Protocol):
    def take(self, packet: Any) -> Iterator[Any]:
        """Turn a packet of the source into packets of the result."""


class _Copied:
    def __init__(self, stream: Any, shift: Fraction) -> None:
        self.stream = stream
        self._shift = shift

    def take(self, packet: Any) -> Iterator[Any]:
        if packet.size == 0:
            return
        ticks = round(self._shift / packet.time_base)
        if packet.pts is not None:
            packet.pts += ticks
        if packet.dts is not None:
            packet.dts += ticks
        packet.stream = self.stream
        yield packet


class _Reencoded:
    def __init__(self, source: Any, output: OutputContainer, encoder: str, shift: Fraction) -> None:
        context = source.codec_context
        rate = _OPUS_RATE if encoder == "libopus" else context.sample_rate
        self.stream: Any = output.add_stream(encoder, rate=rate, layout=context.layout.name)
        self._shift = shift
        self._resampler: AudioResampler | None = None

    def take(self, packet: Any) -> Iterator[Any]:
        try:
            frames = packet.decode()
        except InvalidDataError:
            return
        for frame in frames:
            ticks = round(self._shift / frame.time_base)
            frame.pts = None if frame.pts is None else frame.pts + ticks
            yield from self._encode(frame)
        if packet.size == 0:
            yield from self._encode(None)
            yield from self.stream.encode(None)

    def _encode(self, frame: Any) -> Iterator[Any]:
        context = self.stream.codec_context
        if self._resampler is None:
            context.open(strict=False)
            self._resampler = AudioResampler(
                context.format, context.layout, context.rate, context.frame_size or None
            )
        for ready in self._resampler.resample(frame):
            yield from self.stream.encode(ready)


class SideStreams:
    """The other streams of a file on their way into ``output``.

    Attributes:
        notes: What was re-encoded or left out, one sentence each.
    """

    def __init__(self, source: VideoFile, output: OutputContainer) -> None:
        """Open the file a second time, apart from the pictures, and announce its streams."""
        self.notes: list[str] = []
        self._path: Path = source.path
        self._output = output
        self._window = source.window
        self._shift = source.shift
        self._input = open_input(source.path)
        self._origin = Fraction(self._input.start_time or 0, SECOND)
        self._tracks: dict[int, _Track] = {}
        for stream in self._input.streams:
            self._announce(stream)
        self._copy_metadata()
        self._packets = self._demuxed()
        self._next = next(self._packets, None)

    def _announce(self, stream: Any) -> None:
        if stream.type == "attachment":
            self._attach(stream)
        if stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic:
            self.notes.append("the cover picture was left out")
        if stream.type not in ("audio", "subtitle"):
            return
        name = stream.codec_context.name
        try:
            copy = self._output.add_stream_from_template(stream)
            self._tracks[stream.index] = _Copied(copy, self._shift)
        except (ValueError, FFmpegError):
            container = self._output.format.name.split(",")[0]
            if stream.type == "subtitle":
                self.notes.append(f"{container} cannot hold {name} subtitles: left out")
                return
            encoder = _REPLACEMENT[container]
            track = _Reencoded(stream, self._output, encoder, self._shift)
            self._tracks[stream.index] = track
            copy = track.stream
            self.notes.append(f"{container} cannot hold {name} sound: re-encoded as {encoder}")
        copy.metadata.update(
            {key: stream.metadata[key] for key in _LANGUAGE_AND_TITLE if key in stream.metadata}
        )
        copy.disposition = stream.disposition

    def _attach(self, stream: Any) -> None:
        if self._output.format.name != "matroska":
            self.notes.append(f"the attachment {stream.name} was left out")
            return
        self._output.add_attachment(stream.name or "file", stream.mimetype or "", stream.data)

    def _copy_metadata(self) -> None:
        structural = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
        self._output.metadata.update(
            {k: v for k, v in self._input.metadata.items() if k.lower() not in structural}
        )
        chapters = self._input.chapters()
        if chapters and not self._window:
            self._output.set_chapters(chapters)

    def _demuxed(self) -> Iterator[Any]:
        if not self._tracks:
            return
        streams = [self._input.streams[index] for index in self._tracks]
        start, end = self._window.start, self._window.end
        if start:
            self._input.seek(int((self._origin + start) * SECOND))
        with reading(self._path):
            try:
                for packet in self._input.demux(streams):
                    time = _time(packet)
                    if time is not None:
                        if start is not None and time - self._origin < start:
                            continue
                        if end is not None and time - self._origin >= end:
                            continue
                    yield packet
            except InvalidDataError:
                return  # the source of the pictures says that the file is cut off

    def until(self, seconds: float) -> Iterator[Any]:
        """Yield the packets to write that come before a time of the result."""
        while self._next is not None:
            time = _time(self._next)
            if time is not None and time + self._shift > seconds:
                return
            track = self._tracks[self._next.stream.index]
            yield from track.take(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the file."""
        self._input.close()


def _time(packet: Any) -> Fraction | None:
    stamp = packet.pts if packet.dts is None else packet.dts
    return None if stamp is None else stamp * Fraction(packet.time_base)
