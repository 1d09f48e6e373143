"""Runs a show for long and watches what it takes: memory, threads, file descriptors.

    python tools/soak_live.py                      # an hour's frames of 360p, as quickly as they go
    python tools/soak_live.py --seconds 3600 --camera clip.mp4 --vcam null

A leak shows as a slope: least squares over all samples after the first fifth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HOUR = 30 * 3600
"""Frames of an hour."""
EVERY = 2.0
"""Seconds between samples."""
WARM = 0.2
"""Share of the samples that does not count: caches fill up."""
MOST_GROWTH = 8.0
"""MiB that memory may grow by over the run."""


@dataclass
class Samples:
    """What was seen."""

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """MiB."""
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def take(self, process: psutil.Process, begun: float) -> None:
        """Look at a process and its children."""
        family = [process, *process.children(recursive=True)]
        self.memory.append(sum(one.memory_info().rss for one in family) / 2**20)
        self.threads.append(sum(one.num_threads() for one in family))
        self.descriptors.append(sum(one.num_fds() for one in family))
        self.seconds.append(time.monotonic() - begun)

    def report(self) -> dict[str, Any]:
        """Return what it comes to."""
        first = int(len(self.seconds) * WARM)
        seconds, memory = np.array(self.seconds[first:]), np.array(self.memory[first:])
        slope = float(np.polyfit(seconds, memory, 1)[0]) if len(seconds) > 2 else float("nan")
        return {
            "samples": len(self.seconds),
            "memory_mib": [round(float(each), 1) for each in (memory[0], memory[-1], memory.max())],
            "growth_mib": round(slope * (seconds[-1] - seconds[0]), 2),
            "threads": [self.threads[first], self.threads[-1]],
            "descriptors": [self.descriptors[first], self.descriptors[-1]],
        }


def main() -> int:
    """Soak, and say whether it held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camera", default="synthetic:640x360@120x300")
    parser.add_argument("--vcam", default="null")
    parser.add_argument("--bg", default="blur")
    parser.add_argument("--frames", type=int, default=HOUR)
    parser.add_argument("--seconds", type=float, help="instead of --frames")
    parser.add_argument("-o", "--output", type=Path)
    told, rest = parser.parse_known_args()
    length = ["-t", str(told.seconds)] if told.seconds else ["--frames", str(told.frames)]
    words = ["--camera", told.camera, "--vcam", told.vcam, "--bg", told.bg, *length, *rest]
    command = [sys.executable, "-m", "streammatte", "live", *words, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    done: list[dict[str, Any]] = []
    reader = threading.Thread(target=_read, args=(process, done), daemon=True)
    reader.start()
    samples, begun = Samples(), time.monotonic()
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            samples.take(watched, begun)
        except psutil.Error:
            break
        time.sleep(EVERY)
    reader.join()
    report = {"command": command[1:], **samples.report(), "show": done[-1] if done else None}
    if told.output:
        told.output.write_text(json.dumps(report, indent=1) + "\n")
    short = {name: value for name, value in report.items() if name not in ("show", "command")}
    print(json.dumps(short, indent=1))
    if done:
        show = done[-1]
        print({name: show[name] for name in ("frames", "fps", "composited", "repeated", "dropped")})
    held = (
        process.returncode == 0
        and report["growth_mib"] <= MOST_GROWTH
        and report["threads"][1] <= report["threads"][0]
        and report["descriptors"][1] <= report["descriptors"][0]
    )
    print("held" if held else "FAILED")
    return 0 if held else 1


def _read(process: subprocess.Popen[str], done: list[dict[str, Any]]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "done":
            done.append(event)


if __name__ == "__main__":
    sys.exit(main())
