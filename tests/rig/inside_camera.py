"""Runs inside the rig: opens its cameras, unplugs and starves them, and notes how they were.

    inside_camera.py OUT.json

Each function is a scene; what it returns is judged by ``test_camera_rig.py``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from streammatte.colour import Colour, Matrix
from streammatte.convert import from_rgb
from streammatte.errors import StreamMatteError
from streammatte.live.base import COLOUR, LAYOUT
from streammatte.sources import v4l2
from streammatte.sources.feed import CameraFeed, open_feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WEBCAM, EXCLUSIVE, VIRTUAL = "/dev/video0", "/dev/video20", "/dev/video21"
DRIVER = Path("/sys/bus/platform/drivers/vivid")
JPEG = Colour(Matrix.BT470BG, full_range=True)
PATIENCE = 20.0
"""Seconds after which something that was waited for never comes."""


# ---- hands


@contextlib.contextmanager
def opened(where: str, mode: str | None = None) -> Iterator[CameraFeed]:
    feed = open_feed(where, mode)
    try:
        yield feed
    finally:
        feed.close()


def until(what: Callable[[], bool]) -> float:
    """Wait for something, and return the seconds that it took; infinite if it never came."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > PATIENCE:
            return float("inf")
        time.sleep(0.005)
    return time.monotonic() - begun


def fresh(feed: CameraFeed) -> Any:
    """Return a picture that was captured from now on."""
    frame = feed.take(round(time.monotonic() * 1e6), PATIENCE)
    assert frame is not None, feed.reason
    return frame


def refusal(where: str, mode: str | None = None) -> list[str]:
    """Return why something is not opened: the kind of error, and its words."""
    try:
        with opened(where, mode) as feed:
            return ["", feed.description]
    except StreamMatteError as error:
        return [type(error).__name__, str(error)]


class Controls:
    """The knobs of the webcam, by their names."""

    def __init__(self) -> None:
        self._handle = os.open(WEBCAM, os.O_RDWR | os.O_NONBLOCK)
        self._known: dict[str, int] = {}
        question = bytearray(struct.pack("=I64x", 0x80000000))
        with contextlib.suppress(OSError):
            while True:
                fcntl.ioctl(self._handle, 0xC0445624, question)  # VIDIOC_QUERYCTRL, the next
                number, _, name = struct.unpack_from("=II32s", question)
                self._known[name.split(b"\0")[0].decode()] = number
                question = bytearray(struct.pack("=I64x", number | 0x80000000))

    def set(self, name: str, value: int) -> None:
        setting = struct.pack("=Ii", self._known[name], value)
        fcntl.ioctl(self._handle, 0xC008561C, bytearray(setting))  # VIDIOC_S_CTRL

    def close(self) -> None:
        os.close(self._handle)


class Producer:
    """Feeds a virtual camera, on a thread, until it is told not to."""

    def __init__(self, device: str, width: int, height: int, jpeg: Any = None) -> None:
        self.pause = threading.Event()
        self._end = threading.Event()
        self._begun = threading.Event()
        self._args = device, width, height
        self._jpeg = jpeg
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()
        assert self._begun.wait(PATIENCE)

    def _feed(self) -> None:
        device, width, height = self._args
        with av.open(device, "w", format="v4l2") as sink:
            stream: Any = sink.add_stream("mjpeg" if self._jpeg else "rawvideo", rate=30)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if self._jpeg else "yuv420p"
            index = 0
            while not self._end.wait(1 / 30):
                if self.pause.is_set():
                    continue
                luma = np.full((height * 3 // 2, width), 128, np.uint8)
                luma[:height] = 40 + index % 100
                if self._jpeg:
                    luma = np.concatenate([plane.reshape(-1, width) for plane in self._jpeg])
                frame = av.VideoFrame.from_ndarray(luma, stream.pix_fmt)
                frame.pts = index
                for packet in stream.encode(frame):
                    sink.mux(packet)
                index += 1
                self._begun.set()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(PATIENCE)


def closed_in(feed: CameraFeed) -> float:
    begun = time.monotonic()
    feed.close()
    return time.monotonic() - begun


# ---- scenes


def what_there_is() -> Any:
    return {
        "cameras": [[one.path, one.name] for one in v4l2.cameras()],
        "virtual": [[one.path, one.name] for one in v4l2.virtual_cameras()],
        "formats": sorted({mode.format for mode in v4l2.cameras()[0].modes}),
    }


def refused() -> Any:
    return {
        "missing": refusal("/dev/video9"),
        "no camera": refusal("/dev/null"),
        "output": refusal("/dev/video1"),
        "unfed, exclusive": refusal(EXCLUSIVE),
        "unfed": refusal(VIRTUAL),
        "name": refusal("C920"),
        "format": refusal("0", ":mjpg"),
    }


def given() -> Any:
    return {
        "auto": refusal("auto"),
        "name": refusal("vivid", "640x480@15:nv12"),
        "too quick": refusal("0", "1920x1080@60:yuyv"),
        "odd": refusal("0", "123x77"),
    }


def busy() -> Any:
    with opened("0"):
        return refusal("0")


def colours() -> Any:
    """Compare bars in all formats and encodings with what the webcam says in R'G'B'."""
    knobs = Controls()
    knobs.set("OSD Text Mode", 2)
    try:
        container = av.open(WEBCAM, format="v4l2", options={
            "video_size": "640x480", "framerate": "25", "input_format": "rgb24"})  # fmt: skip
        rgb = np.array(next(container.decode(video=0)).to_ndarray(), np.float32) / 255
        container.close()
        exact = bars(from_rgb(rgb, LAYOUT, COLOUR))
        off = {}
        for form, encoding, quantization in (
            ("yuyv", 0, 0), ("nv12", 0, 0), ("i420", 0, 0), ("rgb24", 0, 0), ("uyvy", 0, 0),
            ("yuyv", 2, 0), ("nv12", 0, 1), ("i420", 2, 1),
        ):  # fmt: skip
            knobs.set("Y'CbCr Encoding", encoding)
            knobs.set("Quantization", quantization)
            with opened("0", f"640x480:{form}") as feed:
                found = bars(fresh(feed).picture)
            off[f"{form} {encoding} {quantization}"] = int(np.abs(found - exact).max())
        return off
    finally:
        knobs.set("Y'CbCr Encoding", 0)
        knobs.set("Quantization", 0)
        knobs.close()


def bars(picture: Any) -> Any:
    """Return the samples in the middle of each of the eight bars."""
    return np.array([
        [plane[plane.shape[0] * 5 // 8, plane.shape[1] * (2 * bar + 1) // 16] for bar in range(8)]
        for plane in picture.planes
    ], int)  # fmt: skip


def ages() -> Any:
    """Take every picture, then none for a second and a half, then one."""
    with opened("0", "640x360@30") as feed:
        fresh(feed)
        seen, last = [], -1
        for _ in range(45):
            frame = feed.take(last, PATIENCE)
            assert frame is not None
            last = frame.pts
            seen.append(time.monotonic() - frame.seconds)
        dropped = feed.dropped
        time.sleep(1.5)
        frame = feed.take(last, PATIENCE)
        assert frame is not None
        after = time.monotonic() - frame.seconds
        return {"worst": max(seen), "after": after, "dropped": feed.dropped - dropped}


def damaged() -> Any:
    """Let the driver mark pictures as damaged, again and again."""
    knobs = Controls()
    conditions = set()
    with opened("0", "640x360@30") as feed:
        fresh(feed)
        for _ in range(8):
            knobs.set("Inject V4L2_BUF_FLAG_ERROR", 1)
            fresh(feed)
            conditions.add(feed.condition)
    knobs.close()
    return sorted(conditions)


def unplugged() -> Any:
    with opened("0", "640x360@30") as feed:
        before = fresh(feed)
        DRIVER.joinpath("unbind").write_text("vivid.0")
        lost = until(lambda: feed.condition == "lost")
        reason = feed.reason
        time.sleep(0.7)
        still = feed.condition
        DRIVER.joinpath("bind").write_text("vivid.0")
        back = until(lambda: feed.condition == "running")
        after = fresh(feed)
        return {
            "lost": lost, "reason": reason, "still": still, "back": back,
            "newer": after.pts > before.pts, "reason after": feed.reason,
            "sizes": [before.picture.width, after.picture.width],
        }  # fmt: skip


def closed_while_unplugged() -> float:
    with opened("0") as feed:
        DRIVER.joinpath("unbind").write_text("vivid.0")
        until(lambda: feed.condition == "lost")
        took = closed_in(feed)
    DRIVER.joinpath("bind").write_text("vivid.0")
    until(lambda: Path(WEBCAM).exists())
    return took


def stalled() -> Any:
    """Starve a virtual camera's reader, feed it again, leave it, and come back smaller."""
    producer = Producer(VIRTUAL, 640, 480)
    with opened(VIRTUAL) as feed:
        fresh(feed)
        producer.pause.set()
        last = time.monotonic()
        until(lambda: feed.condition == "stalled")
        noticed, reason = time.monotonic() - last, feed.reason
        producer.pause.clear()
        again = until(lambda: feed.condition == "running")
        producer.stop()
        lost = until(lambda: feed.condition == "lost")
        producer = Producer(VIRTUAL, 320, 240)
        back = until(lambda: feed.condition == "running")
        picture = fresh(feed).picture
        description = feed.description
        producer.pause.set()
        until(lambda: feed.condition == "stalled")
        took = closed_in(feed)
    producer.stop()
    return {
        "noticed": noticed, "reason": reason, "again": again, "lost": lost, "back": back,
        "size": [picture.width, picture.height], "description": description, "closed": took,
    }  # fmt: skip


def held() -> list[int]:
    """Return how many threads and handles there are."""
    return [threading.active_count(), len(os.listdir("/proc/self/fd"))]  # noqa: PTH208


def jpeg() -> Any:
    """Open a virtual camera that is fed with JPEG: BT.601 in full range."""
    rgb = np.zeros((240, 320, 3), np.float32)
    rgb[:] = (0.7, 0.3, 0.2)
    producer = Producer(VIRTUAL, 320, 240, from_rgb(rgb, LAYOUT, JPEG).planes)
    try:
        with opened(VIRTUAL) as feed:
            picture = fresh(feed).picture
            exact = from_rgb(rgb, LAYOUT, COLOUR)
            off = [
                int(np.abs(found.astype(int) - wanted).max())
                for found, wanted in zip(picture.planes, exact.planes, strict=True)
            ]
            return {"off": off, "description": feed.description}
    finally:
        producer.stop()


SCENES = (what_there_is, refused, given, busy, colours, ages, damaged, unplugged,
          closed_while_unplugged, stalled, jpeg)  # fmt: skip


def main() -> None:
    with opened("0") as feed:
        fresh(feed)  # all is loaded
    before = held()
    found: dict[str, Any] = {}
    for scene in SCENES:
        try:
            found[scene.__name__] = scene()
        except Exception as error:  # noqa: BLE001  the others are to be seen all the same
            found[scene.__name__] = f"{type(error).__name__}: {error}"
    found["held"] = [before, held()]
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
