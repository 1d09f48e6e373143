"""Files, by PyAV: the source's time stamps, its other streams, and colour tags that are true."""

from __future__ import annotations

import contextlib
import errno
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.error import ArgumentError, FFmpegError, InvalidDataError

from streammatte.convert import convert
from streammatte.errors import OutputError
from streammatte.hdr import Hdr
from streammatte.sinks import nvenc, verify
from streammatte.sinks.base import InTwoSteps, PartFile
from streammatte.sinks.codecs import encoder_options, encoder_threads
from streammatte.sinks.estimate import estimate
from streammatte.sinks.side_streams import CONTAINER_OPTIONS, SideStreams, described

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streammatte.frames import Frame, Picture, VideoInfo
    from streammatte.options import EncodeOptions
    from streammatte.sinks.codecs import Plan
    from streammatte.sources.video_file import VideoFile

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 talks to the terminal unless told not to

MOVIE_TIMESCALE = 90000
"""mp4 and mov keep edit lists in these ticks; FFmpeg's default of 1000 would round them."""
FASTEST = 240
"""Frames a second that encoders are told at most; SVT-AV1 refuses more. Times are not touched."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors on ``path`` into an ``OutputError`` that says what to do."""
    try:
        yield
    except (FFmpegError, OSError) as error:
        if error.errno == errno.ENOSPC:
            message = (
                f"the disk of {path.parent} is full; make room or choose another place with -o"
            )
        elif error.errno == errno.EFBIG:
            message = f"{path} grows larger than this system allows for a file"
        else:
            message = f"{path} cannot be written: {error.strerror or error}"
        raise OutputError(message) from error


class VideoFileSink(InTwoSteps):
    """Writes one video file; see ``sinks.base.Sink`` for what it promises."""

    def __init__(
        self, plan: Plan, info: VideoInfo, options: EncodeOptions, source: VideoFile | None = None
    ) -> None:
        """Create the file and announce its streams.

        Args:
            plan: What to write.
            info: The footage that the frames come from.
            options: Quality.
            source: The file whose sound and other streams come along, if any.

        Raises:
            OutputError: if the file cannot be created or the encoder refuses.
            DependencyError: if the encoder is hardware and cannot be used here.
        """
        self.plan = plan
        self.path = plan.path
        self._file = PartFile(plan.path)
        self._durations: dict[int, int] = {}
        self._kept = verify.Kept()
        self._written = 0
        self._side: SideStreams | None = None
        self.notes: list[str] = []
        with writing(plan.path):
            self._container = av.open(
                str(self._file.part),
                "w",
                format=plan.muxer,
                container_options=_container_options(plan, info, source),
            )
        try:
            with writing(plan.path):
                self._stream = self._add_picture(info, options)
                if source is not None:
                    self._stream.metadata.update(described(source.metadata))
                    self._side = SideStreams(source, self._container)
                    self.notes += self._side.notes
                self._describe_pictures(info)
                self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise
        self.notes += _reductions(plan, info)
        if info.pixel_aspect != 1 and not plan.tells_aspect:
            self.notes.append(
                f"{plan.path.suffix} with {plan.name} cannot tell that pixels are not square: "
                f"show it {float(info.pixel_aspect):.3f} times as wide, or write .mp4 or .mov"
            )
        self.description = self._describe()
        self.bytes_expected = estimate(plan, info)

    def _describe(self) -> str:
        plan = self.plan
        words = [f"{plan.name} ({plan.pixel_format}) in {plan.path.suffix[1:]}"]
        for kind, count in (self._side.copied if self._side else {}).items():
            words += [f"{kind} copied" + (f" ({count} tracks)" if count > 1 else "")] * bool(count)
        return ", ".join(words)

    def _describe_pictures(self, info: VideoInfo) -> None:
        """Say in the file what editors look for: when it begins, and how its alpha is meant."""
        metadata = self._container.metadata
        for key in [key for key in metadata if key.lower() == "timecode"]:
            del metadata[key]  # the source's, which may begin earlier
        if info.timecode:
            metadata["timecode"] = info.timecode
        if self.plan.manner.premultiplied:
            metadata.setdefault("comment", "alpha: premultiplied (matted with black)")
            self.notes.append(
                f"{self.plan.path.name}: colours are multiplied by alpha, which no video file can "
                "say: interpret it as premultiplied, matted with black"
            )

    def _add_picture(self, info: VideoInfo, options: EncodeOptions) -> Any:
        plan = self.plan
        stream: Any = self._container.add_stream(
            plan.encoder,
            rate=min(info.rate, Fraction(FASTEST)),
            options=encoder_options(
                plan.codec, options, centred=plan.colour.centred_chroma, hdr=_mastered(plan, info)
            ),
        )
        stream.width, stream.height = info.width, info.height
        stream.pix_fmt = plan.pixel_format
        stream.time_base = info.time_base
        context = stream.codec_context
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.pixel_aspect
        context.colorspace = int(plan.colour.matrix)
        context.color_range = 2 if plan.colour.full_range else 1
        context.color_primaries = plan.colour.primaries
        context.color_trc = plan.colour.transfer
        context.thread_type = "AUTO"
        context.thread_count = encoder_threads(plan.codec, options, os.cpu_count() or 1)
        if options.bitrate is not None:
            context.bit_rate = options.bitrate
        if plan.codec.tag and plan.muxer in ("mp4", "mov"):
            context.codec_tag = plan.codec.tag
        if plan.codec.stand_in:
            with nvenc.opening():
                context.open()
        return stream

    def write(self, frame: Frame) -> None:
        """Encode a frame; with what comes out, copy what belongs before it from other streams."""
        with writing(self.plan.path):
            picture = convert(frame.picture, self.plan.layout, self.plan.colour)
            if picture.alpha is not None:
                self._kept.take(frame.pts * frame.time_base, picture.alpha)
            native = self._native(picture)
            native.pts = frame.pts
            native.time_base = frame.time_base
            native.duration = frame.duration
            self._durations[frame.pts] = frame.duration
            self._mux(self._stream.encode(native))
        self._written += 1

    def _native(self, picture: Picture) -> av.VideoFrame:
        """Return the picture as the encoder wants it."""
        plan, native = self.plan, picture.native
        if native.format.name != plan.pixel_format:
            native = native.reformat(format=plan.pixel_format, threads=1)
        native.colorspace = int(plan.colour.matrix)
        native.color_range = 2 if plan.colour.full_range else 1
        native.color_primaries = plan.colour.primaries
        native.color_trc = plan.colour.transfer
        return native

    def _last_packets(self) -> list[Any]:
        packets: list[Any] = self._stream.encode(None)
        if self._written <= 2:  # noqa: PLR2004
            # So few frames are in order, and x265 leaves their decoding times undefined.
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
            if self._side is not None and packet.dts is not None:
                self._mux_side(self._side.until(packet.dts * packet.time_base))
            self._container.mux(packet)

    def _mux_side(self, packets: Iterator[Any]) -> None:
        for packet in packets:
            try:
                self._container.mux(packet)
            except (ArgumentError, InvalidDataError):  # times run backwards, or broken framing
                note = "some packets of sound or subtitles were damaged and left out"
                if note not in self.notes:
                    self.notes.append(note)

    def finish(self) -> None:
        """Write what is left and read the alpha back; see ``InTwoSteps``."""
        with writing(self.plan.path):
            self._mux(self._last_packets())
            if self._side is not None:
                self._mux_side(self._side.rest())
            self._container.close()
        if self._side is not None:
            self._side.close()
        if self.plan.layout.alpha:
            self.notes += verify.check(self._kept, self._file.part, self.plan)

    def commit(self) -> None:
        """See ``InTwoSteps``."""
        self._file.commit()

    def abandon(self) -> None:
        """See ``InTwoSteps``."""
        if self._side is not None:
            self._side.close()
        with contextlib.suppress(FFmpegError, OSError):
            self._container.close()
        self._file.discard()


def _container_options(plan: Plan, info: VideoInfo, source: VideoFile | None) -> dict[str, str]:
    """Return what to tell the muxer; edit lists get ticks at least as fine as any stream's."""
    options = dict(CONTAINER_OPTIONS)
    if plan.muxer in ("mp4", "mov"):
        rates = source.sound_rates if source is not None else []
        ticks = max(MOVIE_TIMESCALE, info.time_base.denominator, *rates)
        options["movie_timescale"] = str(ticks)
    return options


def _mastered(plan: Plan, info: VideoInfo) -> Hdr:
    """Return what is to be said of the mastering; mattes and what left HDR have none."""
    return info.hdr if plan.colour.is_hdr else Hdr()


def _reductions(plan: Plan, info: VideoInfo) -> list[str]:
    """Say what the encoder cannot hold of the footage's samples."""
    old, new = info.layout, plan.layout
    notes = []
    if plan.manner.data and plan.codec.delivery:
        notes.append(
            f"{plan.path.name}: {plan.name} keeps mattes to 8 bits, with small errors; "
            ".mov (ProRes 4444 XQ) is better, and .mkv (FFV1) is exact"
        )
        return notes
    if new.depth < old.depth:
        notes.append(f"{old.depth} bit reduced to {new.depth} ({plan.name}, {plan.pixel_format})")
    if old.family == "yuv" and (new.chroma_x, new.chroma_y) > (old.chroma_x, old.chroma_y):
        notes.append(f"chroma reduced from {old.name} to {plan.pixel_format}")
    if (hdr := _mastered(plan, info)) and hdr.told(plan.codec.encoder) is None:
        notes.append(f"{plan.name} is written without {hdr}: hevc, h264 and av1 have room for it")
    return notes
