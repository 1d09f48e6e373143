"""Everything in a file but its picture: sound, subtitles, attachments, chapters, metadata.

Packets are copied as they are, at their own times; only what the new container cannot hold is
re-encoded (sound) or left out, and both are said.
"""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from streammatte.sinks.tracks import Copied, Reencoded, Track, alike, primed
from streammatte.sources.clock import Clock
from streammatte.sources.container import SECOND, open_input, reading, seek, timed_streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from av.container import InputContainer, OutputContainer

    from streammatte.sources.video_file import VideoFile

_REPLACEMENT = {"mp4": "aac", "mov": "aac", "webm": "libopus", "matroska": "libopus"}
CONTAINER_OPTIONS = {"strict": "experimental"}
"""For muxers: FFmpeg still calls PCM in mp4 an experiment, though ISO 23003-5 has it."""

_LANGUAGE_AND_TITLE = ("language", "title", "handler_name")
_STRUCTURAL = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
_EARLY = 2
"""Seconds before a window from where packets are looked at: streams lie side by side, not even."""
_LATE = 10
"""Seconds after a window up to where packets are looked at."""


class SideStreams:
    """The other streams of a file on their way into ``output``.

    Attributes:
        copied: How many tracks of ``sound`` and of ``subtitles`` are copied as they are.
        notes: What was re-encoded or left out, one sentence each.
    """

    def __init__(self, source: VideoFile, output: OutputContainer) -> None:
        """Open the file a second time, apart from the pictures, and announce its streams."""
        self.copied = {"sound": 0, "subtitles": 0}
        self.notes: list[str] = []
        self._path: Path = source.path
        self._output = output
        self._muxer = output.format.name.split(",")[0]
        self._window = source.window
        self._shift = source.shift
        self._input = open_input(source.path)
        self._origin = Fraction(self._input.start_time or 0, SECOND)
        self._tracks: dict[int, Track] = {}
        self._packets: Iterator[Any] = self._wanted()
        try:
            for stream in self._input.streams:
                self._announce(stream, source)
            self._copy_metadata()
            self._next = next(self._packets, None)
        except BaseException:
            self.close()
            raise

    def _announce(self, stream: Any, source: VideoFile) -> None:
        if stream.type == "attachment":
            self._attach(stream)
        elif stream.type == "video" and stream.index != source.stream_index:
            cover = stream.disposition & av.stream.Disposition.attached_pic
            other = f"picture stream #{stream.index} ({stream.width}x{stream.height})"
            self.notes.append(f"{'the cover picture' if cover else other} was left out")
        elif stream.type in ("audio", "subtitle"):
            self._carry(stream)

    def _carry(self, stream: Any) -> None:
        """Announce a track of sound or subtitles: copied if the container holds it."""
        name = stream.codec_context.name if stream.codec_context else "unknown"
        kind = "subtitles" if stream.type == "subtitle" else "sound"
        if _holds(self._muxer, stream, self._path):
            track: Track = Copied(self._template(stream), self._shift)
            self.copied[kind] += 1
        elif stream.type == "subtitle" or not stream.codec_context:
            self.notes.append(f"{self._muxer} cannot hold {name} {kind}: left out")
            return
        else:
            encoder = _REPLACEMENT[self._muxer]
            track = Reencoded(stream, self._output, encoder, self._shift)
            self.notes.append(f"{self._muxer} cannot hold {name} sound: re-encoded as {encoder}")
        self._tracks[stream.index] = track
        track.stream.metadata.update(described(stream.metadata))
        track.stream.disposition = stream.disposition

    def _template(self, stream: Any) -> Any:
        """Add a stream that takes the packets of ``stream``."""
        if stream.type == "audio" and self._muxer in ("matroska", "webm"):
            begin = _first_stamp(self._path, stream)
            told = "matroska" in self._input.format.name or stream.codec_context.name == "opus"
            if begin < 0 and not told and not self._window.start:
                hidden = primed(stream.codec_context, -begin, self._output)
                if hidden is not None:
                    return hidden
                self.notes.append(
                    f"{self._muxer} cannot begin before 0 s: all streams were moved by "
                    f"{float(-begin) * 1000:.0f} ms"
                )
        return alike(self._output, stream)

    def _attach(self, stream: Any) -> None:
        if self._muxer != "matroska":
            self.notes.append(f"the attachment {stream.name} was left out")
            return
        self._output.add_attachment(stream.name or "file", stream.mimetype or "", stream.data)

    def _copy_metadata(self) -> None:
        self._output.metadata.update(
            {k: v for k, v in self._input.metadata.items() if k.lower() not in _STRUCTURAL}
        )
        chapters = [self._moved(chapter) for chapter in self._input.chapters()]
        self._output.set_chapters([chapter for chapter in chapters if chapter is not None])

    def _moved(self, chapter: Any) -> Any:
        """Return a chapter cut to the window and at its time in the result, ``None`` if outside."""
        base = Fraction(chapter["time_base"])
        begin, end = chapter["start"] * base, chapter["end"] * base
        if self._window.start is not None:
            begin = max(begin, self._origin + self._window.start)
        if self._window.end is not None:
            end = min(end, self._origin + self._window.end)
        if end <= begin:
            return None
        ticks = [round((time + self._shift) / base) for time in (begin, end)]
        return {**chapter, "start": max(ticks[0], 0), "end": ticks[1]}

    def _wanted(self) -> Iterator[Any]:
        """Yield the packets of the carried tracks that lie in the window."""
        start, end = self._window.start, self._window.end
        if start:
            seek(self._input, self._origin + start - _EARLY, self._origin)
        for packet in self._demuxed():
            time = _time(packet)
            if time is not None:
                time -= self._origin
                if start is not None and time < start:
                    continue
                if end is not None and time >= end:
                    if time >= end + _LATE:
                        return
                    continue
                if end is not None and packet.stream.type == "subtitle":
                    left = int((end - time) / packet.time_base)
                    packet.duration = min(packet.duration or left, left)
            yield packet

    def _demuxed(self) -> Iterator[Any]:
        if not self._tracks:
            return
        clock = Clock()
        with reading(self._path), suppress(av.error.InvalidDataError):
            # Of damage tells the source of the pictures.
            for packet in self._input.demux(timed_streams(self._input)):
                if packet.size:
                    clock.place(packet)
                    if packet.stream_index in self._tracks:
                        yield packet

    def until(self, seconds: float) -> Iterator[Any]:
        """Yield the packets to write that come before a time of the result."""
        while self._next is not None:
            time = _time(self._next)
            if time is not None and time + self._shift > seconds:
                return
            yield from self._tracks[self._next.stream.index].take(self._next)
            self._next = next(self._packets, None)

    def rest(self) -> Iterator[Any]:
        """Yield all packets that are left to write."""
        yield from self.until(float("inf"))
        for track in self._tracks.values():
            yield from track.finish()

    def close(self) -> None:
        """Close the file."""
        self._input.close()


def _holds(muxer: str, stream: Any, path: Path) -> bool:
    """Whether a container takes a stream as it is: some refuse only at the end of a file.

    So it is asked of a whole file, in memory, with the first packet if it is sound: subtitles may
    be so far between that finding one would mean reading the whole source.
    """
    trial = av.open(io.BytesIO(), "w", format=muxer, container_options=CONTAINER_OPTIONS)
    try:
        copy = alike(trial, stream)
        trial.start_encoding()
        with open_input(path) as container:
            packet = _first_packet(container, stream) if stream.type == "audio" else None
            if packet is not None:
                packet.stream = copy
                trial.mux(packet)
        trial.close()
    except (ValueError, FFmpegError):
        with suppress(FFmpegError):
            trial.close()
        return False
    return True


def _first_packet(container: InputContainer, stream: Any) -> Any:
    packets = container.demux(container.streams[stream.index])
    return next((packet for packet in packets if packet.size), None)


def _first_stamp(path: Path, stream: Any) -> Fraction:
    """Return when a stream's first packet plays, in seconds; 0 if nobody knows."""
    with open_input(path) as container, suppress(FFmpegError):
        packet = _first_packet(container, stream)
        if packet is not None and packet.pts is not None:
            return Fraction(packet.pts * Fraction(packet.time_base))
    return Fraction(0)


def described(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the part of a stream's metadata that means the same in every container."""
    found = {key: metadata[key] for key in _LANGUAGE_AND_TITLE if key in metadata}
    if "name" in metadata:  # so mp4 calls the title
        found.setdefault("title", metadata["name"])
    return found


def _time(packet: Any) -> Fraction | None:
    stamp = packet.pts if packet.dts is None else packet.dts
    return None if stamp is None else stamp * Fraction(packet.time_base)
