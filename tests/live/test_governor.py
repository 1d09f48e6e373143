from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from streammatte.live.governor import CALM, SETTLING, Governor, Level, Sample, levels

SIZES = ((448, 256), (352, 192))
WELL = Sample(rate=30, pictures=30, network_fps=30, network_seconds=0.01, cpu=0.4)
SHORT = replace(WELL, pictures=20, cpu=0.95)


def observe(governor: Governor, sample: Sample, seconds: int) -> list[str]:
    return [told for _ in range(seconds) if (told := governor.observe(sample))]


def test_steps_are_in_the_order_that_was_promised() -> None:
    large, small = SIZES
    assert levels(SIZES) == (
        Level(large),
        Level(small),
        Level(small, 2),
        Level(small, 3),
        Level(small, 3, cheap=True),
    )


def test_nothing_is_given_up_without_need() -> None:
    governor = Governor(levels(SIZES))
    assert observe(governor, WELL, 100) == []
    assert governor.index == 0


def test_too_few_pictures_cost_a_step_each_time_until_all_is_given_up() -> None:
    governor = Governor(levels(SIZES))
    told = observe(governor, SHORT, 60)
    assert len(told) == 4
    assert governor.level == Level(SIZES[1], 3, cheap=True)
    assert told[0] == "network at 352x192 (20.0 of 30.0 pictures a second)"
    assert "sees every 2nd frame" in told[1]
    assert "cheap edges" in told[3]


def test_a_hiccup_costs_nothing() -> None:
    governor = Governor(levels(SIZES))
    observe(governor, WELL, SETTLING)
    assert observe(governor, SHORT, 1) == []
    assert observe(governor, WELL, 10) == []


def test_it_goes_back_up_when_there_is_room() -> None:
    governor = Governor(levels(SIZES))
    observe(governor, SHORT, 60)
    told = observe(governor, WELL, 20 * CALM)
    assert governor.index == 0
    assert all("there is room again" in one for one in told)


def test_it_does_not_go_back_up_while_the_machine_is_busy() -> None:
    governor = Governor(levels(SIZES))
    observe(governor, SHORT, 60)
    assert observe(governor, replace(WELL, cpu=0.9), 100) == []


def test_a_step_that_does_not_hold_is_tried_more_and_more_seldom() -> None:
    """The machine manages level 1, and level 0 not."""
    governor, ups = Governor(levels(SIZES)), []
    for second in range(400):
        sample = WELL if governor.index else SHORT
        told = governor.observe(sample)
        if told and "room" in told:
            ups.append(second)
    gaps = [late - early for early, late in itertools.pairwise(ups)]
    assert len(ups) >= 3
    assert gaps == sorted(gaps)
    assert gaps[-1] > 1.5 * gaps[0]


SLOW = replace(WELL, network_fps=5, network_seconds=0.2)


def test_a_slow_network_gets_a_smaller_input() -> None:
    governor = Governor(levels(SIZES))
    (told,) = observe(governor, SLOW, 10)[:1]
    assert told == "network at 352x192 (the network takes 200 ms a frame)"


def test_a_smaller_input_that_is_no_help_is_taken_back_once_and_for_all() -> None:
    governor = Governor(levels(SIZES))
    told = observe(governor, SLOW, 100)
    assert len(told) == 2
    assert told[1] == "network at 448x256 (a smaller input made the network no quicker)"


def test_a_smaller_input_that_helps_is_kept() -> None:
    governor = Governor(levels(SIZES))
    observe(governor, SLOW, SETTLING + 1)
    assert governor.index == 1
    assert observe(governor, replace(WELL, network_fps=20, network_seconds=0.05), 200) == []
    assert governor.index == 1


@pytest.mark.parametrize("size", [(448, 256)])
def test_a_network_of_one_size_only_has_the_other_steps(size: tuple[int, int]) -> None:
    assert [str(level) for level in levels([size])] == [
        "network at 448x256",
        "network at 448x256, sees every 2nd frame",
        "network at 448x256, sees every 3rd frame",
        "network at 448x256, sees every 3rd frame, cheap edges",
    ]
