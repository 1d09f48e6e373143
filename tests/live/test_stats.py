from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streammatte.live.stats import Latencies, Machine, Processor, Rate

if TYPE_CHECKING:
    from pathlib import Path


def test_percentiles_are_those_of_numpy() -> None:
    latencies = Latencies()
    values = np.random.default_rng(1).gamma(4, 0.02, 5000)
    for value in values:
        latencies.add(value)
    for share in (0.5, 0.9, 0.99):
        assert latencies.percentile(share) == pytest.approx(np.quantile(values, share), abs=2e-3)


def test_nothing_has_no_percentiles_and_what_is_too_long_counts_as_the_longest() -> None:
    latencies = Latencies()
    assert latencies.milliseconds() == {"p50": None, "p99": None}
    latencies.add(1e6)
    latencies.add(-1)
    assert latencies.percentile(1.0) == 10.0
    assert latencies.percentile(0.5) == 0.0


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(seconds=2)
    assert rate.update(0, now=0.0) == 0
    assert rate.update(30, now=1.0) == 30
    assert rate.update(60, now=2.0) == 30
    for second in range(3, 10):
        now = rate.update(60 + 10 * (second - 2), now=float(second))
    assert now == 10


def test_the_processors_share_is_a_share() -> None:
    processor = Processor()
    processor.share()
    sum(range(200_000))
    assert 0 <= processor.share() <= 1


def counts(path: Path, *words: int) -> None:
    path.write_text("cpu  " + " ".join(map(str, words)) + "\ncpu0 1 1 1 1 1 1 1 1 0 0\n")


def test_the_machine_is_busy_with_whatever_anybody_does(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    counts(path, 100, 10, 50, 800, 40, 0, 0, 0, 0, 0)
    machine = Machine(path)
    counts(path, 160, 10, 50, 830, 50, 0, 0, 0, 0, 0)  # 60 used, 40 idle or waiting for a disk
    assert machine.busy() == pytest.approx(0.6)
    counts(path, 160, 10, 50, 830, 50, 0, 10, 90, 7, 7)  # 10 interrupts, 90 that others had
    assert machine.busy() == pytest.approx(1.0)
    assert machine.busy() is None  # no time has gone by


@pytest.mark.parametrize("content", [None, "", "cpu 1 2\n", "cpu a b c d e f g h\n"])
def test_a_system_that_does_not_tell_is_no_trouble(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "stat"
    if content is not None:
        path.write_text(content)
    machine = Machine(path)
    assert machine.busy() is None
    assert machine.busy() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/stat")
def test_this_machine_tells() -> None:
    machine = Machine()
    time.sleep(0.1)
    busy = machine.busy()
    assert busy is not None
    assert 0 <= busy <= 1
