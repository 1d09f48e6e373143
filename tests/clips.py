"""Small clips with known pictures, times and sounds, made with PyAV; and how to read them back.

Pictures come from ``planes``: every frame differs, samples span most of the range, and no two
quarter turns or mirrorings look alike. Sounds come from ``tone``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from streammatte.frames import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Samples = NDArray[Any]

RATE = 25
SOUND_RATE = 48000
BLIP = 1 / 25
"""Seconds that a flash and its beep last."""


@dataclass(frozen=True)
class Sound:
    """An audio track to write."""

    codec: str = "aac"
    rate: int = SOUND_RATE
    layout: str = "stereo"
    pitch: float = 440.0
    seconds: float | None = None
    """``None``: as long as the picture."""
    begin: float = 0.0
    beeps: tuple[float, ...] | None = None
    """Seconds at which a beep begins, instead of a steady tone."""
    metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = 0


@dataclass(frozen=True)
class Clip:
    """A clip to write: see ``write``."""

    size: tuple[int, int] = (96, 64)
    count: int = 12
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    time_base: Fraction = Fraction(1, 12800)
    pts: Sequence[int] | None = None
    """In ``time_base``; ``None`` for a steady 25 a second from 0."""
    last_duration: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    muxer: str | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    aspect: Fraction | None = None
    tags: tuple[int, int, int, int] = (2, 0, 2, 2)
    """Matrix, range (1 limited, 2 full), primaries, transfer, as H.273 counts."""
    rotation: int | None = None
    mirrored: tuple[bool, bool] = (False, False)
    flashes: tuple[float, ...] | None = None
    """Seconds at which the picture is white for one frame, black otherwise."""
    sounds: tuple[Sound, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    stream_metadata: dict[str, str] = field(default_factory=dict)
    chapters: tuple[tuple[float, float, str], ...] = ()
    subtitles: tuple[tuple[float, float, str], ...] = ()
    attachments: tuple[tuple[str, str, bytes], ...] = ()

    @property
    def stamps(self) -> list[int]:
        if self.pts is not None:
            return list(self.pts)
        step = Fraction(1, RATE) / self.time_base
        return [round(index * step) for index in range(self.count)]


def planes(index: int, size: tuple[int, int], layout: Layout) -> list[Samples]:
    """Return the samples of frame ``index``: Y, Cb, Cr or G, B, R, and alpha if the layout has it.

    Luma is a ramp from left to right with a bright corner at the top left; chroma runs down.
    """
    width, height = size
    result = []
    for number in range(3):
        sub = number > 0 and layout.family == "yuv"
        w = -(-width >> layout.chroma_x) if sub else width
        h = -(-height >> layout.chroma_y) if sub else height
        y, x = np.mgrid[:h, :w].astype(np.float64)
        x, y = x / max(w - 1, 1), y / max(h - 1, 1)
        value = [0.1 + 0.7 * x, 0.2 + 0.5 * y, 0.3 + 0.4 * x * y][number] + 0.005 * (index % 20)
        if number == 0:
            value[: h // 4, : w // 3] = 0.9
        result.append(np.rint(value * layout.peak).astype(layout.dtype))
    if layout.alpha:
        y, x = np.mgrid[:height, :width].astype(np.float64)
        distance = np.hypot(x - width / 2, y - height / 2) / min(width, height)
        alpha = np.clip((0.45 - distance) * 8, 0, 1)
        result.append(np.rint(alpha * layout.peak).astype(layout.dtype))
    return result


def native(samples: Sequence[Samples], layout: Layout, pixel_format: str = "") -> av.VideoFrame:
    """Put planes into an FFmpeg frame of ``layout``, then into ``pixel_format``."""
    height, width = samples[0].shape
    frame = av.VideoFrame(width, height, layout.name)
    for plane, values in zip(frame.planes, samples, strict=True):
        rows = np.frombuffer(plane, layout.dtype).reshape(plane.height, -1)
        rows[:, : plane.width] = values
    if pixel_format and pixel_format != layout.name:
        frame = frame.reformat(format=pixel_format)
    return frame


def write(path: Path, clip: Clip | None = None, **changes: Any) -> Path:
    """Write a clip; keyword arguments replace fields of ``clip``."""
    clip = replace(clip or Clip(), **changes)
    options = dict(clip.muxer_options)
    if path.suffix in (".mp4", ".mov"):
        options.setdefault("movie_timescale", "90000")
    with av.open(str(path), "w", format=clip.muxer, container_options=options) as container:
        container.metadata.update(clip.metadata)
        video = _picture_stream(container, clip)
        sounds = [_sound_stream(container, sound) for sound in clip.sounds]
        subtitle = _subtitle_stream(container) if clip.subtitles else None
        for name, mimetype, content in clip.attachments:
            container.add_attachment(name, mimetype, content)
        if clip.chapters:
            container.set_chapters([_chapter(i, *c) for i, c in enumerate(clip.chapters)])
        packets = [*_pictures(clip, video)]
        length = float((clip.stamps[-1] - clip.stamps[0]) * clip.time_base) + 1 / RATE
        for sound, stream in zip(clip.sounds, sounds, strict=True):
            packets += _sound(sound, stream, sound.seconds or length)
        for begin, end, text in clip.subtitles:
            packets.append(_subtitle(subtitle, begin, end, text))
        container.start_encoding()
        for packet in sorted(packets, key=_when):
            container.mux(packet)
    return path


def _when(packet: Any) -> Fraction:
    return (packet.dts if packet.dts is not None else packet.pts) * Fraction(packet.time_base)


def _picture_stream(container: Any, clip: Clip) -> Any:
    stream = container.add_stream(clip.codec, rate=RATE, options=dict(clip.options))
    stream.width, stream.height = clip.size
    stream.pix_fmt = clip.pixel_format
    stream.time_base = stream.codec_context.time_base = clip.time_base
    context = stream.codec_context
    if clip.aspect is not None:
        context.sample_aspect_ratio = clip.aspect
    _tag(context, clip.tags)
    stream.metadata.update(clip.stream_metadata)
    if clip.rotation is not None:
        hflip, vflip = clip.mirrored
        stream.set_display_rotation(clip.rotation, hflip=hflip, vflip=vflip)
    return stream


def _tag(thing: Any, tags: tuple[int, int, int, int]) -> None:
    thing.colorspace, thing.color_range, thing.color_primaries, thing.color_trc = tags


def _pictures(clip: Clip, stream: Any) -> Iterable[Any]:
    layout = Layout.nearest(clip.pixel_format)
    stamps = clip.stamps
    durations = [b - a for a, b in itertools.pairwise(stamps)]
    durations.append(clip.last_duration or (durations[-1] if durations else 1))
    lasts = dict(zip(stamps, durations, strict=True))
    packets = []
    for index, pts in enumerate(stamps):
        frame = native(_samples(clip, layout, index, pts), layout, clip.pixel_format)
        _tag(frame, clip.tags)
        frame.pts, frame.time_base, frame.duration = pts, clip.time_base, lasts[pts]
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.duration = lasts.get(packet.pts, packet.duration)
        packet.stream = stream
    return packets


def _samples(clip: Clip, layout: Layout, index: int, pts: int) -> list[Samples]:
    samples = planes(index, clip.size, layout)
    if clip.flashes is not None:
        seconds = float(pts * clip.time_base)
        lit = any(begin - 1e-6 <= seconds < begin + BLIP - 1e-6 for begin in clip.flashes)
        samples[0][:] = round((0.9 if lit else 0.1) * layout.peak)
        for plane in samples[1:3]:
            plane[:] = layout.neutral
    return samples


def _sound_stream(container: Any, sound: Sound) -> Any:
    options = {"strict": "experimental"}
    stream = container.add_stream(
        sound.codec, rate=sound.rate, layout=sound.layout, options=options
    )
    stream.metadata.update(sound.metadata)
    if sound.disposition:
        stream.disposition = av.stream.Disposition(sound.disposition)
    return stream


def tone(sound: Sound, seconds: float) -> NDArray[np.float32]:
    """Return the sound as float32 ``[channels, samples]`` in -0.5..0.5."""
    time = np.arange(round(seconds * sound.rate)) / sound.rate
    wave = 0.5 * np.sin(2 * np.pi * sound.pitch * time)
    if sound.beeps is not None:
        time = time + sound.begin
        on = np.zeros(len(time), bool)
        for begin in sound.beeps:
            on |= (time >= begin) & (time < begin + BLIP)
        wave = np.where(on, wave, 0.0)
    channels = av.AudioLayout(sound.layout).nb_channels
    return np.tile(wave.astype(np.float32), (channels, 1))


def _sound(sound: Sound, stream: Any, seconds: float) -> list[Any]:
    samples = tone(sound, seconds)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=sound.layout)
    frame.sample_rate = sound.rate
    frame.pts, frame.time_base = round(sound.begin * sound.rate), Fraction(1, sound.rate)
    context = stream.codec_context
    context.open(strict=False)
    resampler = av.AudioResampler(
        context.format, context.layout, context.rate, context.frame_size or 1024
    )
    packets = []
    for ready in [*resampler.resample(frame), *resampler.resample(None)]:
        packets += stream.encode(ready)
    return [*packets, *stream.encode(None)]


def _subtitle_stream(container: Any) -> Any:
    stream = container.add_mux_stream("subrip")
    stream.time_base = Fraction(1, 1000)
    return stream


def _subtitle(stream: Any, begin: float, end: float, text: str) -> Any:
    packet = av.Packet(text.encode())
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = round(begin * 1000)
    packet.duration = round((end - begin) * 1000)
    packet.stream = stream
    return packet


def _chapter(number: int, begin: float, end: float, title: str) -> dict[str, Any]:
    return {
        "id": number,
        "start": round(begin * 1000),
        "end": round(end * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


# --- Reading back ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """What a plain player makes of a file's picture."""

    times: list[Fraction]
    """Of each frame, in seconds, as decoded."""
    frames: list[av.VideoFrame]
    end: Fraction
    """When the last frame goes, by its duration."""


def show(path: Path, *, threads: str = "AUTO") -> Shown:
    """Decode the picture of a file as simply as PyAV can."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.best("video")
        stream.thread_type = threads
        frames = [frame for frame in container.decode(stream) if isinstance(frame, av.VideoFrame)]
        times = [Fraction(frame.pts or 0) * Fraction(stream.time_base) for frame in frames]
        end = times[-1] + (frames[-1].duration or 0) * Fraction(stream.time_base)
    return Shown(times, frames, end)


@dataclass(frozen=True)
class Heard:
    """The packets of one audio or subtitle stream, as they lie in the file."""

    codec: str
    payloads: list[bytes]
    times: list[Fraction]
    metadata: dict[str, str]
    disposition: int


def packets(path: Path, kind: str = "audio") -> list[Heard]:
    """Read the packets of all streams of a kind."""
    with av.open(str(path)) as container:
        streams: list[Any] = [s for s in container.streams if s.type == kind]
        found: dict[int, list[Any]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream.index].append((bytes(packet), packet.pts, packet.time_base))
        return [
            Heard(
                stream.codec_context.name,
                [payload for payload, _, _ in found[stream.index]],
                [pts * Fraction(base) for _, pts, base in found[stream.index]],
                dict(stream.metadata),
                int(stream.disposition),
            )
            for stream in streams
        ]


def listen(path: Path, track: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Decode a sound: mono float32 samples and the time of each in seconds."""
    samples, times = [], []
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        to_mono = av.AudioResampler("fltp", "mono", stream.rate)
        for frame in container.decode(stream):
            for ready in to_mono.resample(frame):
                wave = ready.to_ndarray()[0]
                begin = float((ready.pts or 0) * Fraction(ready.time_base))
                samples.append(wave)
                times.append(begin + np.arange(len(wave)) / ready.sample_rate)
    return np.concatenate(samples), np.concatenate(times)


def beeps(path: Path, track: int = 0) -> list[float]:
    """Return when the beeps of a sound begin, in seconds."""
    wave, times = listen(path, track)
    loud = np.abs(wave) > 0.1
    begins = []
    last = -1.0
    for time in times[loud]:
        if time - last > BLIP:
            begins.append(float(time))
        last = float(time)
    return begins


def flashes(path: Path) -> list[float]:
    """Return when the centre of the picture lights up, in seconds."""
    shown = show(path)
    light = []
    for frame in shown.frames:
        gray = frame.to_ndarray(format="gray")
        light.append(float(gray[gray.shape[0] // 2, gray.shape[1] // 2]) > 128)
    pairs = zip(shown.times, light, [False, *light], strict=False)
    return [float(time) for time, now, before in pairs if now and not before]


def write_packets(path: Path, stamps: Sequence[int]) -> None:
    """Write one key frame per stamp (in 1/25 s), in the order given, even backwards in time."""
    raw = write(path.with_suffix(".mkv"), Clip(count=len(stamps), codec="mpeg2video",
                options={"g": "1", "bf": "0"}, time_base=Fraction(1, 25)))  # fmt: skip
    with av.open(str(raw)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        template = source.streams.video[0]
        pieces: list[list[int]] = [[]]
        for number, stamp in enumerate(stamps):
            if pieces[-1] and stamp <= stamps[number - 1]:
                pieces.append([])
            pieces[-1].append(number)
        content = b""
        for piece in pieces:
            target = path.with_name("piece" + path.suffix)
            with av.open(str(target), "w") as container:
                stream = container.add_stream_from_template(template)
                for number in piece:
                    packet = packets[number]
                    packet.time_base = Fraction(1, 25)
                    packet.pts = packet.dts = stamps[number]
                    packet.stream = stream
                    container.mux(packet)
            content += target.read_bytes()
    path.write_bytes(content)
