"""Files, by PyAV: exact time stamps, upright progressive pictures, damage survived and counted.

A still image is a file with one frame.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.video.reformatter import VideoReformatter

from streammatte.colour import SRGB, Colour, resolve
from streammatte.errors import InputError
from streammatte.frames import Frame, Layout, Picture, VideoInfo, rescaled
from streammatte.hdr import Hdr
from streammatte.sources import nvdec
from streammatte.sources.base import Damage, Window
from streammatte.sources.clock import Clock
from streammatte.sources.container import (
    SECOND,
    duration_tag,
    ends_as_jpeg,
    is_still,
    open_input,
    picture_stream,
    reading,
    seek,
    timecode_tag,
    timed_streams,
)
from streammatte.sources.deinterlace import Deinterlacer
from streammatte.sources.upright import Orientation
from streammatte.timecode import advanced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from streammatte.options import Decoder

FAR_START = Fraction(10)
"""A file whose clock starts later than this (a broadcast recording) is moved to 0 s."""
MAX_DECODE_THREADS = 8
SEEK_BACK = (0, 2, 10)
"""Seconds before the start of a window from where decoding is tried; then the very beginning."""
_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
_PHOTO_CODECS = {"png", "tiff", "bmp", "webp", "mjpeg", "jpeg2000", "jpegls", "targa"}
_JPEG_CODECS = {"mjpeg", "webp"}


class VideoFile:
    """A file as a source; see ``sources.base.Source`` for what it promises.

    Attributes:
        info: What the file is.
        damage: What was lost; complete once ``frames`` has ended.
        stream_index: Which of the file's streams holds the pictures.
        metadata: What that stream is tagged with.
        sound_rates: Samples a second of each track of sound.
        origin: Seconds on the file's own clock where it begins.
        shift: Seconds that were added to every time stamp of every stream.
        window: The part that is read.
    """

    def __init__(
        self, path: str | Path, window: Window | None = None, decoder: Decoder = "auto"
    ) -> None:
        """Open the file and decode its first frame.

        Args:
            path: Of the file.
            window: The part that is wanted; ``None`` for all.
            decoder: ``cuda`` decodes on the GPU where that gives the same pictures, and on the CPU
                where not, with a note that says why. ``auto`` is the CPU for now: whether the way
                there and back is worth it has not been measured on hardware.

        Raises:
            InputError: if there is nothing to read, or nothing in the window.
        """
        self.path = Path(path)
        self.window = window or Window()
        self.damage = Damage()
        self._gpu = False
        self._scaler = VideoReformatter()
        self._open()
        try:
            with reading(self.path):
                self._begin()
            if decoder == "cuda":
                self._move_to_gpu()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._container = open_input(self.path, nvdec.accelerator() if self._gpu else None)
        try:
            self._stream = picture_stream(self._container, self.path)
        except BaseException:
            self.close()
            raise
        # "AUTO" is fast, and the only way in which FFmpeg marks corrupt frames.
        self._stream.thread_type = "AUTO"
        # Half the cores: the network and the encoder need the others.
        threads = min((os.cpu_count() or 1) // 2, MAX_DECODE_THREADS)
        if self._gpu:  # threads bring nothing there, and each holds some of its few surfaces
            threads = 1
        self._stream.codec_context.thread_count = max(threads, 1)

    def _begin(self) -> None:
        stream = self._stream
        self.stream_index = stream.index
        self.metadata = dict(stream.metadata)
        self.sound_rates = [sound.rate for sound in self._container.streams.audio if sound.rate]
        self._time_base = Fraction(stream.time_base or Fraction(1, SECOND))
        self._rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.origin = Fraction(self._container.start_time or 0, SECOND)
        self.shift = self._choose_shift()
        natives = self._within(self._from_start())
        first = next(natives, None)
        if first is None:
            if self.window:
                raise InputError(
                    f"{self.path} has no picture between the given times; check -ss, -to and -t"
                )
            raise InputError(f"not one picture of {self.path} could be decoded; is it complete?")
        self._orientation = Orientation.of(first)
        self._format = first.format.name
        self._size = (first.width, first.height)
        self.info = self._describe(first)
        self._natives = itertools.chain([first], natives)

    def _move_to_gpu(self) -> None:
        """Let the GPU decode instead, if its first picture is the very one that the CPU made.

        What the CPU found in the file stays: layout, colour, orientation, time stamps.
        """
        container, stream = self._container, self._stream
        damage, natives = self.damage, self._natives
        first = next(natives)
        try:
            nvdec.check(self.info, stream.codec_context.codec.canonical_name)
            self.damage = Damage(notes=[*damage.notes])
            self._gpu = True
            self._begin_on_gpu(first)
        except (nvdec.Unfit, InputError, FFmpegError, OSError) as error:
            if self._container is not container:
                self._container.close()
            self._gpu = False
            self._container, self._stream, self.damage = container, stream, damage
            self._natives = itertools.chain([first], natives)
            self._note(f"decoded on the CPU: {str(error).partition(';')[0]}")
        else:
            del natives
            container.close()
            self.info = replace(self.info, decoder="cuda")

    def _begin_on_gpu(self, wanted: av.VideoFrame) -> None:
        self._open()
        natives = self._within(self._from_start())
        first = next(natives, None)
        if first is None:
            raise nvdec.Unfit("the GPU gave no picture")
        if not nvdec.decodes(self._decoding):
            name = self._stream.codec_context.codec.canonical_name
            width, height = self._size
            what = f"{name} in {self.info.layout.name} at {width}x{height}"
            raise nvdec.Unfit(f"this GPU does not decode {what}")
        if first.pts != wanted.pts or not self._alike(first, wanted):
            raise nvdec.Unfit("the first picture that the GPU decoded is another one")
        self._natives = itertools.chain([first], natives)

    def _alike(self, one: av.VideoFrame, other: av.VideoFrame) -> bool:
        """Whether two frames have the same samples, to the bit."""
        if (one.width, one.height) != (other.width, other.height):
            return False
        first, second = (
            Picture.over(self._one_format(native), self._colour) for native in (one, other)
        )
        return all(map(np.array_equal, first.planes, second.planes))

    def _choose_shift(self) -> Fraction:
        if self.window.start:
            shift = -(self.origin + self.window.start)
        elif self.origin > FAR_START:
            shift = -self.origin
            self.damage.notes.append(
                f"the clock of {self.path.name} starts at {float(self.origin):.1f} s; "
                "all streams were moved to start at 0"
            )
        else:
            return Fraction(0)
        return round(shift / self._time_base) * self._time_base

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream, codec = self._stream, self._stream.codec_context
        layout, self._colour = self._meaning(first)
        picture = Picture.empty(16, 16, layout, self._colour)
        upright = self._orientation.upright(picture, self._colour)
        width, height = self._size
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        if self._orientation.transpose:
            width, height, aspect = height, width, 1 / aspect
        return VideoInfo(
            path=self.path,
            width=width,
            height=height,
            layout=upright.layout,
            colour=self._colour,
            time_base=self._time_base,
            rate=self._rate,
            seconds=self._seconds(),
            pixel_aspect=aspect,
            codec=codec.name,
            still=is_still(self._container),
            timecode=self._timecode(),
            hdr=Hdr.of(first) if self._colour.is_hdr else Hdr(),
        )

    def _timecode(self) -> str:
        """Return the time code of the first frame that is wanted, if the file has one."""
        told = timecode_tag(self._container, self.metadata)
        return advanced(told, round((self.window.start or 0) * self._rate), self._rate)

    def _meaning(self, first: av.VideoFrame) -> tuple[Layout, Colour]:
        try:
            layout = Layout.nearest(first.format.name)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}; convert it to 8 to 16 bits first") from error
        codec = self._stream.codec_context.name
        if layout.is_float:  # FFmpeg tells neither what OpenEXR's samples mean nor how alpha does
            raise InputError(
                f"{self.path}: pictures in {first.format.name} are not supported; convert it to "
                "8 to 16 bits first"
            )
        if layout.family == "rgb":
            tagged = replace(
                SRGB, primaries=int(first.color_primaries), transfer=int(first.color_trc)
            )
            return layout, tagged if tagged.is_hdr or tagged.is_wide else SRGB
        jpeg = codec in _JPEG_CODECS or (
            first.format.name.startswith("yuvj") and codec not in ("h264", "hevc")
        )
        full = {1: False, 2: True}.get(int(first.color_range))
        if full is None and first.format.name.startswith("yuvj"):
            full = True
        if full is None and first.format.name.startswith(("gray", "ya", "mono")):
            full = codec in _PHOTO_CODECS or None
        return layout, resolve(
            matrix=int(first.colorspace),
            full_range=full,
            primaries=int(first.color_primaries),
            transfer=int(first.color_trc),
            height=max(self._size) if self._orientation.transpose else self._size[1],
            jpeg=jpeg,
        )

    def _seconds(self) -> float | None:
        if is_still(self._container):
            return float(1 / self._rate)
        if self._stream.duration:
            total = self._stream.duration * self._time_base
        elif (told := duration_tag(self._stream.metadata.get("DURATION", ""))) is not None:
            total = told - self.origin
        elif self._container.duration:
            total = Fraction(self._container.duration, SECOND)
        else:
            total = None
        start = self.window.start or Fraction(0)
        ends = [end for end in (total, self.window.end) if end is not None]
        return float(max(min(ends) - start, Fraction(0))) if ends else None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; the file is read no further than it is asked for."""
        end: int | None = None
        with reading(self.path):
            for native in self._natives:
                frame = self._frame(native)
                end = frame.pts + frame.duration
                yield frame
                del frame, native
                if self.info.still:
                    break
        self._tell_if_cut_off(end)

    def _frame(self, native: av.VideoFrame) -> Frame:
        pts, duration = native.pts, native.duration
        assert pts is not None
        native = self._one_format(native)
        picture = Picture.over(native, self._colour)
        if self._orientation:
            picture = self._orientation.upright(picture, self._colour)
        ticks = round(self.shift / self._time_base)
        return Frame(picture, pts + ticks, int(duration or 0), self._time_base)

    def _one_format(self, native: av.VideoFrame) -> av.VideoFrame:
        """Bring the rare odd frame to the clip's size, and packed formats to planar ones."""
        layout = Layout.nearest(self._format)
        native = nvdec.planar(native, layout) if self._gpu else native
        planar = native.format.name.replace("yuvj", "yuv") == layout.name
        size = (native.width, native.height)
        if planar and size == self._size:
            return native
        if size != self._size:
            self._note(
                "the picture changes its size on the way; all frames were scaled to the first's"
            )
        return rescaled(native, self._size, layout, self._colour, self._scaler)

    def _from_start(self) -> Iterator[av.VideoFrame]:
        """Decode from a little before the window's start, or from the file's beginning."""
        if not self.window.start:
            return self._timed(self._decoded())
        start = self.origin + self.window.start
        for back in SEEK_BACK:
            seek(self._container, start - back, self.origin)
            frames = self._timed(self._decoded())
            first = next(frames, None)
            # Some containers land after the key frame that the start needs, or at the end.
            if first is not None and first.pts * self._time_base <= start:  # type: ignore[operator]
                return itertools.chain([first], frames)
            self._container.close()
            self._open()
        self.damage = replace(self.damage, lost_packets=0, dropped_frames=0)
        return self._timed(self._decoded())

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Decode all that can be decoded, and count the rest."""
        decoder, deinterlacer = self._decoder(), Deinterlacer()
        self._decoding, lost = decoder, 0
        for packet in self._packets():
            try:
                # An empty packet ends the stream; its dts says nothing, others lack one too.
                frames = decoder.decode(packet if packet.size else None)
            except FFmpegError as error:
                self.damage.lost_packets += 1
                lost += 1
                if self._gpu and lost == nvdec.LOST_IN_A_ROW:
                    raise InputError(
                        f"the GPU stopped decoding {self.path}; use --decoder cpu"
                    ) from error
                continue
            lost = 0
            for frame in frames:
                yield from deinterlacer.push(self._filterable(frame, deinterlacer), self._time_base)
        yield from deinterlacer.flush()

    def _filterable(self, frame: av.VideoFrame, deinterlacer: Deinterlacer) -> av.VideoFrame:
        """Return a frame in the clip's layout if it will be filtered, else as it is."""
        if not self._gpu:
            return frame
        if not nvdec.decodes(self._decoding):
            self._note(f"the GPU does not decode all of {self.path.name}; the CPU did the rest")
        if not (frame.interlaced_frame or deinterlacer.active):
            return frame
        return nvdec.planar(frame, Layout.nearest(self._format), whole=True)

    def _decoder(self) -> Any:
        decoder: Any = self._stream.codec_context
        if self._gpu and (name := nvdec.native_decoder(decoder.name)):
            apart: Any = av.CodecContext.create(name, "r", hwaccel=nvdec.accelerator())
        elif self._stream.metadata.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
            # FFmpeg's own decoders of VP8 and VP9 drop the alpha without a word.
            apart = av.CodecContext.create(_ALPHA_DECODERS[decoder.name], "r")
        else:
            return decoder
        apart.extradata = decoder.extradata
        apart.thread_count = decoder.thread_count
        return apart

    def _packets(self) -> Iterator[Any]:
        """Yield the stream's packets and then an empty one."""
        clock, last = Clock(), None
        try:
            for packet in self._container.demux(timed_streams(self._container)):
                # AVI marks gaps with empty packets, which would end the decoder.
                if packet.size:
                    clock.place(packet)
                    if packet.stream_index == self.stream_index:
                        if last is not None:
                            yield last
                        last = packet
        except InvalidDataError:
            self._note(f"{self.path.name} is cut off or damaged; kept what came before")
        if clock.parts > 1:
            self._note(f"the clock of {self.path.name} starts over on the way; its parts follow on")
        if last is not None and last.is_corrupt:
            # Half a packet would cost the whole pictures that the decoder still holds.
            self.damage.lost_packets += 1
            self._note(f"{self.path.name} is cut off in its last picture")
        elif last is not None:
            yield last
        yield av.Packet()

    def _note(self, note: str) -> None:
        if note not in self.damage.notes:
            self.damage.notes.append(note)

    def _timed(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Give every frame a time stamp in the stream's time base, strictly growing."""
        step = max(1, round(1 / self._rate / self._time_base))
        last: int | None = None
        for frame in frames:
            pts = frame.pts
            if pts is not None and frame.time_base and frame.time_base != self._time_base:
                pts = round(pts * frame.time_base / self._time_base)
                frame.duration = round(frame.duration * frame.time_base / self._time_base)
            if pts is None:
                pts = 0 if last is None else last + step
            if last is not None and pts <= last:
                self.damage.dropped_frames += 1
                continue
            frame.pts = last = pts
            frame.time_base = self._time_base
            yield frame

    def _within(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        start, end = self.window.start, self.window.end
        for frame in frames:
            time = frame.pts * self._time_base - self.origin  # type: ignore[operator]
            if end is not None and time >= end:
                return
            if start is not None and time < start:
                # What is lost before the window is not missed.
                self.damage.lost_packets = self.damage.dropped_frames = 0
                continue
            self.damage.corrupt_frames += bool(frame.is_corrupt)
            yield frame

    def _tell_if_cut_off(self, last: int | None) -> None:
        """Say so if the file ended (in ticks of the result) long before it promised."""
        if self.info.still and self.info.codec == "mjpeg" and not ends_as_jpeg(self.path):
            self._note(f"{self.path.name} is cut off: the lower part of the picture is missing")
        if last is None or self.window or not self.info.seconds or self.info.still:
            return
        end = float(last * self._time_base - self.shift - self.origin)
        promised = self.info.seconds
        if promised - end > max(1.0, 0.02 * promised):
            self._note(f"{self.path.name} ends at {end:.1f} s of the {promised:.1f} s it announces")

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
