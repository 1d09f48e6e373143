"""Clips and streams in a camera's place."""

from __future__ import annotations

import functools
import http.server
import itertools
import shutil
import threading
import time
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from streammatte.colour import Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.errors import InputError, UsageError
from streammatte.frames import Layout
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sources import feed as feeds
from streammatte.sources import rehearsal
from streammatte.sources.feed import CameraFeed, open_feed
from streammatte.sources.rehearsal import ClipCapture, Pace, StreamCapture, public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streammatte.frames import Frame


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rehearsal, "time", made)
    return made


def shown(capture: Any, count: int) -> list[Frame]:
    """Return the next pictures, however long they take."""
    found: list[Frame] = []
    while len(found) < count:
        frame = capture.read(0.01)
        found += [frame] if frame is not None else []
    return found


def gaps(frames: list[Frame]) -> list[int]:
    """Return the milliseconds between pictures."""
    return [round((late.pts - early.pts) / 1000) for early, late in itertools.pairwise(frames)]


def test_a_clip_keeps_its_own_timing_over_and_over(clip: Callable[..., Path], clock: Clock) -> None:
    stamps = [0, 512, 1024, 3072]  # 40, 40 and 160 ms apart
    capture = ClipCapture(str(clip("uneven.mkv", pts=stamps, count=4)))
    begun = clock.now
    frames = shown(capture, 9)
    capture.close()
    last = gaps(frames)[3]
    assert gaps(frames) == [40, 40, 160, last] * 2
    assert 1 <= last <= 200
    assert frames[0].seconds == pytest.approx(begun)
    assert clock.now == pytest.approx(begun + sum(gaps(frames)) / 1000, abs=0.01)
    same = [np.array_equal(a.picture.planes[0], b.picture.planes[0])
            for a, b in zip(frames[:4], frames[4:8], strict=True)]  # fmt: skip
    assert all(same)


def test_no_read_takes_longer_than_it_may(clip: Callable[..., Path], clock: Clock) -> None:
    capture = ClipCapture(str(clip("slow.mkv", pts=[0, 128000], count=2)))  # ten seconds
    shown(capture, 1)
    before = clock.now
    assert capture.read(0.1) is None
    assert clock.now == pytest.approx(before + 0.1)
    capture.close()


def test_a_machine_that_is_too_slow_plays_slowly(clock: Clock) -> None:
    """Rather than ever later."""
    pace = Pace()
    assert pace.due(5.0) == 1000.0
    clock.now += 0.1
    assert pace.due(5.04) == pytest.approx(1000.04), "a little late is made up for"
    clock.now += 1
    assert pace.due(5.08) == clock.now
    assert pace.due(5.12) == pytest.approx(clock.now + 0.04)


def test_a_clip_of_any_kind_is_shown_as_a_camera_would(tmp_path: Path) -> None:
    layout, colour = Layout("yuv", 8, 1), Colour(Matrix.BT709, full_range=True)
    rgb = np.zeros((32, 64, 3), np.float32)
    for index, patch in enumerate(([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.5] * 3)):
        rgb[:, 16 * index : 16 * index + 16] = patch
    with av.open(str(tmp_path / "bars.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, layout.name
        context = stream.codec_context
        context.colorspace, context.color_range = int(colour.matrix), 2
        for packet in (*stream.encode(from_rgb(rgb, layout, colour).native), *stream.encode()):
            container.mux(packet)
    capture = ClipCapture(str(tmp_path / "bars.mkv"))
    (frame,) = shown(capture, 1)
    capture.close()
    assert (frame.picture.layout, frame.picture.colour) == (LAYOUT, COLOUR)
    assert frame.time_base == TICK
    for found, exact in zip(
        frame.picture.planes, from_rgb(rgb, LAYOUT, COLOUR).planes, strict=True
    ):
        middle = slice(exact.shape[1] // 8, None, exact.shape[1] // 4)  # of each patch
        assert np.abs(found[8, middle].astype(int) - exact[8, middle]).max() <= 2


def test_pixels_become_square(clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    capture = ClipCapture(str(clip("plain.mp4")))
    capture.close()
    assert (capture.width, capture.height) == (96, 64)

    def anamorphic(where: str) -> Any:
        source = open_source(where)
        source.info = replace(source.info, pixel_aspect=Fraction(4, 3))
        return source

    open_source = rehearsal.open_source
    monkeypatch.setattr(rehearsal, "open_source", anamorphic)
    capture = ClipCapture(str(clip("plain.mp4")))
    (frame,) = shown(capture, 1)
    capture.close()
    assert (frame.picture.width, frame.picture.height) == (128, 64)


def taken(feed: CameraFeed, count: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
        frame = feed.take(frames[-1].pts if frames else -1, 20)
        assert frame is not None, feed.reason
        frames.append(frame)
    return frames


def test_a_clip_is_a_feed(clip: Callable[..., Path]) -> None:
    feed = open_feed(str(clip("rehearsal.mp4", count=6)))
    try:
        frames = taken(feed, 14)
        assert feed.condition == "running"
        assert feed.reason == ""
        assert abs(frames[-1].seconds - time.monotonic()) < 5
    finally:
        feed.close()


def test_a_clip_that_is_deleted_is_looked_for(
    clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "AGAIN", 0.01)
    whole, path = clip("rehearsal.mp4", count=6), tmp_path / "used.mp4"
    shutil.copy(whole, path)
    feed = open_feed(str(path))
    try:
        taken(feed, 2)
        path.unlink()
        end = time.monotonic() + 20
        while feed.condition != "lost" and time.monotonic() < end:
            time.sleep(0.005)
        assert "does not exist" in feed.reason
        shutil.copy(whole, path)
        while feed.condition != "running" and time.monotonic() < end:
            time.sleep(0.005)
        assert feed.condition == "running"
    finally:
        feed.close()


def test_synthetic_footage_is_a_feed() -> None:
    feed = open_feed("synthetic:96x64@50x10")
    try:
        (frame,) = taken(feed, 1)
        assert (frame.picture.width, frame.picture.height) == (96, 64)
        assert feed.info.rate == 50
    finally:
        feed.close()
    with pytest.raises(UsageError):
        open_feed("synthetic:0x0")


# --- addresses


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_clip_at_an_address_keeps_its_pace(
    clip: Callable[..., Path], served: tuple[Path, str], clock: Clock
) -> None:
    folder, address = served
    shutil.copy(clip("rehearsal.mp4", count=6), folder / "a.mp4")
    capture = StreamCapture(f"{address}/a.mp4")
    frames = shown(capture, 6)
    assert gaps(frames) == [40] * 5
    assert (capture.width, capture.height, capture.rate) == (96, 64, 25)
    with pytest.raises(InputError, match="has ended"):
        capture.read(0.1)
    capture.close()


def test_what_has_no_end_is_shown_at_once(
    clip: Callable[..., Path], served: tuple[Path, str], clock: Clock
) -> None:
    folder, address = served
    shutil.copy(clip("rehearsal.mp4", count=6), folder / "a.mp4")
    capture = StreamCapture(f"{address}/a.mp4")
    capture._container = _Endless(capture._container)
    before = clock.now
    frames = shown(capture, 6)
    assert [frame.seconds for frame in frames] == [before] * 6
    capture.close()


class _Endless:
    """A container that does not know its length, as those of live streams."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self.duration = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)


def test_a_stream_that_ends_is_opened_again(
    clip: Callable[..., Path], served: tuple[Path, str]
) -> None:
    folder, address = served
    shutil.copy(clip("rehearsal.mp4", count=6), folder / "a.mp4")
    feed = open_feed(f"{address}/a.mp4")
    try:
        taken(feed, 14)
    finally:
        feed.close()


def test_addresses_that_give_nothing_say_so(
    served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    for where in ("udp://nowhere.invalid:1", f"{address}/gone.mp4", "nonsense://a"):
        with pytest.raises(InputError, match="cannot be read"):
            open_feed(where)
    (folder / "text.mp4").write_text("no clip")
    with pytest.raises(InputError, match=r"text.mp4 cannot be read"):
        open_feed(f"{address}/text.mp4")
    monkeypatch.setattr(rehearsal, "OPENING", 0.1)
    with pytest.raises(InputError, match="nothing came within"):
        open_feed("udp://127.0.0.1:45871")


def test_passwords_are_shown_to_nobody() -> None:
    assert public("rtsp://me:secret@10.0.0.2:554/live?a=1") == "rtsp://10.0.0.2:554/live?a=1"
    assert public("rtsp://10.0.0.2/live") == "rtsp://10.0.0.2/live"
    with pytest.raises(InputError) as caught:
        open_feed("http://me:secret@127.0.0.1:1/live")
    assert "secret" not in str(caught.value)
