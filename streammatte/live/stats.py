"""How the show goes: rates of the last seconds, latencies of all of it, in little memory."""

from __future__ import annotations

import os
import time
from collections import deque

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
