"""Runs inside the rig: how ``streammatte live`` ends, and what it leaves of the virtual camera.

inside_ends.py OUT.json
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from streammatte.sources import v4l2

WEBCAM, VIRTUAL = "/dev/video0", "/dev/video21"
PATIENCE = 60.0


class Live:
    """The command, until it is live."""

    def __init__(self, *camera: str) -> None:
        words = ["--json", "--camera", *(camera or (WEBCAM, "--mode", "320x180@30:yuyv"))]
        words += ["--bg", "#c81e1e", "--vcam", VIRTUAL]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streammatte", "live", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []

    def is_live(self) -> bool:
        """Wait until it is; return whether that came."""
        end = time.monotonic() + PATIENCE
        for line in self.process.stdout or ():
            self.events.append(json.loads(line))
            if self.events[-1].get("state") == "live":
                return True
            if time.monotonic() > end:
                break
        return False

    def ended(self, number: int) -> dict[str, Any]:
        """Send a signal; return how it ended, and how soon."""
        began = time.monotonic()
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - began
        self.events += [json.loads(line) for line in out.splitlines()]
        last = self.events[-1] if self.events else {}
        return {
            "seconds": round(seconds, 2),
            "code": self.process.returncode,
            "last": last.get("event"),
            "frames": last.get("frames"),
            "error": error[-500:],
        }


def released() -> float | None:
    """Wait until nobody has the camera any more; return the seconds."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if not v4l2.holders(VIRTUAL):
            return round(time.monotonic() - began, 2)
        time.sleep(0.05)
    return None


def main() -> None:
    found: dict[str, Any] = {}
    for name in ("SIGINT", "SIGTERM"):
        live = Live()
        found[name] = {"live": live.is_live(), **live.ended(signal.Signals[name])}
        found[name]["released"] = released()
    first = Live()
    found["first"] = first.is_live()
    second = Live(os.environ["RIG_CLIP"])
    found["busy"] = {"live": second.is_live(), **second.ended(0)}
    found["SIGKILL"] = first.ended(signal.SIGKILL)
    found["SIGKILL"]["released"] = released()
    again = Live()
    found["again"] = {"live": again.is_live(), **again.ended(signal.SIGINT)}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
