"""Sound, subtitles, chapters, attachments and metadata: copied exactly, or said."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import clips
import numpy as np
import pytest
from clips import Sound

import streammatte

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streammatte.pipeline import Report

    Make = Callable[..., Path]

GREEN = "#00b140"
VFR = (0, 300, 901, 1500, 2750, 2800, 3333, 4096, 4500, 6001, 7000, 9999)


def render(source: Path, output: Path, **options: Any) -> Report:
    return streammatte.render(source, output, bg=GREEN, runtime="stub", **options)


def within(first: list[Fraction], second: list[Fraction], tolerance: float) -> bool:
    pairs = zip(first, second, strict=True)
    return all(abs(float(a - b)) <= tolerance for a, b in pairs)


MILLISECOND = 0.000501
"""Matroska's rounding."""


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv"])
@pytest.mark.parametrize("name", ["s.mp4", "s.mov", "s.mkv"])
@pytest.mark.parametrize(
    "codec", ["aac", "libmp3lame", "ac3", "mp2", "flac", "libopus", "vorbis", "alac", "pcm_s16le"]
)
def test_sound_is_copied_bit_for_bit(
    clip: Make, tmp_path: Path, codec: str, name: str, output: str
) -> None:
    if ".mov" in (name[1:], output[1:]) and codec in ("flac", "libopus", "vorbis"):
        pytest.skip(f"mov does not hold {codec}")
    source = clip(name, pts=VFR, sounds=(Sound(codec),))
    report = render(source, tmp_path / output)
    (before,), (after,) = clips.packets(source), clips.packets(tmp_path / output)
    matroska = ".mkv" in (name[1:], output[1:])
    if codec in ("vorbis", "mp2") and (name, output) == ("s.mp4", "o.mkv"):
        moved_together(before, after, clips.show(source), clips.show(tmp_path / output), report)
        return
    if codec == "pcm_s16le":  # mp4 and mov cut it into packets as they like
        assert b"".join(after.payloads) == b"".join(before.payloads)
    else:
        assert after.payloads == before.payloads
        assert within(after.times, before.times, MILLISECOND if matroska else 0)
    assert report.notes == []
    pictures = clips.show(source).times
    assert within(clips.show(tmp_path / output).times, pictures, MILLISECOND if matroska else 0)


def moved_together(
    before: clips.Heard,
    after: clips.Heard,
    seen: clips.Shown,
    shown: clips.Shown,
    report: Report,
) -> None:
    """Check that what could not keep its time was moved with all the rest, and that it is said."""
    assert after.payloads == before.payloads
    assert "cannot begin before 0 s" in report.notes[0]
    shift = before.times[0]
    assert shift < 0
    twice = 2 * MILLISECOND  # the shift is rounded, and so is its sum with the time
    assert within(after.times, [time - shift for time in before.times], twice)
    assert within(shown.times, [time - shift for time in seen.times], twice)


def test_transport_stream_to_mp4(clip: Make, tmp_path: Path) -> None:
    """The framing (ADTS) goes, the coded sound stays."""
    source = clip("s.ts", pts=VFR, sounds=(Sound(),))
    render(source, tmp_path / "o.mp4")
    (before,), (after,) = clips.packets(source), clips.packets(tmp_path / "o.mp4")
    assert [payload[7:] for payload in before.payloads] == after.payloads
    assert within(after.times, before.times, 1 / 90000)
    assert clips.show(tmp_path / "o.mp4").times == clips.show(source).times


@pytest.mark.parametrize("offsets", [(0.8, 1.1), (1.1, 0.8)])
@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
def test_late_starts_are_kept(
    clip: Make, tmp_path: Path, output: str, offsets: tuple[float, float]
) -> None:
    picture, sound = offsets
    stamps = [round(picture * 12800) + 512 * index for index in range(12)]
    source = clip("s.mp4", pts=stamps, sounds=(Sound(begin=sound, rate=44100),))
    render(source, tmp_path / output)
    tolerance = MILLISECOND if output.endswith("mkv") else 0
    assert within(clips.show(tmp_path / output).times, clips.show(source).times, tolerance)
    (before,), (after,) = clips.packets(source), clips.packets(tmp_path / output)
    assert within(after.times, before.times, tolerance)


def test_fine_time_bases_stay_exact(clip: Make, tmp_path: Path) -> None:
    """Edit lists count in ticks of their own, which must not be coarser than the stream's."""
    stamps = [100_001 + 40_000 * index for index in range(6)]
    source = clip("s.mov", time_base=Fraction(1, 1_000_003), pts=stamps, sounds=(Sound(begin=0.3),),
                  muxer_options={"movie_timescale": "1000003"})  # fmt: skip
    render(source, tmp_path / "o.mp4")
    times = clips.show(tmp_path / "o.mp4").times
    assert times == [Fraction(stamp, 1_000_003) for stamp in stamps]


THREE = (
    Sound(metadata={"language": "ger", "title": "Deutsch"}, disposition=1),
    Sound("ac3", pitch=600, metadata={"language": "eng", "title": "Comments"}, disposition=8),
    Sound("libmp3lame", layout="mono", pitch=800, metadata={"language": "fre"}),
)


@pytest.mark.parametrize(
    ("name", "output"), [("s.mkv", "o.mkv"), ("s.mkv", "o.mp4"), ("s.mp4", "o.mp4")]
)
def test_all_tracks_with_language_title_and_disposition(
    clip: Make, tmp_path: Path, name: str, output: str
) -> None:
    source = clip(name, sounds=THREE)
    render(source, tmp_path / output)
    before, after = clips.packets(source), clips.packets(tmp_path / output)
    assert [track.codec for track in after] == [track.codec for track in before]
    for old, new, asked in zip(before, after, THREE, strict=True):
        assert new.payloads == old.payloads
        assert new.metadata.get("language") == asked.metadata["language"]
        title = new.metadata.get("title") or new.metadata.get("name")
        assert title == (asked.metadata.get("title"))
        assert new.disposition == old.disposition


FLASHES = (0.4, 1.2)


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 96000])
@pytest.mark.parametrize(
    ("name", "codec", "output", "encoder"),
    [
        ("s.mp4", "aac", "o.webm", "libopus"),
        ("s.mkv", "pcm_s16le", "o.webm", "libopus"),
        ("s.mkv", "flac", "o.mov", "aac"),
        ("s.avi", "adpcm_ima_wav", "o.mp4", "aac"),
    ],
)
def test_reencoded_sound_stays_in_sync(
    clip: Make, tmp_path: Path, name: str, codec: str, output: str, encoder: str, rate: int
) -> None:
    sound = Sound(codec, rate=rate, beeps=FLASHES)
    source = clip(
        name,
        count=50,
        flashes=FLASHES,
        sounds=(sound,),
        time_base=Fraction(1, 25) if name.endswith("avi") else Fraction(1, 12800),
        options={"bf": "0"},
    )
    report = render(source, tmp_path / output)
    assert len(report.notes) == 1
    assert f"re-encoded as {encoder}" in report.notes[0]
    assert clips.flashes(tmp_path / output) == pytest.approx(clips.flashes(source), abs=0.001)
    assert clips.beeps(tmp_path / output) == pytest.approx(clips.beeps(source), abs=0.004)


@pytest.mark.parametrize("layout", ["mono", "5.1", "5.1(side)"])
def test_reencoded_surround(clip: Make, tmp_path: Path, layout: str) -> None:
    source = clip("s.mkv", sounds=(Sound("flac", layout=layout),))
    render(source, tmp_path / "o.webm")
    with av.open(str(tmp_path / "o.webm")) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.channels == av.AudioLayout(layout).nb_channels
    wave, _ = clips.listen(tmp_path / "o.webm")
    assert np.abs(wave).max() > 0.1


# --- Windows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.webm"])
@pytest.mark.parametrize("name", ["s.mp4", "s.mkv", "s.ts"])
def test_a_window_cuts_sound_and_picture_alike(
    clip: Make, tmp_path: Path, name: str, output: str
) -> None:
    flashes = (0.4, 1.2, 2.0, 2.8, 3.6)
    source = clip(name, count=100, flashes=flashes, sounds=(Sound(beeps=flashes),))
    render(source, tmp_path / output, start="1", to="3")
    shown = clips.show(tmp_path / output)
    assert 0 <= shown.times[0] < 0.041
    assert len(shown.times) in (49, 50)
    lit, heard = clips.flashes(tmp_path / output), clips.beeps(tmp_path / output)
    skew = clips.beeps(source)[0] - clips.flashes(source)[0]
    assert len(lit) == len(heard) == 3
    assert np.array(heard) - np.array(lit) == pytest.approx(np.full(3, skew), abs=0.004)
    with av.open(str(tmp_path / output)) as container:
        assert container.duration / av.time_base < 2.1


def test_a_window_at_the_end_reads_no_further(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mp4", count=50, sounds=(Sound(),))
    render(source, tmp_path / "o.mp4", length="0.5")
    (track,) = clips.packets(tmp_path / "o.mp4")
    assert len(clips.show(tmp_path / "o.mp4").times) == 13
    assert max(track.times) < 0.5


def test_late_clock_moves_everything_alike(clip: Make, tmp_path: Path) -> None:
    stamps = [3600 * 1000 + 3600 * index for index in range(40)]
    source = clip(
        "s.ts", time_base=Fraction(1, 90000), pts=stamps, flashes=(40.4,),
        sounds=(Sound(begin=40.0, beeps=(40.4,)),),
    )  # fmt: skip
    report = render(source, tmp_path / "o.mp4")
    (before,), (after,) = clips.packets(source), clips.packets(tmp_path / "o.mp4")
    shift = clips.show(source).times[0] - clips.show(tmp_path / "o.mp4").times[0]
    assert 39 < shift < 41
    assert within([time + shift for time in after.times], before.times, 1 / 48000)
    assert any("moved" in note for note in report.notes)
    lit, heard = clips.flashes(tmp_path / "o.mp4"), clips.beeps(tmp_path / "o.mp4")
    assert heard[0] - lit[0] == pytest.approx(0, abs=0.003)


def test_clock_that_starts_over_keeps_sound_in_sync(clip: Make, tmp_path: Path) -> None:
    flash = {"flashes": (5.4,), "sounds": (Sound(begin=5.0, beeps=(5.4,)),)}
    first = clip("s.ts", pts=[64000 + 512 * i for i in range(40)], **flash)
    early = {"flashes": (0.4,), "sounds": (Sound(beeps=(0.4,)),)}
    second = clip("s.ts", count=40, **early)
    source = tmp_path / "twice.ts"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    report = render(source, tmp_path / "o.mp4")
    assert report.frames == 80
    assert any("starts over" in note for note in report.notes)
    lit, heard = clips.flashes(tmp_path / "o.mp4"), clips.beeps(tmp_path / "o.mp4")
    assert len(lit) == len(heard) == 2
    assert np.array(heard) - np.array(lit) == pytest.approx([0, 0], abs=0.003)


# --- The rest ----------------------------------------------------------------------------------

LINES = ((0.0, 0.3, "One"), (0.3, 0.45, "Two <i>words</i>"))


def test_subtitles_are_copied_to_matroska(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mkv", subtitles=LINES, sounds=(Sound(),))
    report = render(source, tmp_path / "o.mkv")
    (before,), (after,) = (clips.packets(path, "subtitle") for path in (source, tmp_path / "o.mkv"))
    assert after.payloads == before.payloads == [text.encode() for _, _, text in LINES]
    assert after.times == before.times
    assert report.notes == []


def test_subtitles_mp4_cannot_hold_are_left_out_and_said(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mkv", subtitles=LINES)
    report = render(source, tmp_path / "o.mp4")
    assert clips.packets(tmp_path / "o.mp4", "subtitle") == []
    (note,) = report.notes
    assert note in [f"mp4 cannot hold {name} subtitles: left out" for name in ("srt", "subrip")]


CHAPTERS = ((0.0, 1.0, "Hello"), (1.0, 2.0, "World"), (2.0, 4.0, "The end"))


def chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (
                round(float(c["start"] * Fraction(c["time_base"])), 2),
                round(float(c["end"] * Fraction(c["time_base"])), 2),
                c["metadata"].get("title", ""),
            )
            for c in container.chapters()
        ]


@pytest.mark.parametrize("name", ["s.mp4", "s.mkv"])
@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.mov"])
def test_chapters_and_metadata(clip: Make, tmp_path: Path, name: str, output: str) -> None:
    tags = {"title": "A talk", "artist": "Someone", "comment": "Grüße"}
    source = clip(name, count=100, chapters=CHAPTERS, metadata=tags, sounds=(Sound(),),
                  stream_metadata={"language": "ger"})  # fmt: skip
    report = render(source, tmp_path / output)
    assert chapters(tmp_path / output) == chapters(source) == list(CHAPTERS)
    with av.open(str(tmp_path / output)) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
        assert {key: found.get(key) for key in tags} == tags
        assert container.streams.video[0].metadata.get("language") == "ger"
    assert report.notes == []


def test_chapters_follow_the_window(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mkv", count=100, chapters=CHAPTERS)
    render(source, tmp_path / "o.mkv", start="1.5", to="3")
    expected = [(0.0, 0.5, "World"), (0.5, 1.5, "The end")]
    assert chapters(tmp_path / "o.mkv") == expected


def test_attachments_are_copied(clip: Make, tmp_path: Path) -> None:
    attached = (("font.ttf", "application/x-truetype-font", b"\x00\x01font"),)
    source = clip("s.mkv", attachments=attached)
    assert render(source, tmp_path / "o.mkv").notes == []
    with av.open(str(tmp_path / "o.mkv")) as container:
        (copy,) = container.streams.attachments
        assert (copy.name, copy.mimetype, bytes(copy.data)) == attached[0]
    assert render(source, tmp_path / "o.mp4").notes == ["the attachment font.ttf was left out"]


def with_cover(source: Path, path: Path) -> Path:
    """Put a cover picture before the film."""
    with av.open(str(source)) as film, av.open(str(path), "w") as target:
        cover: Any = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copy = target.add_stream_from_template(film.streams.video[0])
        frame = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")
        for packet in cover.encode(frame.reformat(format="yuvj420p")):
            target.mux(packet)
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    return path


def test_cover_pictures_are_not_the_film(clip: Make, tmp_path: Path) -> None:
    source = with_cover(clip("s.mp4"), tmp_path / "cover.mp4")
    report = render(source, tmp_path / "o.mp4")
    assert report.frames == 12
    assert report.notes == ["the cover picture was left out"]
    assert clips.show(tmp_path / "o.mp4").frames[0].width == 96


def test_data_streams_are_skipped(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mov", metadata={"timecode": "01:00:00:00"}, sounds=(Sound(),))
    with av.open(str(source)) as container:
        assert container.streams.data, "the clip does not show what it should"
    report = render(source, tmp_path / "o.mp4")
    assert report.frames == 12
    render(source, tmp_path / "o.mkv")


def test_timecode_of_uneven_footage_is_no_obstacle(clip: Make, tmp_path: Path) -> None:
    source = clip("s.mkv", pts=VFR, metadata={"timecode": "01:00:00:00"})
    assert render(source, tmp_path / "o.mp4").frames == 12
    assert render(source, tmp_path / "o.mov").frames == 12


def test_damaged_sound_does_not_stop_the_picture(clip: Make, tmp_path: Path) -> None:
    whole = clip("s.ts", count=60, sounds=(Sound(),))
    content = bytearray(whole.read_bytes())
    for position in range(3000, len(content) - 200, 997):
        content[position] ^= 0xFF
    (tmp_path / "bad.ts").write_bytes(content)
    for output in ("o.mp4", "o.mkv", "o.webm"):
        report = render(tmp_path / "bad.ts", tmp_path / output)
        assert report.frames > 40
