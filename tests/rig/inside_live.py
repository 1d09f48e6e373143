"""Runs inside the rig: a webcam, ``streammatte live``, and a reader of its virtual camera.

    inside_live.py OUT.json still SECONDS BG      vivid's test pattern before a colour
    inside_live.py OUT.json person SECONDS ALIGN  a clip with a person, fed through a virtual camera

Each picture of the clip has a code on the person's chest: when it was shown to the camera, in
milliseconds of the monotonic clock, and which one it is. The reader finds both again.

The rig has one processor, and that is not always there: its host has other things to do. So a
metronome that does nothing but wake up every 20 ms, more urgent than all that the kernel schedules
fairly, notes when it was late. Who is more urgent than everybody can only be late for the rig's own
sake.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

WEBCAM, FED, VIRTUAL = "/dev/video0", "/dev/video20", "/dev/video21"
BITS, CELL, LEFT, TOP = 24, 10, 176, 300
"""The code: cells of so many pixels in one row; black is 0."""
TICK, LATE = 0.020, 0.020
"""Seconds of the metronome: between two ticks, and by which one is told to be late."""
CLIP = os.environ.get("RIG_CLIP", "")


def burnt(luma: np.ndarray, value: int) -> None:
    """Write a code into luma, in place."""
    for bit in range(BITS):
        x = LEFT + bit * CELL
        luma[TOP : TOP + CELL, x : x + CELL] = 235 if value >> bit & 1 else 16


def read(luma: np.ndarray) -> int:
    """Return the code that luma shows."""
    middle = slice(TOP + 3, TOP + CELL - 3)
    cells = [luma[middle, LEFT + b * CELL + 3 : LEFT + (b + 1) * CELL - 3] for b in range(BITS)]
    return sum(int(cell.mean() > 125) << bit for bit, cell in enumerate(cells))


def be_urgent() -> None:
    """Come before all that the kernel schedules fairly."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))


def tick(found: Any, stop: Any) -> None:
    """Wake up every few milliseconds, and put when that was late, and by how much, into a queue."""
    be_urgent()
    late: list[list[int]] = []
    due = time.monotonic() + TICK
    while not stop.is_set():
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now - due > LATE:
            late.append([int(now * 1000), int((now - due) * 1000)])
        due = max(due + TICK, now)
    found.put(late)


def milliseconds() -> int:
    return int(time.monotonic() * 1000)


def feed(path: str, device: str, ready: Any, stop: Any) -> None:
    """Show a clip to a virtual camera, over and over, at 30 pictures a second."""
    with av.open(path) as clip:
        frames = [one.reformat(format="yuv420p").to_ndarray() for one in clip.decode(video=0)]
        width, height = clip.streams.video[0].width, clip.streams.video[0].height
    with av.open(device, "w", format="v4l2") as sink:
        stream = sink.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        begun, index = time.monotonic(), 0
        while not stop.is_set():
            wait = begun + index / 30 - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            picture = frames[index % len(frames)].copy()
            burnt(picture[:height], (milliseconds() & 0xFFFF) | (index % len(frames)) << 16)
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = index
            for packet in stream.encode(frame):
                sink.mux(packet)
            index += 1
            ready.set()


def look(device: str, seconds: float, found: Any) -> None:
    """Read a virtual camera, and put what was seen into a queue."""
    end = time.monotonic() + 30
    while True:
        try:
            container = av.open(device, format="v4l2")
            break
        except (av.error.FFmpegError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    seen: dict[str, Any] = {"arrivals": [], "codes": [], "corners": [], "kept": []}
    with container:
        stream = container.streams.video[0]
        seen["size"] = [stream.width, stream.height]
        seen["format"] = stream.pix_fmt
        end = time.monotonic() + seconds
        for frame in container.decode(video=0):
            picture = np.array(frame.to_ndarray(), copy=True)
            now = milliseconds()
            luma = picture[: frame.height]
            chroma = picture[frame.height :].reshape(2, frame.height // 2, frame.width // 2)
            seen["arrivals"].append(now)
            seen["codes"].append(read(luma) if frame.height > TOP + CELL else 0)
            seen["corners"].append([int(luma[4, 4]), int(chroma[0, 2, 2]), int(chroma[1, 2, 2])])
            late = time.monotonic() > end - seconds / 2
            if late and len(seen["arrivals"]) % 15 == 0 and len(seen["kept"]) < 12:
                name = f"kept-{len(seen['kept'])}.npy"
                np.save(Path(sys.argv[1]).parent / name, picture)
                seen["kept"].append([name, seen["codes"][-1]])
            del frame
            if time.monotonic() > end:
                break
    found.put(seen)


def live(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streammatte", "live", "--json", "--vcam", VIRTUAL, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    output, what, seconds, word = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
    context = multiprocessing.get_context("spawn")
    found, ready, stop = context.Queue(), context.Event(), context.Event()
    feeder = None
    if what == "person":
        feeder = context.Process(target=feed, args=(CLIP, FED, ready, stop))
        feeder.start()
        ready.wait(30)
        # What the governor gives up on a busy machine is not what is compared.
        words = ["--camera", FED, "--bg", "#2060a0", "--align", word, "--no-governor"]
        words += sys.argv[5:]
    else:
        words = ["--camera", WEBCAM, "--bg", word, *sys.argv[5:]]
    stalls, over = context.Queue(), context.Event()
    metronome = context.Process(target=tick, args=(stalls, over))
    metronome.start()
    show = live(*words, "-t", str(seconds + 16))
    reader = context.Process(target=look, args=(VIRTUAL, seconds, found))
    time.sleep(12)  # networks and loops are loaded
    reader.start()
    events = [json.loads(line) for line in show.stdout or ()]
    try:
        seen = found.get(timeout=30)
    except queue.Empty:
        seen = {}
        reader.kill()
    reader.join()
    if feeder is not None:
        stop.set()
        feeder.join(10)
    over.set()
    told = {"code": show.wait(), "events": events, "seen": seen, "stalls": stalls.get(timeout=30)}
    metronome.join()
    output.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
