"""Mattes hold still, in seconds, and nothing trails: not behind motion, cuts, gaps or flashes."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from streammatte.frames import Frame, Matte
from streammatte.sources.synthetic import Synthetic
from streammatte.stages import smooth
from streammatte.stages.motion import look, motion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    View = NDArray[np.uint8]
    Stage = Callable[..., Iterator[Matte]]

HEIGHT, WIDTH = 96, 160
(FRAME,) = Synthetic(64, 48, 1).frames()


def texture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> View:
    """Return soft coloured shapes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (height // cell + 1, width // cell + 1, 3)), (width, height))
        for cell in (12, 24, 48)
    ]
    return np.mean(layers, 0).astype(np.uint8)


ROOM, ELSEWHERE = texture(0), texture(7)


@pytest.fixture(params=[smooth.live, smooth.file], ids=["live", "file"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return request.param  # type: ignore[no-any-return]


def matte_at(seconds: Fraction | float, alpha: float | Floats, view: View = ROOM) -> Matte:
    ticks = Fraction(seconds).limit_denominator(1000)
    frame = replace(FRAME, pts=ticks.numerator, time_base=Fraction(1, ticks.denominator))
    return Matte(frame, view, np.full(view.shape[:2], 1, np.float32) * np.float32(alpha))


def at_rate(rate: int, alphas: Iterable[float | Floats], view: View = ROOM) -> Iterator[Matte]:
    return (matte_at(Fraction(i, rate), alpha, view) for i, alpha in enumerate(alphas))


def middles(mattes: Iterable[Matte]) -> list[float]:
    return [float(matte.alpha[HEIGHT // 2, WIDTH // 2]) for matte in mattes]


def square(x: int, size: int = 40, top: int = 30) -> tuple[View, Floats]:
    """Return a textured square at ``x`` before the room, and its exact alpha."""
    view, alpha = ROOM.copy(), np.zeros((HEIGHT, WIDTH), np.float32)
    view[top : top + size, x : x + size] = 255 - texture(1, size, size)
    alpha[top : top + size, x : x + size] = 1
    return view, alpha


def errors(mattes: Iterable[Matte], truths: Iterable[Floats]) -> Floats:
    return np.stack([abs(m.alpha - a) for m, a in zip(mattes, truths, strict=True)])


# --- What is held still ---------------------------------------------------------------------------


def noisy(count: int, level: float = 0.5, spread: float = 0.15) -> list[float]:
    rng = np.random.default_rng(5)
    return [float(np.clip(level + spread * rng.standard_normal(), 0, 1)) for _ in range(count)]


@pytest.mark.parametrize("rate", [24, 60])
def test_flicker_on_a_still_picture_all_but_vanishes(stage: Stage, rate: int) -> None:
    alphas = noisy(2 * rate)
    after = middles(stage(at_rate(rate, alphas)))
    part = {"live": 0.45, "file": 0.25}[stage.__name__]
    assert np.abs(np.diff(after)).mean() < part * np.abs(np.diff(alphas)).mean()
    assert np.mean(after) == pytest.approx(np.mean(alphas), abs=0.03)


def test_noise_on_a_moving_square_shrinks(stage: Stage) -> None:
    rng = np.random.default_rng(3)
    mattes, truths = [], []
    for i in range(30):
        view, alpha = square(20 + 2 * i, 70, 13)
        soft = cv2.GaussianBlur(alpha, (0, 0), 2)
        clouds = cv2.resize(rng.standard_normal((12, 20)).astype(np.float32), (WIDTH, HEIGHT))
        noise = 0.3 * np.sqrt(soft) * clouds
        truths.append(soft)
        mattes.append(matte_at(Fraction(i, 25), np.clip(soft + noise, 0, 1), view))
    before = errors(mattes, truths)[5:].mean()
    part = {"live": 0.9, "file": 0.75}[stage.__name__]
    assert errors(stage(mattes), truths)[5:].mean() < part * before


def test_a_matte_that_no_neighbour_confirms_is_cleared() -> None:
    """Alone, in the look-ahead: one frame that the network missed altogether."""
    alphas = [1.0] * 8 + [0.0] + [1.0] * 8
    after = middles(smooth.file(at_rate(25, alphas)))
    assert min(after) > 0.95


def test_strength_is_how_still() -> None:
    def flicker(strength: float) -> float:
        return float(np.abs(np.diff(middles(smooth.live(at_rate(25, noisy(60)), strength)))).mean())

    assert flicker(0) > flicker(0.5) > flicker(1) > flicker(2)


# --- What is let go -------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [2, 5, 12])
def test_a_moving_square_leaves_no_trail(stage: Stage, speed: int) -> None:
    """Behind it, and before it; the alphas are right, so every error is a trail."""
    count = min(30, 100 // speed)
    shown = [square(10 + speed * i) for i in range(count)]
    mattes = [matte_at(Fraction(i, 25), alpha, view) for i, (view, alpha) in enumerate(shown)]
    wrong = errors(stage(mattes), [alpha for _, alpha in shown])
    assert wrong.mean() < 0.004
    for i in range(2, count):
        left = 10 + speed * i
        assert wrong[i][30:70, max(0, left - 3 * speed) : left - 2].mean() < 0.03


def test_what_the_network_is_sure_of_comes_soon() -> None:
    """It changed its mind over a picture that stays: live, within two frames."""
    after = middles(smooth.live(at_rate(25, [0.0] * 10 + [1.0] * 10)))
    assert after[11] > 0.9


def second_alpha(stage: Stage, gap: Fraction, view: View = ROOM) -> float:
    """Return what becomes of 0.5 after a 0.2 in the room."""
    mattes = [matte_at(Fraction(0), 0.2), matte_at(gap, 0.5, view)]
    return float([*stage(mattes)][1].alpha[5, 5])


def test_a_gap_in_time_forgets(stage: Stage) -> None:
    assert second_alpha(stage, Fraction(1, 25)) < 0.4
    assert second_alpha(stage, Fraction(51, 100)) == 0.5


def test_a_cut_forgets(stage: Stage) -> None:
    assert second_alpha(stage, Fraction(1, 25), ELSEWHERE) == 0.5


def test_another_size_forgets(stage: Stage) -> None:
    """Of the picture, or of the matte alone."""
    assert second_alpha(stage, Fraction(1, 25), texture(0, 48, 80)) == 0.5
    small = replace(matte_at(Fraction(1, 25), 0.5), alpha=np.full((48, 80), 0.5, np.float32))
    first, second = stage([matte_at(Fraction(0), 0.2), small])
    assert first.alpha.shape == (HEIGHT, WIDTH)
    assert (second.alpha == 0.5).all()


def test_a_cut_every_ten_frames_leaves_no_ghost(stage: Stage) -> None:
    """There and back, as in a dialogue: the subject is elsewhere each time."""
    left, right = np.zeros((2, HEIGHT, WIDTH), np.float32)
    left[:, :60], right[:, 90:] = 1, 1
    mattes = [
        matte_at(
            Fraction(i, 25), right if i // 10 % 2 else left, ELSEWHERE if i // 10 % 2 else ROOM
        )
        for i in range(50)
    ]
    assert errors(stage(mattes), [matte.alpha for matte in mattes]).max() == 0


@pytest.mark.parametrize("flash", [np.full_like(ROOM, 255), ELSEWHERE])
def test_a_flash_costs_its_own_frame_only(stage: Stage, flash: View) -> None:
    """What was known before it is known after it."""
    alphas = noisy(20)
    mattes = [*at_rate(25, alphas)]
    mattes[10] = matte_at(Fraction(10, 25), 0.9, flash)
    after = middles(stage(mattes))
    assert after[10] == pytest.approx(0.9)
    unbroken = middles(stage([*mattes[:10], *mattes[11:]]))
    assert after[11:] == pytest.approx(unbroken[10:], abs=0.02)
    assert after[11] != alphas[11]


# --- Time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [48, 60, 240])
def test_every_frame_rate_settles_alike(rate: int) -> None:
    """From one level to another, at every 1/12 s."""

    def settled(rate: int) -> list[float]:
        count = rate * 3 // 2
        values = middles(smooth.live(at_rate(rate, [0.3] * (rate // 2) + [0.6] * count)))
        return values[rate // 2 + rate // 12 - 1 :: rate // 12]

    for one, other in zip(settled(24), settled(rate), strict=True):
        assert one == pytest.approx(other, abs=0.03)


def test_five_frames_a_second_with_gaps(stage: Stage) -> None:
    times = [Fraction(i, 5) for i in (0, 1, 2, 3, 7, 8, 9, 30, 31)]
    alphas = noisy(len(times))
    mattes = [matte_at(time, alpha) for time, alpha in zip(times, alphas, strict=True)]
    after = middles(stage(mattes))
    assert np.isfinite(after).all()
    assert np.abs(np.subtract(after, alphas)).max() < 0.15
    assert after[1] != alphas[1]
    if stage is smooth.live:
        assert after[4] == pytest.approx(alphas[4], abs=1e-6)
        assert after[7] == pytest.approx(alphas[7], abs=1e-6)


def test_time_stamps_that_stand_still_break_nothing(stage: Stage) -> None:
    after = middles(stage([matte_at(Fraction(1), alpha) for alpha in noisy(12)]))
    assert np.isfinite(after).all()
    assert 0 <= min(after) <= max(after) <= 1


# --- Frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, smooth.HELD - 1, smooth.HELD, smooth.HELD + 1, 37])
def test_frames_keep_their_order_pictures_and_times(stage: Stage, count: int) -> None:
    mattes = [*at_rate(25, noisy(count))]
    results = [*stage(mattes)]
    assert len(results) == count
    for one, other in zip(mattes, results, strict=True):
        assert other.frame is one.frame
        assert other.view is one.view
        assert other.alpha.shape == one.alpha.shape
        assert other.alpha.dtype == np.float32


def test_a_single_frame_stays_as_it_is(stage: Stage) -> None:
    view, alpha = square(40)
    (result,) = stage([matte_at(Fraction(0), alpha, view)])
    assert (result.alpha == alpha).all()


def test_strength_zero_changes_nothing(stage: Stage) -> None:
    mattes = [*at_rate(25, noisy(15))]
    for one, other in zip(mattes, stage(mattes, 0), strict=True):
        assert one is other


def test_what_all_agree_on_stays_exactly_what_it_is(stage: Stage) -> None:
    """Where alpha is 1 the encoder is to be given the very samples that the decoder gave."""
    shown = [square(20 + 3 * i) for i in range(25)]
    mattes = [
        matte_at(Fraction(i, 25), np.clip(2 * cv2.blur(alpha, (5, 5)) - 0.5, 0, 1), view)
        for i, (view, alpha) in enumerate(shown)
    ]
    inside = [
        result.alpha[42:58, 34 + 3 * i : 46 + 3 * i] for i, result in enumerate(stage(mattes))
    ]
    assert np.mean([(alpha == 1).mean() for alpha in inside]) == 1


def test_a_past_that_differs_by_less_than_is_seen_changes_nothing() -> None:
    small = look(ROOM)
    solid = np.ones((HEIGHT, WIDTH), np.float32)
    past = smooth.Mean(solid - np.float32(0.001), 3 * solid)
    mean = smooth.continued(solid, past, motion(small, small), 0.04, 1)
    assert (mean.alpha == 1).all()
    assert mean.weight.min() > 3.9


@pytest.mark.parametrize("rate", [25, 240])
def test_block_boundaries_do_not_show(rate: int) -> None:
    """The first of a block looks further ahead than its last, and that is all but the same."""
    rng = np.random.default_rng(1)
    alphas = [rng.uniform(0.3, 0.7, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(46)]
    after = np.stack([matte.alpha for matte in smooth.file(at_rate(rate, alphas))])
    change = np.abs(np.diff(after, axis=0)).mean((1, 2))[12:-12]
    places = np.arange(len(change)) % smooth.BLOCK
    by_place = [change[places == place].mean() for place in range(smooth.BLOCK)]
    assert max(by_place) < 1.35 * min(by_place)


class Watchable(Frame):
    """A frame that a weak reference may point at."""


class Watched:
    """Counts how many of the frames that it gave are still alive."""

    def __init__(self, mattes: Iterable[Matte]) -> None:
        self.mattes = mattes
        self.given: list[weakref.ref[Frame]] = []

    def __iter__(self) -> Iterator[Matte]:
        for matte in self.mattes:
            frame = matte.frame
            canary = Watchable(frame.picture, frame.pts, frame.duration, frame.time_base)
            self.given.append(weakref.ref(canary))
            yield replace(matte, frame=canary)
            del matte, frame, canary

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self.given)


def test_frames_are_let_go_of(stage: Stage) -> None:
    source = Watched(at_rate(25, noisy(40)))
    alive = []
    for matte in stage(source):
        del matte
        alive.append(source.alive)
    assert max(alive) <= {"live": 1, "file": smooth.HELD}[stage.__name__]
    assert alive[-1] == 1
    assert source.alive == 0


def test_the_more_is_held_the_further_it_looks_ahead() -> None:
    """Two halves that the network sees differently, as a still picture: who looks far, knows."""
    alphas = [np.full((96, 160), value, np.float32) for value in [0.4] * 8 + [0.6] * 12]
    first = [next(smooth.file(at_rate(25, alphas), held=held)).alpha[48, 80] for held in (8, 20)]
    assert first[0] == pytest.approx(0.4)
    assert first[1] > 0.41


def test_closing_early_lets_all_go(stage: Stage) -> None:
    source = Watched(at_rate(25, noisy(40)))
    results = stage(source)
    next(results)
    results.close()  # type: ignore[attr-defined]
    del results
    assert source.alive == 0
    assert len(source.given) <= smooth.HELD
