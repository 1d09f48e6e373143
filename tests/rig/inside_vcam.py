"""Runs inside the rig: virtual cameras as they are, opened, read, taken away.

    inside_vcam.py OUT.json

Each function is a scene; what it returns is judged by ``test_vcam_rig.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from streammatte.convert import from_rgb
from streammatte.errors import StreamMatteError
from streammatte.frames import Picture, VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sinks.live_outputs import open_output

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCLUSIVE, VIRTUAL = "/dev/video20", "/dev/video21"
WIDTH, HEIGHT, RATE = 322, 180, 25
"""322 columns are stored in rows that are longer: padding must not get out."""
INFO = VideoInfo(None, WIDTH, HEIGHT, LAYOUT, COLOUR, TICK, Fraction(RATE))
FRAMES = 40
PATIENCE = 20.0
READER = """
import hashlib, json, sys, time
import av
size, seen, times = [], [], []
with av.open(sys.argv[1], format="v4l2") as camera:
    stream = camera.streams.video[0]
    size = [stream.width, stream.height, float(stream.average_rate), stream.pix_fmt]
    for packet in camera.demux(stream):
        seen.append(hashlib.sha256(bytes(packet)).hexdigest())
        times.append(time.monotonic())
        if len(seen) == int(sys.argv[2]):
            break
print(json.dumps({"size": size, "seen": seen, "seconds": times[-1] - times[0]}))
"""


# ---- hands


def picture(level: int) -> Picture:
    """Return bars of all hues, and noise that is another one for each level."""
    noise = np.random.default_rng(level)
    planes = [noise.integers(16, 236, (HEIGHT, WIDTH), np.uint8)]
    planes += [noise.integers(16, 241, (HEIGHT // 2, WIDTH // 2), np.uint8) for _ in range(2)]
    return Picture.of(planes, LAYOUT, COLOUR)


def digest(shown: Picture) -> str:
    return hashlib.sha256(b"".join(plane.tobytes() for plane in shown.planes)).hexdigest()


def refused(where: str, info: VideoInfo = INFO) -> str:
    try:
        open_output(where, info).close()
    except StreamMatteError as error:
        return f"{type(error).__name__}: {error}"
    return "opened"


@contextlib.contextmanager
def opened(where: str, info: VideoInfo = INFO) -> Iterator[Any]:
    output = open_output(where, info)
    try:
        yield output
    finally:
        output.close()


@contextlib.contextmanager
def reader(path: str, count: int = FRAMES) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", READER, path, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def paced(index: int, begun: float) -> None:
    time.sleep(max(0.0, begun + index / RATE - time.monotonic()))


def feed(output: Any, process: subprocess.Popen[str] | None, seconds: float = PATIENCE) -> Any:
    """Send pictures until a reader has ended, or for some seconds; return how many were seen."""
    known = [picture(level) for level in range(3)]
    counts, begun, index = [], time.monotonic(), 0
    while time.monotonic() - begun < seconds and (process is None or process.poll() is None):
        paced(index, begun)
        output.send(known[index % 3], index)
        index += 1
        if not counts or counts[-1] != output.readers:
            counts.append(output.readers)
    return counts


def told(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate()
    return json.loads(out) if out.strip() else None


# ---- scenes


def refusals() -> Any:
    return {
        "missing": refused("/dev/video9"),
        "camera": refused("/dev/video0"),
        "file": refused("/dev/null"),
    }


def read() -> Any:
    """Two readers, one after the other, and what each has seen."""
    found: dict[str, Any] = {"known": [digest(picture(level)) for level in range(3)]}
    with opened(VIRTUAL) as output:
        found["description"] = output.description
        found["readers"] = []
        for turn in range(2):
            with reader(VIRTUAL) as process:
                found["readers"] += feed(output, process)
                found[f"read {turn}"] = told(process)
            found["readers"] += feed(output, None, 2.5)
    return found


def colours() -> Any:
    """Colours as the reader's own conversion from BT.601 shows them, beside what was meant."""
    asked = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    rgb = np.repeat(np.array(asked, np.float32), WIDTH // len(asked), axis=0)[None] / 255
    rgb = np.concatenate([rgb, rgb[:, -1:].repeat(WIDTH - rgb.shape[1], axis=1)], axis=1)
    shown = from_rgb(np.repeat(rgb, HEIGHT, axis=0).astype(np.float32), LAYOUT, COLOUR)
    seen = []
    with opened(VIRTUAL) as output:
        output.send(shown, 0)
        with av.open(VIRTUAL, format="v4l2") as camera:
            frames = camera.decode(video=0)
            for index in range(3):
                output.send(shown, 1 + index)
                frame = next(frames)
                image = frame.reformat(
                    format="rgb24", src_colorspace=5, src_color_range=1, dst_color_range=2
                ).to_ndarray()
                del frame
            columns = [25 + index * (WIDTH // len(asked)) for index in range(len(asked))]
            seen = [image[90, column].tolist() for column in columns]
            del frames
    return {"asked": asked, "seen": seen}


def held() -> Any:
    """A reader that stays while the show is opened anew, at another size and at the same."""
    with reader(VIRTUAL, 10_000) as process:
        with opened(VIRTUAL) as output:
            feed(output, None, 3)
        other = refused(VIRTUAL, replace(INFO, width=640, height=360))
        same = refused(VIRTUAL)
        still = process.poll() is None
    return {"other": other, "same": same, "still": still, "after": refused(
        VIRTUAL, replace(INFO, width=640, height=360))}  # fmt: skip


def another_program() -> Any:
    """What feeds the camera that takes one program only, and what it leaves behind."""
    command = [sys.executable, "-m", "streammatte", "vcam", "test", EXCLUSIVE, "-t", "3"]
    found: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        found["said"] = other.stdout.readline()
        while "fed by" not in found.setdefault("busy", "") and other.poll() is None:
            found["busy"] = refused(EXCLUSIVE) if _gives(EXCLUSIVE) else ""
            time.sleep(0.05)
        other.wait()
    found["stuck"] = refused(EXCLUSIVE)
    with opened("auto") as output:
        found["auto"] = output.description
    return found


def _gives(path: str) -> bool:
    from streammatte.sources import v4l2

    device = v4l2.inspect(path, modes=False)
    return device is not None and device.is_capture


def main() -> None:
    scenes = (refusals, read, colours, held, another_program)
    found = {scene.__name__: scene() for scene in scenes}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
