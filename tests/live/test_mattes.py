"""Mattes of a person who moves, the network seeing some of the frames."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import cv2
import live_doubles as doubles
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streammatte.frames import Frame
from streammatte.live.base import TICK
from streammatte.live.exchange import Answer, Exchange, Sight
from streammatte.live.mattes import OLDEST, Item, Mattes, Steps
from streammatte.stages.motion import look

SIZE = (160, 96)


def truth(place: int) -> np.ndarray:
    alpha = np.zeros((doubles.HEIGHT, doubles.WIDTH), np.float32)
    alpha[40:, place : place + doubles.SIDE] = 1
    return cv2.resize(alpha, SIZE, interpolation=cv2.INTER_AREA)


def sight(place: int, seconds: float, scene: int = 1) -> Sight:
    picture = doubles.room(place)
    view = picture.view(*SIZE, VideoReformatter())
    small = look(picture.view(286, 162, VideoReformatter()))
    return Sight(Frame(picture, round(seconds * 1e6), 0, TICK), view, small, scene)


class Set:
    """The stage, with what it posts."""

    def __init__(self, align: Any) -> None:
        self.exchange = Exchange()
        self.network: Any = SimpleNamespace(trouble="", seconds=0.01, coarse=False)
        self.items: list[Item] = []
        self.mattes = Mattes(self.exchange, self.network, align, self.items.append)
        self.mattes.steady = False

    def see(self, *sights: Sight) -> None:
        for one in sights:
            self.exchange.add(one)

    def answer(self, one: Sight, place: int) -> None:
        self.exchange.answer(Answer(one, truth(place)))

    def errors(self, *places: int) -> list[float | None]:
        pairs = zip(self.items, places, strict=True)
        return [
            None if item.matte is None else float(np.abs(item.matte.alpha - truth(at)).mean())
            for item, at in pairs
        ]


@pytest.fixture
def matched() -> Set:
    return Set("matched")


@pytest.fixture
def lowest() -> Set:
    return Set("lowest")


NOW = time.monotonic()


def moving(*steps: int, scene: int = 1) -> list[Sight]:
    return [sight(60 + 4 * step, NOW + step / 30, scene) for step in steps]


def test_matched_each_matte_is_of_its_own_frame(matched: Set) -> None:
    one, two = moving(0, 1)
    matched.see(one, two)
    for each, place in ((one, 60), (two, 64)):
        matched.answer(each, place)
        matched.mattes.around()
    assert [item.frame.pts for item in matched.items] == [one.frame.pts, two.frame.pts]
    assert matched.errors(60, 64) == [0, 0]
    assert all(item.matte is not None and item.matte.inferred for item in matched.items)


def test_matched_frames_between_have_mattes_from_both_sides(matched: Set) -> None:
    sights = moving(*range(7))
    matched.see(*sights)
    matched.answer(sights[0], 60)
    matched.mattes.around()
    matched.answer(sights[6], 84)
    matched.mattes.around()
    errors = matched.errors(60, 64, 68, 72, 76, 80, 84)
    still = float(np.abs(truth(72) - truth(60)).mean())
    assert max(error for error in errors if error is not None) < 0.25 * still
    assert None not in errors
    assert [item.matte.inferred for item in matched.items if item.matte] == [
        True,
        *[False] * 5,
        True,
    ]
    assert matched.mattes.carried == 5


def test_matched_a_cut_between_two_answers_is_bridged_by_neither(matched: Set) -> None:
    """The network saw the first scene and the third, not the second."""
    first, third = moving(0, 1), moving(4, 5, scene=3)
    second = moving(2, 3, scene=2)
    sights = [*first, *second, *third]
    matched.see(*sights)
    matched.answer(first[0], 60)
    matched.mattes.around()
    matched.answer(third[1], 80)
    matched.mattes.around()
    assert [item.matte is not None for item in matched.items] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]


def test_matched_what_gets_no_answer_in_time_is_shown_without_a_subject(matched: Set) -> None:
    matched.see(sight(60, time.monotonic() - 5))
    matched.mattes.around()
    assert matched.errors(60) == [None]


def test_matched_trouble_is_not_waited_for(matched: Set) -> None:
    matched.network.trouble = "it failed"
    matched.see(sight(60, time.monotonic() - 0.1))
    matched.mattes.around()
    assert matched.errors(60) == [None]


def test_lowest_the_newest_frame_has_the_last_matte_carried_to_it(lowest: Set) -> None:
    one, two, three = moving(0, 2, 4)
    lowest.answer(one, 60)
    lowest.see(two, three)
    lowest.mattes.around()
    (error,) = lowest.errors(76)
    assert error is not None
    assert error < 0.25 * float(np.abs(truth(76) - truth(60)).mean())
    assert lowest.items[0].frame is three.frame
    assert lowest.exchange.dropped == 1


def test_lowest_its_own_matte_is_taken_as_it_is(lowest: Set) -> None:
    (one,) = moving(0)
    lowest.answer(one, 60)
    lowest.see(one)
    lowest.mattes.around()
    assert lowest.errors(60) == [0]


@pytest.mark.parametrize("why", ["nothing yet", "a cut", "too old", "trouble"])
def test_lowest_nothing_to_trust_is_nothing_to_show(lowest: Set, why: str) -> None:
    if why != "nothing yet":
        lowest.answer(moving(0)[0], 60)
    if why == "trouble":
        lowest.network.trouble = "it failed"
    seconds = NOW + (OLDEST + 0.1 if why == "too old" else 0.03)
    lowest.see(sight(64, seconds, scene=2 if why == "a cut" else 1))
    lowest.mattes.around()
    assert lowest.errors(64) == [None]


def test_lowest_what_a_jump_uncovers_is_not_shown(lowest: Set) -> None:
    """No flow explains that somebody is elsewhere at once; where they were is the room."""
    lowest.answer(sight(40, NOW), 40)
    lowest.see(sight(200, NOW + 0.03))
    lowest.mattes.around()
    (item,) = lowest.items
    assert item.matte is not None
    room = truth(40) * (1 - truth(200))
    assert float((item.matte.alpha * room).sum() / room.sum()) < 0.02


def test_a_network_of_another_size_goes_on(matched: Set) -> None:
    sights = moving(0, 1, 2)
    matched.see(*sights)
    matched.answer(sights[0], 60)
    matched.mattes.around()
    small = cv2.resize(truth(68), (128, 64), interpolation=cv2.INTER_AREA)
    matched.exchange.answer(Answer(sights[2], small))
    matched.mattes.around()
    assert [item.matte.alpha.shape for item in matched.items if item.matte] == [
        (96, 160),
        (64, 128),
        (64, 128),
    ]


def test_steps_give_a_matte_for_each() -> None:
    def doubled(mattes: Any) -> Any:
        for matte in mattes:
            yield 2 * matte

    steps = Steps(doubled, doubled)
    assert [steps(value) for value in (1, 2, 3)] == [4, 8, 12]  # type: ignore[arg-type]


def test_a_stage_that_fails_is_begun_anew(matched: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    from streammatte.stages import smooth

    def broken(mattes: Any) -> Any:
        for _ in mattes:
            raise ZeroDivisionError
        yield

    whole = smooth.live
    monkeypatch.setattr(smooth, "live", broken)
    matched.mattes.steady = True
    one, two = moving(0, 1)
    matched.see(one, two)
    matched.answer(one, 60)
    with pytest.raises(ZeroDivisionError):
        matched.mattes.around()
    monkeypatch.setattr(smooth, "live", whole)
    matched.answer(two, 64)
    matched.mattes.around()
    assert matched.items[-1].matte is not None
