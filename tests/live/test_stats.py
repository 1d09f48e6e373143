from __future__ import annotations

import numpy as np
import pytest

from streammatte.live.stats import Latencies, Processor, Rate


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
