"""Runs inside the rig: virtual cameras as they are, opened, read, taken away.

inside_vcam.py OUT.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streammatte.errors import StreamMatteError
from streammatte.frames import Picture, VideoInfo
from streammatte.live.base import COLOUR, LAYOUT, TICK
from streammatte.sinks.live_outputs import open_output

INFO = VideoInfo(None, 320, 180, LAYOUT, COLOUR, TICK, Fraction(30))
READER = """
import sys, json, numpy as np, av
with av.open(sys.argv[1], format="v4l2") as camera:
    stream = camera.streams.video[0]
    for index, frame in enumerate(camera.decode(video=0)):
        samples = np.array(frame.to_ndarray(), copy=True)
        del frame
        if index == 20:
            break
    luma, chroma = samples[:180], samples[180:].reshape(2, 90, 160)
    size = [stream.width, stream.height]
print(json.dumps([size, int(luma[90, 100]), int(chroma[0, 4, 4]), int(chroma[1, 4, 4])]))
"""


def picture(level: int) -> Picture:
    luma = np.full((180, 320), level, np.uint8)
    chroma = [np.full((90, 160), value, np.uint8) for value in (90, 170)]
    return Picture.of([luma, *chroma], LAYOUT, COLOUR)


def refused(where: str) -> str:
    try:
        open_output(where, INFO).close()
    except StreamMatteError as error:
        return f"{type(error).__name__}: {error}"
    return "opened"


def feed(output: Any, process: subprocess.Popen[str], level: int) -> tuple[list[Any], set[Any]]:
    """Send pictures until a reader has ended; return what it read, and how many were seen."""
    readers, index = set(), 0
    while process.poll() is None and index < 900:
        output.send(picture(level), index)
        readers.add(output.readers)
        index += 1
        time.sleep(1 / 30)
    out, _ = process.communicate()
    return json.loads(out) if out.strip() else [], readers


def reader(path: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READER, path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    found: dict[str, Any] = {
        "missing": refused("/dev/video9"),
        "camera": refused("/dev/video0"),
        "file": refused("/dev/null"),
    }
    output = open_output("/dev/video21", INFO)
    found["description"] = output.description
    for turn in range(2):
        found[f"read {turn}"], counts = feed(output, reader("/dev/video21"), 100 + 50 * turn)
        found[f"readers {turn}"] = sorted(count for count in counts if count is not None)
    output.close()
    with subprocess.Popen(
        [sys.executable, "-m", "streammatte", "vcam", "test", "/dev/video20", "-t", "3"],
        stdout=subprocess.PIPE,
    ) as other:
        time.sleep(4)
        found["busy"] = refused("/dev/video20") if other.poll() is None else "too late"
        other.wait()
    found["stuck"] = refused("/dev/video20")
    found["auto"] = open_output("auto", INFO).description
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
