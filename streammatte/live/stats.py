"""How the show goes: rates of the last seconds, latencies of all of it, in little memory."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path

import numpy as np

BIN = 0.001
"""Seconds that latencies are told apart by."""
LONGEST = 10.0
"""Seconds; what takes longer counts as that."""


class Latencies:
    """Percentiles of any number of latencies."""

    def __init__(self) -> None:
        self._counts = np.zeros(round(LONGEST / BIN) + 1, np.int64)

    def add(self, seconds: float) -> None:
        """Count one."""
        index = int(np.clip(round(seconds / BIN), 0, len(self._counts) - 1))
        self._counts[index] += 1

    def percentile(self, share: float) -> float | None:
        """Return the latency that a share (0..1) of all do not exceed, in seconds."""
        total = self._counts.sum()
        if not total:
            return None
        return float(np.searchsorted(np.cumsum(self._counts), share * total)) * BIN

    def milliseconds(self) -> dict[str, float | None]:
        """Return ``p50`` and ``p99``."""
        found = {name: self.percentile(share) for name, share in (("p50", 0.5), ("p99", 0.99))}
        return {
            name: None if each is None else round(1e3 * each, 1) for name, each in found.items()
        }


class Rate:
    """Events a second, from a count that grows."""

    def __init__(self, seconds: float = 2.0) -> None:
        """Judge by so many of the last seconds."""
        self._seconds = seconds
        self._seen: deque[tuple[float, float]] = deque()

    def update(self, count: float, now: float | None = None) -> float:
        """Take note of the count, and return the rate."""
        now = time.monotonic() if now is None else now
        self._seen.append((now, count))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._seconds:  # noqa: PLR2004
            self._seen.popleft()
        (then, few), (_, many) = self._seen[0], self._seen[-1]
        return (many - few) / (now - then) if now > then else 0.0


class Machine:
    """How busy all processors are, whoever uses them."""

    def __init__(self, path: Path = Path("/proc/stat")) -> None:
        """Look at the kernel's counts, which Linux has; see proc_stat(5)."""
        self._path = path
        self._before = self._counts()

    def busy(self) -> float | None:
        """Return the share of all processors in use since it was last asked for, 0..1.

        ``None`` where the system does not tell.
        """
        before, self._before = self._before, self._counts()
        if before is None or self._before is None:
            return None
        idle, whole = (now - then for now, then in zip(self._before, before, strict=True))
        return 1 - idle / whole if whole > 0 else None

    def _counts(self) -> tuple[int, int] | None:
        """Return the time that all were idle, and the whole time; their unit does not matter."""
        try:
            with self._path.open(encoding="ascii") as file:
                user, nice, system, idle, waiting, *others = map(int, file.readline().split()[1:9])
        except (OSError, ValueError):
            return None
        # The others are interrupts, and what a virtual processor was kept waiting for a real one.
        return idle + waiting, user + nice + system + idle + waiting + sum(others)


class Processor:
    """What this process takes of the machine."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else (os.cpu_count() or 1)
        )

    def share(self) -> float:
        """Return its share of all cores lately, 0..1."""
        return min(self._rate.update(time.process_time()) / self._cores, 1.0)
