"""Mattes are carried to the frames between, and the network looks when it must."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from streammatte.frames import Frame
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import propagate
from streammatte.stages.match import match
from streammatte.stages.motion import look
from streammatte.stages.propagate import LONGEST, MOST_WAITING, Carried, Side, blended, fill, turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streammatte.options import Every
    from streammatte.stages.propagate import Turn

    Clip = list[tuple[NDArray[np.uint8], NDArray[np.float32]]]
    """Views, and what the network would say of each."""

WIDTH, HEIGHT = 192, 128
(ANY,) = Synthetic(64, 48, 1).frames()


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Return something to hold on to: blots of all colours, [h, w, 3] in 0..255."""
    blots = np.random.default_rng(seed).uniform(0, 255, (height // 6, width // 6, 3))
    return cv2.resize(blots.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


WIDE = cv2.GaussianBlur(texture(5, HEIGHT, 2 * WIDTH), (0, 0), 2).clip(0, 255).astype(np.uint8)
OTHER = (255 - texture(8)).clip(0, 255).astype(np.uint8)
WALL, THING, POST = texture(1) * 0.5, texture(2, 48, 48) * 0.4 + 140, texture(3, HEIGHT, 24) * 0.6


def picture(
    left: float, top: int = 40, *, post: int | None = None, dark: float = 1.0, noise: float = 0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a thing before a wall, maybe behind a post, and its matte."""
    place = np.array([[1, 0, left], [0, 1, top]], np.float32)
    alpha = cv2.warpAffine(np.ones((48, 48), np.float32), place, (WIDTH, HEIGHT))
    thing = cv2.warpAffine(THING, place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    rgb = alpha[..., None] * thing + (1 - alpha[..., None]) * WALL
    if post is not None:
        rgb[:, post : post + 24] = POST
        alpha[:, post : post + 24] = 0
    grain = np.random.default_rng(int(left * 100)).normal(0, noise, rgb.shape) if noise else 0
    return np.clip(rgb * dark + grain, 0, 255).astype(np.uint8), alpha


def at(pts: int, rate: Fraction = Fraction(25)) -> Frame:
    return Frame(ANY.picture, pts, 1, 1 / rate)


def decided(
    clip: Clip, every: Every, rate: Fraction = Fraction(25), pts: list[int] | None = None
) -> list[Turn]:
    times = pts or list(range(len(clip)))
    return list(
        turns(((at(t, rate), view) for t, (view, _) in zip(times, clip, strict=True)), every)
    )


def seen(clip: Clip, every: Every, rate: Fraction = Fraction(25)) -> list[int]:
    """Return which frames the network sees."""
    return [index for index, turn in enumerate(decided(clip, every, rate)) if turn.wanted]


def filled(
    clip: Clip, every: Every, *, ahead: bool, pts: list[int] | None = None
) -> list[NDArray[np.float32]]:
    """Return the mattes of a clip whose network is always right."""
    found = decided(clip, every, pts=pts)
    answers = (
        (turn, alpha if turn.wanted else None) for turn, (_, alpha) in zip(found, clip, strict=True)
    )
    mattes = list(fill(answers, ahead=ahead))
    assert [each.frame for each in mattes] == [turn.frame for turn in found]
    assert [each.view is turn.view for each, turn in zip(mattes, found, strict=True)]
    assert [each.inferred for each in mattes] == [turn.wanted for turn in found]
    for each in mattes:
        assert each.alpha.dtype == np.float32
        assert each.alpha.shape == clip[0][1].shape
        assert 0 <= each.alpha.min() <= each.alpha.max() <= 1
    return [each.alpha for each in mattes]


def error(alphas: list[NDArray[np.float32]], clip: Clip) -> float:
    """Return the mean absolute error, in thousandths."""
    pairs = zip(alphas, clip, strict=True)
    return 1000 * float(np.mean([np.abs(alpha - truth).mean() for alpha, (_, truth) in pairs]))


def kept(clip: Clip, every: int) -> list[NDArray[np.float32]]:
    """Return what repeating the last matte would give."""
    return [clip[index - index % every][1] for index in range(len(clip))]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("every", [2, 4])
def test_a_matte_goes_along_with_what_moves(every: int, ahead: bool) -> None:
    clip = [picture(20 + 2 * t) for t in range(4 * every + 1)]
    assert seen(clip, every) == list(range(0, len(clip), every))
    assert error(filled(clip, every, ahead=ahead), clip) < 0.1 * error(kept(clip, every), clip)


@pytest.mark.parametrize("ahead", [False, True])
def test_what_stands_still_keeps_its_matte_exactly(ahead: bool) -> None:
    view, alpha = picture(70)
    clip = [(view, alpha * np.float32(0.99**t)) for t in range(5)]
    alphas = filled(clip, 4, ahead=ahead)
    assert (alphas[0] == clip[0][1]).all()
    assert (alphas[4] == clip[4][1]).all()
    for t in (1, 2, 3):  # a network that changes its mind is followed slowly, where there is time
        share = t / 4 if ahead else 0
        expected = (1 - share) * clip[0][1] + share * clip[4][1]
        np.testing.assert_allclose(alphas[t], expected, atol=1e-6)


def test_what_one_side_does_not_show_comes_from_the_other() -> None:
    """Behind a post, and out again: what comes out was not there in the frame before."""
    clip = [picture(30 + 3 * t, post=84) for t in range(17)]
    assert len(seen(clip, 4)) <= 6
    both, one = (filled(clip, 4, ahead=ahead) for ahead in (True, False))
    assert error(both, clip) < 0.65 * error(one, clip)
    assert error(both, clip) < 0.12 * error(kept(clip, 4), clip)


def test_the_better_match_counts_and_then_the_nearer() -> None:
    one, other = np.zeros((4, 8), np.float32), np.ones((4, 8), np.float32)
    alike, unlike = np.zeros((4, 8), np.float32), np.full((4, 8), 60, np.float32)
    quarter = blended(Carried(one, alike, 1.0), Carried(other, alike, 1.0), 0.25)
    np.testing.assert_allclose(quarter, 0.25, atol=1e-6)
    lost = blended(Carried(one, alike, 1.0), Carried(other, unlike, 1.0), 0.9)
    assert lost.max() < 0.001
    neither = blended(Carried(one, unlike, 1.0), Carried(other, unlike, 1.0), 0.25)
    np.testing.assert_allclose(neither, 0.25, atol=1e-6)
    small = blended(Carried(one, alike[:2, :4], 1.0), Carried(other, unlike[:2, :4], 1.0), 0.5)
    assert small.shape == (4, 8)
    assert small.max() < 0.001


def test_the_rim_of_what_moves_borrows_its_flow() -> None:
    """Beside the thing the wall stands still, whatever the flow makes of it."""
    then, now = (look(picture(left)[0]) for left in (60, 72))
    found = match(now, then)
    wall = picture(72)[1] == 0
    wall[:, :72] &= picture(60)[1][:, :72] == 0  # what the thing has left was not seen before
    astray = np.linalg.norm(found.flow, axis=-1) > 1.5
    before = np.linalg.norm(found.start, axis=-1) > 1.5
    assert (astray & wall).sum() < 0.6 * (before & wall).sum()


def test_nothing_is_borrowed_without_need() -> None:
    then, now = (look(picture(left, noise=4)[0]) for left in (70, 71))
    found = match(now, then)
    assert (found.flow != found.start).any(axis=-1).mean() < 0.1


def panned(pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a part of a wall, and a matte that ends in its middle."""
    alpha = (np.arange(WIDE.shape[1]) < 140) * np.ones((HEIGHT, 1), np.float32)
    part = slice(pixels, pixels + WIDTH)
    return WIDE[:, part].copy(), np.ascontiguousarray(alpha[:, part])


def test_the_way_so_far_tells_where_to_look() -> None:
    """Further than a search from nothing would find it."""
    first, *others = decided([panned(7 * t) for t in range(13)], 50)
    first, *others = (replace(turn, small=look(turn.view)) for turn in (first, *others))
    side = Side(first, panned(0)[1])
    for turn in others:
        carried = side.carry(turn)
    inside = slice(0, WIDTH - 7 * 12)
    assert np.abs(carried.alpha - panned(7 * 12)[1])[:, inside].mean() < 0.02


# --- whose turn it is -------------------------------------------------------------------------


def entering(first: int, count: int = 24) -> Clip:
    """A thing that comes in from the left, 8 pixels a frame, from a frame on."""
    return [picture(min(-48 + 8 * max(0, t - first + 1), 60)) for t in range(count)]


@pytest.mark.parametrize("first", [3, 7])
@pytest.mark.parametrize("every", [50, "auto"])
def test_who_comes_in_is_seen_at_once(every: Every, first: int) -> None:
    clip = entering(first)
    assert not clip[first - 1][1].any()
    looks = seen(clip, every)
    assert looks[0] == 0
    assert first <= looks[1] <= first + 2
    largest = next(t for t, (_, alpha) in enumerate(clip) if alpha.mean() > 0.06)
    assert any(largest <= t <= largest + 2 for t in looks)


@pytest.mark.parametrize("ahead", [False, True])
def test_who_comes_in_has_a_matte(ahead: bool) -> None:
    clip = entering(5)
    assert error(filled(clip, 50, ahead=ahead), clip) < 0.2 * error(kept(clip, 50), clip)


@pytest.mark.parametrize("rate", [Fraction(5), Fraction(25), Fraction(30000, 1001), Fraction(240)])
@pytest.mark.parametrize("noise", [0, 6])
def test_of_a_still_picture_two_frames_a_second_are_seen(rate: Fraction, noise: float) -> None:
    """Grain is no change."""
    clip = [
        picture(70 + 1e-4 * t, noise=noise)
        for t in range(round(rate * (3 if rate < 100 else Fraction(6, 5))))
    ]
    looks = seen(clip, "auto", rate)
    gaps = np.diff([t / float(rate) for t in looks])
    assert gaps.max() <= LONGEST + 1 / float(rate)
    assert gaps.min() >= LONGEST - 1e-9


def test_of_somebody_who_talks_at_most_a_third_is_seen() -> None:
    clip = [picture(70 + 2.5 * np.sin(t / 4), noise=3) for t in range(50)]
    assert len(seen(clip, "auto")) <= len(clip) / 3
    assert error(filled(clip, "auto", ahead=True), clip) < 2


def test_auto_looks_again_as_things_turn_into_others() -> None:
    """Though nothing comes in, and nothing is lost."""
    thin = [picture(70, dark=1.0) for _ in range(12)]
    after = texture(9)
    clip = [
        ((view + (after - view) * min(t / 8, 1) * 0.7).astype(np.uint8), alpha)
        for t, (view, alpha) in enumerate(thin)
    ]
    assert len(seen(clip, "auto")) > 2


@pytest.mark.parametrize("every", [50, "auto"])
def test_a_lamp_that_goes_down_is_nothing_new(every: Every) -> None:
    clip = [picture(70, dark=1 - 0.005 * t) for t in range(12)]
    assert seen(clip, every) == [0]


def test_a_camera_that_turns_shows_nothing_new() -> None:
    """It does, at the rim, but that is no reason to look."""
    assert seen([panned(3 * t) for t in range(7)], 6) == [0, 6]


@pytest.mark.parametrize("every", [2, 3, 7])
def test_each_round_begins_when_the_network_has_looked(every: int) -> None:
    clip = [picture(70)] * 5 + [(OTHER, picture(70)[1])] * 10
    first, second = list(range(0, 5, every)), list(range(5, 15, every))
    assert seen(clip, every) == first + second
    assert [t for t, turn in enumerate(decided(clip, every)) if turn.fresh] == [0, 5]


def test_if_it_sees_every_frame_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("look", "motion", "is_other_scene"):
        monkeypatch.delattr(propagate, name)
    clip = [picture(20 + 30 * t) for t in range(3)]
    assert seen(clip, 1) == [0, 1, 2]


def test_a_view_of_another_size_is_another_scene() -> None:
    clip = [picture(70), (picture(70)[0][:64], picture(70)[1][:64])]
    assert seen(clip, 50) == [0, 1]


# --- what comes and goes ----------------------------------------------------------------------


def test_nothing_is_carried_across_a_cut() -> None:
    before = [picture(20 + 3 * t) for t in range(7)]
    after = [(255 - view[:, ::-1], 1 - alpha[:, ::-1]) for view, alpha in before]
    whole, alone = (filled(clip, 4, ahead=True) for clip in (before + after, before))
    assert [turn.fresh for turn in decided(before + after, 4)] == [t in (0, 7) for t in range(14)]
    for one, other in zip(whole[:7], alone, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(whole[7:], filled(after, 4, ahead=True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_looking_ahead_no_frame_waits() -> None:
    asked = []

    def answers() -> Iterator[tuple[Turn, NDArray[np.float32] | None]]:
        for turn in decided([picture(20 + 2 * t) for t in range(6)], 3):
            asked.append(turn.frame.pts)
            yield turn, picture(20)[1] if turn.wanted else None

    for index, matte in enumerate(fill(answers(), ahead=False)):
        assert matte.frame.pts == index
        assert asked == list(range(index + 1))


def test_few_frames_wait_however_rarely_the_network_looks() -> None:
    """And the matte reaches the next one without a leap."""
    asked = 0
    view, alpha = picture(70)
    clip = [(view, alpha * (1.0 if t < 40 else np.float32(0.5))) for t in range(41)]

    def answers() -> Iterator[tuple[Turn, NDArray[np.float32] | None]]:
        nonlocal asked
        for turn, (_, alpha) in zip(decided(clip, 40), clip, strict=True):
            asked += 1
            yield turn, alpha if turn.wanted else None

    levels = []
    for index, matte in enumerate(fill(answers(), ahead=True)):
        assert asked - index <= MOST_WAITING + 2
        levels.append(float(matte.alpha.max()))
    assert levels[: 40 - MOST_WAITING] == [1.0] * (40 - MOST_WAITING)
    steps = np.diff(levels[40 - MOST_WAITING - 1 :])
    np.testing.assert_allclose(steps, -0.5 / (MOST_WAITING + 1), atol=1e-5)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("pts", [[0] * 9, [5, 3, 9, 1, 2, 2, 0, 7, 8], list(range(9, 0, -1))])
def test_whatever_the_clock_says_there_is_a_matte(pts: list[int], ahead: bool) -> None:
    clip = [picture(20 + 3 * t) for t in range(9)]
    assert error(filled(clip, 4, ahead=ahead, pts=pts), clip) < 0.5 * error(kept(clip, 4), clip)


@pytest.mark.parametrize("shape", [(1, 1), (2, 31), (8, 8), (31, 300)])
def test_pictures_too_small_for_motion(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    clip = [
        (rng.integers(0, 30, (*shape, 3)).astype(np.uint8), np.full(shape, 0.5, np.float32))
        for _ in range(9)
    ]
    for alpha in filled(clip, 4, ahead=True):
        np.testing.assert_allclose(alpha, 0.5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_short_clips(count: int) -> None:
    clip = [picture(20 + 3 * t) for t in range(count)]
    assert len(filled(clip, 4, ahead=True) if clip else list(fill([], ahead=True))) == count
